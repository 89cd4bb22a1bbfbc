using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

public sealed class CreateTopicsApiTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(7)]
    public async Task A_created_topic_is_there_at_once_and_after_a_crash(short version)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using (TestClient client = broker.Connect())
        {
            CreatableTopicResult result = await CreateAsync(client, Topic("orders", 3), version);
            Assert.Equal(ErrorCode.None, result.ErrorCode);
            if (version >= 5)
            {
                Assert.Equal((3, 1), (result.PartitionCount, result.ReplicationFactor));
            }
        }

        Assert.Equal(3, broker.Broker.Topics.Find("orders")!.Partitions.Count);
        await broker.CrashAndRestartAsync();
        Assert.Equal(3, broker.Broker.Topics.Find("orders")!.Partitions.Count);
    }

    [Fact]
    public async Task Defaults_are_the_brokers()
    {
        await using TestBroker broker = await TestBroker.StartAsync(options => options.DefaultPartitionCount = 4);
        await using TestClient client = broker.Connect();

        CreatableTopicResult result = await CreateAsync(client, Topic("orders", -1, -1));

        Assert.Equal((ErrorCode.None, 4, 1), (result.ErrorCode, result.PartitionCount, result.ReplicationFactor));
    }

    [Fact]
    public async Task A_topic_that_exists_is_refused_and_stays_as_it_is()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        await using TestClient client = broker.Connect();

        Assert.Equal(ErrorCode.TopicAlreadyExists, (await CreateAsync(client, Topic("orders", 5))).ErrorCode);
        Assert.Equal(2, broker.Broker.Topics.Find("orders")!.Partitions.Count);
    }

    [Theory]
    [InlineData(1, 3, null)]
    [InlineData(0, 1, null)]
    [InlineData(1, 1, "no.such.setting")]
    public async Task That_a_topic_exists_is_said_before_anything_else(int partitionCount, short replicationFactor, string? setting)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        CreatableTopic topic = Topic("orders", partitionCount, replicationFactor);
        if (setting is not null)
        {
            topic.Configs.Add(new CreatableTopicConfig { Name = setting, Value = "1" });
        }

        CreateTopicsResponse response = await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            new CreateTopicsRequest { Topics = [topic], ValidateOnly = true }, 7);

        Assert.Equal(ErrorCode.TopicAlreadyExists, response.Topics[0].ErrorCode);
        Assert.Equal("Topic 'orders' already exists.", response.Topics[0].ErrorMessage);
        Assert.Equal(ErrorCode.TopicAlreadyExists, (await CreateAsync(client, topic)).ErrorCode);
    }

    [Fact]
    public async Task Checking_only_creates_nothing()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("stock");
        await using TestClient client = broker.Connect();

        CreateTopicsResponse response = await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            new CreateTopicsRequest { Topics = [Topic("orders", 3), Topic("stock", 1)], ValidateOnly = true }, 7);

        Assert.Equal([ErrorCode.None, ErrorCode.TopicAlreadyExists], response.Topics.Select(topic => topic.ErrorCode));
        Assert.Null(broker.Broker.Topics.Find("orders"));
    }

    [Theory]
    [InlineData("a/b", 1, 1, ErrorCode.InvalidTopic)]
    [InlineData("__cluster_metadata", 1, 1, ErrorCode.TopicAuthorizationFailed)]
    [InlineData("orders", 0, 1, ErrorCode.InvalidPartitions)]
    [InlineData("orders", -2, 1, ErrorCode.InvalidPartitions)]
    [InlineData("orders", 1, 0, ErrorCode.InvalidReplicationFactor)]
    [InlineData("orders", 1, 3, ErrorCode.InvalidReplicationFactor)]
    [InlineData("orders", 101, 1, ErrorCode.PolicyViolation)]
    [InlineData("orders", int.MaxValue, 1, ErrorCode.PolicyViolation)]
    public async Task What_cannot_be_is_refused_with_a_reason(string name, int partitionCount, short replicationFactor, ErrorCode expected)
    {
        await using TestBroker broker = await TestBroker.StartAsync(options =>
        {
            options.MaxPartitionCount = 100;
            options.OffsetsTopicPartitionCount = 1;
        });
        await using TestClient client = broker.Connect();

        CreatableTopicResult result = await CreateAsync(client, Topic(name, partitionCount, replicationFactor));

        Assert.Equal(expected, result.ErrorCode);
        Assert.NotEmpty(result.ErrorMessage!);
        Assert.DoesNotContain(broker.Broker.Topics.All, topic => topic.Name == "orders");
    }

    [Fact]
    public async Task A_name_that_stands_twice_is_refused_each_time()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        CreateTopicsResponse response = await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            new CreateTopicsRequest { Topics = [Topic("a", 1), Topic("b", 1), Topic("a", 2)] }, 7);

        Assert.Equal([ErrorCode.InvalidRequest, ErrorCode.None, ErrorCode.InvalidRequest], response.Topics.Select(topic => topic.ErrorCode));
        Assert.Null(broker.Broker.Topics.Find("a"));
    }

    [Theory]
    [InlineData("cleanup.policy", "delete", ErrorCode.None)]
    [InlineData("retention.ms", "-1", ErrorCode.None)]
    [InlineData("retention.ms", "1000", ErrorCode.None)]
    [InlineData("cleanup.policy", "compact", ErrorCode.None)]
    [InlineData("cleanup.policy", "compress", ErrorCode.InvalidConfig)]
    [InlineData("cleanup.policy", "compact, delete", ErrorCode.None)]
    [InlineData("segment.bytes", "1000000", ErrorCode.InvalidConfig)]
    [InlineData("remote.storage.enable", "true", ErrorCode.InvalidConfig)]
    [InlineData("no.such.setting", "1", ErrorCode.InvalidConfig)]
    [InlineData("retention.ms", null, ErrorCode.InvalidConfig)]
    public async Task A_setting_is_taken_only_with_a_value_of_its_own(string name, string? value, ErrorCode expected)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        CreatableTopic topic = Topic("orders", 1);
        topic.Configs.Add(new CreatableTopicConfig { Name = name, Value = value });

        Assert.Equal(expected, (await CreateAsync(client, topic)).ErrorCode);
        Assert.Equal(expected == ErrorCode.None, broker.Broker.Topics.Find("orders") is not null);
    }

    [Fact]
    public async Task Assignments_say_how_many_partitions_there_are()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal(ErrorCode.None, (await CreateAsync(client, Assigned("whole", -1, (1, 1), (0, 1)))).ErrorCode);
        Assert.Equal(2, broker.Broker.Topics.Find("whole")!.Partitions.Count);
        Assert.Equal(ErrorCode.InvalidReplicaAssignment, (await CreateAsync(client, Assigned("gap", -1, (0, 1), (2, 1)))).ErrorCode);
        Assert.Equal(ErrorCode.InvalidReplicaAssignment, (await CreateAsync(client, Assigned("twice", -1, (0, 1), (0, 1)))).ErrorCode);
        Assert.Equal(ErrorCode.InvalidReplicaAssignment, (await CreateAsync(client, Assigned("elsewhere", -1, (0, 2)))).ErrorCode);
        Assert.Equal(ErrorCode.InvalidRequest, (await CreateAsync(client, Assigned("both", 1, (0, 1)))).ErrorCode);
    }

    [Theory]
    [InlineData("__consumer_offsets", -1, 7)]
    [InlineData("__consumer_offsets", 3, 3)]
    [InlineData("__transaction_state", -1, 5)]
    [InlineData("__transaction_state", 4, 4)]
    public async Task A_coordinators_topic_that_a_client_creates_is_as_the_coordinator_would_have_it(string name, int askedCount, int expectedCount)
    {
        await using TestBroker broker = await TestBroker.StartAsync(options =>
        {
            options.DefaultPartitionCount = 2;
            options.OffsetsTopicPartitionCount = 7;
            options.TransactionStateTopicPartitionCount = 5;
        });
        await using TestClient client = broker.Connect();
        CreatableTopic topic = Topic(name, askedCount);
        topic.Configs.Add(new CreatableTopicConfig { Name = "segment.bytes", Value = "1048576" });

        CreateTopicsResponse checkedOnly = await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            new CreateTopicsRequest { Topics = [topic], ValidateOnly = true }, 7);
        Assert.Equal((ErrorCode.None, expectedCount), (checkedOnly.Topics[0].ErrorCode, checkedOnly.Topics[0].PartitionCount));
        CreatableTopicResult created = await CreateAsync(client, topic);

        Assert.Equal((ErrorCode.None, expectedCount), (created.ErrorCode, created.PartitionCount));
        Assert.Equal(
            ["cleanup.policy=compact", "compression.type=producer", "segment.bytes=1048576"],
            broker.Broker.Topics.SettingsOf(name).Select(setting => $"{setting.Key}={setting.Value}").Order(StringComparer.Ordinal));
        Assert.Equal(ErrorCode.TopicAlreadyExists, (await CreateAsync(client, Topic(name, 1))).ErrorCode);
    }

    [Fact]
    public async Task Groups_are_kept_in_an_offsets_topic_that_a_client_has_created()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using (TestClient client = broker.Connect())
        {
            await CreateAsync(client, Topic("__consumer_offsets", 3));
            Assert.Equal(ErrorCode.None, await client.CommitAsync(GroupRequestsOfTests.Commit("group", "orders", 0)));
        }

        Topic offsets = broker.Broker.Topics.Find("__consumer_offsets")!;
        Assert.Equal(3, offsets.Partitions.Count);
        Assert.Single(offsets.Partitions, static partition => partition!.LogEndOffset.Value > 0);
        await broker.CrashAndRestartAsync();
        await using TestClient later = broker.Connect();
        Assert.Equal(0, (await later.FetchOffsetAsync("group", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task A_disk_that_refuses_leaves_no_topic_and_a_second_try_succeeds()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        broker.Storage.DirectoriesBeforeFailure = 2;

        CreatableTopicResult failed = await CreateAsync(client, Topic("orders", 4));
        Assert.Equal(ErrorCode.KafkaStorageError, failed.ErrorCode);
        Assert.Contains("No space left", failed.ErrorMessage);
        Assert.Null(broker.Broker.Topics.Find("orders"));

        broker.Storage.DirectoriesBeforeFailure = null;
        Assert.Equal(ErrorCode.InvalidPartitions, (await CreateAsync(client, Topic("orders", 3))).ErrorCode);
        Assert.Equal(ErrorCode.None, (await CreateAsync(client, Topic("orders", 4))).ErrorCode);
        Assert.Single(broker.Broker.Topics.Find("orders")!.Partitions.Select(partition => partition!.TopicId).Distinct());
    }

    private static CreatableTopic Topic(string name, int partitionCount, short replicationFactor = 1) =>
        new() { Name = name, PartitionCount = partitionCount, ReplicationFactor = replicationFactor };

    private static CreatableTopic Assigned(string name, int partitionCount, params (int Partition, int Broker)[] assignments) => new()
    {
        Name = name,
        PartitionCount = partitionCount,
        ReplicationFactor = -1,
        Assignments = [.. assignments.Select(one => new CreatableReplicaAssignment { PartitionIndex = one.Partition, BrokerIds = [one.Broker] })],
    };

    private static async Task<CreatableTopicResult> CreateAsync(TestClient client, CreatableTopic topic, short version = 7)
    {
        CreateTopicsResponse response = await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(new CreateTopicsRequest { Topics = [topic] }, version);
        return response.Topics[0];
    }
}
