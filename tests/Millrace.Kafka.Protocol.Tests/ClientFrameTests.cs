namespace Millrace.Kafka.Protocol.Tests;

/// <summary>
/// Whole request frames as kafkajs 2.2.4 (versions that are not flexible) and @platformatic/kafka 1.35.0 (flexible ones) encode them.
/// Golden/client-frames.mjs made Golden/client-frames.txt.
/// </summary>
public class ClientFrameTests
{
    private const int CorrelationId = 7;
    private const string ClientId = "golden";

    private static readonly Dictionary<string, string> Frames = File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Golden", "client-frames.txt"))
        .Select(line => line.Split(' '))
        .ToDictionary(parts => string.Join(' ', parts[..3]), parts => parts[3], StringComparer.Ordinal);

    [Fact]
    public void Fetch_has_the_bytes_of_other_clients()
    {
        FetchRequest Request() => new()
        {
            MaxWaitMilliseconds = 500,
            MinBytes = 1,
            MaxBytes = 65536,
            IsolationLevel = 1,
            SessionId = 12,
            SessionEpoch = 2,
            RackId = "r1",
            Topics = [new() { Name = "orders", Partitions = [new() { Index = 3, FetchOffset = 4711, MaxBytes = 1048576, CurrentLeaderEpoch = 5 }] }],
        };

        FetchRequest withLogStart = Request();
        withLogStart.Topics[0].Partitions[0].LogStartOffset = 9;
        AssertFrame("kafkajs Fetch 0", withLogStart);
        AssertFrame("kafkajs Fetch 4", withLogStart);
        AssertFrame("kafkajs Fetch 11", withLogStart);
        FetchRequest withEpoch = Request();
        withEpoch.Topics[0].Partitions[0].LastFetchedEpoch = 4;
        AssertFrame("platformatic Fetch 12", withEpoch);
    }

    [Theory]
    [InlineData("kafkajs Produce 3", 74)]
    [InlineData("kafkajs Produce 7", 74)]
    [InlineData("platformatic Produce 9", 70)]
    [InlineData("platformatic Produce 11", 70)]
    public void Produce_is_read_and_written_as_other_clients_write_it(string origin, int recordsByteCount)
    {
        ProduceRequest request = AssertReads<ProduceRequest>(origin);
        Assert.Null(request.TransactionalId);
        Assert.Equal(-1, request.Acks);
        Assert.Equal(30_000, request.TimeoutMilliseconds);
        ProduceTopic topic = Assert.Single(request.Topics);
        Assert.Equal("orders", topic.Name);
        ProducePartition partition = Assert.Single(topic.Partitions);
        Assert.Equal(3, partition.Index);
        Assert.Equal(recordsByteCount, partition.Records!.Value.Length);
        AssertFrame(origin, request);
    }

    [Fact]
    public void ListOffsets_has_the_bytes_of_other_clients()
    {
        var request = new ListOffsetsRequest
        {
            IsolationLevel = 1,
            Topics = [new() { Name = "orders", Partitions = [new() { Index = 3, Timestamp = -1, MaxOffsetCount = 2, CurrentLeaderEpoch = 5 }] }],
        };
        AssertFrame("kafkajs ListOffsets 0", request);
        AssertFrame("kafkajs ListOffsets 3", request);
        AssertFrame("platformatic ListOffsets 6", request);
        AssertFrame("platformatic ListOffsets 7", request);
    }

    [Fact]
    public void Metadata_has_the_bytes_of_other_clients()
    {
        AssertFrame("kafkajs Metadata 0", new MetadataRequest { Topics = [new() { Name = "orders" }, new() { Name = "payments" }] });
        AssertFrame("kafkajs Metadata 1", new MetadataRequest { Topics = null });
        var one = new MetadataRequest { Topics = [new() { Name = "orders" }] };
        AssertFrame("kafkajs Metadata 6", one);
        AssertFrame("platformatic Metadata 9", one);
        AssertFrame("platformatic Metadata 12", one);
        AssertFrame("platformatic Metadata-all 12", new MetadataRequest { Topics = null, IncludeTopicAuthorizedOperations = true });
    }

