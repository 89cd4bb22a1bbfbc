using System.Collections;
using System.Reflection;
using Millrace.Interop.Tests.Programs;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Tests;

namespace Millrace.Interop.Tests.Mock;

/// <summary>
/// Every version of every API that the mock cluster has, as our codec writes it, to two programs that know nothing of each other: what the mock
/// cluster takes, our broker takes too. And our client against a cluster that has one version of each API only.
/// </summary>
public sealed class EveryVersionTests
{
    private const string Topic = "orders";
    private const string ProtocolName = "range";

    /// <summary>Where our requests begin: what came before carried older batches, or asked ZooKeeper, or answered otherwise.</summary>
    private static readonly Dictionary<ApiKey, short> s_lowest = new()
    {
        [ApiKey.Produce] = 3, [ApiKey.Fetch] = 4, [ApiKey.Metadata] = 1, [ApiKey.ListOffsets] = 1, [ApiKey.OffsetCommit] = 2, [ApiKey.OffsetFetch] = 1,
    };

    [Fact]
    public async Task What_the_mock_cluster_takes_our_broker_takes_too()
    {
        await using MockCluster mock = await MockCluster.StartAsync();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        await mock.CreateTopicAsync(Topic, 1);
        await mock.MoveAsync(Topic, 0, 1);
        await mock.DoAsync("coordinator group group 1");
        Assert.True(BrokerAddress.TryParse(broker.Address, out BrokerAddress ours));
        await Call<CreateTopicsRequest, CreateTopicsResponse>(
            ours, new CreateTopicsRequest { Topics = [new CreatableTopic { Name = Topic, PartitionCount = 1, ReplicationFactor = 1 }] }, 5);

        // What the mock cluster answers in a layout of its own (MockCluster).
        (ApiKey, short)[] wrong = [(ApiKey.Produce, 5), (ApiKey.ListOffsets, 4), (ApiKey.ListOffsets, 5)];
        IReadOnlyDictionary<ApiKey, (short Min, short Max)> versions = await ClusterCalls.VersionsAsync(mock.Brokers[0], CancellationToken.None);
        (ApiKey Key, short Version)[] all = [.. versions.SelectMany(range =>
            Enumerable.Range(0, range.Value.Max + 1).Select(version => (range.Key, (short)version))
                .Where(pair => !wrong.Contains(pair) && pair.Item2 >= Math.Max(range.Value.Min, s_lowest.GetValueOrDefault(range.Key)) && pair.Item2 <= KafkaApis.Find(range.Key)!.MaxVersion))];
        Assert.Equal(17, all.Select(pair => pair.Key).Distinct().Count());

        string[][] answers = await Task.WhenAll(all.Select(async pair =>
        {
            await mock.DoAsync($"coordinator group group-{pair.Key}-{pair.Version} 1");
            await mock.DoAsync($"coordinator transaction transaction-{pair.Key}-{pair.Version} 1");
            string[] answers = await Task.WhenAll(SendAsync(mock.Brokers[0], pair.Key, pair.Version), SendAsync(ours, pair.Key, pair.Version));
            return answers.Select((answer, target) => $"{pair.Key} version {pair.Version} to {(target == 0 ? "the mock cluster" : "our broker")}: {answer}").ToArray();
        }));

        Assert.All(answers.SelectMany(answer => answer), answer => Assert.EndsWith(": None", answer, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(3, 4, 1, 2)]
    [InlineData(4, 6, 2, 4)]
    [InlineData(6, 9, 3, 5)]
    [InlineData(6, 10, 3, 6)]
    [InlineData(7, 11, 3, 7)]
    public async Task A_cluster_with_one_version_of_each_API_is_written_to_and_read_by_a_group(short produce, short fetch, short listOffsets, short offsetCommit)
    {
        await using MockCluster mock = await MockCluster.StartAsync();
        await mock.CreateTopicAsync(Topic, 1);
        int step = produce - 3;
        (ApiKey Key, int Version)[] pinned =
        [
            (ApiKey.Produce, produce), (ApiKey.Fetch, fetch), (ApiKey.ListOffsets, listOffsets), (ApiKey.OffsetCommit, offsetCommit),
            (ApiKey.OffsetFetch, Math.Clamp(step + 1, 1, 5)), (ApiKey.Metadata, Math.Clamp(step, 1, 2)), (ApiKey.FindCoordinator, Math.Clamp(step, 0, 2)),
            (ApiKey.JoinGroup, Math.Clamp(step + 1, 0, 5)), (ApiKey.SyncGroup, Math.Clamp(step, 0, 3)), (ApiKey.Heartbeat, Math.Clamp(step, 0, 3)),
            (ApiKey.LeaveGroup, Math.Clamp(step, 0, 1)), (ApiKey.InitProducerId, Math.Clamp(step, 0, 4)),
        ];
        foreach ((ApiKey key, int version) in pinned)
        {
            await mock.DoAsync($"versions {(short)key} {version} {version}");
        }

        await using KafkaClient client = mock.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(number => producer.ProduceAsync(new ProducerRecord { Topic = Topic, Value = BitConverter.GetBytes(number) }).AsTask()));
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest });
        await consumer.SubscribeAsync([Topic]);
        List<int> read = [];
        using var deadline = new CancellationTokenSource(RunningProgram.Deadline);
        while (read.Count < 20)
        {
            IReadOnlyList<ConsumerRecord> records = await consumer.PollAsync(100, deadline.Token);
            read.AddRange(records.Select(record => BitConverter.ToInt32(record.Value!.Value.Span)));
            await consumer.CommitAsync([new TopicPartitionOffset(records[^1].TopicPartition, records[^1].Offset.Next)], deadline.Token);
        }

