using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

/// <summary>What admin clients ask about the cluster and where things are.</summary>
public sealed class ClusterApiTests
{
    [Fact]
    public async Task The_cluster_is_one_broker_that_is_the_controller()
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync(options => (options.AdvertisedHost, options.AdvertisedPort) = ("broker.example", 1234));
        await using TestClient client = broker.Connect();
        for (short version = 0; version <= 2; version++)
        {
            DescribeClusterResponse response = await client.SendAsync<DescribeClusterRequest, DescribeClusterResponse>(
                new DescribeClusterRequest { IncludeClusterAuthorizedOperations = version > 0 }, version);
            Assert.Equal((ErrorCode.None, 1, 22), (response.ErrorCode, response.ControllerId, response.ClusterId.Length));
            Assert.Equal([(1, "broker.example", 1234, false)], response.Brokers.Select(node => (node.BrokerId, node.Host, node.Port, node.IsFenced)));
            Assert.Equal(version > 0, response.ClusterAuthorizedOperations > 0);
        }

        Assert.Equal(ErrorCode.MismatchedEndpointType, (await AskAsync(2)).ErrorCode);
        Assert.Equal(ErrorCode.UnsupportedEndpointType, (await AskAsync(3)).ErrorCode);

        Task<DescribeClusterResponse> AskAsync(sbyte type) =>
            client.SendAsync<DescribeClusterRequest, DescribeClusterResponse>(new DescribeClusterRequest { EndpointType = type }, 1);
    }

    [Fact]
    public async Task Topics_are_described_page_by_page()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("a", 2);
        await broker.CreateTopicAsync("b", 3);
        await broker.CreateTopicAsync("c", 1);
        await using TestClient client = broker.Connect();
        List<string> seen = [];
        int pageCount = 0;
        Cursor? cursor = null;
        do
        {
            DescribeTopicPartitionsResponse page = await DescribeAsync(client, limit: 2, cursor);
            Assert.InRange(page.Topics.Sum(topic => topic.Partitions.Count), 1, 2);
            seen.AddRange(page.Topics.SelectMany(topic => topic.Partitions.Select(partition => $"{topic.Name}-{partition.Index}")));
            cursor = page.NextCursor;
            pageCount++;
        }
        while (cursor is not null);
        Assert.Equal(["a-0", "a-1", "b-0", "b-1", "b-2", "c-0"], seen);
        Assert.Equal(3, pageCount);

        DescribeTopicPartitionsResponse some = await DescribeAsync(client, limit: 0, null, "b", "nowhere", "a/b", "b");
        Assert.Equal([("a/b", ErrorCode.InvalidTopic), ("b", ErrorCode.None)], some.Topics.Select(topic => (topic.Name!, topic.ErrorCode)));
        Assert.Equal(("b", 1), (some.NextCursor!.TopicName, some.NextCursor.PartitionIndex));
        DescribeTopicPartitionsResponse rest = await DescribeAsync(client, limit: 100, some.NextCursor, "b", "nowhere", "a/b");
        Assert.Equal([("b", ErrorCode.None, 2), ("nowhere", ErrorCode.UnknownTopicOrPartition, 0)], rest.Topics.Select(topic => (topic.Name!, topic.ErrorCode, topic.Partitions.Count)));
        Assert.Null(rest.NextCursor);
        Assert.Equal(broker.Broker.Topics.Find("b")!.Id, rest.Topics[0].TopicId);
        Assert.Equal((1, 1), (rest.Topics[0].Partitions[0].LeaderId, Assert.Single(rest.Topics[0].Partitions[0].InSyncReplicas)));
        Assert.Equal(ErrorCode.InvalidRequest, (await DescribeAsync(client, 1, new Cursor { TopicName = "a", PartitionIndex = -1 })).Topics[0].ErrorCode);
    }

    [Fact]
    public async Task A_page_does_not_begin_at_a_topic_that_is_not_asked_for()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("a");
        await broker.CreateTopicAsync("c");
        await using TestClient client = broker.Connect();

        DescribeTopicPartitionsResponse refused = await DescribeAsync(client, 100, new Cursor { TopicName = "b" }, "a", "c");
        Assert.Equal([("a", ErrorCode.InvalidRequest), ("c", ErrorCode.InvalidRequest)], refused.Topics.Select(topic => (topic.Name!, topic.ErrorCode)));

        // Where all are asked for, the topic of the cursor may have been deleted since the page before.
        DescribeTopicPartitionsResponse rest = await DescribeAsync(client, 100, new Cursor { TopicName = "b" });
        Assert.Equal([("c", ErrorCode.None)], rest.Topics.Select(topic => (topic.Name!, topic.ErrorCode)));
    }

    [Fact]
    public async Task The_end_of_a_leader_epoch_shows_what_a_crash_has_lost()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using (TestClient client = broker.Connect())
        {
            await client.ProduceAsync("orders", Batches.Of("a", "b"));
        }

        int before = broker.Partition("orders").LeaderEpoch;
        await broker.CrashAndRestartAsync();
        int now = broker.Partition("orders").LeaderEpoch;
        Assert.True(now > before);
        await using TestClient after = broker.Connect();
        await after.ProduceAsync("orders", Batches.Of("c"));
        for (short version = 0; version <= 4; version++)
        {
            Assert.Equal((ErrorCode.None, version >= 1 ? before : -1, 2), await EndAsync(after, before, version: version));
        }

        Assert.Equal((ErrorCode.None, now, 3), await EndAsync(after, now));
        Assert.Equal((ErrorCode.None, -1, -1), await EndAsync(after, now + 1));
        Assert.Equal((ErrorCode.None, -1, -1), await EndAsync(after, -1));
        Assert.Equal((ErrorCode.FencedLeaderEpoch, -1, -1), await EndAsync(after, before, current: before));
        Assert.Equal((ErrorCode.UnknownLeaderEpoch, -1, -1), await EndAsync(after, before, current: now + 1));
        Assert.Equal((ErrorCode.None, before, 2), await EndAsync(after, before, current: now));
        Assert.Equal((ErrorCode.UnknownTopicOrPartition, -1, -1), await EndAsync(after, before, topic: "nowhere"));
    }

    [Fact]
    public async Task The_data_directory_tells_the_size_of_each_partition()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        await broker.CreateTopicAsync("payments");
        await using TestClient client = broker.Connect();
        byte[] batch = Batches.Of("a").ToArray();
        await client.ProduceAsync("orders", batch, partition: 1);
        for (short version = 0; version <= 4; version++)
        {
            DescribeLogDirsResult all = Assert.Single((await client.SendAsync<DescribeLogDirsRequest, DescribeLogDirsResponse>(
                new DescribeLogDirsRequest { Topics = null }, version)).Results);
            Assert.Equal((ErrorCode.None, broker.DataDirectory), (all.ErrorCode, all.LogDir));
            Assert.Equal(["orders", "payments"], all.Topics.Select(topic => topic.Name));
            Assert.Equal([(0, 0L), (1, batch.Length)], all.Topics[0].Partitions.Select(partition => (partition.Index, partition.PartitionSize)));
            Assert.Equal(-1, all.UsableBytes);
        }

        DescribeLogDirsResponse some = await client.SendAsync<DescribeLogDirsRequest, DescribeLogDirsResponse>(
            new DescribeLogDirsRequest { Topics = [new DescribableLogDirTopic { Name = "orders", Partitions = [1, 7] }, new DescribableLogDirTopic { Name = "nowhere", Partitions = [0] }] }, 4);
        Assert.Equal([1], some.Results[0].Topics.Single().Partitions.Select(partition => partition.Index));
    }

    [Fact]
    public async Task Nothing_is_reassigned_and_no_leader_needs_an_election()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        ListPartitionReassignmentsResponse none = await client.SendAsync<ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse>(
            new ListPartitionReassignmentsRequest { Topics = null }, 0);
        Assert.Equal((ErrorCode.None, 0), (none.ErrorCode, none.Topics.Count));
        for (short version = 0; version <= 2; version++)
        {
            ElectLeadersResponse elected = await client.SendAsync<ElectLeadersRequest, ElectLeadersResponse>(
                new ElectLeadersRequest { TopicPartitions = [new TopicPartitionNumbers { Topic = "orders", Partitions = [0, 1] }] }, version);
            Assert.Equal([ErrorCode.ElectionNotNeeded, ErrorCode.UnknownTopicOrPartition], elected.ReplicaElectionResults[0].Partitions.Select(partition => partition.ErrorCode));
            Assert.Empty((await client.SendAsync<ElectLeadersRequest, ElectLeadersResponse>(new ElectLeadersRequest { TopicPartitions = null }, version)).ReplicaElectionResults);
        }

        Assert.Equal(ErrorCode.InvalidRequest, (await client.SendAsync<ElectLeadersRequest, ElectLeadersResponse>(new ElectLeadersRequest { ElectionType = 7 }, 2)).ErrorCode);
    }

    [Fact]
    public async Task Who_asks_for_access_control_is_told_that_there_is_none()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        for (short version = 0; version <= 3; version++)
        {
            DescribeAclsResponse described = await client.SendAsync<DescribeAclsRequest, DescribeAclsResponse>(new DescribeAclsRequest(), version);
            Assert.Equal((ErrorCode.SecurityDisabled, 0), (described.ErrorCode, described.Resources.Count));
            CreateAclsResponse created = await client.SendAsync<CreateAclsRequest, CreateAclsResponse>(new CreateAclsRequest { Creations = [new(), new()] }, version);
            Assert.Equal([ErrorCode.SecurityDisabled, ErrorCode.SecurityDisabled], created.Results.Select(static result => result.ErrorCode));
            DeleteAclsResponse deleted = await client.SendAsync<DeleteAclsRequest, DeleteAclsResponse>(new DeleteAclsRequest { Filters = [new()] }, version);
            Assert.Equal(ErrorCode.SecurityDisabled, Assert.Single(deleted.FilterResults).ErrorCode);
        }
    }

    private static async Task<DescribeTopicPartitionsResponse> DescribeAsync(TestClient client, int limit, Cursor? cursor, params string[] topics) =>
        await client.SendAsync<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse>(
            new DescribeTopicPartitionsRequest { Topics = [.. topics.Select(topic => new TopicRequest { Name = topic })], ResponsePartitionLimit = limit, Cursor = cursor }, 0);

    private static async Task<(ErrorCode Error, int Epoch, long End)> EndAsync(TestClient client, int epoch, int current = -1, short version = 4, string topic = "orders")
    {
        OffsetForLeaderEpochResponse response = await client.SendAsync<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>(
            new OffsetForLeaderEpochRequest
            {
                Topics = [new OffsetForLeaderTopic { Name = topic, Partitions = [new OffsetForLeaderPartition { Index = 0, LeaderEpoch = epoch, CurrentLeaderEpoch = current }] }],
            },
            version);
        LeaderEpochEnd end = response.Topics[0].Partitions[0];
        return (end.ErrorCode, end.LeaderEpoch, end.EndOffset);
    }
}
