using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

public sealed class MetadataApiTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(12)]
    public async Task Asking_for_a_topic_creates_it_and_answers_it_whole(short version)
    {
        await using TestBroker broker = await TestBroker.StartAsync(options => options.DefaultPartitionCount = 3);
        await using TestClient client = broker.Connect();

        MetadataTopic topic = await AskAsync(client, version, "orders");

        Assert.Equal(ErrorCode.None, topic.ErrorCode);
        Assert.Equal([0, 1, 2], topic.Partitions.Select(partition => partition.Index));
        Assert.All(topic.Partitions, partition =>
        {
            Assert.Equal((ErrorCode.None, 1), (partition.ErrorCode, partition.LeaderId));
            Assert.Equal([1], partition.Replicas);
            Assert.Equal([1], partition.InSyncReplicas);
        });
    }

    [Fact]
    public async Task The_only_node_is_the_controller_and_is_listed()
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync();
        await using TestClient client = broker.Connect();

        MetadataResponse response = await client.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest { Topics = [] }, 12);

        MetadataBroker node = Assert.Single(response.Brokers);
        Assert.Equal(response.ControllerId, node.NodeId);
        Assert.Equal(("127.0.0.1", broker.EndPoint.Port), (node.Host, node.Port));
        Assert.Empty(response.Topics);
        Assert.NotEmpty(response.ClusterId!);
    }

    [Fact]
    public async Task The_cluster_id_survives_a_restart()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        string? before = await ClusterIdAsync(broker);

        await broker.RestartAsync();

        Assert.Equal(before, await ClusterIdAsync(broker));
    }

    [Fact]
    public async Task What_is_advertised_can_be_set()
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync(options =>
        {
            options.AdvertisedHost = "log.example.org";
            options.AdvertisedPort = 19092;
        });
        await using TestClient client = broker.Connect();

        MetadataResponse response = await client.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest { Topics = [] }, 12);

        Assert.Equal(("log.example.org", 19092), (response.Brokers[0].Host, response.Brokers[0].Port));
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task A_topic_is_created_only_where_broker_and_client_want_it(bool brokerWants, bool clientWants)
    {
        await using TestBroker broker = await TestBroker.StartAsync(options => options.AutoCreateTopics = brokerWants);
        await using TestClient client = broker.Connect();

        MetadataResponse response = await client.SendAsync<MetadataRequest, MetadataResponse>(
            new MetadataRequest { Topics = [new MetadataRequestTopic { Name = "orders" }], AllowAutoTopicCreation = clientWants }, 12);

        Assert.Equal(ErrorCode.UnknownTopicOrPartition, response.Topics[0].ErrorCode);
        Assert.Empty(await AllTopicsAsync(client, 12));
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData("../../etc")]
    [InlineData("tür")]
    [InlineData("a b")]
    public async Task A_name_that_no_topic_can_have_creates_nothing(string name)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal(ErrorCode.InvalidTopic, (await AskAsync(client, 12, name)).ErrorCode);
        Assert.Equal(ErrorCode.InvalidTopic, (await AskAsync(client, 12, new string('a', 250))).ErrorCode);
        Assert.Equal(ErrorCode.None, (await AskAsync(client, 12, new string('a', 249))).ErrorCode);
    }

    [Fact]
    public async Task A_name_that_differs_only_in_dots_and_underscores_is_refused()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal(ErrorCode.None, (await AskAsync(client, 12, "shop.orders")).ErrorCode);
        Assert.Equal(ErrorCode.InvalidTopic, (await AskAsync(client, 12, "shop_orders")).ErrorCode);
    }

    [Theory]
    [InlineData(0, 2)]
    [InlineData(1, 2)]
    [InlineData(12, 2)]
    public async Task All_topics_are_listed_in_the_way_of_each_version(short version, int expectedCount)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("b");
        await broker.CreateTopicAsync("a");
        await using TestClient client = broker.Connect();

        List<MetadataTopic> topics = await AllTopicsAsync(client, version);

        Assert.Equal(expectedCount, topics.Count);
        Assert.Equal(["a", "b"], topics.Select(topic => topic.Name));
    }

    [Fact]
    public async Task A_topic_is_found_by_its_id_which_survives_a_restart()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        Guid id = broker.Broker.Topics.Find("orders")!.Id;
        await broker.RestartAsync();
        await using TestClient client = broker.Connect();

        MetadataResponse response = await client.SendAsync<MetadataRequest, MetadataResponse>(
            new MetadataRequest
            {
                Topics = [new MetadataRequestTopic { TopicId = id, Name = null }, new MetadataRequestTopic { TopicId = new Guid(1, 2, 3, new byte[8]), Name = null }],
            },
            12);

        Assert.Equal(("orders", id, 2), (response.Topics[0].Name, response.Topics[0].TopicId, response.Topics[0].Partitions.Count));
        Assert.Equal(ErrorCode.UnknownTopicId, response.Topics[1].ErrorCode);
    }

    [Fact]
    public async Task A_partition_whose_disk_failed_has_no_leader()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        broker.Storage.FailsSyncs = true;
        await client.ProduceAsync("orders", Batches.Of("a"));

        MetadataPartition partition = (await AskAsync(client, 12, "orders")).Partitions[0];

        Assert.Equal((ErrorCode.LeaderNotAvailable, -1), (partition.ErrorCode, partition.LeaderId));
        Assert.Equal([1], partition.OfflineReplicas);
    }

    private static async Task<MetadataTopic> AskAsync(TestClient client, short version, string name)
    {
        MetadataResponse response = await client.SendAsync<MetadataRequest, MetadataResponse>(
            new MetadataRequest { Topics = [new MetadataRequestTopic { Name = name }] }, version);
        return response.Topics[0];
    }

    private static async Task<List<MetadataTopic>> AllTopicsAsync(TestClient client, short version)
    {
        var request = new MetadataRequest { Topics = version == 0 ? [] : null };
        MetadataResponse response = await client.SendAsync<MetadataRequest, MetadataResponse>(request, version);
        return [.. response.Topics.Where(topic => !topic.IsInternal && topic.Name != TopicName.ConsumerOffsets)];
    }

    private static async Task<string?> ClusterIdAsync(TestBroker broker)
    {
        await using TestClient client = broker.Connect();
        return (await client.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest { Topics = [] }, 12)).ClusterId;
    }
}
