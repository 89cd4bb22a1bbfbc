using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

public sealed class ConsumerMembershipTests
{
    private readonly MembershipHarness _harness = New();

    [Fact]
    public void A_member_enters_with_all_that_it_is_and_hears_of_its_partitions()
    {
        _harness.Describe(("t", 2));
        _harness.Member.Subscribe(["t"]);
        _harness.Run();
        ConsumerGroupHeartbeatRequest request = Pending();
        Assert.Equal(("me", 0, "uniform", 300_000), (request.MemberId, request.MemberEpoch, request.ServerAssignor, request.RebalanceTimeoutMilliseconds));
        Assert.Equal(["t"], request.SubscribedTopicNames!);
        Assert.Empty(request.TopicPartitions!);
        Answer(3, "t-0", "t-1");
        Assert.Equal(["Assigned t-0,t-1"], _harness.Heard);
        Assert.Equal(new ConsumerGroupMetadata("billing", 3, "me"), _harness.Member.Current);

        // What it has taken over is told at once, and nothing else; later heartbeats say nothing at all.
        Assert.Equal(("t-0,t-1", true, -1), (Owned(Pending()), Pending().SubscribedTopicNames is null, Pending().RebalanceTimeoutMilliseconds));
        Answer(3);
        Assert.Empty(_harness.Calls);
        _harness.Wait(TimeSpan.FromSeconds(5));
        Assert.Equal((3, true), (Pending().MemberEpoch, Pending().TopicPartitions is null));
    }

    [Fact]
    public void A_member_that_gets_nothing_hears_so()
    {
        _harness.Member.Subscribe(["t"]);
        _harness.Run();
        Answer(1);
        Assert.Equal(["Assigned"], _harness.Heard);
    }

    [Fact]
    public void It_lets_go_first_and_says_so_with_what_it_has_taken_instead()
    {
        Enter("t-0", "t-1", "t-2");
        _harness.Wait(TimeSpan.FromSeconds(5));
        Answer(4, "t-0", "t-7");
        Assert.Equal(["Revoked t-1,t-2"], _harness.Heard);
        Assert.Equal(4, _harness.Member.Current.GenerationId);

        // The coordinator is told only when the application is done; heartbeats go on meanwhile.
        _harness.Wait(TimeSpan.FromSeconds(5));
        Assert.Null(Pending().TopicPartitions);
        Answer(4);
        _harness.EndNotice();
        Assert.Equal(["Revoked t-1,t-2", "Assigned t-7"], _harness.Heard);
        Assert.Equal("t-0,t-7", Owned(Pending()));
    }

    [Fact]
    public void A_newer_assignment_that_comes_while_it_lets_go_counts()
    {
        Enter("t-0", "t-1");
        _harness.Wait(TimeSpan.FromSeconds(5));
        Answer(4, "t-0");
        _harness.Wait(TimeSpan.FromSeconds(5));
        Answer(5, "t-0", "t-1", "t-2");
        _harness.EndNotice();

        // What it has let go of comes back as new.
        Assert.Equal(["Revoked t-1", "Assigned t-1,t-2"], _harness.Heard);
    }

    [Theory]
    [InlineData(ErrorCode.UnknownMemberId)]
    [InlineData(ErrorCode.FencedMemberEpoch)]
    public void A_member_that_is_fenced_has_lost_everything_and_enters_again_under_its_id(ErrorCode error)
    {
        Enter("t-0");
        _harness.Wait(TimeSpan.FromSeconds(5));
        Refuse(error);
        Assert.Equal(["Lost t-0"], _harness.Heard);

        // Kept, for the coordinator to refuse; one that is not named it would not.
        Assert.Equal((3, "me", false), (_harness.Member.Current.GenerationId, _harness.Member.Current.MemberId, _harness.Member.IsInForce));
        _harness.EndNotice();
        _harness.Wait(TimeSpan.FromSeconds(2));
        Assert.Equal(("me", 0, 0), (Pending().MemberId, Pending().MemberEpoch, Pending().TopicPartitions!.Count));
    }

