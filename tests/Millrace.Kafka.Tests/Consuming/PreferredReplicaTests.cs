using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Kafka.Tests.ReadingState;

namespace Millrace.Kafka.Tests;

/// <summary>Fetching from the closest replica (KIP-392).</summary>
public sealed class PreferredReplicaTests
{
    private const int Leader = 1;
    private const int Follower = 3;

    private readonly ReadingState _reading = new();

    [Fact]
    public void The_replica_that_the_leader_names_is_fetched_from_until_that_is_too_old()
    {
        FetchPlan plan = Redirect();
        Assert.Equal(Follower, plan.NodeId);
        _reading.Answer(plan, Fetched(Batch(0, 2)));
        Assert.Equal([0, 1], _reading.TakeAll());
        _reading.Answer(_reading.PlanOne());
        Assert.Equal(Follower, _reading.PlanOne().NodeId);
        _reading.Answer(_reading.Cursor.Plan!);

        _reading.Now += TimeSpan.FromMinutes(6);
        Assert.Equal(Leader, _reading.PlanOne().NodeId);
    }

    [Theory]
    [InlineData(ErrorCode.NotLeaderOrFollower)]
    [InlineData(ErrorCode.OffsetNotAvailable)]
    [InlineData(ErrorCode.ReplicaNotAvailable)]
    [InlineData(ErrorCode.FencedLeaderEpoch)]
    [InlineData(ErrorCode.UnknownTopicOrPartition)]
    public void After_an_error_of_the_replica_the_leader_is_asked(ErrorCode error)
    {
        _reading.Answer(Redirect(), Error(error));
        ConsumerEffects waiting = _reading.Plan();
        Assert.Empty(waiting.Fetches);
        _reading.Now = waiting.WakeAt!.Value;
        Assert.Equal(Leader, _reading.PlanOne().NodeId);
    }

    [Fact]
    public void A_replica_that_does_not_have_the_offset_does_not_reset_the_position()
    {
        _reading.Answer(Redirect(), Error(ErrorCode.OffsetOutOfRange));
        FetchPlan plan = _reading.PlanOne();
        Assert.Equal(Leader, plan.NodeId);
        Assert.Equal(PositionSource.Known, _reading.Cursor.Source);

        // Sent there again and refused again: with a pause, so that the two do not spin.
        _reading.Answer(plan, Preferring(Follower));
        _reading.Answer(_reading.PlanOne(), Error(ErrorCode.OffsetOutOfRange));
        Assert.Empty(_reading.Plan().Fetches);

        _reading.Now += TimeSpan.FromSeconds(10);
        _reading.Answer(_reading.PlanOne(), Error(ErrorCode.OffsetOutOfRange));
        Assert.Equal(PositionSource.Reset, _reading.Cursor.Source);
    }

    [Theory]
    [InlineData(AutoOffsetReset.Earliest)]
    [InlineData(AutoOffsetReset.None)]
    public void A_replica_that_lags_behind_is_no_truncation_and_is_left_for_the_leader(AutoOffsetReset reset)
    {
        var reading = new ReadingState(new ConsumerOptions { AutoOffsetReset = reset });
        reading.Lead(Leader, epoch: 7);
        reading.Answer(reading.Assign(0).PlanOne(), Fetched(Batch(0, 10, epoch: 7)));
        Assert.Equal(10, reading.TakeAll().Count);
        reading.Answer(reading.PlanOne(), Preferring(Follower));
        FetchPlan plan = reading.PlanOne();
        Assert.Equal(Follower, plan.NodeId);
        reading.Answer(plan, new FetchPartitionResponse { DivergingEpoch = new EpochEndOffset { Epoch = 7, EndOffset = 5 } });
        Assert.Equal(new Offset(10), reading.Cursor.Position);
        Assert.Null(reading.State.TakeFault());
        plan = reading.PlanOne();
        Assert.Equal((Leader, new Offset(10)), (plan.NodeId, plan.Targets[0].Offset));

        // Sent there again and behind again: with a pause.
        reading.Answer(plan, Preferring(Follower));
        reading.Answer(reading.PlanOne(), new FetchPartitionResponse { DivergingEpoch = new EpochEndOffset { Epoch = 7, EndOffset = 5 } });
        ConsumerEffects waiting = reading.Plan();
        Assert.Empty(waiting.Fetches);
        reading.Now = waiting.WakeAt!.Value;

        // The leader is believed.
        reading.Answer(reading.PlanOne(), new FetchPartitionResponse { DivergingEpoch = new EpochEndOffset { Epoch = 7, EndOffset = 5 } });
        Assert.Equal(new ConsumerNotice.Truncated(Partition, new Offset(10), new Offset(5)), Assert.Single(reading.Notices.OfType<ConsumerNotice.Truncated>()));
    }

    [Fact]
    public void A_replica_that_cannot_be_reached_is_left_for_the_leader()
    {
        _reading.Fail(Redirect());
        Assert.Equal(Leader, _reading.PlanOne().NodeId);
    }

    [Fact]
    public void A_replica_that_is_no_longer_in_the_cluster_is_left_for_the_leader()
    {
        Redirect();
        _reading.Answer(_reading.Cursor.Plan!);
        MetadataResponse without = _reading.Metadata(Leader, epoch: 0);
        without.Brokers.RemoveAll(broker => broker.NodeId == Follower);
        _reading.View = _reading.View.Merge(without);
        Assert.Equal(Leader, _reading.PlanOne().NodeId);
    }

    [Fact]
    public void A_seek_forgets_the_replica()
    {
        Redirect();
        _reading.State.Seek(Partition, new Offset(5));
        Assert.Equal(Leader, _reading.PlanOne().NodeId);
    }

    [Fact]
    public void A_fetch_from_before_a_seek_that_fails_says_nothing_of_the_replica_that_is_asked_since()
    {
        FetchPlan old = _reading.Assign(0).PlanOne();
        _reading.Send(old);
        _reading.State.Seek(Partition, new Offset(5));
        _reading.Answer(_reading.PlanOne(), Preferring(Follower));
        FetchPlan plan = _reading.PlanOne();
        Assert.Equal(Follower, plan.NodeId);
        _reading.Send(plan);
        _reading.State.EndFetch(old, null, FetchSessionVerdict.Failed, _reading.Now, new ConsumerEffects());
        Assert.Equal(Follower, _reading.Cursor.PreferredReplica);
        _reading.AnswerSent(plan, Error(ErrorCode.OffsetOutOfRange));
        Assert.Equal((PositionSource.Known, new Offset(5)), (_reading.Cursor.Source, _reading.Cursor.Position));
    }

    private static FetchPartitionResponse Preferring(int replica) => new() { PreferredReadReplica = replica, HighWatermark = 10 };

    /// <summary>The leader names a replica, which is asked next.</summary>
    private FetchPlan Redirect()
    {
        FetchPlan plan = _reading.Assign(0).PlanOne();
        Assert.Equal(Leader, plan.NodeId);
        _reading.Answer(plan, Preferring(Follower));
        return _reading.PlanOne();
    }
}
