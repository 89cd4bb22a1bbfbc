using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

/// <summary>DeleteTopics, CreatePartitions, DeleteRecords.</summary>
public sealed class TopicAdministrationTests
{
    [Fact]
    public async Task A_deleted_topic_is_gone_for_good_and_a_new_one_of_its_name_is_another_one()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        await broker.CreateTopicAsync("payments");
        Guid id = broker.Broker.Topics.Find("orders")!.Id;
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("a"));
        await client.CommitAsync(Commit("g", "orders", 1));
        await client.CommitAsync(Commit("g", "payments", 2));

        Assert.Equal([ErrorCode.None], await DeleteAsync(client, 5, "orders"));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await client.ProduceAsync("orders", Batches.Of("b"))).ErrorCode);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await client.FetchAsync("orders", 0)).ErrorCode);
        Assert.Equal(-1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
        Assert.Equal(2, (await client.FetchOffsetAsync("g", "payments")).CommittedOffset);

        await broker.CrashAndRestartAsync();
        Assert.Null(broker.Broker.Topics.Find("orders"));
        await broker.CreateTopicAsync("orders", 1);
        await using TestClient after = broker.Connect();
        Assert.NotEqual(id, broker.Broker.Topics.Find("orders")!.Id);
        Assert.Equal(-1, (await after.FetchOffsetAsync("g", "orders")).CommittedOffset);
        Assert.Equal(0, (await after.ProduceAsync("orders", Batches.Of("c"))).BaseOffset);
        Assert.Equal([(0, "c")], Batches.Read((await after.FetchAsync("orders", 0)).Records));
    }

    [Fact]
    public async Task Every_version_deletes_and_the_last_one_by_id_too()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        for (short version = 0; version <= 6; version++)
        {
            await broker.CreateTopicAsync($"orders{version}");
            Assert.Equal([ErrorCode.None, ErrorCode.UnknownTopicOrPartition], await DeleteAsync(client, version, $"orders{version}", "nowhere"));
        }

        await broker.CreateTopicAsync("orders");
        Guid id = broker.Broker.Topics.Find("orders")!.Id;
        DeleteTopicsResponse response = await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(
            new DeleteTopicsRequest
            {
                TimeoutMilliseconds = 1000,
                Topics =
                [
                    new DeleteTopicState { TopicId = id },
                    new DeleteTopicState { TopicId = new Guid("00000000-0000-4000-8000-000000000001") },
                    new DeleteTopicState { TopicId = id, Name = "orders" },
                    new DeleteTopicState(),
                    new DeleteTopicState { Name = "twice" },
                    new DeleteTopicState { Name = "twice" },
                ],
            },
            6);
        Assert.Equal(
            [ErrorCode.None, ErrorCode.UnknownTopicId, ErrorCode.InvalidRequest, ErrorCode.InvalidRequest, ErrorCode.InvalidRequest, ErrorCode.InvalidRequest],
            response.Responses.Select(result => result.ErrorCode));
        Assert.Equal(("orders", id), (response.Responses[0].Name, response.Responses[0].TopicId));
    }

    [Fact]
    public async Task The_brokers_own_topics_are_not_deleted()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("g", "orders", 1));
        Assert.Equal([ErrorCode.InvalidTopic], await DeleteAsync(client, 5, "__consumer_offsets"));
        Assert.Equal(1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task A_fetch_that_waits_learns_that_its_topic_is_gone()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await using TestClient other = broker.Connect();
        int timers = broker.Time.PendingTimerCount;
        await client.PostAsync(TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 60_000), 12);
        await Conditions.BecomesTrueAsync(() => broker.Time.PendingTimerCount == timers + 1, "the poll waits");

        await DeleteAsync(other, 5, "orders");
        FetchResponse response = (await client.ReceiveAsync<FetchRequest, FetchResponse>(12)).Response;
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, response.Topics[0].Partitions[0].ErrorCode);
    }

    [Fact]
    public async Task A_deletion_that_the_disk_has_stopped_is_finished_by_the_next_request_for_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("g", "orders", 1)));
        broker.Storage.FailsSyncs = true;
        Assert.Equal([ErrorCode.KafkaStorageError], await DeleteAsync(client, 5, "orders"));
        broker.Storage.FailsSyncs = false;

        await broker.ReturnsAsync(new TopicPartition("__consumer_offsets", CoordinatorTopic.PartitionFor("g", broker.Broker.Topics.Find("__consumer_offsets")!.Partitions.Count)));
        await broker.BecomesTrueWithTimeAsync(() => Task.FromResult(!broker.Broker.Groups.IsUnavailable("g")), "the offsets are read again");
        Assert.Equal([ErrorCode.None], await DeleteAsync(client, 5, "orders"));
        Assert.Equal([ErrorCode.UnknownTopicOrPartition], await DeleteAsync(client, 5, "orders"));
        await broker.CreateTopicAsync("orders");
        Assert.Equal(-1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task A_topic_whose_offsets_cannot_be_deleted_keeps_its_name_until_the_next_start()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("g", "orders", 1));
        broker.Broker.Topics.Delete(broker.Broker.Topics.Find("orders")!);
        CreateTopicsResponse refused = await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            new CreateTopicsRequest { Topics = [new CreatableTopic { Name = "orders", PartitionCount = 1, ReplicationFactor = 1 }] }, 7);
        Assert.Equal(ErrorCode.TopicAlreadyExists, refused.Topics[0].ErrorCode);
        Assert.Contains("being deleted", refused.Topics[0].ErrorMessage, StringComparison.Ordinal);

        await broker.CrashAndRestartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient after = broker.Connect();
        Assert.Equal(-1, (await after.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task A_topic_gets_more_partitions_that_can_be_used_at_once()
    {
        await using TestBroker broker = await TestBroker.StartAsync(options =>
        {
            options.MaxPartitionCount = 10;
            options.OffsetsTopicPartitionCount = 1;
        });
        await broker.CreateTopicAsync("orders", 2);
        await using TestClient client = broker.Connect();
        for (short version = 0; version <= 3; version++)
        {
            Assert.Equal(ErrorCode.None, (await AddAsync(client, "orders", 3 + version, version)).ErrorCode);
            Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of("a"), partition: 2 + version)).ErrorCode);
        }

        Assert.Equal(ErrorCode.InvalidPartitions, (await AddAsync(client, "orders", 6)).ErrorCode);
        Assert.Equal(ErrorCode.InvalidPartitions, (await AddAsync(client, "orders", -1)).ErrorCode);
        Assert.Equal(ErrorCode.PolicyViolation, (await AddAsync(client, "orders", int.MaxValue)).ErrorCode);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await AddAsync(client, "nowhere", 3)).ErrorCode);
        Assert.Equal(ErrorCode.InvalidTopic, (await AddAsync(client, "__consumer_offsets", 3)).ErrorCode);
        Assert.Equal(ErrorCode.InvalidReplicaAssignment, (await AddAsync(client, "orders", 7, assignments: [[2]])).ErrorCode);
        Assert.Equal(ErrorCode.InvalidReplicaAssignment, (await AddAsync(client, "orders", 8, assignments: [[1]])).ErrorCode);
        Assert.Equal(ErrorCode.None, (await AddAsync(client, "orders", 7, validateOnly: true, assignments: [[1]])).ErrorCode);
        Assert.Equal(6, broker.Broker.Topics.Find("orders")!.Partitions.Count);

        await broker.CrashAndRestartAsync();
        Assert.Equal(6, broker.Broker.Topics.Find("orders")!.Partitions.Count);
        Assert.Equal(6, broker.Broker.Topics.PartitionCount);
    }

    [Fact]
    public async Task Records_before_an_offset_are_deleted_for_good()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("a", "b"));
        await client.ProduceAsync("orders", Batches.Of("c", "d"));
        Assert.Equal((ErrorCode.None, 2), await DeleteRecordsAsync(client, "orders", 2));
        Assert.Equal((ErrorCode.None, 2), await DeleteRecordsAsync(client, "orders", 1));
        Assert.Equal((ErrorCode.OffsetOutOfRange, -1), await DeleteRecordsAsync(client, "orders", 5));
        Assert.Equal((ErrorCode.OffsetOutOfRange, -1), await DeleteRecordsAsync(client, "orders", -2));
        Assert.Equal((ErrorCode.UnknownTopicOrPartition, -1), await DeleteRecordsAsync(client, "nowhere", 0));
        Assert.Equal(ErrorCode.OffsetOutOfRange, (await client.FetchAsync("orders", 1)).ErrorCode);

        await broker.CrashAndRestartAsync();
        await using TestClient after = broker.Connect();
        Assert.Equal([(2, "c"), (3, "d")], Batches.Read((await after.FetchAsync("orders", 2)).Records));
        Assert.Equal((ErrorCode.None, 4), await DeleteRecordsAsync(after, "orders", -1));
    }

    [Fact]
    public async Task Records_of_compacted_and_internal_topics_stay()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            new CreateTopicsRequest
            {
                Topics = [new CreatableTopic { Name = "table", PartitionCount = 1, ReplicationFactor = 1, Configs = [new CreatableTopicConfig { Name = "cleanup.policy", Value = "compact" }] }],
            },
            7);
        await client.CommitAsync(Commit("g", "table", 1));
        Assert.Equal((ErrorCode.PolicyViolation, -1), await DeleteRecordsAsync(client, "table", 0));
        Assert.Equal((ErrorCode.InvalidTopic, -1), await DeleteRecordsAsync(client, "__consumer_offsets", 0));
    }

    private static async Task<List<ErrorCode>> DeleteAsync(TestClient client, short version, params string[] names)
    {
        DeleteTopicsRequest request = new() { TimeoutMilliseconds = 30_000 };
        if (version >= 6)
        {
            request.Topics = [.. names.Select(name => new DeleteTopicState { Name = name })];
        }
        else
        {
            request.TopicNames = [.. names];
        }

        DeleteTopicsResponse response = await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(request, version);
        Assert.Equal(names, response.Responses.Select(result => result.Name));
        return [.. response.Responses.Select(result => result.ErrorCode)];
    }

    private static async Task<CreatePartitionsTopicResult> AddAsync(
        TestClient client, string name, int count, short version = 3, bool validateOnly = false, List<int>[]? assignments = null)
    {
        CreatePartitionsResponse response = await client.SendAsync<CreatePartitionsRequest, CreatePartitionsResponse>(
            new CreatePartitionsRequest
            {
                ValidateOnly = validateOnly,
                Topics =
                [
                    new CreatePartitionsTopic
                    {
                        Name = name, Count = count, Assignments = assignments?.Select(ids => new CreatePartitionsAssignment { BrokerIds = ids }).ToList(),
                    },
                ],
            },
            version);
        return response.Results[0];
    }

    private static async Task<(ErrorCode, long)> DeleteRecordsAsync(TestClient client, string topic, long before)
    {
        DeleteRecordsResponse response = await client.SendAsync<DeleteRecordsRequest, DeleteRecordsResponse>(
            new DeleteRecordsRequest
            {
                Topics = [new DeleteRecordsTopic { Name = topic, Partitions = [new DeleteRecordsPartition { Index = 0, Offset = before }] }],
            },
            2);
        DeleteRecordsPartitionResult result = response.Topics[0].Partitions[0];
        return (result.ErrorCode, result.LowWatermark);
    }
}