    [Fact]
    public void OffsetCommit_has_the_bytes_of_other_clients()
    {
        OffsetCommitRequest Request(params List<OffsetCommitPartition> partitions) => new()
        {
            GroupId = "g",
            GenerationId = 9,
            MemberId = "m-1",
            RetentionMilliseconds = 86_400_000,
            GroupInstanceId = "i-1",
            Topics = [new() { Name = "orders", Partitions = partitions }],
        };

        var first = new OffsetCommitPartition { Index = 3, CommittedOffset = 4711, CommittedLeaderEpoch = 5, CommittedMetadata = "m" };
        var second = new OffsetCommitPartition { Index = 4, CommittedOffset = 5, CommittedMetadata = null };
        AssertFrame("kafkajs OffsetCommit 0", Request(first, second));
        AssertFrame("kafkajs OffsetCommit 2", Request(first, second));
        AssertFrame("kafkajs OffsetCommit 5", Request(first, second));
        AssertFrame("platformatic OffsetCommit 8", Request(first));
        AssertFrame("platformatic OffsetCommit 9", Request(first));
    }

    [Fact]
    public void OffsetFetch_has_the_bytes_of_other_clients()
    {
        List<OffsetFetchTopic> topics = [new() { Name = "orders", Partitions = [3, 4] }];
        var single = new OffsetFetchRequest { GroupId = "g", Topics = topics };
        AssertFrame("kafkajs OffsetFetch 1", single);
        AssertFrame("kafkajs OffsetFetch 4", single);
        var several = new OffsetFetchRequest { Groups = [new() { GroupId = "g", MemberId = "m-1", MemberEpoch = 9, Topics = topics }], RequireStable = true };
        AssertFrame("platformatic OffsetFetch 8", several);
        AssertFrame("platformatic OffsetFetch 9", several);
    }

    [Fact]
    public void FindCoordinator_has_the_bytes_of_other_clients()
    {
        AssertFrame("kafkajs FindCoordinator 0", new FindCoordinatorRequest { Key = "g" });
        AssertFrame("kafkajs FindCoordinator 1", new FindCoordinatorRequest { Key = "g", KeyType = 1 });
        AssertFrame("kafkajs FindCoordinator 2", new FindCoordinatorRequest { Key = "g", KeyType = 1 });
        AssertFrame("platformatic FindCoordinator 4", new FindCoordinatorRequest { CoordinatorKeys = ["g", "h"] });
    }

    [Fact]
    public void JoinGroup_has_the_bytes_of_other_clients()
    {
        JoinGroupRequest Request(string memberId, params List<JoinGroupProtocol> protocols) => new()
        {
            GroupId = "g",
            SessionTimeoutMilliseconds = 30_000,
            RebalanceTimeoutMilliseconds = 60_000,
            MemberId = memberId,
            GroupInstanceId = "i-1",
            ProtocolType = "consumer",
            Protocols = protocols,
            Reason = "why",
        };

        var range = new JoinGroupProtocol { Name = "range", Metadata = [1, 2, 3] };
        var roundRobin = new JoinGroupProtocol { Name = "rr" };
        AssertFrame("kafkajs JoinGroup 0", Request("", range, roundRobin));
        AssertFrame("kafkajs JoinGroup 1", Request("", range, roundRobin));
        AssertFrame("kafkajs JoinGroup 5", Request("", range, roundRobin));
        AssertFrame("platformatic JoinGroup 9", Request("m-1", range));
    }

    [Fact]
    public void SyncGroup_has_the_bytes_of_other_clients()
    {
        var request = new SyncGroupRequest
        {
            GroupId = "g",
            GenerationId = 9,
            MemberId = "m-1",
            GroupInstanceId = "i-1",
            ProtocolType = "consumer",
            ProtocolName = "range",
            Assignments = [new() { MemberId = "m-1", Assignment = [9, 8] }],
        };
        AssertFrame("kafkajs SyncGroup 0", request);
        AssertFrame("kafkajs SyncGroup 3", request);
        AssertFrame("platformatic SyncGroup 4", request);
        AssertFrame("platformatic SyncGroup 5", request);
    }