    [Theory]
    [InlineData(ErrorCode.UnsupportedVersion)]
    [InlineData(ErrorCode.UnsupportedAssignor)]
    [InlineData(ErrorCode.GroupIdNotFound)]
    [InlineData(ErrorCode.InconsistentGroupProtocol)]
    public void A_coordinator_that_refuses_the_protocol_is_believed(ErrorCode error)
    {
        _harness.Member.Subscribe(["t"]);
        _harness.Run();
        Refuse(error);
        Assert.Equal(MembershipEnd.NotOffered, _harness.Member.End);
        Assert.Empty(_harness.Refusals);
    }

    [Fact]
    public void A_coordinator_that_does_not_know_the_protocol_any_more_takes_the_partitions_first()
    {
        Enter("t-0");
        _harness.Wait(TimeSpan.FromSeconds(5));
        _harness.Fail<ConsumerGroupHeartbeatRequest>(new KafkaVersionException("downgraded"));
        Assert.Equal((MembershipEnd.NotOffered, false), (_harness.Member.End, _harness.Member.IsOver));
        Assert.Equal(["Lost t-0"], _harness.Heard);
        _harness.EndNotice();
        Assert.True(_harness.Member.IsOver);
    }

    [Fact]
    public void After_a_failure_it_says_everything_again()
    {
        Enter("t-0");
        _harness.Wait(TimeSpan.FromSeconds(5));
        _harness.Fail<ConsumerGroupHeartbeatRequest>(new KafkaConnectionException("cut"));
        Assert.Empty(_harness.Calls);
        _harness.Wait(TimeSpan.FromSeconds(1));
        Assert.Equal((3, "t-0", "uniform"), (Pending().MemberEpoch, Owned(Pending()), Pending().ServerAssignor));
        Assert.Empty(_harness.Heard);
    }

    [Fact]
    public void Without_an_answer_for_a_session_it_counts_itself_as_lost()
    {
        Enter("t-0");
        _harness.Wait(TimeSpan.FromSeconds(45));
        Assert.Empty(_harness.Heard);
        _harness.Wait(TimeSpan.FromMilliseconds(1));
        Assert.Equal(["Lost t-0"], _harness.Heard);
    }

    [Fact]
    public void Topics_that_are_not_known_by_id_are_looked_up_and_the_others_do_not_wait()
    {
        _harness.Describe(("t", 2));
        _harness.Member.Subscribe(["t", "u"]);
        _harness.Run();
        Answer(1, "t-0", "u-3");
        Assert.Equal(["Assigned t-0"], _harness.Heard);
        Assert.Equal([MembershipHarness.IdOf("u")], _harness.TopicIdsToFind!);
        _harness.EndNotice();
        _harness.Describe(("t", 2), ("u", 4));
        Assert.Equal("Assigned u-3", _harness.Heard[^1]);
    }

    [Fact]
    public void New_topics_are_told_at_once()
    {
        Enter("t-0");
        _harness.Member.Subscribe(["t", "u"]);
        _harness.Run();
        Assert.Equal(["t", "u"], Pending().SubscribedTopicNames!);
        Answer(4);
        _harness.Wait(TimeSpan.FromSeconds(5));
        Assert.Null(Pending().SubscribedTopicNames);
    }

    [Fact]
    public void New_topics_are_in_place_when_the_coordinator_has_heard_of_them_though_the_share_stays()
    {
        Enter("t-0");
        Assert.True(_harness.Member.IsInPlace);
        _harness.Member.Subscribe(["t"]);
        Assert.True(_harness.Member.IsInPlace);
        _harness.Member.Subscribe(["t", "u"]);
        _harness.Run();
        Assert.False(_harness.Member.IsInPlace);

        // Changed once more before the answer to the heartbeat that names the first two.
        _harness.Member.Subscribe(["t", "u", "v"]);
        Answer(4);
        Assert.False(_harness.Member.IsInPlace);
        Answer(4);
        Assert.True(_harness.Member.IsInPlace);
        Assert.Empty(_harness.Heard);
    }

