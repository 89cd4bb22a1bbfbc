using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Kafka.Tests.ReadingState;

namespace Millrace.Kafka.Tests;

/// <summary>Logs that were truncated below a position (KIP-320).</summary>
public sealed class TruncationTests
{
    private readonly ReadingState _reading = new(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
    private readonly ReadingState _strict = new(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.None });

    [Fact]
    public void A_new_leader_is_asked_where_the_epoch_of_the_position_ends_before_anything_is_fetched_from_it()
    {
        _reading.Lead(leader: 1, epoch: 3);
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 5, epoch: 3)));
        Assert.Single(_reading.Plan().Fetches);
        _reading.Answer(_reading.Cursor.Plan!);

        _reading.Lead(leader: 2, epoch: 4);
        ConsumerEffects effects = _reading.Plan();
        Assert.True(effects.NeedsValidation);
        Assert.Empty(effects.Fetches);
        ValidationTarget target = Assert.Single(_reading.State.BeginValidation(_reading.View, _reading.Now));
        Assert.Equal((4, 3), (target.LeaderEpoch, target.FetchEpoch));
        _reading.State.EndValidation(target, new EpochEnd(3, new Offset(5)), new ConsumerEffects());
        FetchPlan plan = _reading.PlanOne();
        Assert.Equal(2, plan.NodeId);
        Assert.Equal((new Offset(5), 3, 4), (plan.Targets[0].Offset, plan.Targets[0].FetchedEpoch, plan.Targets[0].LeaderEpoch));
        Assert.Equal([0, 1, 2, 3, 4], _reading.TakeAll());
    }

    [Fact]
    public void A_committed_offset_with_an_epoch_is_compared_before_the_first_fetch()
    {
        _reading.Lead(leader: 1, epoch: 7);
        Assert.True(_reading.Assign(10, leaderEpoch: 6).Plan().NeedsValidation);
        Validate(_reading, epoch: 6, end: 8);
        Assert.Equal(new Offset(8), _reading.Cursor.Position);
        Assert.Equal(new ConsumerNotice.Truncated(Partition, new Offset(10), new Offset(8)), Assert.Single(_reading.Notices));
        Assert.Equal((new Offset(8), 6), (_reading.PlanOne().Targets[0].Offset, _reading.Cursor.FetchEpoch));
    }

    [Fact]
    public void A_position_without_an_epoch_cannot_be_compared_and_is_fetched_at_once()
    {
        _reading.Lead(leader: 1, epoch: 7);
        ConsumerEffects effects = _reading.Assign(10).Plan();
        Assert.False(effects.NeedsValidation);
        Assert.Equal(-1, Assert.Single(effects.Fetches).Targets[0].FetchedEpoch);
    }

    [Fact]
    public void A_leader_that_cannot_say_is_believed()
    {
        _reading.Lead(leader: 1, epoch: 7);
        _reading.Assign(10, leaderEpoch: 6).Plan();
        ValidationTarget target = Assert.Single(_reading.State.BeginValidation(_reading.View, _reading.Now));
        _reading.State.EndValidation(target, end: null, new ConsumerEffects());
        Assert.Equal(new Offset(10), Assert.Single(_reading.PlanOne().Targets).Offset);
    }

    [Fact]
    public void A_leader_older_than_the_epoch_of_the_position_is_not_asked_before_a_newer_one_is_known()
    {
        _reading.Lead(leader: 1, epoch: 5);
        ConsumerEffects effects = _reading.Assign(10, leaderEpoch: 6).Plan();
        Assert.Equal((true, false), (effects.NeedsMetadata, effects.NeedsValidation));
        Assert.Empty(effects.Fetches);
        _reading.Now = effects.WakeAt!.Value;

        // Nor is it when others are compared.
        Assert.Empty(_reading.State.BeginValidation(_reading.View, _reading.Now));

        _reading.Lead(leader: 2, epoch: 7);
        Assert.True(_reading.Plan().NeedsValidation);
        ValidationTarget target = Assert.Single(_reading.State.BeginValidation(_reading.View, _reading.Now));
        Assert.Equal((7, 6), (target.LeaderEpoch, target.FetchEpoch));
        _reading.State.EndValidation(target, new EpochEnd(6, new Offset(10)), new ConsumerEffects());
        Assert.Equal((2, new Offset(10)), (_reading.PlanOne().NodeId, _reading.Cursor.FetchOffset));
    }

    [Fact]
    public void A_leader_that_stays_older_than_the_epoch_of_the_position_is_believed_after_some_answers_since_the_topic_is_another_one()
    {
        _reading.Lead(leader: 1, epoch: 0);
        ConsumerEffects effects = _reading.Assign(10, leaderEpoch: 6).Plan();
        for (int i = 0; i < 10; i++)
        {
            // However long the answer takes.
            _reading.Now = effects.WakeAt!.Value;
            Assert.False(_reading.Plan().NeedsValidation);
            _reading.Now = _reading.LastEffects.WakeAt!.Value;
            _reading.Lead(leader: 1, epoch: 0);
            effects = _reading.Plan();
            Assert.Equal(i == 9, effects.NeedsValidation);
        }

        Validate(_reading, epoch: -1, end: -1);
        Assert.Equal(PositionSource.Reset, Assert.Single(_reading.State.MissingPositions(_reading.Now)).Source);
    }

    [Fact]
    public void A_position_that_a_fetch_is_about_to_move_is_not_compared_together_with_others()
    {
        _strict.Lead(leader: 1, epoch: 6);
        _strict.Assign(5, leaderEpoch: 5).Plan();
        FetchPlan plan = ValidateAndPlan(_strict, epoch: 5, end: 5);
        _strict.Send(plan);

        // The leader of now says that epoch 5 ends at 5, which is right, and no reason to read again what the fetch brings of epoch 6.
        _strict.Lead(leader: 2, epoch: 7);
        Assert.Empty(_strict.State.BeginValidation(_strict.View, _strict.Now));
        _strict.AnswerSent(plan, Fetched(Batch(5, 5, epoch: 6)));
        Assert.Equal([5, 6, 7, 8, 9], _strict.TakeAll());
        Assert.True(_strict.Plan().NeedsValidation);
        Validate(_strict, epoch: 6, end: 10);
        Assert.Empty(_strict.Notices);
        Assert.Equal(new Offset(10), Assert.Single(_strict.PlanOne().Targets).Offset);
    }

    [Fact]
    public void An_answer_from_before_a_seek_changes_nothing()
    {
        _reading.Lead(leader: 1, epoch: 7);
        _reading.Assign(10, leaderEpoch: 6).Plan();
        ValidationTarget target = Assert.Single(_reading.State.BeginValidation(_reading.View, _reading.Now));
        _reading.State.Seek(Partition, new Offset(20), 6);
        _reading.State.EndValidation(target, new EpochEnd(6, new Offset(8)), new ConsumerEffects());
        Assert.Equal(new Offset(20), _reading.Cursor.Position);
    }

    [Fact]
    public void Records_that_only_waited_are_dropped_without_a_word_and_fetched_again()
    {
        _reading.Lead(leader: 1, epoch: 3);
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 4, epoch: 3)));
        Assert.Equal([0, 1], _reading.Take(2));
        Diverge(_reading, epoch: 3, end: 3);
        Assert.Empty(_reading.TakeAll());
        Assert.Empty(_reading.Notices);
        FetchTarget target = Assert.Single(_reading.PlanOne().Targets);
        Assert.Equal((new Offset(2), 3), (target.Offset, target.FetchedEpoch));
    }

    [Theory]
    [InlineData(3, 2, 2)] // the same epoch ends earlier
    [InlineData(2, 1, 1)] // the epoch of what was read is not there at all
    [InlineData(2, 99, 1)] // nor is it here, and the one before goes on where ours begins
    public void Records_that_were_handed_out_and_are_gone_move_the_position_back_to_where_the_logs_part(int epoch, long end, long divergence)
    {
        Read(_reading);
        Diverge(_reading, epoch, end);
        Assert.Equal(new Offset(divergence), _reading.Cursor.Position);
        Assert.Equal(new ConsumerNotice.Truncated(Partition, new Offset(5), new Offset(divergence)), Assert.Single(_reading.Notices));
        FetchTarget target = Assert.Single(_reading.PlanOne().Targets);
        Assert.Equal((new Offset(divergence), epoch), (target.Offset, target.FetchedEpoch));
    }

    [Fact]
    public void An_epoch_without_records_that_a_new_leader_never_saw_is_no_truncation()
    {
        _strict.Lead(leader: 2, epoch: 6);
        Assert.True(_strict.Assign(100, leaderEpoch: 5).Plan().NeedsValidation);
        Validate(_strict, epoch: 4, end: 100);
        Assert.Empty(_strict.Notices);
        Assert.Null(_strict.State.TakeFault());

        // Asked by the epoch that the leader has, it does not say again that the logs part.
        FetchTarget target = Assert.Single(_strict.PlanOne().Targets);
        Assert.Equal((new Offset(100), 4), (target.Offset, target.FetchedEpoch));
    }

    [Fact]
    public void An_epoch_without_records_is_no_truncation_where_a_fetch_says_so()
    {
        _strict.Lead(leader: 1, epoch: 5);
        Assert.True(_strict.Assign(100, leaderEpoch: 5).Plan().NeedsValidation);
        FetchPlan plan = ValidateAndPlan(_strict, epoch: 5, end: 100);
        _strict.Answer(plan, new FetchPartitionResponse { DivergingEpoch = new EpochEndOffset { Epoch = 4, EndOffset = 100 } });
        Assert.Null(_strict.State.TakeFault());
        FetchTarget target = Assert.Single(_strict.PlanOne().Targets);
        Assert.Equal((new Offset(100), 4), (target.Offset, target.FetchedEpoch));
    }

    [Theory]
    [InlineData(false)] // with the last records before it
    [InlineData(true)] // by itself
    public void An_epoch_that_begins_with_a_marker_is_that_of_the_position_behind_it(bool isFetchedLater)
    {
        var reading = new ReadingState(new ConsumerOptions { IsolationLevel = IsolationLevel.ReadCommitted });
        reading.Lead(leader: 1, epoch: 6);
        ReadOnlyMemory<byte> marker = Marker(100, producerId: 9, isCommit: true, epoch: 6);
        ReadOnlyMemory<byte> records = Batch(0, 100, epoch: 5, producerId: 9);
        reading.Answer(reading.Assign(0).PlanOne(), isFetchedLater ? Fetched(records) : Fetched(records, marker));
        Assert.Equal(100, reading.TakeAll().Count);
        if (isFetchedLater)
        {
            reading.Answer(reading.PlanOne(), Fetched(marker));
            Assert.Empty(reading.TakeAll());
        }

        Assert.Equal((new Offset(101), 6), (reading.Cursor.Position, reading.Cursor.PositionEpoch));

        // What waits gives way to others and is fetched again: any leader would say that epoch 5 ends at 100.
        reading.Answer(reading.PlanOne(), Fetched(Batch(101, 5, epoch: 6)));
        reading.Cursor.DropWaiting();
        FetchTarget target = Assert.Single(reading.PlanOne().Targets);
        Assert.Equal((new Offset(101), 6), (target.Offset, target.FetchedEpoch));
    }

    [Fact]
    public void What_waits_behind_an_open_run_is_fetched_again_under_the_epoch_of_a_marker_between_them()
    {
        var reading = new ReadingState(new ConsumerOptions { IsolationLevel = IsolationLevel.ReadCommitted });
        reading.Lead(leader: 1, epoch: 6);
        reading.Answer(
            reading.Assign(0).PlanOne(), Fetched(Batch(0, 100, epoch: 5, producerId: 9), Marker(100, producerId: 9, isCommit: true, epoch: 6), Batch(101, 5, epoch: 6)));
        Assert.Equal([0, 1], reading.Take(2));
        Assert.Equal(5, reading.Cursor.PositionEpoch);
        reading.Cursor.DropWaiting();
        FetchTarget target = Assert.Single(reading.PlanOne().Targets);
        Assert.Equal((new Offset(101), 6), (target.Offset, target.FetchedEpoch));
    }

    [Fact]
    public void A_batch_of_records_is_committed_with_the_epoch_of_what_it_is_followed_by()
    {
        var reading = new ReadingState(new ConsumerOptions { IsolationLevel = IsolationLevel.ReadCommitted });
        reading.Lead(leader: 1, epoch: 6);
        reading.Answer(reading.Assign(0).PlanOne(), Fetched(Batch(0, 100, epoch: 5, producerId: 9), Marker(100, producerId: 9, isCommit: true, epoch: 6)));
        Assert.True(reading.State.TryBeginOpen(out Opening opening));
        reading.Open(opening);
        using var batch = new ConsumerBatch(reading.State.TakeRun()!);
        Assert.Equal((new Offset(101), 6), (batch.NextOffset, batch.LeaderEpoch));
    }

    [Theory]
    [InlineData(5, 100)] // the marker is gone
    [InlineData(5, 150)] // others are in its place
    public void A_marker_that_was_passed_and_is_gone_is_a_truncation(int epoch, long end)
    {
        var reading = new ReadingState(new ConsumerOptions { IsolationLevel = IsolationLevel.ReadCommitted });
        reading.Lead(leader: 1, epoch: 6);
        reading.Answer(reading.Assign(0).PlanOne(), Fetched(Batch(0, 100, epoch: 5, producerId: 9), Marker(100, producerId: 9, isCommit: true, epoch: 6)));
        Assert.Equal(100, reading.TakeAll().Count);
        Diverge(reading, epoch, end);
        Assert.Equal(new ConsumerNotice.Truncated(Partition, new Offset(101), new Offset(100)), Assert.Single(reading.Notices));
    }

    [Fact]
    public void An_epoch_that_the_new_leader_never_saw_and_a_log_that_ends_earlier_is_a_truncation()
    {
        _reading.Lead(leader: 2, epoch: 6);
        Assert.True(_reading.Assign(100, leaderEpoch: 5).Plan().NeedsValidation);
        Validate(_reading, epoch: 4, end: 90);
        Assert.Equal(new ConsumerNotice.Truncated(Partition, new Offset(100), new Offset(90)), Assert.Single(_reading.Notices));
        Assert.Equal(new Offset(90), _reading.Cursor.Position);
    }

    [Fact]
    public void Without_a_reset_policy_the_application_is_told_where_the_logs_part_and_a_seek_goes_on()
    {
        Read(_strict);
        Diverge(_strict, epoch: 3, end: 2);
        Assert.Empty(_strict.Plan().Fetches);
        var told = Assert.IsType<KafkaLogTruncatedException>(_strict.State.TakeFault());
        Assert.Equal((new Offset(5), new Offset(2)), (told.Position, told.DivergentOffset));
        Assert.Contains("Seek to go on", told.Message, StringComparison.Ordinal);
        _strict.State.Seek(Partition, new Offset(2));
        Assert.Equal(new Offset(2), Assert.Single(_strict.PlanOne().Targets).Offset);
    }

    [Fact]
    public void A_leader_that_knows_no_epoch_leaves_it_to_the_reset()
    {
        Read(_reading);
        Diverge(_reading, epoch: -1, end: -1);
        Assert.Equal(PositionSource.Reset, Assert.Single(_reading.State.MissingPositions(_reading.Now)).Source);

        Read(_strict);
        Diverge(_strict, epoch: -1, end: -1);
        Assert.Null(Assert.IsType<KafkaLogTruncatedException>(_strict.State.TakeFault()).DivergentOffset);
    }

    [Fact]
    public void A_leader_that_is_named_in_an_answer_is_asked_at_once_the_first_time()
    {
        FetchPlan plan = _reading.Assign(0).PlanOne();
        FetchPartitionResponse answer = Error(ErrorCode.NotLeaderOrFollower);
        answer.CurrentLeader = new LeaderIdAndEpoch { LeaderId = 2, LeaderEpoch = 1 };
        _reading.Answer(plan, answer);
        Assert.Equal(2, _reading.PlanOne().NodeId);

        answer.CurrentLeader = new LeaderIdAndEpoch { LeaderId = 99, LeaderEpoch = 2 };
        _reading.Answer(_reading.Cursor.Plan!, answer);
        Assert.True(_reading.LastEffects.NeedsMetadata);
        Assert.Empty(_reading.Plan().Fetches);
    }

    private static void Read(ReadingState reading)
    {
        reading.Lead(leader: 1, epoch: 3);
        reading.Answer(reading.Assign(0).PlanOne(), Fetched(Batch(0, 1, epoch: 2), Batch(1, 4, epoch: 3)));
        Assert.Equal([0, 1, 2, 3, 4], reading.TakeAll());
    }

    /// <summary>The answer of a fetch in version 12 or later says that the logs part.</summary>
    private static void Diverge(ReadingState reading, int epoch, long end) =>
        reading.Answer(reading.PlanOne(), new FetchPartitionResponse { DivergingEpoch = new EpochEndOffset { Epoch = epoch, EndOffset = end } });

    private static FetchPlan ValidateAndPlan(ReadingState reading, int epoch, long end)
    {
        Validate(reading, epoch, end);
        return reading.PlanOne();
    }

    private static void Validate(ReadingState reading, int epoch, long end)
    {
        var effects = new ConsumerEffects();
        reading.State.EndValidation(Assert.Single(reading.State.BeginValidation(reading.View, reading.Now)), new EpochEnd(epoch, new Offset(end)), effects);
        reading.Notices.AddRange(effects.Notices);
    }
}
