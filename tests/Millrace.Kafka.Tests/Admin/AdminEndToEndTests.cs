using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>The admin client against a broker, in the versions of its own and of the oldest and the newest release of Apache Kafka.</summary>
public sealed class AdminEndToEndTests
{
    private const string Topic = "orders";

    public static TheoryData<string> Releases => ["own", "2.4", "4.3"];

    [Theory]
    [MemberData(nameof(Releases))]
    public async Task Topics_are_checked_created_described_enlarged_emptied_and_deleted(string release)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = CreateClient(broker, release);
        KafkaAdmin admin = client.Admin;
        var topic = new NewTopic(Topic, 2) { Configuration = new Dictionary<string, string> { ["retention.ms"] = "123456" } };
        Assert.True((await admin.CreateTopicsAsync([topic], validateOnly: true, Until.Timeout()))[Topic].Created);
        Assert.Empty(await admin.ListTopicsAsync(cancellationToken: Until.Timeout()));
        IReadOnlyDictionary<string, CreateTopicResult> created = await admin.CreateTopicsAsync([topic, new NewTopic("a/b", 1)], Until.Timeout());
        Assert.True(created[Topic].Created);
        Assert.Equal(ErrorCode.InvalidTopic, created["a/b"].ErrorCode);
        Assert.Equal(ErrorCode.InvalidTopic, Assert.Throws<KafkaBrokerException>(() => created.ThrowIfAnyFailed()).ErrorCode);
        CreateTopicResult again = (await admin.CreateTopicsAsync([topic], Until.Timeout()))[Topic];
        Assert.Equal((true, true, false), (again.IsSuccess, again.AlreadyExisted, again.Created));
        await Until.TrueAsync(async () => (await admin.ListTopicsAsync(cancellationToken: Until.Timeout())).Count > 0, "the topic");
        Assert.Equal(Topic, Assert.Single(await admin.ListTopicsAsync(cancellationToken: Until.Timeout())).Name);