    [Theory]
    [InlineData(null, -1)]
    [InlineData("worker-7", -2)]
    public void It_leaves_when_the_application_has_let_go_and_a_static_one_for_a_while_only(string? instanceId, int epoch)
    {
        MembershipHarness harness = New(instanceId);
        Enter(harness, "t-0");
        harness.Wait(TimeSpan.FromSeconds(5));
        harness.Member.Close();
        harness.Run();
        Assert.Equal(["Revoked t-0"], harness.Heard);

        // The answer to a heartbeat from before is not the end.
        harness.Answer<ConsumerGroupHeartbeatRequest>(new ConsumerGroupHeartbeatResponse { MemberEpoch = 3, HeartbeatIntervalMilliseconds = 5000 });
        harness.EndNotice();
        Assert.Equal((epoch, instanceId), (harness.Pending<ConsumerGroupHeartbeatRequest>().MemberEpoch, harness.Pending<ConsumerGroupHeartbeatRequest>().InstanceId));
        Assert.False(harness.Member.IsOver);
        harness.Answer<ConsumerGroupHeartbeatRequest>(new ConsumerGroupHeartbeatResponse { MemberEpoch = epoch });
        Assert.True(harness.Member.IsOver);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_member_that_closes_while_its_join_is_on_its_way_leaves_once_that_is_over(bool isAnswered)
    {
        _harness.Describe(("t", 2));
        _harness.Member.Subscribe(["t"]);
        _harness.Run();
        _harness.Member.Close();
        _harness.Run();
        Assert.Equal((0, false), (Pending().MemberEpoch, _harness.Member.IsOver));
        if (isAnswered)
        {
            Answer(3, "t-0");
        }
        else
        {
            _harness.Fail<ConsumerGroupHeartbeatRequest>(new KafkaConnectionException("cut"));
        }

        Assert.Equal(("me", -1, false), (Pending().MemberId, Pending().MemberEpoch, _harness.Member.IsOver));
        Answer(-1);
        Assert.True(_harness.Member.IsOver);
        Assert.Empty(_harness.Heard);
    }

    [Theory]
    [InlineData(null, -1)]
    [InlineData("worker-7", -2)]
    public void A_member_that_closes_after_the_answer_to_its_join_was_lost_leaves(string? instanceId, int epoch)
    {
        MembershipHarness harness = New(instanceId);
        harness.Member.Subscribe(["t"]);
        harness.Run();
        harness.Fail<ConsumerGroupHeartbeatRequest>(new KafkaTimeoutException("lost"));
        harness.Member.Close();
        harness.Run();
        ConsumerGroupHeartbeatRequest leave = harness.Pending<ConsumerGroupHeartbeatRequest>();
        Assert.Equal(("me", epoch), (leave.MemberId, leave.MemberEpoch));

        // Not even that gets through: its session ends.
        harness.Fail<ConsumerGroupHeartbeatRequest>(new KafkaTimeoutException("lost"));
        Assert.True(harness.Member.IsOver);
    }

    [Fact]
    public void A_member_that_the_coordinator_cannot_know_closes_without_a_word()
    {
        MembershipHarness unsubscribed = New();
        unsubscribed.Member.Close();
        unsubscribed.Run();
        Assert.True(unsubscribed.Member.IsOver);

        CloseRefused(ErrorCode.UnknownMemberId);
        Assert.Empty(_harness.Calls);
        Assert.True(_harness.Member.IsOver);
    }

    [Fact]
    public void A_member_that_closes_when_its_epoch_was_fenced_leaves_since_the_coordinator_still_has_it()
    {
        CloseRefused(ErrorCode.FencedMemberEpoch);
        Assert.Equal(("me", -1), (Pending().MemberId, Pending().MemberEpoch));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_member_whose_application_goes_away_while_its_join_is_on_its_way_leaves_once_that_is_over(bool isAnswered)
    {
        _harness.Describe(("t", 2));
        _harness.Member.Subscribe(["t"]);
        _harness.Run();
        _harness.Member.GoAway("gone");
        _harness.Run();
        Assert.Equal(0, Pending().MemberEpoch);
        if (isAnswered)
        {
            Answer(3, "t-0");
        }
        else
        {
            _harness.Fail<ConsumerGroupHeartbeatRequest>(new KafkaConnectionException("cut"));
        }

        Assert.Equal(("me", -1), (Pending().MemberId, Pending().MemberEpoch));
        _harness.Take<ConsumerGroupHeartbeatRequest>();
        Assert.Empty(_harness.Heard);
        _harness.Wait(TimeSpan.FromHours(1));
        Assert.Empty(_harness.Calls);
        _harness.Member.Return();
        _harness.Run();
        Assert.Equal((0, "me-2"), (Pending().MemberEpoch, Pending().MemberId));
    }

    [Fact]
    public void A_member_whose_application_is_back_before_its_join_is_answered_stays()
    {
        _harness.Describe(("t", 2));
        _harness.Member.Subscribe(["t"]);
        _harness.Run();
        _harness.Member.GoAway("gone");
        _harness.Run();
        _harness.Member.Return();
        _harness.Run();
        Answer(3, "t-0");
        Assert.Equal(["Assigned t-0"], _harness.Heard);
        Assert.Equal((3, "me"), (Pending().MemberEpoch, Pending().MemberId));
    }

    [Fact]
    public void A_static_member_waits_for_its_place_and_ends_when_another_takes_it()
    {
        MembershipHarness harness = New("worker-7");
        harness.Member.Subscribe(["t"]);
        harness.Run();
        harness.Answer<ConsumerGroupHeartbeatRequest>(new ConsumerGroupHeartbeatResponse { ErrorCode = ErrorCode.UnreleasedInstanceId });
        Assert.Single(harness.Refusals);
        harness.Wait(TimeSpan.FromSeconds(2));
        harness.Answer<ConsumerGroupHeartbeatRequest>(new ConsumerGroupHeartbeatResponse { ErrorCode = ErrorCode.FencedInstanceId });
        Assert.Equal(MembershipEnd.Fenced, harness.Member.End);
        Assert.IsType<KafkaInstanceFencedException>(harness.Member.Fault);
    }

    [Fact]
    public void A_member_whose_application_is_away_leaves_and_enters_again_when_it_is_back()
    {
        Enter("t-0");
        _harness.Member.GoAway("gone");
        _harness.Run();
        Assert.Equal(["Lost t-0"], _harness.Heard);
        Assert.Equal(-1, Pending().MemberEpoch);
        _harness.Take<ConsumerGroupHeartbeatRequest>();
        _harness.EndNotice();
        _harness.Wait(TimeSpan.FromHours(1));
        Assert.Empty(_harness.Calls);
        _harness.Member.Return();
        _harness.Run();
        Assert.Equal((0, "me-2"), (Pending().MemberEpoch, Pending().MemberId));
    }

    [Fact]
    public void A_static_member_that_comes_back_waits_for_its_own_place_as_long_as_a_session_before_that_is_told()
    {
        MembershipHarness harness = New("worker-7");
        Enter(harness, "t-0");
        harness.Wait(harness.Settings.SessionTimeout + TimeSpan.FromSeconds(1));
        Assert.Contains(harness.TakeCalls(), static call => call.Request is ConsumerGroupHeartbeatRequest { MemberId: "me", MemberEpoch: -2 });
        harness.EndNotice();
        TimeSpan free = harness.Now + harness.Settings.SessionTimeout;
        while (harness.Now < free)
        {
            Assert.Empty(harness.Refusals);
            Assert.Equal("me-2", harness.Pending<ConsumerGroupHeartbeatRequest>().MemberId);
            harness.Answer<ConsumerGroupHeartbeatRequest>(new ConsumerGroupHeartbeatResponse { ErrorCode = ErrorCode.UnreleasedInstanceId });
            harness.Wait(TimeSpan.FromSeconds(2));
        }

        harness.Answer<ConsumerGroupHeartbeatRequest>(new ConsumerGroupHeartbeatResponse { ErrorCode = ErrorCode.UnreleasedInstanceId });
        Assert.Single(harness.Refusals);
    }

    [Fact]
    public void A_session_without_an_answer_ends_the_membership_and_the_member_comes_back_as_another_one()
    {
        Enter("t-0");
        _harness.Wait(_harness.Settings.SessionTimeout + TimeSpan.FromSeconds(1));
        Assert.Equal(["Lost t-0"], _harness.Heard);
        Assert.Contains(_harness.TakeCalls(), static call => call.Request is ConsumerGroupHeartbeatRequest { MemberId: "me", MemberEpoch: -1 });
        _harness.EndNotice();
        Assert.Equal((0, "me-2"), (Pending().MemberEpoch, Pending().MemberId));
    }

    [Fact]
    public void A_session_lasts_for_three_of_the_heartbeats_that_the_coordinator_wants_at_least()
    {
        // As it may be set for the classic protocol. The coordinator wants a heartbeat every 5 s.
        var harness = new MembershipHarness(
            new ConsumerOptions { GroupProtocol = GroupProtocol.Consumer, SessionTimeout = TimeSpan.FromSeconds(4), HeartbeatInterval = TimeSpan.FromSeconds(1) }, memberId: "me");
        Enter(harness, "t-0");
        for (int i = 0; i < 3; i++)
        {
            harness.Wait(harness.WakeAt!.Value - harness.Now);
            harness.Answer<ConsumerGroupHeartbeatRequest>(ResponseOf(3));
        }

        Assert.Empty(harness.Heard);
        harness.Wait(TimeSpan.FromSeconds(14));
        Assert.Empty(harness.Heard);
        harness.Wait(TimeSpan.FromSeconds(2));
        Assert.Equal(["Lost t-0"], harness.Heard);
    }

    private static MembershipHarness New(string? instanceId = null) => new(
        new ConsumerOptions { GroupProtocol = GroupProtocol.Consumer, GroupRemoteAssignor = "uniform", GroupInstanceId = instanceId }, memberId: "me");

    private static void Enter(MembershipHarness harness, params string[] partitions)
    {
        harness.Describe(("t", 9));
        harness.Member.Subscribe(["t"]);
        harness.Run();
        harness.Answer<ConsumerGroupHeartbeatRequest>(ResponseOf(3, partitions));
        harness.EndNotices();
        harness.Answer<ConsumerGroupHeartbeatRequest>(ResponseOf(3));
        harness.Heard.Clear();
    }

    private static ConsumerGroupHeartbeatResponse ResponseOf(int epoch, params string[] partitions) => new()
    {
        MemberEpoch = epoch,
        MemberId = "me",
        HeartbeatIntervalMilliseconds = 5000,
        Assignment = partitions.Length == 0 ? null : new ConsumerGroupAssignment
        {
            TopicPartitions = [.. partitions.Select(MembershipHarness.Partition).GroupBy(partition => partition.Topic).Select(topic => new ConsumerGroupTopicPartitions
            {
                TopicId = MembershipHarness.IdOf(topic.Key),
                Partitions = [.. topic.Select(partition => partition.Partition)],
            })],
        },
    };

    private static string Owned(ConsumerGroupHeartbeatRequest request) => string.Join(',', request.TopicPartitions!
        .SelectMany(topic => topic.Partitions.Select(partition => $"{(topic.TopicId == MembershipHarness.IdOf("t") ? "t" : "?")}-{partition}")));

    private void Enter(params string[] partitions) => Enter(_harness, partitions);

    private void CloseRefused(ErrorCode error)
    {
        Enter("t-0");
        _harness.Wait(TimeSpan.FromSeconds(5));
        Refuse(error);
        _harness.Member.Close();
        _harness.Run();
        _harness.EndNotice();
    }

    private ConsumerGroupHeartbeatRequest Pending() => _harness.Pending<ConsumerGroupHeartbeatRequest>();

    private void Answer(int epoch, params string[] partitions) => _harness.Answer<ConsumerGroupHeartbeatRequest>(ResponseOf(epoch, partitions));

    private void Refuse(ErrorCode error) => _harness.Answer<ConsumerGroupHeartbeatRequest>(new ConsumerGroupHeartbeatResponse { ErrorCode = error });
}