        Assert.Equal(Enumerable.Range(0, 20), read);
        var partition = new TopicPartition(Topic, 0);
        Assert.Equal(new Offset(20), (await consumer.CommittedAsync([partition], deadline.Token))[partition].Offset);
        await consumer.DisposeAsync();
    }

    /// <summary>Sends a request of an API, and those that have to come before it in the versions that both sides have; gives the first error of its answer.</summary>
    private static async Task<string> SendAsync(BrokerAddress address, ApiKey key, short version)
    {
        string group = $"group-{key}-{version}", transaction = $"transaction-{key}-{version}";
        switch (key)
        {
            case ApiKey.ApiVersions:
                return await Call<ApiVersionsRequest, ApiVersionsResponse>(address, new ApiVersionsRequest(), version);
            case ApiKey.Metadata:
                return await Call<MetadataRequest, MetadataResponse>(address, new MetadataRequest { Topics = [new MetadataRequestTopic { Name = Topic }] }, version);
            case ApiKey.Produce:
                return await Call<ProduceRequest, ProduceResponse>(address, Produce(), version);
            case ApiKey.Fetch:
                return await Call<FetchRequest, FetchResponse>(
                    address, new FetchRequest { MaxWaitMilliseconds = 1, Topics = [new FetchTopic { Name = Topic, Partitions = [new FetchPartition { MaxBytes = 1024 }] }] }, version);
            case ApiKey.ListOffsets:
                return await Call<ListOffsetsRequest, ListOffsetsResponse>(
                    address, new ListOffsetsRequest { Topics = [new ListOffsetsTopic { Name = Topic, Partitions = [new ListOffsetsPartition { CurrentLeaderEpoch = -1, Timestamp = -1 }] }] }, version);
            case ApiKey.FindCoordinator:
                return await Call<FindCoordinatorRequest, FindCoordinatorResponse>(address, new FindCoordinatorRequest { Key = group }, version);
            case ApiKey.JoinGroup or ApiKey.SyncGroup or ApiKey.Heartbeat or ApiKey.OffsetCommit or ApiKey.OffsetFetch or ApiKey.LeaveGroup:
                return await SendInGroupAsync(address, key, version, group);
            case ApiKey.InitProducerId:
                return await Call<InitProducerIdRequest, InitProducerIdResponse>(address, new InitProducerIdRequest { TransactionTimeoutMilliseconds = 60_000 }, version);
            default:
                return await SendInTransactionAsync(address, key, version, group, transaction);
        }
    }

    private static async Task<string> SendInGroupAsync(BrokerAddress address, ApiKey key, short version, string group)
    {
        JoinGroupResponse joined = await JoinAsync(address, group, key == ApiKey.JoinGroup ? version : (short)5);
        if (key == ApiKey.JoinGroup)
        {
            return joined.ErrorCode.ToString();
        }

        (string member, int generation) = (joined.MemberId, joined.GenerationId);
        string synced = await Call<SyncGroupRequest, SyncGroupResponse>(
            address,
            new SyncGroupRequest { GroupId = group, MemberId = member, GenerationId = generation, Assignments = [new SyncGroupAssignment { MemberId = member, Assignment = [0, 0] }] },
            key == ApiKey.SyncGroup ? version : (short)3);
        return key switch
        {
            ApiKey.SyncGroup => synced,
            ApiKey.Heartbeat => await Call<HeartbeatRequest, HeartbeatResponse>(
                address, new HeartbeatRequest { GroupId = group, MemberId = member, GenerationId = generation }, version),
            ApiKey.OffsetCommit => await Call<OffsetCommitRequest, OffsetCommitResponse>(
                address,
                new OffsetCommitRequest { GroupId = group, MemberId = member, GenerationId = generation, Topics = [new OffsetCommitTopic { Name = Topic, Partitions = [new OffsetCommitPartition()] }] },
                version),
            ApiKey.OffsetFetch => await Call<OffsetFetchRequest, OffsetFetchResponse>(
                address, new OffsetFetchRequest { GroupId = group, Topics = [new OffsetFetchTopic { Name = Topic, Partitions = [0] }] }, version),
            _ => await Call<LeaveGroupRequest, LeaveGroupResponse>(address, new LeaveGroupRequest { GroupId = group, MemberId = member }, version),
        };
    }

    private static async Task<JoinGroupResponse> JoinAsync(BrokerAddress address, string group, short version)
    {
        string member = "";
        while (true)
        {
            JoinGroupResponse joined = await ClusterCalls.SendAsync<JoinGroupRequest, JoinGroupResponse>(
                address,
                new JoinGroupRequest
                {
                    GroupId = group, MemberId = member, SessionTimeoutMilliseconds = 30_000, RebalanceTimeoutMilliseconds = 30_000, ProtocolType = "consumer",
                    Protocols = [new JoinGroupProtocol { Name = ProtocolName, Metadata = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }],
                },
                version, CancellationToken.None);
            if (joined.ErrorCode != ErrorCode.MemberIdRequired)
            {
                return joined;
            }

            member = joined.MemberId;
        }
    }

    private static async Task<string> SendInTransactionAsync(BrokerAddress address, ApiKey key, short version, string group, string transaction)
    {
        InitProducerIdResponse producer = await ClusterCalls.SendAsync<InitProducerIdRequest, InitProducerIdResponse>(
            address, new InitProducerIdRequest { TransactionalId = transaction, TransactionTimeoutMilliseconds = 60_000 }, 1, CancellationToken.None);
        Assert.Equal(ErrorCode.None, producer.ErrorCode);
        (long id, short epoch) = (producer.ProducerId, producer.ProducerEpoch);
        string added = await Call<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(
            address,
            new AddPartitionsToTxnRequest { TransactionalId = transaction, ProducerId = id, ProducerEpoch = epoch, Topics = [new AddPartitionsToTxnTopic { Name = Topic, Partitions = [0] }] },
            key == ApiKey.AddPartitionsToTxn ? version : (short)1);
        string addedOffsets = await Call<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>(
            address, new AddOffsetsToTxnRequest { TransactionalId = transaction, ProducerId = id, ProducerEpoch = epoch, GroupId = group },
            key == ApiKey.AddOffsetsToTxn ? version : (short)1);
        string committed = await Call<TxnOffsetCommitRequest, TxnOffsetCommitResponse>(
            address,
            new TxnOffsetCommitRequest
            {
                TransactionalId = transaction, GroupId = group, ProducerId = id, ProducerEpoch = epoch,
                Topics = [new TxnOffsetCommitTopic { Name = Topic, Partitions = [new TxnOffsetCommitPartition()] }],
            },
            key == ApiKey.TxnOffsetCommit ? version : (short)2);
        string ended = await Call<EndTxnRequest, EndTxnResponse>(
            address, new EndTxnRequest { TransactionalId = transaction, ProducerId = id, ProducerEpoch = epoch, Committed = true }, key == ApiKey.EndTxn ? version : (short)1);
        return key switch
        {
            ApiKey.AddPartitionsToTxn => added,
            ApiKey.AddOffsetsToTxn => addedOffsets,
            ApiKey.TxnOffsetCommit => committed,
            ApiKey.EndTxn => ended,
            _ => $"the test has no request of {key}",
        };
    }

    private static ProduceRequest Produce()
    {
        RecordBatchBuilder batch = new();
        batch.Append(timestamp: 1, "key"u8.ToArray(), "value"u8.ToArray());
        return new ProduceRequest
        {
            Acks = -1, TimeoutMilliseconds = 10_000, Topics = [new ProduceTopic { Name = Topic, Partitions = [new ProducePartition { Records = batch.Build() }] }],
        };
    }

    private static async Task<string> Call<TRequest, TResponse>(BrokerAddress address, TRequest request, short version)
        where TRequest : class, IRequest<TResponse>
        where TResponse : class, IMessage, new() =>
        ErrorsOf(await ClusterCalls.SendAsync<TRequest, TResponse>(address, request, version, CancellationToken.None))
            .FirstOrDefault(error => error != ErrorCode.None).ToString();

    /// <summary>All error codes of a message and its parts.</summary>
    private static IEnumerable<ErrorCode> ErrorsOf(object message)
    {
        foreach (FieldInfo field in message.GetType().GetFields(BindingFlags.Public | BindingFlags.Instance))
        {
            IEnumerable<ErrorCode> errors = field.GetValue(message) switch
            {
                ErrorCode error => [error],
                IMessage part => ErrorsOf(part),
                IEnumerable parts and not string => parts.OfType<IMessage>().SelectMany(ErrorsOf),
                _ => [],
            };
            foreach (ErrorCode error in errors)
            {
                yield return error;
            }
        }
    }
}
