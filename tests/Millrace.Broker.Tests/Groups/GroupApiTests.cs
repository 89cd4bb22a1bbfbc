using System.Text;
using Millrace.Kafka.Protocol;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

public sealed class GroupApiTests
{
    [Fact]
    public async Task A_member_that_offers_more_protocols_than_anybody_has_is_refused()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupRequest request = Join("g");
        request.Protocols = [.. Enumerable.Range(0, 101).Select(static number => new JoinGroupProtocol { Name = $"p{number}" })];
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, (await client.JoinAsync(request, 3)).ErrorCode);
        request.Protocols.RemoveAt(0);
        Assert.Equal(ErrorCode.None, (await client.JoinAsync(request, 3)).ErrorCode);
    }

    [Fact]
    public async Task Two_members_form_a_group_get_their_assignments_and_part()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient first = broker.Connect();
        await using TestClient second = broker.Connect();

        JoinGroupResponse alone = await first.JoinAsync("g");
        Assert.Equal((ErrorCode.None, 1, alone.MemberId), (alone.ErrorCode, alone.GenerationId, alone.Leader));
        Assert.StartsWith("test-", alone.MemberId, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.None, (await first.SyncAsync(Sync("g", alone, (alone.MemberId, "all")))).ErrorCode);

        string secondId = (await second.JoinAsync(Join("g"))).MemberId;
        await second.PostAsync(Join("g", secondId), 9);
        await Conditions.BecomesTrueAsync(() => first.HeartbeatAsync("g", alone).GetAwaiter().GetResult() == ErrorCode.RebalanceInProgress, "the first member hears of the rebalance");
        Assert.False(second.HasResponse);

        JoinGroupResponse leader = await first.JoinAsync(Join("g", alone.MemberId));
        JoinGroupResponse follower = (await second.ReceiveAsync<JoinGroupRequest, JoinGroupResponse>(9)).Response;
        Assert.Equal((2, 2, 0), (leader.GenerationId, leader.Members.Count, follower.Members.Count));

        await second.PostAsync(Sync("g", follower), 5);
        SyncGroupResponse left = await first.SyncAsync(Sync("g", leader, (leader.MemberId, "left"), (follower.MemberId, "right")));
        SyncGroupResponse right = (await second.ReceiveAsync<SyncGroupRequest, SyncGroupResponse>(5)).Response;
        Assert.Equal(("left", "right"), (Encoding.UTF8.GetString(left.Assignment), Encoding.UTF8.GetString(right.Assignment)));
        Assert.Equal(("consumer", "range"), (right.ProtocolType, right.ProtocolName));

        LeaveGroupResponse gone = await second.SendAsync<LeaveGroupRequest, LeaveGroupResponse>(
            new LeaveGroupRequest { GroupId = "g", Members = [new LeavingMember { MemberId = follower.MemberId }, new LeavingMember { MemberId = "stranger" }] }, 5);
        Assert.Equal([ErrorCode.None, ErrorCode.UnknownMemberId], gone.Members.Select(member => member.ErrorCode));
        Assert.Equal(ErrorCode.RebalanceInProgress, await first.HeartbeatAsync("g", leader));
        Assert.Equal(ErrorCode.UnknownMemberId, await second.HeartbeatAsync("g", follower));
    }

    [Fact]
    public async Task A_cooperative_rebalance_takes_two_rounds_and_nobody_stops_in_between()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        await using TestClient first = broker.Connect();
        await using TestClient second = broker.Connect();
        JoinGroupResponse leader = await first.JoinAsync("g");
        await first.SyncAsync(Sync("g", leader, (leader.MemberId, "0 and 1")));

        // The newcomer starts the first round. The member that owns both partitions goes on committing while it joins again, and gives one up.
        string newcomerId = (await second.JoinAsync(Join("g"))).MemberId;
        await second.PostAsync(Join("g", newcomerId), 9);
        await Conditions.BecomesTrueAsync(() => first.HeartbeatAsync("g", leader).GetAwaiter().GetResult() == ErrorCode.RebalanceInProgress, "the first round has begun");
        Assert.Equal(ErrorCode.None, await first.CommitAsync(Commit("g", "orders", 1, leader.MemberId, leader.GenerationId)));
        leader = await first.JoinAsync(Join("g", leader.MemberId, metadata: "owns 0 and 1"));
        JoinGroupResponse newcomer = (await second.ReceiveAsync<JoinGroupRequest, JoinGroupResponse>(9)).Response;
        Assert.Contains(leader.Members, member => Encoding.UTF8.GetString(member.Metadata) == "owns 0 and 1");
        await second.PostAsync(Sync("g", newcomer), 5);
        await first.SyncAsync(Sync("g", leader, (leader.MemberId, "0"), (newcomerId, "none")));
        Assert.Equal("none", Encoding.UTF8.GetString((await second.ReceiveAsync<SyncGroupRequest, SyncGroupResponse>(5)).Response.Assignment));
        Assert.Equal(ErrorCode.None, await first.HeartbeatAsync("g", leader));

        // The second round begins with the member that gave up a partition, and hands it on.
        await first.PostAsync(Join("g", leader.MemberId, metadata: "owns 0"), 9);
        await Conditions.BecomesTrueAsync(() => second.HeartbeatAsync("g", newcomer).GetAwaiter().GetResult() == ErrorCode.RebalanceInProgress, "the second round has begun");
        newcomer = await second.JoinAsync(Join("g", newcomerId));
        leader = (await first.ReceiveAsync<JoinGroupRequest, JoinGroupResponse>(9)).Response;
        Assert.Equal((3, 3), (leader.GenerationId, newcomer.GenerationId));
        await second.PostAsync(Sync("g", newcomer), 5);
        Assert.Equal("0", Encoding.UTF8.GetString((await first.SyncAsync(Sync("g", leader, (leader.MemberId, "0"), (newcomerId, "1")))).Assignment));
        Assert.Equal("1", Encoding.UTF8.GetString((await second.ReceiveAsync<SyncGroupRequest, SyncGroupResponse>(5)).Response.Assignment));
    }

    [Fact]
    public async Task Every_version_of_every_group_api_is_answered()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        for (short version = 0; version <= 9; version++)
        {
            string group = $"g{version}";
            JoinGroupResponse joined = await client.JoinAsync(Join(group), version);
            if (version >= 4)
            {
                Assert.Equal(ErrorCode.MemberIdRequired, joined.ErrorCode);
                joined = await client.JoinAsync(Join(group, joined.MemberId), version);
            }

            Assert.Equal(ErrorCode.None, joined.ErrorCode);
            Assert.Equal(version >= 7 ? "consumer" : null, joined.ProtocolType);
            short syncVersion = Math.Min(version, (short)5);
            Assert.Equal("all", Encoding.UTF8.GetString((await client.SyncAsync(Sync(group, joined, (joined.MemberId, "all")), syncVersion)).Assignment));
            Assert.Equal(ErrorCode.None, await client.HeartbeatAsync(group, joined, Math.Min(version, (short)4)));

            ErrorCode committed = version == 0
                ? await client.CommitAsync(Commit("simple", "orders", 7), 0)
                : await client.CommitAsync(Commit(group, "orders", version, joined.MemberId, joined.GenerationId, epoch: 3), version);
            Assert.Equal(ErrorCode.None, committed);
            OffsetFetchPartitionResponse offset = await client.FetchOffsetAsync(version == 0 ? "simple" : group, "orders", version: version);
            Assert.Equal(version == 0 ? 7 : version, offset.CommittedOffset);
            Assert.Equal(version >= 6 ? 3 : -1, offset.CommittedLeaderEpoch);

            LeaveGroupRequest leave = new() { GroupId = group, MemberId = joined.MemberId, Members = [new LeavingMember { MemberId = joined.MemberId }] };
            LeaveGroupResponse left = await client.SendAsync<LeaveGroupRequest, LeaveGroupResponse>(leave, Math.Min(version, (short)5));
            Assert.Equal(ErrorCode.None, left.ErrorCode);
            Assert.All(left.Members, member => Assert.Equal(ErrorCode.None, member.ErrorCode));
            Assert.Equal(ErrorCode.UnknownMemberId, await client.HeartbeatAsync(group, joined));
        }
    }

    [Theory]
    [InlineData("", null, ErrorCode.InvalidGroupId)]
    [InlineData("g", "", ErrorCode.InvalidRequest)]
    public async Task Requests_that_no_group_can_take_are_refused_alike(string group, string? instanceId, ErrorCode expected)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(expected, (await client.JoinAsync(Join(group, instanceId: instanceId))).ErrorCode);
        Assert.Equal(expected, (await client.SyncAsync(new SyncGroupRequest { GroupId = group, GroupInstanceId = instanceId })).ErrorCode);
        Assert.Equal(expected, (await client.SendAsync<HeartbeatRequest, HeartbeatResponse>(
            new HeartbeatRequest { GroupId = group, GroupInstanceId = instanceId }, 4)).ErrorCode);
        LeaveGroupResponse left = await client.SendAsync<LeaveGroupRequest, LeaveGroupResponse>(
            new LeaveGroupRequest { GroupId = group, Members = [new LeavingMember { GroupInstanceId = instanceId }] }, 5);
        Assert.Equal(group.Length == 0 ? expected : ErrorCode.UnknownMemberId, left.ErrorCode == ErrorCode.None ? left.Members[0].ErrorCode : left.ErrorCode);
    }

    [Fact]
    public async Task A_static_member_keeps_its_assignment_over_restarts_of_itself_and_of_the_broker()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient before = broker.Connect();
        JoinGroupResponse joined = await before.JoinAsync(Join("g", instanceId: "east"));
        Assert.Equal("east", joined.Members[0].GroupInstanceId);
        SyncGroupRequest sync = Sync("g", joined, (joined.MemberId, "all"));
        sync.GroupInstanceId = "east";
        await before.SyncAsync(sync);

        JoinGroupResponse back = await before.JoinAsync(Join("g", instanceId: "east"));
        Assert.Equal((ErrorCode.None, 1, true), (back.ErrorCode, back.GenerationId, back.SkipAssignment));
        Assert.NotEqual(joined.MemberId, back.MemberId);
        Assert.Equal(ErrorCode.FencedInstanceId, (await before.SyncAsync(sync)).ErrorCode);
        OffsetCommitRequest commit = Commit("g", "orders", 1, joined.MemberId, 1);
        commit.GroupInstanceId = "east";
        Assert.Equal(ErrorCode.FencedInstanceId, await before.CommitAsync(commit));
        await broker.RestartAsync();

        await using TestClient after = broker.Connect();
        commit.MemberId = back.MemberId;
        Assert.Equal(ErrorCode.None, await after.CommitAsync(commit));
        JoinGroupResponse again = await after.JoinAsync(Join("g", instanceId: "east"), 5);
        Assert.Equal((1, back.MemberId, 0), (again.GenerationId, again.Leader, again.Members.Count));
        Assert.Equal("all", Encoding.UTF8.GetString((await after.SyncAsync(Sync("g", again))).Assignment));

        LeaveGroupResponse left = await after.SendAsync<LeaveGroupRequest, LeaveGroupResponse>(
            new LeaveGroupRequest { GroupId = "g", Members = [new LeavingMember { GroupInstanceId = "east" }, new LeavingMember { GroupInstanceId = "west" }] }, 3);
        Assert.Equal([("east", ErrorCode.None), ("west", ErrorCode.UnknownMemberId)], left.Members.Select(member => (member.GroupInstanceId!, member.ErrorCode)));
    }

    [Theory]
    [InlineData(32_768, 'x')]
    [InlineData(20_000, 'ü')]
    public async Task Names_that_do_not_fit_into_a_record_are_refused_at_the_door(int length, char character)
    {
        string tooLong = new(character, length);
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.InvalidGroupId, (await client.JoinAsync(Join(tooLong))).ErrorCode);
        Assert.Equal(ErrorCode.InvalidGroupId, await client.CommitAsync(Commit(tooLong, "orders", 1)));
        FindCoordinatorResponse found = await client.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(
            new FindCoordinatorRequest { CoordinatorKeys = [tooLong] }, 4);
        Assert.Equal(ErrorCode.InvalidGroupId, found.Coordinators[0].ErrorCode);

        JoinGroupRequest type = Join("g");
        type.ProtocolType = tooLong;
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, (await client.JoinAsync(type)).ErrorCode);
        JoinGroupRequest protocol = Join("g");
        protocol.Protocols[0].Name = tooLong;
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, (await client.JoinAsync(protocol)).ErrorCode);
        Assert.DoesNotContain(broker.Logs.Lines, line => line.EventId == 2106);
    }

    [Fact]
    public async Task A_silent_member_expires_by_the_clock_of_the_broker()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await client.JoinAsync("g");
        await client.SyncAsync(Sync("g", joined));
        broker.Time.Advance(TimeSpan.FromSeconds(9.9));
        Assert.Equal(ErrorCode.None, await client.HeartbeatAsync("g", joined));
        broker.Time.Advance(TimeSpan.FromSeconds(9.9));
        Assert.Equal(ErrorCode.None, await client.HeartbeatAsync("g", joined));
        broker.Time.Advance(TimeSpan.FromSeconds(10.1));
        Assert.Equal(ErrorCode.UnknownMemberId, await client.HeartbeatAsync("g", joined));
    }

    [Fact]
    public async Task The_assignment_does_not_leave_before_it_is_on_the_disk()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await client.JoinAsync("g");
        broker.Storage.CloseGate();
        await client.PostAsync(Sync("g", joined, (joined.MemberId, "all")), 5);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount > 0, "the assignment waits for its sync");
        Assert.False(client.HasResponse);
        broker.Storage.OpenGate();
        Assert.Equal(ErrorCode.None, (await client.ReceiveAsync<SyncGroupRequest, SyncGroupResponse>(5)).Response.ErrorCode);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Members_go_on_after_a_restart_without_a_rebalance(bool isClean)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        JoinGroupResponse joined;
        await using (TestClient before = broker.Connect())
        {
            await before.ProduceAsync("orders", Batches.Of("a", "b"));
            joined = await before.JoinAsync("g");
            await before.SyncAsync(Sync("g", joined, (joined.MemberId, "all")));
            Assert.Equal(ErrorCode.None, await before.CommitAsync(Commit("g", "orders", 1, joined.MemberId, joined.GenerationId, "note")));
        }

        await (isClean ? broker.RestartAsync() : broker.CrashAndRestartAsync());
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await client.HeartbeatAsync("g", joined));
        Assert.Equal("all", Encoding.UTF8.GetString((await client.SyncAsync(Sync("g", joined))).Assignment));
        OffsetFetchPartitionResponse offset = await client.FetchOffsetAsync("g", "orders");
        Assert.Equal((1L, "note"), (offset.CommittedOffset, offset.Metadata));
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("g", "orders", 2, joined.MemberId, joined.GenerationId)));
    }

    [Fact]
    public async Task A_member_that_goes_away_while_it_waits_for_others_leaves_no_connection_behind()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient first = broker.Connect();
        TestClient second = broker.Connect();
        JoinGroupResponse alone = await first.JoinAsync("g");
        Assert.Equal(ErrorCode.None, (await first.SyncAsync(Sync("g", alone, (alone.MemberId, "all")))).ErrorCode);
        await second.PostAsync(Join("g"), 3);
        await Conditions.BecomesTrueAsync(() => first.HeartbeatAsync("g", alone).GetAwaiter().GetResult() == ErrorCode.RebalanceInProgress, "the second member waits for the first");

        await second.DisposeAsync();

        await Conditions.BecomesTrueAsync(() => broker.Broker.ConnectionCount == 1, "the connection is gone");
    }

    [Fact]
    public async Task A_stop_answers_a_member_that_waits_for_others()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient first = broker.Connect();
        await using TestClient second = broker.Connect();
        JoinGroupResponse joined = await first.JoinAsync("g");
        await first.SyncAsync(Sync("g", joined));
        await second.PostAsync(Join("g"), 3);
        await Conditions.BecomesTrueAsync(() => first.HeartbeatAsync("g", joined).GetAwaiter().GetResult() == ErrorCode.RebalanceInProgress, "the second member waits");

        Task stop = broker.Broker.StopAsync();
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, (await second.ReceiveAsync<JoinGroupRequest, JoinGroupResponse>(3)).Response.ErrorCode);
        await stop;
    }

    [Fact]
    public async Task A_group_that_nobody_joins_in_the_end_leaves_nothing_behind()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        int timerCount = broker.Time.PendingTimerCount;
        for (int number = 0; number < 50; number++)
        {
            await client.JoinAsync(Join($"g{number}"));
            await client.JoinAsync(Join($"h{number}", "stranger"));
        }

        Assert.Equal(50, broker.Broker.Groups.GroupCount);
        Assert.True(broker.Time.PendingTimerCount <= timerCount + 1, "More than one timer serves the groups.");
        broker.Time.Advance(TimeSpan.FromSeconds(11));
        Assert.Equal(0, broker.Broker.Groups.GroupCount);
        Assert.Equal(timerCount, broker.Time.PendingTimerCount);
    }

    [Fact]
    public async Task Find_coordinator_names_this_node_for_groups()
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync(options => (options.AdvertisedHost, options.AdvertisedPort) = ("broker.example", 1234));
        await using TestClient client = broker.Connect();
        for (short version = 0; version <= 3; version++)
        {
            FindCoordinatorResponse found = await client.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(
                new FindCoordinatorRequest { Key = "g" }, version);
            Assert.Equal((ErrorCode.None, 1, "broker.example", 1234), (found.ErrorCode, found.NodeId, found.Host, found.Port));
        }

        string tooLong = new('x', 32_768);
        FindCoordinatorResponse batch = await client.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(
            new FindCoordinatorRequest { CoordinatorKeys = ["g", tooLong, "h"] }, 4);
        Assert.Equal([("g", ErrorCode.None), (tooLong, ErrorCode.InvalidGroupId), ("h", ErrorCode.None)], batch.Coordinators.Select(found => (found.Key, found.ErrorCode)));
        Assert.True(broker.Broker.Topics.Find("__consumer_offsets")!.IsInternal);
    }

    [Fact]
    public async Task A_transactional_id_is_coordinated_here_and_nothing_of_another_kind()
    {
        await using TestBroker broker = await TestBroker.StartAsync(options => options.TransactionStateTopicPartitionCount = 3);
        await using TestClient client = broker.Connect();
        Assert.Equal((ErrorCode.None, 1), await FindAsync("payments", keyType: 1));
        Assert.Equal(ErrorCode.InvalidRequest, (await FindAsync("", keyType: 1)).Error);
        Assert.Equal(ErrorCode.InvalidRequest, (await FindAsync("x", keyType: 9)).Error);
        Assert.Equal(3, broker.Broker.Topics.Find("__transaction_state")!.Partitions.Count);

        async Task<(ErrorCode Error, int Node)> FindAsync(string key, sbyte keyType)
        {
            FindCoordinatorResponse found = await client.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(
                new FindCoordinatorRequest { Key = key, KeyType = keyType }, 2);
            return (found.ErrorCode, found.NodeId);
        }
    }
}