        IReadOnlyDictionary<string, AdminResult> enlarged = await admin.CreatePartitionsAsync([new NewPartitions(Topic, 3), new NewPartitions("missing", 3)], cancellationToken: Until.Timeout());
        Assert.True(enlarged[Topic].IsSuccess);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, enlarged["missing"].ErrorCode);
        Assert.Equal(ErrorCode.InvalidPartitions, (await admin.CreatePartitionsAsync([new NewPartitions(Topic, 2)], cancellationToken: Until.Timeout()))[Topic].ErrorCode);
        await Until.TrueAsync(
            async () => (await admin.DescribeTopicsAsync([Topic], Until.Timeout()))[Topic] is { IsSuccess: true, Value.Partitions.Count: 3 }, "the third partition");
        TopicDescription described = (await admin.DescribeTopicsAsync([Topic], Until.Timeout()))[Topic].Value;
        Assert.Equal([0, 1, 2], described.Partitions.Select(partition => partition.Partition));
        // Of a cluster whose brokers may be dying, nobody knows.
        Assert.All(described.Partitions, partition => Assert.True(broker.IsExternal || partition is { HasPreferredLeader: true, IsOffline: false, IsUnderReplicated: false }));

        await ProduceAsync(client, count: 10);
        var first = new TopicPartition(Topic, 0);
        AdminResult<Offset> emptied = (await admin.DeleteRecordsAsync(new Dictionary<TopicPartition, Offset> { [first] = new(4) }, Until.Timeout()))[first];
        Assert.Equal(new Offset(4), emptied.Value);
        Assert.Equal(new Offset(4), (await admin.ListOffsetsAsync([first], OffsetSpec.Earliest, Until.Timeout()))[first]);
        Assert.Equal(ErrorCode.OffsetOutOfRange, (await admin.DeleteRecordsAsync(new Dictionary<TopicPartition, Offset> { [first] = new(99) }, Until.Timeout()))[first].ErrorCode);

        IReadOnlyDictionary<string, AdminResult> deleted = await admin.DeleteTopicsAsync([Topic, "missing"], Until.Timeout());
        Assert.True(deleted[Topic].IsSuccess);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, deleted["missing"].ErrorCode);
        await Until.TrueAsync(async () => (await admin.ListTopicsAsync(cancellationToken: Until.Timeout())).Count == 0, "the topic being gone");
    }

    [Theory]
    [MemberData(nameof(Releases))]
    public async Task Offsets_are_found_by_place_and_by_time(string release)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = CreateClient(broker, release);
        await client.Admin.CreateTopicsAsync([new NewTopic(Topic, 1)], Until.Timeout());
        await ProduceAsync(client, count: 3);
        var partition = new TopicPartition(Topic, 0);
        Task<IReadOnlyDictionary<TopicPartition, AdminResult<ListedOffset>>> Ask(OffsetSpec spec) =>
            client.Admin.ListOffsetsAsync(new Dictionary<TopicPartition, OffsetSpec> { [partition] = spec }, readCommitted: true, Until.Timeout());

        Assert.Equal(new Offset(3), (await Ask(OffsetSpec.Latest))[partition].Value.Offset);
        ListedOffset second = (await Ask(OffsetSpec.AtTime(DateTimeOffset.FromUnixTimeMilliseconds(1_000_001))))[partition].Value;
        Assert.Equal((new Offset(1), DateTimeOffset.FromUnixTimeMilliseconds(1_000_001)), (second.Offset, second.Timestamp));
        Assert.Null((await Ask(OffsetSpec.AtTime(DateTimeOffset.FromUnixTimeMilliseconds(2_000_000))))[partition].Value.Offset);
        AdminResult<ListedOffset> newest = (await Ask(OffsetSpec.MaxTimestamp))[partition];
        if (release == "2.4" || !broker.Offers(ListOffsetsRequest.Api, lowest: 7))
        {
            Assert.IsType<KafkaVersionException>(newest.Failure);
        }
        else
        {
            Assert.Equal(new Offset(2), newest.Value.Offset);
        }
    }

    [Theory]
    [MemberData(nameof(Releases))]
    public async Task Settings_are_described_with_their_source_and_changed_one_by_one(string release)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = CreateClient(broker, release);
        KafkaAdmin admin = client.Admin;
        await admin.CreateTopicsAsync([new NewTopic(Topic, 1)], Until.Timeout());
        ConfigResource topic = ConfigResource.Topic(Topic);
        ConfigEntry before = (await admin.DescribeConfigsAsync([topic], includeSynonyms: true, cancellationToken: Until.Timeout()))[topic].Value["delete.retention.ms"];
        Assert.True(before.IsDefault);

        IReadOnlyDictionary<ConfigResource, AdminResult> changed = await admin.AlterConfigsAsync(
            new Dictionary<ConfigResource, IReadOnlyCollection<ConfigChange>>
            {
                [topic] = [ConfigChange.Set("delete.retention.ms", "777000"), ConfigChange.Set("cleanup.policy", "delete,compact")],
                [ConfigResource.Topic("missing")] = [ConfigChange.Set("delete.retention.ms", "1")],
            },
            cancellationToken: Until.Timeout());
        Assert.True(changed[topic].IsSuccess);
        Assert.False(changed[ConfigResource.Topic("missing")].IsSuccess);
        await admin.AlterConfigsAsync(
            new Dictionary<ConfigResource, IReadOnlyCollection<ConfigChange>> { [topic] = [ConfigChange.Subtract("cleanup.policy", "delete")] }, cancellationToken: Until.Timeout());
        await ShowsAsync(after => after["delete.retention.ms"] is { Value: "777000", Source: ConfigSource.Topic } && after["cleanup.policy"].Value == "compact");
        await admin.AlterConfigsAsync(
            new Dictionary<ConfigResource, IReadOnlyCollection<ConfigChange>> { [topic] = [ConfigChange.Remove("delete.retention.ms")] }, cancellationToken: Until.Timeout());
        await ShowsAsync(after => after["delete.retention.ms"].Value == before.Value);

        int brokerId = (await admin.DescribeAsync([], Until.Timeout())).Brokers[0].Id;
        var own = ConfigResource.Broker(brokerId);
        Assert.Contains("log.retention.ms", (await admin.DescribeConfigsAsync([own], cancellationToken: Until.Timeout()))[own].Value.Keys);

        Task ShowsAsync(Func<IReadOnlyDictionary<string, ConfigEntry>, bool> isSo) => Until.TrueAsync(
            async () => isSo((await admin.DescribeConfigsAsync([topic], cancellationToken: Until.Timeout()))[topic].Value), "the broker that is asked knows of the change");
    }

    [Theory]
    [MemberData(nameof(Releases))]
    public async Task Groups_are_listed_described_moved_and_deleted(string release)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = CreateClient(broker, release);
        KafkaAdmin admin = client.Admin;
        await admin.CreateTopicsAsync([new NewTopic(Topic, 2)], Until.Timeout());
        var first = new TopicPartition(Topic, 0);
        KafkaConsumer member = client.CreateConsumer(new ConsumerOptions { GroupId = "workers" });
        await member.SubscribeAsync([Topic], cancellationToken: Until.Timeout());
        await member.CommitAsync([new TopicPartitionOffset(first, new Offset(7), Metadata: "note")], cancellationToken: Until.Timeout());

        Assert.Equal("workers", Assert.Single((await admin.ListGroupsAsync(cancellationToken: Until.Timeout())).Items).GroupId);
        GroupDescription group = (await admin.DescribeGroupsAsync(["workers"], Until.Timeout()))["workers"].Value;
        Assert.Equal(("consumer", GroupState.Stable), (group.ProtocolType, group.State));
        GroupMemberDescription described = Assert.Single(group.Members);
        Assert.Equal([Topic], described.Topics);
        Assert.Equal([first, new TopicPartition(Topic, 1)], described.Assignment.OrderBy(partition => partition.Partition));
        Assert.Equal(ErrorCode.NonEmptyGroup, (await admin.DeleteGroupsAsync(["workers"], Until.Timeout()))["workers"].ErrorCode);
        Assert.False((await admin.AlterGroupOffsetsAsync("workers", [new TopicPartitionOffset(first, new Offset(1))], Until.Timeout()))[first].IsSuccess);
        Assert.Equal(ErrorCode.GroupSubscribedToTopic, (await admin.DeleteGroupOffsetsAsync("workers", [first], Until.Timeout()))[first].ErrorCode);
        Assert.False((await admin.RemoveStaticMembersAsync("workers", ["nobody"], Until.Timeout()))["nobody"].IsSuccess);
        await member.DisposeAsync();

        GroupOffsets offsets = (await admin.ListGroupOffsetsAsync(["workers"], cancellationToken: Until.Timeout()))["workers"].Value;
        Assert.Equal((first, new Offset(7), "note"), Assert.Single(offsets.Offsets.Select(pair => (pair.Key, pair.Value.Offset, pair.Value.Metadata))));
        Assert.True((await admin.AlterGroupOffsetsAsync("workers", [new TopicPartitionOffset(first, new Offset(1))], Until.Timeout()))[first].IsSuccess);
        offsets = (await admin.ListGroupOffsetsAsync(["workers", "nobody"], [first], cancellationToken: Until.Timeout()))["workers"].Value;
        Assert.Equal(new Offset(1), offsets.Offsets[first].Offset);
        Assert.True((await admin.DeleteGroupOffsetsAsync("workers", [first], Until.Timeout()))[first].IsSuccess);
        Assert.Empty((await admin.ListGroupOffsetsAsync(["workers"], cancellationToken: Until.Timeout()))["workers"].Value.Offsets);

        await admin.AlterGroupOffsetsAsync("workers", [new TopicPartitionOffset(first, new Offset(1))], Until.Timeout());
        Assert.True((await admin.DeleteGroupsAsync(["workers"], Until.Timeout()))["workers"].IsSuccess);
        Assert.Equal(ErrorCode.GroupIdNotFound, (await admin.DescribeGroupsAsync(["workers"], Until.Timeout()))["workers"].ErrorCode);
        Assert.Empty((await admin.ListGroupsAsync(cancellationToken: Until.Timeout())).Items);
    }

    [Theory]
    [MemberData(nameof(Releases))]
    public async Task Producers_are_described_and_fenced(string release)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = CreateClient(broker, release);
        KafkaAdmin admin = client.Admin;
        await admin.CreateTopicsAsync([new NewTopic(Topic, 1)], Until.Timeout());
        await ProduceAsync(client, count: 3);
        var partition = new TopicPartition(Topic, 0);
        FencedProducer fenced = (await admin.FenceProducersAsync(["billing"], Until.Timeout()))["billing"].Value;
        FencedProducer again = (await admin.FenceProducersAsync(["billing"], Until.Timeout()))["billing"].Value;
        Assert.Equal((fenced.ProducerId, (short)(fenced.ProducerEpoch + 1)), (again.ProducerId, again.ProducerEpoch));

        AdminResult<IReadOnlyList<ActiveProducer>> producers = (await admin.DescribeProducersAsync([partition], Until.Timeout()))[partition];
        IReadOnlyDictionary<string, AdminResult<TransactionDescription>> transactions = await admin.DescribeTransactionsAsync(["billing", "nobody"], Until.Timeout());
        ClusterListing<TransactionListing> listing = await admin.ListTransactionsAsync(cancellationToken: Until.Timeout());
        if (release == "2.4" || !broker.Offers(DescribeProducersRequest.Api))
        {
            Assert.IsType<KafkaVersionException>(producers.Failure);
            Assert.IsType<KafkaVersionException>(transactions["billing"].Failure);
            Assert.IsType<KafkaVersionException>(listing.Failures.Values.First());
            return;
        }

        ActiveProducer producer = Assert.Single(producers.Value);
        Assert.Equal((2, null), (producer.LastSequence, producer.TransactionStartOffset));
        Assert.Equal((TransactionStatus.Empty, fenced.ProducerId), (transactions["billing"].Value.State, transactions["billing"].Value.ProducerId));
        Assert.Equal(ErrorCode.TransactionalIdNotFound, transactions["nobody"].ErrorCode);
        Assert.Contains(new TransactionListing("billing", fenced.ProducerId, TransactionStatus.Empty), listing.Items);
        Assert.DoesNotContain("billing", (await admin.ListTransactionsAsync(new TransactionFilter { States = [TransactionStatus.Ongoing] }, Until.Timeout())).Items.Select(item => item.TransactionalId));
        if (broker.IsExternal)
        {
            return;
        }

        Assert.Empty((await admin.ListTransactionsAsync(new TransactionFilter { OpenForAtLeast = TimeSpan.FromHours(1) }, Until.Timeout())).Items);
        Assert.Single((await admin.ListTransactionsAsync(new TransactionFilter { TransactionalIdPattern = "bill.*" }, Until.Timeout())).Items);
    }

    [Theory]
    [MemberData(nameof(Releases))]
    public async Task A_single_node_has_its_leaders_its_directory_and_nothing_to_move(string release)
    {
        await using TestBroker broker = await TestBroker.StartOwnAsync("it is a single node");
        await using KafkaClient client = CreateClient(broker, release);
        KafkaAdmin admin = client.Admin;
        await admin.CreateTopicsAsync([new NewTopic(Topic, 1)], Until.Timeout());
        await ProduceAsync(client, count: 3);
        var partition = new TopicPartition(Topic, 0);
        ClusterDescription cluster = await admin.DescribeClusterAsync(cancellationToken: Until.Timeout());
        int nodeId = Assert.Single(cluster.Brokers).Id;
        Assert.Equal(nodeId, cluster.ControllerId);
        Assert.Equal(ElectionOutcome.NotNeeded, (await admin.ElectLeadersAsync(ElectionType.Preferred, [partition], Until.Timeout()))[partition].Value);
        Assert.Empty(await admin.ElectLeadersAsync(ElectionType.Preferred, cancellationToken: Until.Timeout()));
        Assert.Empty(await admin.ListPartitionReassignmentsAsync(cancellationToken: Until.Timeout()));
        LogDirDescription directory = Assert.Single((await admin.DescribeLogDirsAsync(cancellationToken: Until.Timeout()))[nodeId].Value);
        Assert.True(directory.Replicas[partition].ByteCount > 0);
        Assert.Equal(ErrorCode.SecurityDisabled, (await Assert.ThrowsAsync<KafkaBrokerException>(() => admin.DescribeAclsAsync(cancellationToken: Until.Timeout()))).ErrorCode);
        var entry = new AclBinding(AclResourceType.Topic, Topic, "User:alice", AclOperation.Read, AclPermission.Allow);
        Assert.Equal(ErrorCode.SecurityDisabled, (await admin.CreateAclsAsync([entry], Until.Timeout()))[entry].ErrorCode);
    }

    [Fact]
    public async Task A_topic_is_deleted_by_its_id_and_another_id_is_not_its_name()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        broker.Require(DeleteTopicsRequest.Api, lowest: 6);
        await using KafkaClient client = broker.CreateClient();
        await client.Admin.CreateTopicsAsync([new NewTopic(Topic, 1)], Until.Timeout());
        Guid id = Assert.Single(await client.Admin.ListTopicsAsync(cancellationToken: Until.Timeout())).TopicId;
        var other = new Guid("00000000-0000-0000-0000-00000000002a");
        IReadOnlyDictionary<Guid, AdminResult> deleted = await client.Admin.DeleteTopicsAsync([id, other], Until.Timeout());
        Assert.True(deleted[id].IsSuccess);
        Assert.Equal(ErrorCode.UnknownTopicId, deleted[other].ErrorCode);
    }

    private static KafkaClient CreateClient(TestBroker broker, string release)
    {
        Assert.SkipWhen(broker.IsExternal && release != "own", "The brokers are of a release of their own.");
        return broker.CreateClient(options => options.Connector = release switch
        {
            "2.4" => KafkaRelease.V24.Limit(broker),
            "4.3" => KafkaRelease.V43.Limit(broker),
            _ => broker,
        });
    }

    private static async Task ProduceAsync(KafkaClient client, int count)
    {
        await using KafkaProducer producer = client.CreateProducer();
        for (int i = 0; i < count; i++)
        {
            await producer.ProduceAsync(
                new ProducerRecord { Topic = Topic, Partition = 0, Value = new byte[10], Timestamp = DateTimeOffset.FromUnixTimeMilliseconds(1_000_000 + i) }, Until.Timeout());
        }
    }
}
