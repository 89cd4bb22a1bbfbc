using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

public sealed class ClassicGroupTests
{
    [Fact]
    public void First_member_forms_a_generation_alone_and_leads_it()
    {
        GroupHarness harness = new();
        JoinAnswer answer = harness.Joins[harness.Join(metadata: "topics")];

        Assert.Equal(ErrorCode.None, answer.Error);
        Assert.Equal("m-1", answer.MemberId);
        Assert.Equal("m-1", answer.Leader);
        Assert.Equal(1, answer.Generation);
        Assert.Equal("consumer", answer.ProtocolType);
        Assert.Equal("range", answer.ProtocolName);
        JoinedMember only = Assert.Single(answer.Members);
        Assert.Equal("m-1", only.MemberId);
        Assert.Equal("topics", Encoding.UTF8.GetString(only.Metadata));
        Assert.Equal(GroupState.CompletingRebalance, harness.Group.State);
    }

    [Fact]
    public void Followers_learn_the_leader_and_not_the_members()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        long second = harness.Join();
        Assert.False(harness.Joins.ContainsKey(second));
        Assert.Equal(ErrorCode.RebalanceInProgress, harness.Heartbeat("m-1", 1));
        long first = harness.Join("m-1");

        Assert.Equal(2, harness.Joins[first].Members.Count);
        Assert.Empty(harness.Joins[second].Members);
        Assert.Equal("m-1", harness.Joins[second].Leader);
        Assert.Equal(2, harness.Joins[second].Generation);
    }

    [Fact]
    public void A_follower_that_syncs_first_waits_for_the_leader()
    {
        GroupHarness harness = new();
        harness.Join();
        long second = harness.Join();
        harness.Join("m-1");
        int generation = harness.Joins[second].Generation;

        long follower = harness.Sync("m-2", generation);
        Assert.False(harness.Syncs.ContainsKey(follower));
        long leader = harness.Sync("m-1", generation, assignments: [("m-1", "left"), ("m-2", "right"), ("stranger", "nothing")]);

        Assert.Equal("left", harness.AssignmentIn(leader));
        Assert.Equal("right", harness.AssignmentIn(follower));
        Assert.Equal("range", harness.Syncs[follower].ProtocolName);
        Assert.Equal(GroupState.Stable, harness.Group.State);
    }

    [Fact]
    public void No_assignment_leaves_before_it_is_on_disk()
    {
        GroupHarness harness = new() { PersistsAtOnce = false };
        harness.Join();
        long sync = harness.Sync("m-1", 1, assignments: [("m-1", "all")]);
        Assert.Equal("all", Encoding.UTF8.GetString(Assert.Single(harness.Snapshots).Members[0].Assignment));
        Assert.False(harness.Syncs.ContainsKey(sync));
        Assert.Equal(GroupState.CompletingRebalance, harness.Group.State);

        harness.Persisted(1);
        Assert.Equal("all", harness.AssignmentIn(sync));
        Assert.Equal(GroupState.Stable, harness.Group.State);
    }

    [Fact]
    public void A_failed_write_of_the_assignment_is_told_and_starts_the_next_rebalance()
    {
        GroupHarness harness = new() { PersistsAtOnce = false };
        harness.Join();
        long sync = harness.Sync("m-1", 1, assignments: [("m-1", "all")]);
        harness.Persisted(1, ErrorCode.CoordinatorNotAvailable);

        Assert.Equal(ErrorCode.CoordinatorNotAvailable, harness.Syncs[sync].Error);
        Assert.Equal(GroupState.PreparingRebalance, harness.Group.State);
        Assert.Equal(2, harness.Joins[harness.Join("m-1")].Generation);
    }

    [Fact]
    public void A_member_that_joins_while_the_assignment_is_written_voids_it()
    {
        GroupHarness harness = new() { PersistsAtOnce = false };
        harness.Join();
        long sync = harness.Sync("m-1", 1, assignments: [("m-1", "all")]);
        harness.Join();
        Assert.Equal(ErrorCode.RebalanceInProgress, harness.Syncs[sync].Error);

        harness.Persisted(1);
        Assert.Equal(GroupState.PreparingRebalance, harness.Group.State);
        harness.Join("m-1");
        Assert.Equal(2, harness.Group.Generation);
        harness.Persisted(1);
        Assert.Equal(GroupState.CompletingRebalance, harness.Group.State);
    }

    [Fact]
    public void A_leader_that_syncs_again_while_its_assignment_is_written_takes_the_place_of_its_first_request()
    {
        GroupHarness harness = new() { PersistsAtOnce = false };
        harness.Join();
        long first = harness.Sync("m-1", 1, assignments: [("m-1", "all")]);
        long second = harness.Sync("m-1", 1, assignments: [("m-1", "other")]);
        Assert.Equal(ErrorCode.RebalanceInProgress, harness.Syncs[first].Error);
        Assert.Single(harness.Snapshots);

        harness.Persisted(1);
        Assert.Equal("all", harness.AssignmentIn(second));
    }

    [Fact]
    public void A_client_that_can_is_asked_to_come_back_with_its_id()
    {
        GroupHarness harness = new();
        JoinAnswer first = harness.Joins[harness.Join(requiresId: true, client: "app")];
        Assert.Equal(ErrorCode.MemberIdRequired, first.Error);
        Assert.Equal("app-1", first.MemberId);
        Assert.Empty(harness.Group.Members);
        Assert.Equal(1, harness.Group.PendingMemberCount);

        JoinAnswer second = harness.Joins[harness.Join("app-1", requiresId: true)];
        Assert.Equal(ErrorCode.None, second.Error);
        Assert.Equal("app-1", second.MemberId);
        Assert.Equal(0, harness.Group.PendingMemberCount);
    }

    [Fact]
    public void A_rebalance_waits_for_a_member_that_holds_an_id()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        harness.Join(requiresId: true);
        Assert.Equal(ErrorCode.None, harness.Heartbeat("m-1", 1));

        long rejoin = harness.Join("m-1");
        Assert.False(harness.Joins.ContainsKey(rejoin));
        harness.Join("m-2");
        Assert.Equal(2, harness.Joins[rejoin].Members.Count);
    }

    [Fact]
    public void A_pending_member_that_never_comes_is_forgotten_after_its_session_timeout()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        harness.Join(requiresId: true, session: 8);
        long rejoin = harness.Join("m-1");
        harness.Pass(7.9);
        Assert.False(harness.Joins.ContainsKey(rejoin));
        harness.Pass(0.2);
        Assert.Single(harness.Joins[rejoin].Members);
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Joins[harness.Join("m-2")].Error);
    }

    [Fact]
    public void A_pending_member_may_give_its_id_back()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        harness.Join(requiresId: true);
        long rejoin = harness.Join("m-1");
        Assert.Equal([ErrorCode.None], harness.Leave("m-2"));
        Assert.Single(harness.Joins[rejoin].Members);
    }

    [Fact]
    public void Pending_members_are_bounded()
    {
        GroupHarness harness = new();
        for (int count = 0; count < GroupSettings.MaxPendingMembers; count++)
        {
            harness.Join(requiresId: true);
        }

        Assert.Equal(ErrorCode.GroupMaxSizeReached, harness.Joins[harness.Join(requiresId: true)].Error);
        Assert.Equal(GroupSettings.MaxPendingMembers, harness.Group.PendingMemberCount);
    }

    [Theory]
    [InlineData("range,roundrobin", "roundrobin,range", "roundrobin,range", "roundrobin")]
    [InlineData("range,roundrobin", "range", "roundrobin,range", "range")]
    [InlineData("sticky,range", "range,sticky", "", "sticky")]
    public void The_protocol_is_voted_among_those_that_all_members_have(string first, string second, string third, string expected)
    {
        GroupHarness harness = new();
        harness.Join(protocols: first.Split(','));
        harness.Join(protocols: second.Split(','));
        long last = third.Length == 0 ? 0 : harness.Join(protocols: third.Split(','));
        long rejoin = harness.Join("m-1", protocols: first.Split(','));

        Assert.Equal(expected, harness.Joins[rejoin].ProtocolName);
        Assert.True(last == 0 || harness.Joins[last].ProtocolName == expected);
    }

    [Theory]
    [InlineData("consumer", "roundrobin")]
    [InlineData("connect", "range")]
    [InlineData("", "range")]
    public void A_member_that_shares_no_protocol_is_refused(string type, string protocol)
    {
        GroupHarness harness = GroupHarness.Stable(1);
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, harness.Joins[harness.Join(type: type, protocols: [protocol])].Error);
        Assert.Equal(GroupState.Stable, harness.Group.State);
    }

    [Fact]
    public void A_first_member_without_protocols_is_refused()
    {
        GroupHarness harness = new();
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, harness.Joins[harness.Join(protocols: [])].Error);
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, harness.Joins[harness.Join(type: "")].Error);
        Assert.True(harness.Group.IsForgettable);
    }

    [Fact]
    public void An_empty_group_takes_a_new_protocol_type()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        harness.Leave("m-1");
        Assert.Equal(GroupState.Empty, harness.Group.State);
        JoinAnswer answer = harness.Joins[harness.Join(type: "connect", protocols: ["v1"])];
        Assert.Equal("connect", answer.ProtocolType);
        Assert.Equal(3, answer.Generation);
    }

    [Theory]
    [InlineData(5, ErrorCode.InvalidSessionTimeout)]
    [InlineData(6, ErrorCode.None)]
    [InlineData(1800, ErrorCode.None)]
    [InlineData(1801, ErrorCode.InvalidSessionTimeout)]
    public void Session_timeouts_have_bounds(int seconds, ErrorCode expected)
    {
        GroupHarness harness = new();
        Assert.Equal(expected, harness.Joins[harness.Join(session: seconds)].Error);
    }

    [Fact]
    public void An_unknown_member_id_is_refused_everywhere()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Joins[harness.Join("stranger")].Error);
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Syncs[harness.Sync("stranger", 1)].Error);
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Heartbeat("stranger", 1));
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Commit("stranger", 1));
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Commit("", -1));
        Assert.Equal([ErrorCode.UnknownMemberId], harness.Leave("stranger"));
        Assert.Equal(GroupState.Stable, harness.Group.State);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(0)]
    [InlineData(2)]
    public void A_member_of_another_generation_is_fenced(int generation)
    {
        GroupHarness harness = GroupHarness.Stable(1);
        Assert.Equal(ErrorCode.IllegalGeneration, harness.Heartbeat("m-1", generation));
        Assert.Equal(ErrorCode.IllegalGeneration, harness.Commit("m-1", generation));
        Assert.Equal(ErrorCode.IllegalGeneration, harness.Syncs[harness.Sync("m-1", generation)].Error);
    }

    [Fact]
    public void Sync_with_another_protocol_is_refused()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, harness.Syncs[harness.Sync("m-1", 1, type: "connect")].Error);
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, harness.Syncs[harness.Sync("m-1", 1, name: "sticky")].Error);
        Assert.Equal("for m-1", harness.AssignmentIn(harness.Sync("m-1", 1, type: "consumer", name: "range")));
    }

    [Fact]
    public void Commits_count_while_members_rejoin_but_not_before_they_have_their_partitions()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        int generation = harness.Group.Generation;
        Assert.Equal(ErrorCode.None, harness.Commit("m-2", generation));
        harness.Join("m-1");
        Assert.Equal(GroupState.PreparingRebalance, harness.Group.State);
        Assert.Equal(ErrorCode.None, harness.Commit("m-2", generation));
        harness.Join("m-2");
        Assert.Equal(GroupState.CompletingRebalance, harness.Group.State);
        Assert.Equal(ErrorCode.IllegalGeneration, harness.Commit("m-2", generation));
        Assert.Equal(ErrorCode.RebalanceInProgress, harness.Commit("m-2", generation + 1));
    }

    [Fact]
    public void Anyone_may_commit_to_an_empty_group_without_a_generation()
    {
        GroupHarness harness = new();
        Assert.Equal(ErrorCode.None, harness.Commit("", -1));
        harness = GroupHarness.Stable(1);
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Commit("", -1));
        harness.Leave("m-1");
        Assert.Equal(ErrorCode.None, harness.Commit("", -1));
    }

    [Fact]
    public void A_silent_member_is_taken_out_after_its_session_timeout()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        int generation = harness.Group.Generation;
        harness.Pass(6);
        Assert.Equal(ErrorCode.None, harness.Heartbeat("m-1", generation));
        harness.Pass(3.9);
        Assert.Equal(2, harness.Group.Members.Count);
        harness.Pass(0.2);
        Assert.Equal("m-1", Assert.Single(harness.Group.Members).MemberId);
        Assert.Equal(ErrorCode.RebalanceInProgress, harness.Heartbeat("m-1", generation));
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Heartbeat("m-2", generation));
    }

    [Fact]
    public void A_commit_shows_that_a_member_lives()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        for (int count = 0; count < 5; count++)
        {
            harness.Pass(8);
            Assert.Equal(ErrorCode.None, harness.Commit("m-1", 1));
        }

        Assert.Equal(GroupState.Stable, harness.Group.State);
    }

    [Fact]
    public void The_last_member_that_expires_leaves_an_empty_group_and_no_deadline()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        harness.Pass(10);
        Assert.Equal(GroupState.Empty, harness.Group.State);
        Assert.Equal(2, harness.Group.Generation);
        Assert.Empty(harness.Snapshots[^1].Members);
        Assert.Null(harness.Group.WakeAt);
    }

    [Fact]
    public void A_member_that_waits_for_us_does_not_expire()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        int generation = harness.Group.Generation;
        long waiting = harness.Join("m-1", session: 10, rebalance: 60);
        for (int count = 0; count < 5; count++)
        {
            harness.Pass(9);
            Assert.Equal(ErrorCode.RebalanceInProgress, harness.Heartbeat("m-2", generation));
        }

        Assert.False(harness.Joins.ContainsKey(waiting));
        harness.Join("m-2");
        Assert.Equal(2, harness.Joins[waiting].Members.Count);
    }

    [Fact]
    public void The_rebalance_timeout_ends_the_wait_for_members_that_only_send_heartbeats()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        int generation = harness.Group.Generation;
        long waiting = harness.Join("m-1", rebalance: 30);
        harness.Pass(9);
        harness.Heartbeat("m-2", generation);
        harness.Pass(9);
        harness.Heartbeat("m-2", generation);
        harness.Pass(9);
        harness.Heartbeat("m-2", generation);
        harness.Pass(9);
        harness.Heartbeat("m-2", generation);
        harness.Pass(9);
        harness.Heartbeat("m-2", generation);
        harness.Pass(9);
        harness.Heartbeat("m-2", generation);
        Assert.False(harness.Joins.ContainsKey(waiting));
        harness.Pass(6);

        // The longest rebalance timeout of all members counts: 60 s, of m-2.
        Assert.Equal("m-1", Assert.Single(harness.Joins[waiting].Members).MemberId);
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Heartbeat("m-2", generation));
    }

    [Fact]
    public void A_leader_that_does_not_rejoin_is_replaced()
    {
        GroupHarness harness = GroupHarness.Stable(3);
        long join = harness.Join("m-2", metadata: "new topics");
        harness.Join("m-3");
        harness.Pass(10);
        Assert.Equal("m-2", harness.Joins[join].Leader);
        Assert.Equal(["m-2", "m-3"], harness.Joins[join].Members.Select(member => member.MemberId));
    }

    [Fact]
    public void A_leader_that_leaves_is_replaced_at_once()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        Assert.Equal([ErrorCode.None], harness.Leave("m-1"));
        Assert.Equal("m-2", harness.Group.Leader);
        JoinAnswer answer = harness.Joins[harness.Join("m-2")];
        Assert.Equal("m-2", answer.Leader);
        Assert.Equal("m-2", Assert.Single(answer.Members).MemberId);
    }

    [Fact]
    public void A_member_that_never_asks_for_its_assignment_is_taken_out()
    {
        GroupHarness harness = new();
        harness.Join(rebalance: 20);
        harness.Join(rebalance: 20);
        harness.Join("m-1", rebalance: 20);
        int generation = harness.Group.Generation;
        long sync = harness.Sync("m-2", generation);
        harness.Pass(9);
        harness.Heartbeat("m-1", generation);
        harness.Pass(9);
        harness.Heartbeat("m-1", generation);
        harness.Pass(3);

        Assert.Equal(ErrorCode.RebalanceInProgress, harness.Syncs[sync].Error);
        Assert.Equal("m-2", Assert.Single(harness.Group.Members).MemberId);
        Assert.Contains(harness.Notes, noted => noted is { Note: GroupNote.MemberDidNotSync, Subject: "m-1" });
    }

    [Fact]
    public void A_follower_that_never_syncs_in_a_stable_group_is_taken_out_too()
    {
        GroupHarness harness = new();
        harness.Join(rebalance: 20);
        harness.Join(rebalance: 20);
        harness.Join("m-1", rebalance: 20);
        int generation = harness.Group.Generation;
        harness.Sync("m-1", generation, assignments: [("m-1", "a"), ("m-2", "b")]);
        Assert.Equal(GroupState.Stable, harness.Group.State);
        for (int count = 0; count < 3; count++)
        {
            harness.Pass(7);
            harness.Heartbeat("m-1", generation);
            harness.Heartbeat("m-2", generation);
        }

        Assert.Equal("m-1", Assert.Single(harness.Group.Members).MemberId);
        Assert.Equal(GroupState.PreparingRebalance, harness.Group.State);
    }

    [Fact]
    public void A_follower_that_rejoins_unchanged_gets_the_current_generation()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        JoinAnswer answer = harness.Joins[harness.Join("m-2")];
        Assert.Equal(harness.Group.Generation, answer.Generation);
        Assert.Empty(answer.Members);
        Assert.Equal(GroupState.Stable, harness.Group.State);
        Assert.Equal("for m-2", harness.AssignmentIn(harness.Sync("m-2", answer.Generation)));
    }

    [Fact]
    public void A_follower_that_rejoins_with_other_metadata_starts_a_rebalance()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        harness.Join("m-2", metadata: "another topic");
        Assert.Equal(GroupState.PreparingRebalance, harness.Group.State);
    }

    [Fact]
    public void A_leader_that_rejoins_unchanged_starts_a_rebalance()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        harness.Join("m-1");
        Assert.Equal(GroupState.PreparingRebalance, harness.Group.State);
    }

    [Fact]
    public void A_lost_join_answer_can_be_asked_for_again()
    {
        GroupHarness harness = new();
        harness.Join();
        JoinAnswer again = harness.Joins[harness.Join("m-1")];
        Assert.Equal(1, again.Generation);
        Assert.Single(again.Members);
        Assert.Equal(GroupState.CompletingRebalance, harness.Group.State);
    }

    [Fact]
    public void A_join_that_is_sent_again_takes_the_place_of_the_first()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        long first = harness.Join("m-1");
        long second = harness.Join("m-1");
        Assert.Equal(ErrorCode.RebalanceInProgress, harness.Joins[first].Error);
        Assert.Equal("m-1", harness.Joins[first].MemberId);
        harness.Join("m-2");
        Assert.Equal(ErrorCode.None, harness.Joins[second].Error);
    }

    [Fact]
    public void Several_members_leave_in_one_request()
    {
        GroupHarness harness = GroupHarness.Stable(3);
        Assert.Equal([ErrorCode.None, ErrorCode.UnknownMemberId, ErrorCode.None], harness.Leave("m-3", "stranger", "m-1"));
        Assert.Equal("m-2", Assert.Single(harness.Group.Members).MemberId);
        Assert.Equal(ErrorCode.RebalanceInProgress, harness.Heartbeat("m-2", harness.Group.Generation));
    }

    [Fact]
    public void A_member_that_leaves_while_its_join_waits_is_answered()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        long waiting = harness.Join("m-1");
        harness.Leave("m-1");
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Joins[waiting].Error);
        Assert.Single(harness.Joins[harness.Join("m-2")].Members);
    }

    [Fact]
    public void A_full_group_refuses_new_members_and_keeps_its_own()
    {
        GroupHarness harness = GroupHarness.Stable(2, new GroupSettings { MaxSize = 2 });
        Assert.Equal(ErrorCode.GroupMaxSizeReached, harness.Joins[harness.Join()].Error);
        Assert.Equal(GroupState.Stable, harness.Group.State);
        long first = harness.Join("m-1");
        harness.Join("m-2");
        Assert.Equal(2, harness.Joins[first].Members.Count);
    }

    [Fact]
    public void The_last_to_rejoin_a_group_that_is_full_by_newcomers_is_turned_away()
    {
        GroupHarness harness = GroupHarness.Stable(2, new GroupSettings { MaxSize = 2 });
        long first = harness.Join("m-1");
        harness.Join();
        JoinAnswer late = harness.Joins[harness.Join("m-2")];
        Assert.Equal(ErrorCode.GroupMaxSizeReached, late.Error);
        Assert.Equal(["m-1", "m-3"], harness.Joins[first].Members.Select(member => member.MemberId));
    }

    [Fact]
    public void The_initial_delay_gathers_members_into_the_first_generation()
    {
        GroupHarness harness = new(new GroupSettings { InitialRebalanceDelay = TimeSpan.FromSeconds(3) });
        long first = harness.Join();
        harness.Pass(2);
        harness.Join();
        harness.Pass(2);
        Assert.False(harness.Joins.ContainsKey(first));
        harness.Pass(2);
        Assert.Equal(2, harness.Joins[first].Members.Count);
        Assert.Equal(1, harness.Group.Generation);
    }

    [Fact]
    public void The_initial_delay_ends_with_the_rebalance_timeout_even_if_members_keep_coming()
    {
        GroupHarness harness = new(new GroupSettings { InitialRebalanceDelay = TimeSpan.FromSeconds(3) });
        long first = harness.Join(rebalance: 7);
        for (int second = 0; second < 6; second++)
        {
            harness.Pass(1);
            harness.Join(rebalance: 7);
        }

        Assert.False(harness.Joins.ContainsKey(first));
        harness.Pass(1);
        Assert.Equal(7, harness.Joins[first].Members.Count);
    }

    [Fact]
    public void A_new_member_whose_join_waits_too_long_is_told_to_start_over()
    {
        GroupHarness harness = GroupHarness.Stable(1);
        harness.Join("m-1", rebalance: 1000);
        harness.Join(requiresId: true, session: 1000);
        long waiting = harness.Join(rebalance: 1000);
        harness.Pass(299);
        Assert.False(harness.Joins.ContainsKey(waiting));
        harness.Pass(2);
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Joins[waiting].Error);
        Assert.Equal("", harness.Joins[waiting].MemberId);
    }

    [Fact]
    public void After_a_restart_members_go_on_without_a_rebalance()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        int generation = harness.Group.Generation;
        harness.Restart();
        Assert.Equal(GroupState.Stable, harness.Group.State);
        harness.Pass(9);
        Assert.Equal(ErrorCode.None, harness.Heartbeat("m-1", generation));
        Assert.Equal(ErrorCode.None, harness.Commit("m-2", generation));
        Assert.Equal("for m-2", harness.AssignmentIn(harness.Sync("m-2", generation)));
        Assert.Equal(generation, harness.Joins[harness.Join("m-2")].Generation);
        Assert.Equal("m-1", harness.Group.Leader);
    }

    [Fact]
    public void After_a_restart_members_that_are_not_heard_of_expire()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        harness.Pass(9);
        harness.Restart();
        harness.Pass(9.9);
        Assert.Equal(2, harness.Group.Members.Count);
        harness.Pass(0.2);
        Assert.Equal(GroupState.Empty, harness.Group.State);
    }

    [Fact]
    public void After_a_restart_members_of_the_broker_s_own_process_are_gone_at_once()
    {
        GroupHarness harness = new();
        harness.Join(host: ConnectionIdentity.InMemoryHost);
        harness.SyncAll(1);
        harness.Restart();
        harness.Pass(0);
        Assert.Equal(GroupState.Empty, harness.Group.State);
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Heartbeat("m-1", 1));
    }

    [Fact]
    public void A_dead_group_answers_whoever_waits_and_refuses_the_rest()
    {
        GroupHarness harness = GroupHarness.Stable(2);
        long waiting = harness.Join("m-1");
        harness.Kill();
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, harness.Joins[waiting].Error);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, harness.Joins[harness.Join()].Error);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, harness.Syncs[harness.Sync("m-1", 1)].Error);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, harness.Heartbeat("m-1", 1));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, harness.Commit("m-1", 1));
        Assert.Equal([ErrorCode.CoordinatorNotAvailable], harness.Leave("m-1"));
        Assert.Null(harness.Group.WakeAt);
    }
}
