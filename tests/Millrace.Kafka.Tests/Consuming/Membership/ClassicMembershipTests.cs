using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

public sealed class ClassicMembershipTests
{
    [Fact]
    public void A_member_joins_with_the_id_that_it_is_given_and_shares_out_when_it_leads()
    {
        var harness = new MembershipHarness(new ConsumerOptions { Assignors = [PartitionAssignor.Range] });
        harness.Describe(("t", 3));
        harness.Member.Subscribe(["t"]);
        harness.Run();
        JoinGroupRequest first = harness.Pending<JoinGroupRequest>();
        Assert.Equal(("", null, "consumer"), (first.MemberId, first.Reason, first.ProtocolType));
        harness.Answer<JoinGroupRequest>(new JoinGroupResponse { ErrorCode = ErrorCode.MemberIdRequired, MemberId = "me" });
        Assert.Equal("me", harness.Pending<JoinGroupRequest>().MemberId);

        harness.Joined(1, isLeader: true, members: [Wants("me", "t"), Wants("other", "t"), new JoinGroupMember { MemberId = "broken", Metadata = [0, 1, 2] }]);
        Assert.Equal(["t"], harness.TopicsToFind!);
        Assert.False(harness.IsPending<SyncGroupRequest>());
        harness.FindTopics();
        SyncGroupRequest sync = harness.Pending<SyncGroupRequest>();
        Assert.Equal(["broken:", "me:t-0,t-1", "other:t-2"], sync.Assignments.Select(given => $"{given.MemberId}:{Read(given)}").Order());
        Assert.Equal(-1, harness.Member.Current.GenerationId);
        harness.Synced("t-0", "t-1");
        Assert.Equal(["Assigned t-0,t-1"], harness.Heard);
        Assert.Equal(new ConsumerGroupMetadata("billing", 1, "me"), harness.Member.Current);
    }

    [Fact]
    public void An_eager_member_lets_go_of_everything_before_it_joins_and_commits_until_then()
    {
        var harness = new MembershipHarness(new ConsumerOptions());
        harness.Enter("range", "t-0", "t-1");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        Assert.Equal(["Revoked t-0,t-1"], harness.Heard);
        Assert.Equal(1, harness.Member.Current.GenerationId);
        Assert.False(harness.IsPending<JoinGroupRequest>());
        harness.Heartbeat();
        Assert.True(harness.Member.IsInForce);
        harness.EndNotice();

        // Kept, for the coordinator to refuse; one that is not named it would not.
        Assert.Equal((1, "me", false), (harness.Member.Current.GenerationId, harness.Member.Current.MemberId, harness.Member.IsInForce));
        Assert.Equal("", MembershipHarness.OwnedIn(harness.Pending<JoinGroupRequest>()));
        Assert.Equal("the group rebalances", harness.Pending<JoinGroupRequest>().Reason);
        harness.Joined(2);
        harness.Synced("t-1");
        Assert.Equal("Assigned t-1", harness.Heard[^1]);
    }

    [Fact]
    public void A_cooperative_member_keeps_its_partitions_while_it_joins_and_gives_up_only_what_is_missing_from_the_assignment()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0", "t-1", "t-2");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        Assert.Empty(harness.Heard);
        ConsumerProtocolSubscription subscription = MembershipHarness.SubscriptionOf(harness.Pending<JoinGroupRequest>());
        Assert.Equal((3, 1), (subscription.OwnedPartitions.Single().Partitions.Count, subscription.GenerationId));
        Assert.Equal(1, harness.Member.Current.GenerationId);

        // Joins wait for others: heartbeats go on, so that the member hears if it is thrown out.
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.Joined(2, "cooperative-sticky");
        Assert.Equal(1, harness.Member.Current.GenerationId);
        harness.Synced("t-0", "t-2");
        Assert.Equal(["Revoked t-1"], harness.Heard);
        Assert.Equal(2, harness.Member.Current.GenerationId);
        Assert.False(harness.IsPending<JoinGroupRequest>());
        harness.EndNotice();
        Assert.Equal(["Revoked t-1", "Assigned"], harness.Heard);