    [Fact]
    public void Heartbeat_and_LeaveGroup_have_the_bytes_of_other_clients()
    {
        AssertFrame("kafkajs Heartbeat 0", new HeartbeatRequest { GroupId = "g", GenerationId = 9, MemberId = "m-1" });
        AssertFrame("kafkajs Heartbeat 3", new HeartbeatRequest { GroupId = "g", GenerationId = 9, MemberId = "m-1", GroupInstanceId = "i-1" });
        AssertFrame("platformatic Heartbeat 4", new HeartbeatRequest { GroupId = "g", GenerationId = 9, MemberId = "m-1" });
        AssertFrame("kafkajs LeaveGroup 0", new LeaveGroupRequest { GroupId = "g", MemberId = "m-1" });
        AssertFrame(
            "kafkajs LeaveGroup 3", new LeaveGroupRequest { GroupId = "g", Members = [new() { MemberId = "m-1", GroupInstanceId = "i-1" }, new() { MemberId = "m-2" }] });
        AssertFrame(
            "platformatic LeaveGroup 5", new LeaveGroupRequest { GroupId = "g", Members = [new() { MemberId = "m-1", GroupInstanceId = "i-1", Reason = "bye" }] });
    }

    [Fact]
    public void ApiVersions_has_the_bytes_of_other_clients()
    {
        var request = new ApiVersionsRequest { ClientSoftwareName = "lib", ClientSoftwareVersion = "1.2" };
        AssertFrame("kafkajs ApiVersions 0", request);
        AssertFrame("kafkajs ApiVersions 2", request);
        AssertFrame("platformatic ApiVersions 3", request);
        AssertFrame("platformatic ApiVersions 4", request);
    }

    [Fact]
    public void CreateTopics_has_the_bytes_of_other_clients()
    {
        var request = new CreateTopicsRequest
        {
            TimeoutMilliseconds = 5000,
            ValidateOnly = true,
            Topics =
            [
                new()
                {
                    Name = "orders",
                    PartitionCount = 6,
                    ReplicationFactor = 1,
                    Assignments = [new() { PartitionIndex = 0, BrokerIds = [1, 2] }],
                    Configs = [new() { Name = "retention.ms", Value = "1000" }],
                },
            ],
        };
        AssertFrame("kafkajs CreateTopics 0", request);
        AssertFrame("kafkajs CreateTopics 3", request);
        AssertFrame("platformatic CreateTopics 7", request);
    }

    [Fact]
    public void InitProducerId_has_the_bytes_of_other_clients()
    {
        AssertFrame("kafkajs InitProducerId 0", new InitProducerIdRequest { TransactionTimeoutMilliseconds = 60_000 });
        AssertFrame("kafkajs InitProducerId 1", new InitProducerIdRequest { TransactionTimeoutMilliseconds = 60_000 });
        AssertFrame("platformatic InitProducerId 3", new InitProducerIdRequest { TransactionalId = "tx", TransactionTimeoutMilliseconds = 60_000 });
        AssertFrame("platformatic InitProducerId 4", new InitProducerIdRequest { TransactionTimeoutMilliseconds = 60_000, ProducerId = 77, ProducerEpoch = 1 });
    }

    private static void AssertFrame<TRequest>(string origin, TRequest request)
        where TRequest : class, IRequest, new()
    {
        FrameBuffer frame = MessageCodec.WriteRequest(request, Version(origin), CorrelationId, ClientId);
        Assert.Equal(Frames[origin], Convert.ToHexStringLower(frame.Bytes.Span));
        frame.Release();
        AssertReads<TRequest>(origin);
    }

    private static TRequest AssertReads<TRequest>(string origin)
        where TRequest : class, IRequest, new()
    {
        ReadOnlyMemory<byte> payload = Convert.FromHexString(Frames[origin]).AsMemory(FrameBuffer.SizePrefixByteCount);
        Assert.True(MessageCodec.TryReadRequestHeader(payload, out RequestHeader header, out int bodyStart, out string? error), error);
        Assert.Equal(new RequestHeader(TRequest.Api.Key, Version(origin), CorrelationId, ClientId), header);
        Assert.True(MessageCodec.TryReadRequest<TRequest>(payload[bodyStart..], header.Version, out TRequest? request, out error), error);
        return request;
    }

    private static short Version(string origin) => short.Parse(origin.Split(' ')[2]);
}
