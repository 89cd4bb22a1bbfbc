using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

/// <summary>Static members (KIP-345, KIP-814) in the state machine.</summary>
public sealed class StaticMembersTests
{
    [Fact]
    public void A_static_member_needs_no_id_to_come_back_with()
    {
        GroupHarness harness = new();
        JoinAnswer answer = harness.Joins[harness.Join(instance: "east", requiresId: true)];
        Assert.Equal((ErrorCode.None, "east-1"), (answer.Error, answer.MemberId));
        Assert.Equal(("east-1", "east"), (answer.Members[0].MemberId, answer.Members[0].InstanceId));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_follower_that_comes_back_keeps_its_assignment_without_a_rebalance(bool canSkip)
    {
        GroupHarness harness = StableTwo();
        JoinAnswer back = harness.Joins[harness.Join(instance: "west", canSkip: canSkip)];

        Assert.Equal((ErrorCode.None, "west-3", 2, "east-1", false), (back.Error, back.MemberId, back.Generation, back.Leader, back.SkipAssignment));
        Assert.Empty(back.Members);
        Assert.Equal(GroupState.Stable, harness.Group.State);
        Assert.Equal("for west", harness.AssignmentIn(harness.Sync("west-3", 2, instance: "west")));
        Assert.Equal(ErrorCode.None, harness.Heartbeat("east-1", 2, "east"));
        Assert.Equal("west-3", harness.Snapshots[^1].Members[1].MemberId);
        Assert.Equal("west", harness.Snapshots[^1].Members[1].InstanceId);
    }

    [Fact]
    public void A_leader_that_comes_back_is_told_to_leave_the_assignment_as_it_is()
    {
        GroupHarness harness = StableTwo();
        JoinAnswer back = harness.Joins[harness.Join(instance: "east", canSkip: true)];
        Assert.Equal(("east-3", "east-3", true, 2), (back.MemberId, back.Leader, back.SkipAssignment, back.Members.Count));
        Assert.Equal("for east", harness.AssignmentIn(harness.Sync("east-3", 2)));
    }

    [Fact]
    public void A_leader_that_cannot_be_told_so_does_not_learn_that_it_leads()
    {
        GroupHarness harness = StableTwo();
        JoinAnswer back = harness.Joins[harness.Join(instance: "east")];
        Assert.Equal(("east-3", "east-1", false, 0), (back.MemberId, back.Leader, back.SkipAssignment, back.Members.Count));
        Assert.Equal("east-3", harness.Group.Leader);
        Assert.Equal("for east", harness.AssignmentIn(harness.Sync("east-3", 2)));
    }

    [Fact]
    public void The_old_member_is_fenced_in_every_request()
    {
        GroupHarness harness = StableTwo();
        harness.Join(instance: "west");
        Assert.Equal(ErrorCode.FencedInstanceId, harness.Heartbeat("west-2", 2, "west"));
        Assert.Equal(ErrorCode.FencedInstanceId, harness.Commit("west-2", 2, "west"));
        Assert.Equal(ErrorCode.FencedInstanceId, harness.Syncs[harness.Sync("west-2", 2, instance: "west")].Error);
        Assert.Equal(ErrorCode.FencedInstanceId, harness.Joins[harness.Join("west-2", instance: "west")].Error);
        Assert.Equal([ErrorCode.FencedInstanceId], harness.Leave(new MemberName("west-2", "west")));

        // Without its name it is a stranger.
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Heartbeat("west-2", 2));
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Heartbeat("north-9", 2, "north"));
        Assert.Equal(ErrorCode.None, harness.Heartbeat("west-3", 2, "west"));
    }

    [Fact]
    public void A_new_id_does_not_leave_before_it_is_on_the_disk()
    {
        GroupHarness harness = StableTwo();
        harness.PersistsAtOnce = false;
        long back = harness.Join(instance: "west");
        Assert.False(harness.Joins.ContainsKey(back));
        harness.PersistedLast();
        Assert.Equal("west-3", harness.Joins[back].MemberId);
    }

    [Fact]
    public void A_place_whose_new_id_cannot_be_written_is_given_back()
    {
        GroupHarness harness = StableTwo();
        harness.PersistsAtOnce = false;
        long back = harness.Join(instance: "east");
        harness.PersistedLast(ErrorCode.CoordinatorNotAvailable);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, harness.Joins[back].Error);
        Assert.Equal(ErrorCode.None, harness.Heartbeat("east-1", 2, "east"));
        Assert.Equal("east-1", harness.Group.Leader);
        harness.Pass(11);
        Assert.Empty(harness.Group.Members);
    }

    [Fact]
    public void Of_two_that_take_the_same_place_the_last_one_has_it()
    {
        GroupHarness harness = StableTwo();
        harness.PersistsAtOnce = false;
        long first = harness.Join(instance: "west");
        long second = harness.Join(instance: "west");
        Assert.Equal(ErrorCode.FencedInstanceId, harness.Joins[first].Error);
        harness.PersistedLast();
        Assert.Equal("west-4", harness.Joins[second].MemberId);
    }

    [Fact]
    public void A_place_taken_while_a_rebalance_begins_is_part_of_the_next_generation()
    {
        GroupHarness harness = StableTwo();
        harness.PersistsAtOnce = false;
        long back = harness.Join(instance: "west");
        harness.Join();
        harness.PersistedLast();
        Assert.False(harness.Joins.ContainsKey(back));
        harness.Join("east-1", instance: "east");
        Assert.Equal(("west-3", 3), (harness.Joins[back].MemberId, harness.Joins[back].Generation));
    }

    [Fact]
    public void A_member_that_comes_back_with_another_protocol_starts_a_rebalance()
    {
        GroupHarness harness = new();
        harness.Join(instance: "east", protocols: ["range", "sticky"]);
        harness.Sync("east-1", 1, assignments: [("east-1", "all")]);
        long back = harness.Join(instance: "east", protocols: ["sticky"]);
        Assert.Equal((2, "sticky", "east-2"), (harness.Joins[back].Generation, harness.Joins[back].ProtocolName, harness.Joins[back].Leader));
    }

    [Fact]
    public void A_member_that_comes_back_before_the_assignment_starts_a_rebalance()
    {
        GroupHarness harness = StableTwo(syncs: false);
        Assert.Equal(GroupState.CompletingRebalance, harness.Group.State);
        long back = harness.Join(instance: "west");
        Assert.False(harness.Joins.ContainsKey(back));
        harness.Join("east-1", instance: "east");
        Assert.Equal(3, harness.Joins[back].Generation);
    }

    [Fact]
    public void A_waiting_request_of_the_old_member_is_fenced_at_once()
    {
        GroupHarness harness = StableTwo();
        long waiting = harness.Join("west-2", metadata: "other", instance: "west");
        Assert.Equal(GroupState.PreparingRebalance, harness.Group.State);
        long back = harness.Join(instance: "west");
        Assert.Equal((ErrorCode.FencedInstanceId, "west-2"), (harness.Joins[waiting].Error, harness.Joins[waiting].MemberId));
        harness.Join("east-1", instance: "east");
        Assert.Equal((3, "west-3"), (harness.Joins[back].Generation, harness.Joins[back].MemberId));
    }

    [Fact]
    public void A_member_that_is_away_keeps_its_place_through_a_rebalance_until_its_session_ends()
    {
        GroupHarness harness = StableTwo(session: 100, rebalance: 20);
        long newcomer = harness.Join(session: 100, rebalance: 20);
        harness.Join("east-1", session: 100, rebalance: 20, instance: "east");
        harness.Pass(21);

        // The rebalance timeout is over: the generation forms, with west in it.
        Assert.Equal(3, harness.Joins[newcomer].Generation);
        Assert.Equal(3, harness.Group.Members.Count);
        harness.Sync("east-1", 3, assignments: [("east-1", "a"), ("west-2", "kept"), ("m-3", "c")]);
        harness.Sync("m-3", 3);
        Assert.Equal(GroupState.Stable, harness.Group.State);

        JoinAnswer back = harness.Joins[harness.Join(session: 100, rebalance: 20, instance: "west")];
        Assert.Equal("kept", harness.AssignmentIn(harness.Sync(back.MemberId, 3)));
        harness.Pass(101);
        Assert.DoesNotContain(harness.Group.Members, member => member.InstanceId == "west");
    }

    [Fact]
    public void Where_only_members_that_are_away_are_left_the_join_phase_waits_for_one_of_them()
    {
        GroupHarness harness = StableTwo(session: 100, rebalance: 20);
        long newcomer = harness.Join(session: 10, rebalance: 20);
        harness.Leave("m-3");
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Joins[newcomer].Error);
        harness.Pass(50);
        Assert.Equal((GroupState.PreparingRebalance, 2), (harness.Group.State, harness.Group.Generation));
        long back = harness.Join(session: 100, rebalance: 20, instance: "west");
        harness.Pass(21);
        Assert.Equal((3, "west-4"), (harness.Joins[back].Generation, harness.Joins[back].Leader));
        Assert.Equal(2, harness.Joins[back].Members.Count);
    }

    [Fact]
    public void An_operator_takes_static_members_out_by_their_names()
    {
        GroupHarness harness = StableTwo();
        Assert.Equal([ErrorCode.None, ErrorCode.UnknownMemberId], harness.Leave(new MemberName("", "west"), new MemberName("", "north")));
        Assert.Equal(GroupState.PreparingRebalance, harness.Group.State);
        Assert.Equal(ErrorCode.UnknownMemberId, harness.Heartbeat("west-2", 2, "west"));
    }

    [Fact]
    public void A_static_member_is_known_by_its_name_after_a_restart()
    {
        GroupHarness harness = StableTwo(host: ConnectionIdentity.InMemoryHost);
        harness.Restart();
        Assert.Equal(ErrorCode.None, harness.Heartbeat("east-1", 2, "east"));
        Assert.Equal(ErrorCode.FencedInstanceId, harness.Heartbeat("west-9", 2, "west"));
        JoinAnswer back = harness.Joins[harness.Join(instance: "west")];
        Assert.Equal((ErrorCode.None, 2), (back.Error, back.Generation));
        Assert.Equal("for west", harness.AssignmentIn(harness.Sync(back.MemberId, 2)));
    }

    [Fact]
    public void A_full_group_takes_back_its_own_static_members_only()
    {
        GroupHarness harness = StableTwo(settings: new GroupSettings { MaxSize = 2 });
        Assert.Equal(ErrorCode.None, harness.Joins[harness.Join(instance: "west")].Error);
        Assert.Equal(ErrorCode.GroupMaxSizeReached, harness.Joins[harness.Join(instance: "north")].Error);
    }

    /// <summary>east-1, who leads, and west-2, in generation 2.</summary>
    private static GroupHarness StableTwo(
        bool syncs = true, int session = 10, int rebalance = 60, string host = "", GroupSettings? settings = null)
    {
        GroupHarness harness = new(settings);
        harness.Join(session: session, rebalance: rebalance, host: host, instance: "east");
        harness.Join(session: session, rebalance: rebalance, host: host, instance: "west");
        harness.Join("east-1", session: session, rebalance: rebalance, host: host, instance: "east");
        Assert.Equal(2, harness.Group.Generation);
        if (syncs)
        {
            harness.Sync("west-2", 2, instance: "west");
            harness.Sync("east-1", 2, instance: "east", assignments: [("east-1", "for east"), ("west-2", "for west")]);
            Assert.Equal(GroupState.Stable, harness.Group.State);
        }

        return harness;
    }
}
