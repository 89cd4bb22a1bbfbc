using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

public sealed class OffsetsApiTests
{
    [Fact]
    public async Task What_was_never_committed_is_minus_one()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        OffsetFetchPartitionResponse nothing = await client.FetchOffsetAsync("g", "nowhere", 5);
        Assert.Equal((-1L, -1, "", ErrorCode.None, 5), (nothing.CommittedOffset, nothing.CommittedLeaderEpoch, nothing.Metadata, nothing.ErrorCode, nothing.Index));
    }

    /// <summary>What Kafka's Java clients before 2.2 do where nothing else is set, and later ones with group.id="".</summary>
    [Fact]
    public async Task A_consumer_with_an_empty_group_id_finds_its_coordinator_and_its_offsets()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        FindCoordinatorResponse single = await client.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(new FindCoordinatorRequest { Key = "" }, 3);
        FindCoordinatorResponse batch = await client.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(new FindCoordinatorRequest { CoordinatorKeys = [""] }, 4);
        Assert.Equal((ErrorCode.None, 1), (single.ErrorCode, single.NodeId));
        Assert.Equal((ErrorCode.None, 1), (batch.Coordinators[0].ErrorCode, batch.Coordinators[0].NodeId));
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("", "orders", 7)));
        await broker.RestartAsync();

        await using TestClient after = broker.Connect();
        Assert.Equal(7, (await after.FetchOffsetAsync("", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task All_offsets_of_several_groups_are_fetched_in_one_request()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        await broker.CreateTopicAsync("payments");
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("g", "payments", 30));
        await client.CommitAsync(Commit("g", "orders", 20, partition: 1));
        await client.CommitAsync(Commit("g", "orders", 10));
        await client.CommitAsync(Commit("h", "orders", 5));

        OffsetFetchResponse batch = await client.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(
            new OffsetFetchRequest { Groups = [new OffsetFetchGroup { GroupId = "g", Topics = null }, new OffsetFetchGroup { GroupId = "h", Topics = null }, new OffsetFetchGroup { GroupId = "i", Topics = null }] },
            9);
        Assert.Equal(["orders-0:10", "orders-1:20", "payments-0:30"], Flatten(batch.Groups[0].Topics));
        Assert.Equal(["orders-0:5"], Flatten(batch.Groups[1].Topics));
        Assert.Empty(batch.Groups[2].Topics);

        OffsetFetchResponse single = await client.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(
            new OffsetFetchRequest { GroupId = "g", Topics = null, RequireStable = true }, 7);
        Assert.Equal(["orders-0:10", "orders-1:20", "payments-0:30"], Flatten(single.Topics));
    }

    [Fact]
    public async Task Topics_are_named_by_their_ids_in_version_10()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        Guid id = broker.Broker.Topics.Find("orders")!.Id;
        var unknown = new Guid("00000000-0000-4000-8000-000000000001");
        await using TestClient client = broker.Connect();
        OffsetCommitRequest commit = Commit("g", "", 7);
        commit.Topics[0].TopicId = id;
        commit.Topics.Add(Commit("g", "", 8).Topics[0]);
        commit.Topics[1].TopicId = unknown;
        OffsetCommitResponse committed = await client.SendAsync<OffsetCommitRequest, OffsetCommitResponse>(commit, 10);
        Assert.Equal([(id, ErrorCode.None), (unknown, ErrorCode.UnknownTopicId)], committed.Topics.Select(topic => (topic.TopicId, topic.Partitions[0].ErrorCode)));
        Assert.Equal(7, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);

        OffsetFetchResponse fetched = await client.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(
            new OffsetFetchRequest
            {
                Groups =
                [
                    new OffsetFetchGroup
                    {
                        GroupId = "g",
                        Topics = [new OffsetFetchTopic { TopicId = id, Partitions = [0, 1] }, new OffsetFetchTopic { TopicId = unknown, Partitions = [3] }],
                    },
                    new OffsetFetchGroup { GroupId = "g", Topics = null },
                ],
            },
            10);
        Assert.Equal([(id, 7L), (unknown, -1L)], fetched.Groups[0].Topics.Select(topic => (topic.TopicId, topic.Partitions[0].CommittedOffset)));
        Assert.Equal((3, ErrorCode.UnknownTopicId), (fetched.Groups[0].Topics[1].Partitions[0].Index, fetched.Groups[0].Topics[1].Partitions[0].ErrorCode));
        Assert.Equal((id, 7L), (fetched.Groups[1].Topics[0].TopicId, fetched.Groups[1].Topics[0].Partitions[0].CommittedOffset));
    }

    [Fact]
    public async Task Each_partition_of_a_commit_is_judged_alone()
    {
        await using TestBroker broker = await TestBroker.StartAsync(options => options.MaxOffsetMetadataLength = 5);
        await broker.CreateTopicAsync("orders", 2);
        await using TestClient client = broker.Connect();
        OffsetCommitRequest request = Commit("g", "orders", 1, metadata: "short");
        request.Topics[0].Partitions.Add(new OffsetCommitPartition { Index = 1, CommittedOffset = 2, CommittedMetadata = "longer" });
        request.Topics[0].Partitions.Add(new OffsetCommitPartition { Index = 2, CommittedOffset = 3 });
        request.Topics.Add(Commit("g", "nowhere", 4).Topics[0]);
        OffsetCommitResponse response = await client.SendAsync<OffsetCommitRequest, OffsetCommitResponse>(request, 9);

        Assert.Equal([ErrorCode.None, ErrorCode.OffsetMetadataTooLarge, ErrorCode.UnknownTopicOrPartition], response.Topics[0].Partitions.Select(partition => partition.ErrorCode));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, response.Topics[1].Partitions[0].ErrorCode);
        Assert.Equal(1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
        Assert.Equal(-1, (await client.FetchOffsetAsync("g", "orders", 1)).CommittedOffset);
    }

    [Theory]
    [InlineData(8, ErrorCode.IllegalGeneration)]
    [InlineData(9, ErrorCode.GroupIdNotFound)]
    public async Task A_commit_in_a_generation_of_no_group_is_refused(short version, ErrorCode expected)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        Assert.Equal(expected, await client.CommitAsync(Commit("g", "orders", 1, "m", 3), version));
        Assert.Equal(-1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task A_commit_of_a_stranger_to_a_group_with_members_is_refused()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await client.JoinAsync("g");
        await client.SyncAsync(Sync("g", joined));
        Assert.Equal(ErrorCode.UnknownMemberId, await client.CommitAsync(Commit("g", "orders", 1)));
        Assert.Equal(ErrorCode.IllegalGeneration, await client.CommitAsync(Commit("g", "orders", 1, joined.MemberId, 7)));
        Assert.Equal(-1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task A_commit_is_neither_answered_nor_shown_before_it_is_on_the_disk()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await using TestClient reader = broker.Connect();
        await client.CommitAsync(Commit("g", "orders", 1));

        broker.Storage.CloseGate();
        await client.PostAsync(Commit("g", "orders", 2), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount > 0, "the commit waits for its sync");
        Assert.False(client.HasResponse);
        Assert.Equal(1, (await reader.FetchOffsetAsync("g", "orders")).CommittedOffset);

        broker.Storage.OpenGate();
        Assert.Equal(ErrorCode.None, (await client.ReceiveAsync<OffsetCommitRequest, OffsetCommitResponse>(9)).Response.Topics[0].Partitions[0].ErrorCode);
        Assert.Equal(2, (await reader.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task A_fetch_behind_a_commit_of_the_same_connection_sees_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("g", "orders", 1));
        broker.Storage.CloseGate();
        await client.PostAsync(Commit("g", "orders", 2), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the commit waits for the disk");
        await client.PostAsync(
            new OffsetFetchRequest { GroupId = "g", Topics = [new OffsetFetchTopic { Name = "orders", Partitions = [0] }] }, 7);
        await client.PostAsync(new HeartbeatRequest { GroupId = "other" }, 4);

        broker.Storage.OpenGate();
        await client.ReceiveAsync<OffsetCommitRequest, OffsetCommitResponse>(9);
        (_, OffsetFetchResponse fetched) = await client.ReceiveAsync<OffsetFetchRequest, OffsetFetchResponse>(7);

        Assert.Equal(2, fetched.Topics[0].Partitions[0].CommittedOffset);
    }

    [Fact]
    public async Task A_failed_sync_is_told_and_what_was_committed_before_is_still_read()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("g", "orders", 1));
        broker.Storage.FailsSyncs = true;
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await client.CommitAsync(Commit("g", "orders", 2)));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await client.CommitAsync(Commit("g", "orders", 3)));
        Assert.Equal(1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task Commits_of_one_connection_keep_their_order_while_they_wait()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of([.. Enumerable.Range(0, 20).Select(number => $"{number}")]));
        await client.CommitAsync(Commit("g", "orders", 0));
        for (int offset = 1; offset <= 20; offset++)
        {
            await client.PostAsync(Commit("g", "orders", offset), 9);
        }

        for (int offset = 1; offset <= 20; offset++)
        {
            OffsetCommitResponse committed = (await client.ReceiveAsync<OffsetCommitRequest, OffsetCommitResponse>(9)).Response;
            Assert.Equal(ErrorCode.None, committed.Topics[0].Partitions[0].ErrorCode);
        }

        Assert.Equal(20, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
        await broker.CrashAndRestartAsync();
        await using TestClient again = broker.Connect();
        Assert.Equal(20, (await again.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    public async Task Offsets_are_found_again_whatever_the_setting_says_once_the_topic_exists(int laterPartitionCount)
    {
        int partitionCount = 3;
        await using TestBroker broker = await TestBroker.StartAsync(options => options.OffsetsTopicPartitionCount = partitionCount);
        await broker.CreateTopicAsync("orders");
        await using (TestClient client = broker.Connect())
        {
            for (int number = 0; number < 10; number++)
            {
                await client.CommitAsync(Commit($"group-{number}", "orders", number));
            }
        }

        Assert.Equal(3, broker.Broker.Topics.Find("__consumer_offsets")!.Partitions.Count(partition => partition!.LogEndOffset > Offset.Zero));
        partitionCount = laterPartitionCount;
        await broker.RestartAsync();
        await using TestClient again = broker.Connect();
        for (int number = 0; number < 10; number++)
        {
            Assert.Equal(number, (await again.FetchOffsetAsync($"group-{number}", "orders")).CommittedOffset);
            Assert.Equal(ErrorCode.None, await again.CommitAsync(Commit($"group-{number}", "orders", number + 1)));
        }
    }

    [Fact]
    public async Task After_a_crash_a_commit_beyond_the_end_of_the_log_is_set_back_for_good()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using (TestClient client = broker.Connect())
        {
            await client.ProduceAsync("orders", Batches.Of("a", "b", "c"));
            await client.CommitAsync(Commit("g", "orders", 100, metadata: "note", epoch: 0));
            await client.CommitAsync(Commit("h", "orders", 2));
        }

        await broker.CrashAndRestartAsync();
        await using (TestClient client = broker.Connect())
        {
            OffsetFetchPartitionResponse offset = await client.FetchOffsetAsync("g", "orders");
            Assert.Equal((3L, -1, "note"), (offset.CommittedOffset, offset.CommittedLeaderEpoch, offset.Metadata));
            Assert.Equal(2, (await client.FetchOffsetAsync("h", "orders")).CommittedOffset);
            Assert.Contains(broker.Logs.Lines, line => line.EventId == 2314 && line.Text.Contains("100", StringComparison.Ordinal));
        }

        // The epoch in which it was committed is in its record.
        await broker.RestartAsync();
        await using TestClient again = broker.Connect();
        Assert.Equal(3, (await again.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task After_a_clean_stop_nothing_is_set_back()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using (TestClient client = broker.Connect())
        {
            await client.CommitAsync(Commit("g", "orders", 100));
        }

        await broker.RestartAsync();
        await using TestClient again = broker.Connect();
        Assert.Equal(100, (await again.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task Groups_whose_records_cannot_be_read_are_not_told_that_they_have_committed_nothing()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using (TestClient client = broker.Connect())
        {
            await client.CommitAsync(Commit("g", "orders", 1));
        }

        RecordBatchBuilder batch = new();
        batch.Append(0, new byte[] { 0, 1, 0 }.AsMemory(), new byte[] { 0, 3 }.AsMemory());
        Assert.IsType<AppendResult.Appended>(broker.Partition("__consumer_offsets").Append(batch.Build().Span, AppendDurability.Disk));
        await broker.RestartAsync();

        await using TestClient again = broker.Connect();
        OffsetFetchResponse fetched = await again.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(
            new OffsetFetchRequest { Groups = [new OffsetFetchGroup { GroupId = "g", Topics = null }] }, 9);

        // The one error of a coordinator after which Java's consumers before 3.9 and librdkafka ask for committed offsets again.
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, fetched.Groups[0].ErrorCode);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await again.CommitAsync(Commit("g", "orders", 2)));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, (await again.JoinAsync(Join("g"))).ErrorCode);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, (await again.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(
            new FindCoordinatorRequest { Key = "g" }, 2)).ErrorCode);
        OffsetFetchResponse old = await again.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(
            new OffsetFetchRequest { GroupId = "g", Topics = [new OffsetFetchTopic { Name = "orders", Partitions = [0] }] }, 1);
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, old.Topics[0].Partitions[0].ErrorCode);
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2311);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(9)]
    [InlineData(10)]
    public async Task An_offset_that_is_asked_for_again_and_again_is_told_once(short version)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("g", "orders", 5, metadata: new string('m', 4096))));
        Guid id = broker.Broker.Topics.Find("orders")!.Id;
        List<OffsetFetchTopic> topics =
        [
            new OffsetFetchTopic { Name = "orders", TopicId = id, Partitions = [0, 0, 1, 0] },
            new OffsetFetchTopic { Name = "orders", TopicId = id, Partitions = [0, 1] },
        ];
        OffsetFetchRequest request = version >= 8
            ? new OffsetFetchRequest { Groups = [new OffsetFetchGroup { GroupId = "g", Topics = topics }, new OffsetFetchGroup { GroupId = "g", Topics = topics }] }
            : new OffsetFetchRequest { GroupId = "g", Topics = topics };
        OffsetFetchResponse response = await client.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(request, version);
        IEnumerable<OffsetFetchTopicResponse> told = version >= 8 ? response.Groups.SelectMany(static group => group.Topics) : response.Topics;
        Assert.Equal([(0, 5), (1, -1)], told.SelectMany(static topic => topic.Partitions).Select(static partition => (partition.Index, partition.CommittedOffset)));
    }

    [Fact]
    public async Task Records_of_newer_brokers_and_tombstones_are_understood()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using (TestClient client = broker.Connect())
        {
            await client.CommitAsync(Commit("g", "orders", 1));
            await client.CommitAsync(Commit("h", "orders", 2));
        }

        RecordBatchBuilder batch = new();
        batch.Append(0, new byte[] { 0, 5, 1, 2, 3 }.AsMemory(), new byte[] { 0, 0 }.AsMemory());
        batch.Append(0, MessageCodec.WriteData(new OffsetCommitKey { Group = "g", Topic = "orders" }, 1).AsMemory(), value: null);
        Assert.IsType<AppendResult.Appended>(broker.Partition("__consumer_offsets").Append(batch.Build().Span, AppendDurability.Disk));
        await broker.RestartAsync();

        await using TestClient again = broker.Connect();
        Assert.Equal(-1, (await again.FetchOffsetAsync("g", "orders")).CommittedOffset);
        Assert.Equal(2, (await again.FetchOffsetAsync("h", "orders")).CommittedOffset);
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2312);
    }

    // From Java: Math.abs(id.hashCode()) % 50, and 0 where the hash is Integer.MIN_VALUE, as it is for "polygenelubricants".
    [Theory]
    [InlineData("", 0)]
    [InlineData("g", 3)]
    [InlineData("order-service", 26)]
    [InlineData("Bestellungen-Größe", 18)]
    [InlineData("polygenelubricants", 0)]
    public void A_group_has_the_partition_that_kafka_gives_it(string groupId, int expected) =>
        Assert.Equal(expected, CoordinatorTopic.PartitionFor(groupId, 50));

    private static IEnumerable<string> Flatten(List<OffsetFetchTopicResponse> topics) =>
        topics.SelectMany(topic => topic.Partitions.Select(partition => $"{topic.Name}-{partition.Index}:{partition.CommittedOffset}"));
}