        // At once, though the application still works on the second call.
        Assert.Equal(("t-0,t-2", "partitions were given up for others"),
            (MembershipHarness.OwnedIn(harness.Pending<JoinGroupRequest>()), harness.Pending<JoinGroupRequest>().Reason));
        harness.EndNotice();
        harness.Joined(3, "cooperative-sticky");
        harness.Synced("t-0", "t-2", "t-9");
        Assert.Equal("Assigned t-9", harness.Heard[^1]);
        harness.EndNotice();
        Assert.False(harness.IsPending<JoinGroupRequest>());
    }

    [Fact]
    public void A_list_with_an_eager_assignor_joins_eager_and_owns_nothing_though_the_group_takes_the_cooperative_one()
    {
        var harness = new MembershipHarness(new ConsumerOptions { Assignors = [PartitionAssignor.CooperativeSticky, PartitionAssignor.Range] });
        harness.Enter("cooperative-sticky", "t-0");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        Assert.Equal(["Revoked t-0"], harness.Heard);
        harness.EndNotice();
        Assert.Equal("", MembershipHarness.OwnedIn(harness.Pending<JoinGroupRequest>()));
        Assert.Equal(["cooperative-sticky", "range"], harness.Pending<JoinGroupRequest>().Protocols.Select(protocol => protocol.Name));
    }

    [Fact]
    public void A_sticky_member_says_what_it_had_though_it_has_given_it_up()
    {
        var harness = new MembershipHarness(new ConsumerOptions { Assignors = [PartitionAssignor.Sticky] });
        harness.Enter("sticky", "t-0", "t-3");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.EndNotice();
        ConsumerProtocolSubscription subscription = MembershipHarness.SubscriptionOf(harness.Pending<JoinGroupRequest>());
        Assert.True(StickyUserData.TryRead(subscription.UserData, out StickyUserData? data));
        Assert.Equal(("t-0,t-3", 1), (MembershipHarness.Text(MemberSubscription.Flatten(data.PreviousAssignment)), data.GenerationId));
    }

    [Theory]
    [InlineData(ErrorCode.UnknownMemberId, "")]
    [InlineData(ErrorCode.IllegalGeneration, "me")]
    public void A_member_that_the_coordinator_has_given_up_has_lost_everything_and_joins_again(ErrorCode error, string memberId)
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0", "t-1");
        harness.Heartbeat(error);
        Assert.Equal(["Lost t-0,t-1"], harness.Heard);
        Assert.Equal((1, "me", false), (harness.Member.Current.GenerationId, harness.Member.Current.MemberId, harness.Member.IsInForce));
        Assert.False(harness.IsPending<JoinGroupRequest>());
        harness.EndNotice();
        JoinGroupRequest join = harness.Pending<JoinGroupRequest>();
        Assert.Equal((memberId, ""), (join.MemberId, MembershipHarness.OwnedIn(join)));
        Assert.Equal(-1, MembershipHarness.SubscriptionOf(join).GenerationId);
        Assert.StartsWith("the membership was lost", join.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void While_a_join_is_under_way_only_the_end_of_the_session_takes_the_partitions_and_the_join_brings_them_back_as_new()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.Heartbeat(ErrorCode.IllegalGeneration);
        Assert.Empty(harness.Heard);
        TimeSpan lastGoodAnswerAt = harness.Settings.HeartbeatInterval;
        while (harness.Now < lastGoodAnswerAt + harness.Settings.SessionTimeout)
        {
            Assert.Empty(harness.Heard);
            harness.Heartbeat(ErrorCode.IllegalGeneration);
        }

        harness.Wait(harness.Settings.HeartbeatInterval);
        Assert.Equal(["Lost t-0"], harness.Heard);
        harness.EndNotice();
        harness.Joined(2, "cooperative-sticky");
        harness.Synced("t-0");
        Assert.Equal(["Lost t-0", "Assigned t-0"], harness.Heard);
    }

    [Fact]
    public void What_a_join_claimed_and_was_lost_meanwhile_is_let_go_of_by_another_join()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0", "t-1");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        Assert.Equal("t-0,t-1", MembershipHarness.OwnedIn(harness.Pending<JoinGroupRequest>()));
        harness.Wait(harness.Settings.SessionTimeout + TimeSpan.FromMilliseconds(1));
        Assert.Equal(["Lost t-0,t-1"], harness.Heard);
        harness.EndNotice();
        harness.Joined(2, "cooperative-sticky");

        // The leader still believes the claim, and gives t-1 to nobody before this member has joined without it.
        harness.Synced("t-0");
        Assert.Equal("t-0", MembershipHarness.OwnedIn(harness.Pending<JoinGroupRequest>()));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("worker-7")]
    public void A_session_without_an_answer_ends_the_membership_and_the_member_comes_back_as_another_one(string? instanceId)
    {
        var harness = new MembershipHarness(new ConsumerOptions { GroupInstanceId = instanceId });
        harness.Enter("range", "t-0");
        harness.Wait(harness.Settings.HeartbeatInterval);
        harness.Fail<HeartbeatRequest>(new KafkaConnectionException("cut"));
        harness.Wait(harness.Settings.SessionTimeout - harness.Settings.HeartbeatInterval);
        Assert.Empty(harness.Heard);
        Assert.True(harness.WakeAt <= harness.Now + TimeSpan.FromMilliseconds(1));
        harness.Wait(TimeSpan.FromMilliseconds(1));
        Assert.Equal(["Lost t-0"], harness.Heard);

        // Under its id it might get the generation that it had, and what it has lost could be committed while it is read again.
        Assert.Equal(instanceId is null, harness.IsPending<LeaveGroupRequest>());
        harness.EndNotice();
        Assert.Equal(("", instanceId), (harness.Pending<JoinGroupRequest>().MemberId, harness.Pending<JoinGroupRequest>().GroupInstanceId));
    }

    [Fact]
    public void A_sync_that_another_rebalance_overtakes_joins_again_at_once_with_what_is_owned()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.Joined(2, "cooperative-sticky");
        harness.Answer<SyncGroupRequest>(new SyncGroupResponse { ErrorCode = ErrorCode.RebalanceInProgress });
        Assert.Equal("t-0", MembershipHarness.OwnedIn(harness.Pending<JoinGroupRequest>()));
        Assert.Empty(harness.Heard);
    }

    [Fact]
    public void A_static_member_names_itself_everywhere_and_does_not_leave()
    {
        var harness = new MembershipHarness(new ConsumerOptions { GroupInstanceId = "worker-7" });
        harness.Member.Subscribe(["t"]);
        harness.Run();
        Assert.Equal("worker-7", harness.Pending<JoinGroupRequest>().GroupInstanceId);
        harness.Joined(1);
        Assert.Equal("worker-7", harness.Pending<SyncGroupRequest>().GroupInstanceId);
        harness.Synced("t-0");
        harness.EndNotices();
        harness.Wait(harness.Settings.HeartbeatInterval);
        Assert.Equal("worker-7", harness.Pending<HeartbeatRequest>().GroupInstanceId);
        Assert.Equal("worker-7", harness.Member.Current.GroupInstanceId);

        harness.Member.Close();
        harness.Run();
        Assert.Equal("Revoked t-0", harness.Heard[^1]);
        harness.EndNotice();
        Assert.False(harness.IsPending<LeaveGroupRequest>());
        Assert.Equal(MembershipEnd.Left, harness.Member.End);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_static_member_whose_place_is_taken_ends_for_good(bool isJoining)
    {
        var harness = new MembershipHarness(new ConsumerOptions { GroupInstanceId = "worker-7", Assignors = [PartitionAssignor.CooperativeSticky] });
        harness.Enter("cooperative-sticky", "t-0");
        if (isJoining)
        {
            harness.Heartbeat(ErrorCode.RebalanceInProgress);
            harness.Answer<JoinGroupRequest>(new JoinGroupResponse { ErrorCode = ErrorCode.FencedInstanceId });
        }
        else
        {
            harness.Heartbeat(ErrorCode.FencedInstanceId);
        }

        Assert.Equal(["Lost t-0"], harness.Heard);
        Assert.False(harness.Member.IsOver);
        harness.EndNotice();
        Assert.True(harness.Member.IsOver);
        Assert.Equal(MembershipEnd.Fenced, harness.Member.End);
        Assert.Contains("'worker-7'", Assert.IsType<KafkaInstanceFencedException>(harness.Member.Fault).Message, StringComparison.Ordinal);
        harness.Wait(TimeSpan.FromHours(1));
        Assert.False(harness.IsPending<JoinGroupRequest>());
    }

    [Fact]
    public void A_static_leader_that_comes_back_shares_nothing_out_but_looks_after_the_topics()
    {
        var harness = new MembershipHarness(new ConsumerOptions { GroupInstanceId = "worker-7" });
        harness.Describe(("t", 2), ("u", 1));
        harness.Member.Subscribe(["t"]);
        harness.Run();
        harness.Joined(4, isLeader: true, skipsAssignment: true, members: [Wants("me", "t"), Wants("other", "u")]);
        harness.FindTopics();
        Assert.Empty(harness.Pending<SyncGroupRequest>().Assignments);
        harness.Synced("t-0", "t-1");
        harness.EndNotices();
        Assert.False(harness.IsPending<JoinGroupRequest>());

        harness.Describe(("t", 2), ("u", 3));
        harness.EndNotices();
        Assert.Equal("the partitions of a topic changed", harness.Pending<JoinGroupRequest>().Reason);
    }

    [Fact]
    public void A_member_that_does_not_lead_any_more_does_not_look_after_the_topics()
    {
        MembershipHarness harness = Cooperative();
        harness.Describe(("t", 2));
        harness.Enter("cooperative-sticky", "t-0");
        harness.Describe(("t", 5));
        Assert.False(harness.IsPending<JoinGroupRequest>());
    }

    [Fact]
    public void What_is_not_wanted_any_more_goes_before_the_join_and_the_rest_stays()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0", "u-0");
        harness.Member.Subscribe(["u", "v"]);
        harness.Run();
        Assert.Equal(["Revoked t-0"], harness.Heard);
        harness.EndNotice();
        JoinGroupRequest join = harness.Pending<JoinGroupRequest>();
        Assert.Equal(("u-0", "the subscription changed"), (MembershipHarness.OwnedIn(join), join.Reason));
        Assert.Equal(["u", "v"], MembershipHarness.SubscriptionOf(join).Topics);

        // The assignment is of a subscription that has changed once more since.
        harness.Member.Subscribe(["v"]);
        harness.Joined(2, "cooperative-sticky");
        harness.Synced("u-0", "v-0");
        harness.EndNotices();
        Assert.Equal(["Revoked t-0", "Revoked u-0", "Assigned v-0"], harness.Heard);
        Assert.Equal("v-0", MembershipHarness.OwnedIn(harness.Pending<JoinGroupRequest>()));
    }

    [Fact]
    public void The_same_topics_once_more_are_no_reason_to_join_again()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0", "u-0");
        harness.Member.Subscribe(["u", "t"]);
        harness.Run();
        Assert.False(harness.IsPending<JoinGroupRequest>());
        Assert.True(harness.Member.IsInPlace);
        harness.Member.Subscribe(["u"]);
        Assert.False(harness.Member.IsInPlace);
    }

    [Fact]
    public void What_is_lost_is_named_at_once_though_the_application_hears_of_it_only_after_the_call_that_runs()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.Joined(2, "cooperative-sticky");
        harness.Synced("t-0", "t-1");
        Assert.Equal(["Assigned t-1"], harness.Heard);
        harness.Heartbeat(ErrorCode.UnknownMemberId);
        Assert.Equal("t-0,t-1", harness.Lost);
        Assert.Equal(["Assigned t-1", "!"], harness.Heard);
        harness.EndNotice();
        Assert.Equal("Lost t-0,t-1", harness.Heard[^1]);
    }

    [Fact]
    public void A_revoke_that_takes_too_long_is_told_to_hurry_and_awaited()
    {
        var harness = new MembershipHarness(new ConsumerOptions { RebalanceTimeout = TimeSpan.FromMinutes(1), SessionTimeout = TimeSpan.FromMinutes(9) });
        harness.Enter("range", "t-0");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.Wait(TimeSpan.FromSeconds(59));
        Assert.Equal(["Revoked t-0"], harness.Heard);
        harness.Wait(TimeSpan.FromSeconds(1));
        Assert.Equal(["Revoked t-0", "!"], harness.Heard);
        Assert.False(harness.IsPending<JoinGroupRequest>());
    }

    [Fact]
    public void Partitions_that_are_lost_while_they_are_let_go_of_are_told_once()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0", "t-1");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.Joined(2, "cooperative-sticky");
        harness.Synced("t-1");
        harness.Heartbeat(ErrorCode.UnknownMemberId);
        Assert.Equal(["Revoked t-0", "!"], harness.Heard);
        harness.EndNotices();
        Assert.Equal(["Revoked t-0", "!", "Lost t-1"], harness.Heard);
        Assert.Empty(harness.Member.Owned);
    }

    [Fact]
    public void Partitions_that_the_application_never_heard_of_are_not_lost_for_it()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.Joined(2, "cooperative-sticky");
        harness.Synced("t-5");
        harness.Heartbeat(ErrorCode.UnknownMemberId);
        harness.EndNotices();
        Assert.Equal(["Revoked t-0", "!"], harness.Heard);
    }

    [Fact]
    public void A_closing_member_lets_go_commits_and_leaves_with_a_reason()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0");
        harness.Member.Close();
        harness.Run();
        Assert.Equal(["Revoked t-0"], harness.Heard);
        Assert.Equal(1, harness.Member.Current.GenerationId);
        harness.Heartbeat();
        harness.EndNotice();
        LeavingMember leaving = Assert.Single(harness.Pending<LeaveGroupRequest>().Members);
        Assert.Equal(("me", "the consumer was closed"), (leaving.MemberId, leaving.Reason));
        harness.Fail<LeaveGroupRequest>(new KafkaConnectionException("cut"));
        Assert.True(harness.Member.IsOver);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_member_that_closes_in_the_middle_of_a_join_does_not_wait_for_it(bool isCooperative)
    {
        MembershipHarness harness = isCooperative ? Cooperative() : new MembershipHarness(new ConsumerOptions());
        harness.Enter(isCooperative ? "cooperative-sticky" : "range", "t-0");
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.EndNotices();
        GroupCall join = harness.Take<JoinGroupRequest>();
        harness.Member.Close();
        harness.Run();
        harness.EndNotices();
        Assert.Equal(["Revoked t-0"], harness.Heard);
        harness.Member.Answered(join, new JoinGroupResponse { GenerationId = 2, MemberId = "me", Leader = "me" }, new BrokerAddress("b", 1), harness.Now);
        harness.Answer<LeaveGroupRequest>(new LeaveGroupResponse());
        Assert.True(harness.Member.IsOver);
    }

    [Fact]
    public void A_member_whose_application_is_away_leaves_and_joins_again_when_it_is_back()
    {
        MembershipHarness harness = Cooperative();
        harness.Enter("cooperative-sticky", "t-0");
        harness.Member.GoAway("gone");
        harness.Run();
        Assert.Equal(["Lost t-0"], harness.Heard);
        Assert.Equal(("me", "gone"), (harness.Pending<LeaveGroupRequest>().MemberId, harness.Pending<LeaveGroupRequest>().Members[0].Reason));
        harness.Answer<LeaveGroupRequest>(new LeaveGroupResponse());
        harness.EndNotice();
        harness.Wait(TimeSpan.FromHours(1));
        Assert.Empty(harness.Calls);
        harness.Member.Return();
        harness.Run();
        Assert.Equal("", harness.Pending<JoinGroupRequest>().MemberId);
    }

    [Fact]
    public void A_static_member_whose_application_is_away_does_not_leave_and_comes_back_as_another_one()
    {
        var harness = new MembershipHarness(new ConsumerOptions { GroupInstanceId = "worker-7" });
        harness.Enter("range", "t-0");
        harness.Member.GoAway("gone");
        harness.Run();
        Assert.False(harness.IsPending<LeaveGroupRequest>());
        harness.EndNotice();
        harness.Member.Return();
        harness.Run();
        Assert.Equal(("", "worker-7"), (harness.Pending<JoinGroupRequest>().MemberId, harness.Pending<JoinGroupRequest>().GroupInstanceId));
    }

    [Fact]
    public void A_refusal_is_told_at_each_attempt_and_the_attempts_go_on_with_a_pause()
    {
        var harness = new MembershipHarness(new ConsumerOptions());
        harness.Member.Subscribe(["t"]);
        harness.Run();
        for (int attempt = 1; attempt <= 3; attempt++)
        {
            harness.Answer<JoinGroupRequest>(new JoinGroupResponse { ErrorCode = ErrorCode.InconsistentGroupProtocol });
            Assert.Equal(attempt, harness.Refusals.Count);
            Assert.False(harness.IsPending<JoinGroupRequest>());
            harness.Now = harness.WakeAt!.Value;
            harness.Run();
        }

        harness.Answer<JoinGroupRequest>(new JoinGroupResponse { ErrorCode = ErrorCode.CoordinatorLoadInProgress });
        Assert.Equal(3, harness.Refusals.Count);
    }

    [Fact]
    public void Heartbeats_ask_for_a_rebalance_only_in_a_generation_that_stands()
    {
        // Brokers before Kafka 2.7 say so while the assignment is awaited.
        var harness = new MembershipHarness(new ConsumerOptions());
        harness.Member.Subscribe(["t"]);
        harness.Run();
        harness.Joined(1);
        harness.Heartbeat(ErrorCode.RebalanceInProgress);
        harness.Synced("t-0");
        harness.EndNotices();
        Assert.Equal(["Assigned t-0"], harness.Heard);
        Assert.False(harness.IsPending<JoinGroupRequest>());
    }

    [Fact]
    public void A_leader_that_cannot_look_up_the_topics_joins_again()
    {
        var harness = new MembershipHarness(new ConsumerOptions());
        harness.Member.Subscribe(["t"]);
        harness.Run();
        harness.Joined(1, isLeader: true, members: [Wants("me", "t")]);
        harness.FindTopics(new KafkaConnectionException("cut"));
        harness.Wait(TimeSpan.FromSeconds(2));
        Assert.True(harness.IsPending<JoinGroupRequest>());
        Assert.Empty(harness.Refusals);
    }

    private static MembershipHarness Cooperative() => new(new ConsumerOptions { Assignors = [PartitionAssignor.CooperativeSticky] });

    private static JoinGroupMember Wants(string memberId, string topic) => new()
    {
        MemberId = memberId,
        Metadata = MessageCodec.WriteData(new ConsumerProtocolSubscription { Topics = [topic] }, version: 0),
    };

    private static string Read(SyncGroupAssignment given)
    {
        Assert.True(MessageCodec.TryReadData(given.Assignment, acceptNewer: false, out ConsumerProtocolAssignment? assignment, out string? error), error);
        return MembershipHarness.Text(MemberSubscription.Flatten(assignment.AssignedPartitions));
    }
}
