using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

/// <summary>ListGroups, DescribeGroups, DeleteGroups, OffsetDelete, and the expiry of what nobody uses.</summary>
public sealed class GroupAdministrationTests
{
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);

    [Fact]
    public async Task Groups_are_listed_with_their_state_and_filtered_by_it()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Empty(await ListAsync(client));
        await client.CommitAsync(Commit("simple", "orders", 1));
        await JoinedAsync(client, "working", "orders");
        JoinGroupResponse left = await JoinedAsync(client, "left", "orders");
        await LeaveAsync(client, "left", left);

        Assert.Equal(["left Empty consumer classic", "simple Empty  classic", "working Stable consumer classic"], await ListAsync(client));
        Assert.Equal(["working Stable consumer classic"], await ListAsync(client, states: ["sTaBLe", "Dead"]));
        Assert.Empty(await ListAsync(client, types: ["consumer", "nonsense"]));
        Assert.Equal(3, (await ListAsync(client, types: ["Classic"])).Count);
        for (short version = 0; version <= 5; version++)
        {
            Assert.Equal(3, (await ListAsync(client, version)).Count);
        }
    }

    [Fact]
    public async Task A_group_is_described_with_its_members_and_what_they_were_assigned()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await JoinedAsync(client, "working", "orders", "east");
        await client.CommitAsync(Commit("simple", "orders", 1));

        for (short version = 0; version <= 6; version++)
        {
            DescribeGroupsResponse response = await client.SendAsync<DescribeGroupsRequest, DescribeGroupsResponse>(
                new DescribeGroupsRequest { Groups = ["working", "simple", "nobody"], IncludeAuthorizedOperations = true }, version);
            DescribedGroup working = response.Groups[0];
            Assert.Equal((ErrorCode.None, "Stable", "consumer", "range"), (working.ErrorCode, working.GroupState, working.ProtocolType, working.ProtocolData));
            DescribedGroupMember member = Assert.Single(working.Members);
            Assert.Equal((joined.MemberId, "test", ConnectionIdentity.InMemoryHost), (member.MemberId, member.ClientId, member.ClientHost));
            Assert.Equal(version >= 4 ? "east" : null, member.GroupInstanceId);
            Assert.Equal("all"u8.ToArray(), member.MemberAssignment);
            Assert.NotEmpty(member.MemberMetadata);
            Assert.Equal(version >= 3 ? 0b1_0100_1000 : int.MinValue, working.AuthorizedOperations);
            Assert.Equal(("Empty", ""), (response.Groups[1].GroupState, response.Groups[1].ProtocolType));
            Assert.Equal((version >= 6 ? ErrorCode.GroupIdNotFound : ErrorCode.None, "Dead"), (response.Groups[2].ErrorCode, response.Groups[2].GroupState));
        }
    }

    [Fact]
    public async Task An_empty_group_is_deleted_with_its_offsets_for_good()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("simple", "orders", 1));
        JoinGroupResponse joined = await JoinedAsync(client, "left", "orders");
        await client.CommitAsync(Commit("left", "orders", 2, joined.MemberId, joined.GenerationId));
        await JoinedAsync(client, "working", "orders");
        await LeaveAsync(client, "left", joined);

        Assert.Equal(
            [("simple", ErrorCode.None), ("left", ErrorCode.None), ("working", ErrorCode.NonEmptyGroup), ("nobody", ErrorCode.GroupIdNotFound)],
            await DeleteAsync(client, "simple", "left", "working", "nobody", "simple"));
        Assert.Equal(["working Stable consumer classic"], await ListAsync(client));
        Assert.Equal(-1, (await client.FetchOffsetAsync("left", "orders")).CommittedOffset);

        await broker.CrashAndRestartAsync();
        await using TestClient after = broker.Connect();
        Assert.Equal(["working Stable consumer classic"], await ListAsync(after));
        Assert.Equal(-1, (await after.FetchOffsetAsync("simple", "orders")).CommittedOffset);
        Assert.Equal(1, (await JoinedAsync(after, "left", "orders")).GenerationId);
    }

    [Fact]
    public async Task A_commit_that_is_on_its_way_to_the_disk_goes_with_its_group()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient committer = broker.Connect();
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("simple", "orders", 1));
        broker.Storage.CloseGate();
        await committer.PostAsync(Commit("simple", "orders", 2, partition: 1), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount > 0, "the commit waits for the disk");
        await client.PostAsync(new DeleteGroupsRequest { GroupIds = ["simple"] }, 2);
        broker.Storage.OpenGate();
        DeleteGroupsResponse deleted = (await client.ReceiveAsync<DeleteGroupsRequest, DeleteGroupsResponse>(2)).Response;
        Assert.Equal(ErrorCode.None, deleted.Results[0].ErrorCode);
        await committer.ReceiveAsync<OffsetCommitRequest, OffsetCommitResponse>(9);
        Assert.Empty(await ListAsync(client));
    }

    [Fact]
    public async Task Offsets_are_deleted_where_no_member_reads_the_topic()
    {
        await using TestBroker broker = await StartAsync();
        await broker.CreateTopicAsync("payments");
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await JoinedAsync(client, "g", "orders");
        await client.CommitAsync(Commit("g", "orders", 1, joined.MemberId, joined.GenerationId));
        await client.CommitAsync(Commit("g", "payments", 2, joined.MemberId, joined.GenerationId));

        OffsetDeleteResponse response = await DeleteOffsetsAsync(client, "g", "orders", "payments", "nowhere");
        Assert.Equal(
            [ErrorCode.GroupSubscribedToTopic, ErrorCode.None, ErrorCode.UnknownTopicOrPartition],
            response.Topics.Select(topic => topic.Partitions[0].ErrorCode));
        Assert.Equal(1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
        Assert.Equal(-1, (await client.FetchOffsetAsync("g", "payments")).CommittedOffset);

        await LeaveAsync(client, "g", joined);
        Assert.Equal(ErrorCode.None, (await DeleteOffsetsAsync(client, "g", "orders")).Topics[0].Partitions[0].ErrorCode);
        Assert.Equal(-1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
        Assert.Equal(ErrorCode.GroupIdNotFound, (await DeleteOffsetsAsync(client, "nobody", "orders")).ErrorCode);
        Assert.Equal(ErrorCode.InvalidGroupId, (await DeleteOffsetsAsync(client, "", "orders")).ErrorCode);
    }

    [Fact]
    public async Task Offsets_of_a_group_with_members_that_are_no_consumers_stay()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupRequest connect = Join("g", instanceId: "worker");
        connect.ProtocolType = "connect";
        JoinGroupResponse joined = await client.JoinAsync(connect);
        await client.SyncAsync(Sync("g", joined));
        Assert.Equal(ErrorCode.NonEmptyGroup, (await DeleteOffsetsAsync(client, "g", "orders")).ErrorCode);
    }

    [Fact]
    public async Task Offsets_expire_some_time_after_the_last_member_has_left_and_the_group_with_them()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await JoinedAsync(client, "g", "orders", session: 1_700);
        await client.CommitAsync(Commit("g", "orders", 1, joined.MemberId, joined.GenerationId));

        // Longer than the retention, with a member that reads the topic: nothing expires.
        for (int hour = 0; hour < 4 * 24 * 2; hour++)
        {
            broker.Time.Advance(TimeSpan.FromMinutes(25));
            Assert.Equal(ErrorCode.None, await client.HeartbeatAsync("g", joined));
        }

        await LeaveAsync(client, "g", joined);
        broker.Time.Advance(2.9 * Day);
        Assert.Equal(1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
        await broker.RestartAsync();
        await using TestClient after = broker.Connect();
        broker.Time.Advance(0.2 * Day);
        await Conditions.BecomesTrueAsync(() => broker.Broker.Groups.List().Count == 0, "the group is gone");
        Assert.Equal(-1, (await after.FetchOffsetAsync("g", "orders")).CommittedOffset);
        await broker.RestartAsync();
        Assert.Empty(broker.Broker.Groups.List());
    }

    [Fact]
    public async Task Offsets_without_members_expire_some_time_after_their_commit()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("g", "orders", 1));
        broker.Time.Advance(2 * Day);
        await client.CommitAsync(Commit("g", "orders", 2, partition: 1));
        OffsetCommitRequest named = Commit("g", "orders", 3, partition: 2);
        named.RetentionMilliseconds = (long)(0.5 * Day).TotalMilliseconds;
        await client.CommitAsync(named, 4);

        broker.Time.Advance(0.6 * Day);
        await Conditions.BecomesTrueAsync(() => broker.Broker.Groups.Offsets.CountOf("g") == 2, "what named its own retention has expired");
        broker.Time.Advance(0.6 * Day);
        await Conditions.BecomesTrueAsync(() => broker.Broker.Groups.Offsets.CountOf("g") == 1, "the first commit has expired");
        Assert.Equal(2, (await client.FetchOffsetAsync("g", "orders", 1)).CommittedOffset);
        await broker.RestartAsync();
        Assert.Equal(1, broker.Broker.Groups.Offsets.CountOf("g"));
    }

    [Fact]
    public async Task A_commit_that_is_on_its_way_to_the_disk_does_not_expire_with_the_one_before()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("g", "orders", 1));
        await client.CommitAsync(Commit("g", "orders", 1, partition: 1));
        broker.Time.Advance(3 * Day - TimeSpan.FromMinutes(1));
        PartitionLog offsets = broker.Partition(TopicName.ConsumerOffsets);
        Offset end = offsets.LogEndOffset;
        broker.Storage.CloseGate();
        await client.PostAsync(Commit("g", "orders", 2), 8);
        await Conditions.BecomesTrueAsync(() => offsets.LogEndOffset > end, "the commit is in the log");

        broker.Time.Advance(TimeSpan.FromMinutes(10));
        broker.Storage.OpenGate();

        (_, OffsetCommitResponse response) = await client.ReceiveAsync<OffsetCommitRequest, OffsetCommitResponse>(8);
        Assert.Equal(ErrorCode.None, response.Topics[0].Partitions[0].ErrorCode);
        await Conditions.BecomesTrueAsync(() => broker.Broker.Groups.Offsets.CountOf("g") < 2, "what is not committed again has expired");
        Assert.Equal(2, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
        await broker.RestartAsync();
        Assert.Equal(1, broker.Broker.Groups.Offsets.CountOf("g"));
    }

    [Fact]
    public async Task Offsets_of_topics_that_no_member_reads_any_more_expire_in_a_working_group()
    {
        await using TestBroker broker = await StartAsync();
        await broker.CreateTopicAsync("payments");
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await JoinedAsync(client, "g", "orders", session: 1_700);
        await client.CommitAsync(Commit("g", "orders", 1, joined.MemberId, joined.GenerationId));
        await client.CommitAsync(Commit("g", "payments", 2, joined.MemberId, joined.GenerationId));
        for (int step = 0; step < 180; step++)
        {
            broker.Time.Advance(TimeSpan.FromMinutes(25));
            Assert.Equal(ErrorCode.None, await client.HeartbeatAsync("g", joined));
        }

        await Conditions.BecomesTrueAsync(() => broker.Broker.Groups.Offsets.CountOf("g") == 1, "one offset has expired");
        Assert.Equal(1, (await client.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task What_a_working_group_has_committed_does_not_expire_while_the_broker_stops()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await JoinedAsync(client, "g", "orders", session: 1_700);
        await client.CommitAsync(Commit("g", "orders", 1, joined.MemberId, joined.GenerationId));
        for (int step = 0; step < 180; step++)
        {
            broker.Time.Advance(TimeSpan.FromMinutes(25));
            Assert.Equal(ErrorCode.None, await client.HeartbeatAsync("g", joined));
        }

        // The stop waits for a request that waits for the disk, and meanwhile it is time to look for what has expired.
        broker.Storage.CloseGate();
        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount > 0, "the request waits for the disk");
        Task stopping = broker.Broker.StopAsync();
        broker.Time.Advance(TimeSpan.FromMinutes(10));
        broker.Storage.OpenGate();
        await stopping;

        await broker.RestartAsync();
        Assert.Equal(1, broker.Broker.Groups.Offsets.CountOf("g"));
    }

    /// <summary>Each looks first whether the broker stops, and then finds that it does.</summary>
    [Theory]
    [InlineData("delete")]
    [InlineData("delete offsets")]
    [InlineData("commit")]
    [InlineData("commit as nobody")]
    public async Task Nothing_is_done_to_a_working_group_as_if_nobody_were_in_it_where_the_broker_stops_meanwhile(string what)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await JoinedAsync(client, "g", "orders");
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("g", "orders", 1, joined.MemberId, joined.GenerationId)));
        GroupCoordinator groups = broker.Broker.Groups;
        TopicPartition orders = new("orders", 0);
        KeyValuePair<TopicPartition, CommittedOffset>[] offsets = [new(orders, new CommittedOffset(new Offset(7), CommittedOffset.UnknownLeaderEpoch, "", 0))];
        Func<Task<ErrorCode>> act = what switch
        {
            "delete" => () => groups.DeleteAsync("g"),
            "delete offsets" => async () => (await groups.DeleteOffsetsAsync("g", [orders])).GroupError,
            "commit" => () => groups.CommitAsync("g", new MemberName(joined.MemberId), joined.GenerationId, offsets),
            _ => () => groups.CommitAsync("g", new MemberName(""), generation: -1, offsets),
        };

        Task<ErrorCode> acting = await WhileItStopsAsync(broker, act, () => client.CommitAsync(Commit("g", "orders", 2, joined.MemberId, joined.GenerationId)));

        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await acting);
        await broker.RestartAsync();
        await using TestClient later = broker.Connect();
        Assert.Equal(2, (await later.FetchOffsetAsync("g", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task A_working_group_is_not_described_as_one_that_nobody_is_in_where_the_broker_stops_meanwhile()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await JoinedAsync(client, "g", "orders");
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("g", "orders", 1, joined.MemberId, joined.GenerationId)));
        GroupCoordinator groups = broker.Broker.Groups;

        Task<GroupDescription?> describing = await WhileItStopsAsync(
            broker, () => Task.FromResult(groups.Describe("g")), () => client.CommitAsync(Commit("g", "orders", 2, joined.MemberId, joined.GenerationId)));

        Assert.Null(await describing);
    }

    [Fact]
    public async Task Groups_are_not_listed_as_if_they_were_all_while_the_broker_stops()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await JoinedAsync(client, "g", "orders");

        broker.Broker.Groups.Stop();

        ListGroupsResponse response = await client.SendAsync<ListGroupsRequest, ListGroupsResponse>(new ListGroupsRequest(), 5);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, response.ErrorCode);
    }

    /// <summary>Has something begin while the group is busy with a commit, which it waits for, and the broker stop before that has ended.</summary>
    private static async Task<Task<T>> WhileItStopsAsync<T>(TestBroker broker, Func<Task<T>> act, Func<Task<ErrorCode>> commitAsync)
    {
        TaskCompletionSource<Task<T>> acting = new(TaskCreationOptions.RunContinuationsAsynchronously);
        broker.Storage.BeforeWrite = path =>
        {
            if (path.Contains("/__consumer_offsets-", StringComparison.Ordinal))
            {
                broker.Storage.BeforeWrite = null;
                RunUntilItWaits(() => acting.SetResult(act()));
                RunUntilItWaits(broker.Broker.Groups.Stop);
            }
        };
        Assert.Equal(ErrorCode.None, await commitAsync());
        return await acting.Task;
    }

    private static void RunUntilItWaits(Action act)
    {
        Thread thread = new(() => act()) { IsBackground = true };
        thread.Start();
        Conditions.BecomesTrue(() => thread.ThreadState.HasFlag(ThreadState.WaitSleepJoin), "it waits");
    }

    [Theory]
    [InlineData("topic")]
    [InlineData("group")]
    [InlineData("offset")]
    public async Task An_offset_that_waits_for_its_transaction_does_not_outlive_what_is_deleted(string what)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.CommitAsync(Commit("other", "orders", 1));
        GroupCoordinator groups = broker.Broker.Groups;
        CommittedOffset offset = new(new Offset(5), CommittedOffset.UnknownLeaderEpoch, "", 0);
        ErrorCode written = groups.CommitInTransaction(
            "g", new MemberName(""), -1, new ProducerIdentity(7, 0), [new(new TopicPartition("orders", 0), offset)]);
        Assert.Equal(ErrorCode.None, written);
        Assert.Equal(["g Empty  classic", "other Empty  classic"], await ListAsync(client));

        ErrorCode deleted = what switch
        {
            "topic" => (await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(
                new DeleteTopicsRequest { TopicNames = ["orders"], TimeoutMilliseconds = 1000 }, 5)).Responses[0].ErrorCode,
            "group" => (await DeleteAsync(client, "g"))[0].Item2,
            _ => (await DeleteOffsetsAsync(client, "g", "orders")).Topics[0].Partitions[0].ErrorCode,
        };
        Assert.Equal(ErrorCode.None, deleted);
        groups.EndTransaction(7, offsetsPartition: 0, isCommit: true);
        Assert.False(groups.Offsets.Contains("g"));
    }

    private static async Task<TestBroker> StartAsync()
    {
        TestBroker broker = await TestBroker.StartAsync(options =>
        {
            options.OffsetsRetention = 3 * Day;
            options.OffsetsTopicPartitionCount = 1;
        });
        await broker.CreateTopicAsync("orders", 3);
        return broker;
    }

    /// <summary>A consumer of one topic, alone in its group, with everything assigned.</summary>
    private static async Task<JoinGroupResponse> JoinedAsync(TestClient client, string group, string topic, string? instance = null, int session = 10)
    {
        JoinGroupRequest request = Join(group, instanceId: instance, sessionSeconds: session);
        request.Protocols[0].Metadata = MessageCodec.WriteData(new ConsumerProtocolSubscription { Topics = [topic] }, 1);
        JoinGroupResponse joined = await client.JoinAsync(request, instance is null ? (short)3 : (short)5);
        Assert.Equal(ErrorCode.None, joined.ErrorCode);
        await client.SyncAsync(Sync(group, joined, (joined.MemberId, "all")));
        return joined;
    }

    private static async Task LeaveAsync(TestClient client, string group, JoinGroupResponse joined) =>
        await client.SendAsync<LeaveGroupRequest, LeaveGroupResponse>(
            new LeaveGroupRequest { GroupId = group, Members = [new LeavingMember { MemberId = joined.MemberId }] }, 5);

    private static async Task<List<string>> ListAsync(TestClient client, short version = 5, List<string>? states = null, List<string>? types = null)
    {
        ListGroupsResponse response = await client.SendAsync<ListGroupsRequest, ListGroupsResponse>(
            new ListGroupsRequest { StatesFilter = states ?? [], TypesFilter = types ?? [] }, version);
        Assert.Equal(ErrorCode.None, response.ErrorCode);
        return [.. response.Groups.Select(group => $"{group.GroupId} {group.GroupState} {group.ProtocolType} {group.GroupType}")];
    }

    private static async Task<List<(string, ErrorCode)>> DeleteAsync(TestClient client, params string[] groups) =>
        [.. (await client.SendAsync<DeleteGroupsRequest, DeleteGroupsResponse>(new DeleteGroupsRequest { GroupIds = [.. groups] }, 2))
            .Results.Select(result => (result.GroupId, result.ErrorCode))];

    private static Task<OffsetDeleteResponse> DeleteOffsetsAsync(TestClient client, string group, params string[] topics) =>
        client.SendAsync<OffsetDeleteRequest, OffsetDeleteResponse>(
            new OffsetDeleteRequest
            {
                GroupId = group,
                Topics = [.. topics.Select(topic => new OffsetDeleteTopic { Name = topic, Partitions = [new OffsetDeletePartition { Index = 0 }] })],
            },
            0);
}
