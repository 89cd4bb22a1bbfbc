using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Kafka.Tests.ReadingState;

namespace Millrace.Kafka.Tests;

public sealed class ConsumerStateTests
{
    private readonly ReadingState _reading = new();

    [Fact]
    public void An_answer_to_a_fetch_from_before_a_seek_is_dropped()
    {
        FetchPlan plan = _reading.Assign(0).PlanOne();
        _reading.State.Seek(Partition, new Offset(50));
        _reading.State.Seek(Partition, Offset.Zero);
        _reading.Answer(plan, Fetched(Batch(0, 5)));
        Assert.Empty(_reading.TakeAll());
        Assert.Equal(Offset.Zero, _reading.Cursor.Position);
    }

    [Fact]
    public void An_answer_from_before_a_new_assignment_of_the_same_partition_is_dropped()
    {
        FetchPlan plan = _reading.Assign(0).PlanOne();
        _reading.Assign(0);
        _reading.Answer(plan, Fetched(Batch(0, 5)));
        Assert.Empty(_reading.TakeAll());
    }

    [Fact]
    public void What_is_lost_is_held_and_not_assigned_until_it_is_removed_also_where_it_comes_only_now()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 5)));
        Assert.Equal([0], _reading.Take(1));
        _reading.State.Lose([Partition]);
        _reading.State.Release([Partition]);
        Assert.Empty(_reading.TakeAll());
        Assert.Null(_reading.State.AssignmentOf(Partition));
        _reading.State.Remove([Partition]);
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 5)));
        Assert.Equal(5, _reading.TakeAll().Count);

        var late = new TopicPartition("orders", 1);
        _reading.State.Lose([late]);
        _reading.State.Add([new TopicPartitionOffset(late, Offset.Zero)], isHeld: true);
        _reading.State.Release();
        Assert.True(_reading.State.Find(late)!.IsHeld);
        _reading.State.Remove([late]);
        _reading.State.Add([new TopicPartitionOffset(late, Offset.Zero)], isHeld: false);
        Assert.False(_reading.State.Find(late)!.IsHeld);
    }

    [Fact]
    public void What_came_after_records_were_handed_out_is_newer_than_they_are()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 5)));
        Assert.True(_reading.State.AssignmentOf(Partition) <= _reading.State.HandedOutAs);
        var records = new List<ConsumerRecord>();
        Assert.True(_reading.State.TryBeginOpen(out Opening opening));
        _reading.Open(opening);
        _reading.State.Take(1, records);
        var late = new TopicPartition("orders", 1);
        _reading.State.Add([new TopicPartitionOffset(late, Offset.Zero)], isHeld: false);
        Assert.True(_reading.State.AssignmentOf(late) > _reading.State.HandedOutAs);

        // More for the same poll, whose first record was handed out before.
        _reading.State.Take(2, records);
        Assert.Equal(2, records.Count);
        Assert.True(_reading.State.AssignmentOf(late) > _reading.State.HandedOutAs);
        Assert.NotEmpty(_reading.Take(1));
        Assert.True(_reading.State.AssignmentOf(late) <= _reading.State.HandedOutAs);
        Assert.True(_reading.State.AssignmentOf(Partition) <= _reading.State.HandedOutAs);
    }

    [Fact]
    public void A_batch_that_is_larger_than_may_be_decompressed_names_the_option_before_the_way_past_it()
    {
        var reading = new ReadingState(new ConsumerOptions { MaxDecompressedBatchByteCount = 10_000 });
        reading.State.Add([new TopicPartitionOffset(Partition, Offset.Zero)], isHeld: false);
        reading.Answer(reading.PlanOne(), Fetched(Batch(0, 5, valueByteCount: 20_000, codec: CompressionCodec.Gzip)));
        Assert.Empty(reading.TakeAll());
        KafkaCorruptBatchException fault = Assert.IsType<KafkaCorruptBatchException>(reading.State.TakeFault());
        Assert.Contains("Raise MaxDecompressedBatchByteCount, or seek to 5 to go on behind it without its records.", fault.Message, StringComparison.Ordinal);
        Assert.StartsWith("Then start again;", FetchedRecords.WayOn(new CodecUnavailableException("Install it."), new Offset(5)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_partition_that_may_have_come_back_has_what_is_committed_as_a_floor_until_a_seek_goes_below()
    {
        var reading = new ReadingState(new ConsumerOptions { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest });
        var start = new TopicPartitionOffset(Partition, new Offset(-1));
        reading.State.Add([start], isHeld: false);
        reading.State.SetPosition(Partition, reading.Cursor.Version, Offset.Zero);
        Assert.Null(reading.Cursor.CommitFloor);
        reading.Answer(reading.PlanOne(), Fetched(Batch(0, 5)));
        reading.TakeAll();
        reading.State.Remove([Partition]);
        reading.State.Add([start], isHeld: false);
        reading.State.SetPosition(Partition, reading.Cursor.Version, new Offset(7));
        Assert.Equal(new Offset(7), reading.Cursor.CommitFloor);
        reading.State.Seek(Partition, new Offset(9));
        Assert.Equal(new Offset(7), reading.Cursor.CommitFloor);
        reading.State.Seek(Partition, new Offset(3));
        Assert.Equal(new Offset(3), reading.Cursor.CommitFloor);
        reading.State.Seek(Partition, PositionSource.Beginning);
        Assert.Null(reading.Cursor.CommitFloor);

        // What the reset says is not what the group has done.
        reading.State.Remove([Partition]);
        reading.State.Add([start], isHeld: false);
        reading.State.SetNotCommitted(Partition, reading.Cursor.Version);
        reading.State.SetPosition(Partition, reading.Cursor.Version, new Offset(7));
        Assert.Null(reading.Cursor.CommitFloor);
    }

    [Fact]
    public void What_is_opened_while_the_position_jumps_is_dropped()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 5)));
        Assert.True(_reading.State.TryBeginOpen(out Opening opening));
        _reading.State.Seek(Partition, new Offset(2));
        _reading.Open(opening);
        Assert.Empty(_reading.TakeAll());
        _reading.Answer(_reading.PlanOne(), Fetched(Batch(0, 5)));
        Assert.Equal([2, 3, 4], _reading.TakeAll());
    }

    [Fact]
    public void Offsets_without_a_record_advance_the_position()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 3), Marker(3, producerId: 7, isCommit: true)));
        Assert.Equal([0, 1, 2], _reading.TakeAll());
        Assert.Equal(new Offset(4), _reading.Cursor.Position);
    }

    [Fact]
    public void Offsets_at_the_beginning_without_a_record_advance_the_position()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Marker(0, producerId: 7, isCommit: true)));
        Assert.Empty(_reading.TakeAll());
        Assert.Equal(new Offset(1), _reading.Cursor.Position);
        Assert.Equal(new Offset(1), Assert.Single(_reading.PlanOne().Targets).Offset);
    }

    [Theory]
    [InlineData(CompressionCodec.None)]
    [InlineData(CompressionCodec.Lz4)]
    public void Records_before_the_position_in_the_first_batch_are_not_handed_out(CompressionCodec codec)
    {
        _reading.Answer(_reading.Assign(3).PlanOne(), Fetched(Batch(0, 6, codec: codec)));
        Assert.Equal([3, 4, 5], _reading.TakeAll());
    }

    [Theory]
    [InlineData(CompressionCodec.None)]
    [InlineData(CompressionCodec.Gzip)]
    public void A_batch_is_handed_out_in_pieces_of_the_size_that_is_asked_for(CompressionCodec codec)
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 5, codec: codec), Batch(5, 2, codec: codec)));
        Assert.Equal([0, 1], _reading.Take(2));
        Assert.Equal(new Offset(2), _reading.Cursor.Position);
        Assert.Equal([2, 3, 4, 5, 6], _reading.Take(9));
    }

    [Fact]
    public void Batches_that_lie_one_behind_another_are_one_run_and_a_compressed_one_is_a_run_of_its_own()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 3), Batch(3, 2), Batch(5, 4, codec: CompressionCodec.Lz4), Batch(9, 1)));
        List<int> counts = [];
        while (_reading.State.TryBeginOpen(out Opening opening))
        {
            _reading.Open(opening);
            RecordRun run = _reading.State.TakeRun()!;
            counts.Add(run.RecordCount);
            run.Release(run.Token);
        }

        Assert.Equal([5, 4, 1], counts);
        Assert.Equal(new Offset(10), _reading.Cursor.Position);
    }

    [Fact]
    public void A_damaged_batch_is_told_after_the_good_ones_before_it_once_and_a_seek_mends_it()
    {
        byte[] damaged = Batch(3, 2).ToArray();
        damaged[^1] ^= 1;
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 3), damaged, Batch(5, 1)));
        Assert.Null(_reading.State.TakeFault());
        Assert.Equal([0, 1, 2], _reading.TakeAll());
        var fault = Assert.IsType<KafkaCorruptBatchException>(_reading.State.TakeFault());
        Assert.Equal(new Offset(3), fault.Offset);
        Assert.Null(_reading.State.TakeFault());
        Assert.Empty(_reading.Plan().Fetches);
        Assert.Equal(new Offset(3), _reading.Cursor.Position);
        _reading.State.Seek(Partition, new Offset(5));
        Assert.Equal(new Offset(5), Assert.Single(_reading.PlanOne().Targets).Offset);
    }

    [Fact]
    public void Bytes_that_are_no_batch_are_told_and_not_fetched_again_and_again()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(new byte[100]));
        Assert.Empty(_reading.Plan().Fetches);
        Assert.Empty(_reading.TakeAll());
        Assert.IsType<KafkaCorruptBatchException>(_reading.State.TakeFault());
    }

    [Fact]
    public void A_batch_that_is_cut_off_at_the_end_comes_with_the_next_fetch()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 3), Batch(3, 2).ToArray()[..^1]));
        Assert.Equal(new Offset(3), Assert.Single(_reading.PlanOne().Targets).Offset);
        Assert.Equal([0, 1, 2], _reading.TakeAll());
        Assert.Null(_reading.State.TakeFault());
    }

    [Theory]
    [InlineData(ErrorCode.NotLeaderOrFollower)]
    [InlineData(ErrorCode.FencedLeaderEpoch)]
    [InlineData(ErrorCode.UnknownLeaderEpoch)]
    [InlineData(ErrorCode.OffsetNotAvailable)]
    [InlineData(ErrorCode.UnknownTopicId)]
    [InlineData(ErrorCode.InconsistentTopicId)]
    public void Errors_that_pass_refresh_metadata_and_are_tried_again_later(ErrorCode error)
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Error(error));
        Assert.True(_reading.LastEffects.NeedsMetadata);
        ConsumerEffects effects = _reading.Plan();
        Assert.Empty(effects.Fetches);
        _reading.Now = effects.WakeAt!.Value;
        Assert.Single(_reading.Plan().Fetches);
    }

    [Theory]
    [InlineData(ErrorCode.TopicAuthorizationFailed)]
    [InlineData(ErrorCode.UnsupportedVersion)]
    [InlineData((ErrorCode)4_711)]
    public void A_refused_fetch_is_told_each_time_and_tried_again_after_pauses_that_grow(ErrorCode error)
    {
        _reading.Assign(0);
        TimeSpan lastPause = TimeSpan.Zero;
        for (int i = 0; i < 3; i++)
        {
            _reading.Answer(_reading.PlanOne(), Error(error));
            Assert.Equal(error, Assert.IsType<KafkaBrokerException>(_reading.State.TakeFault()).ErrorCode);
            Assert.Null(_reading.State.TakeFault());
            ConsumerEffects waiting = _reading.Plan();
            Assert.Empty(waiting.Fetches);
            TimeSpan pause = waiting.WakeAt!.Value - _reading.Now;
            Assert.True(pause > lastPause, $"A pause of {pause} after one of {lastPause}");
            lastPause = pause;
            _reading.Now = waiting.WakeAt.Value;
        }

        _reading.Answer(_reading.PlanOne(), Fetched(Batch(0, 2)));
        Assert.Equal([0, 1], _reading.TakeAll());
        Assert.Null(_reading.State.TakeFault());
    }

    [Fact]
    public void A_refusal_that_has_passed_before_anybody_asked_is_not_told()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Error(ErrorCode.TopicAuthorizationFailed));
        _reading.Now = _reading.Plan().WakeAt!.Value;
        _reading.Answer(_reading.PlanOne(), Fetched());
        Assert.Null(_reading.State.TakeFault());
    }

    [Fact]
    public void A_fetch_that_succeeds_without_records_ends_the_growth_of_pauses()
    {
        _reading.Assign(0);
        for (int i = 0; i < 6; i++)
        {
            _reading.Answer(_reading.PlanOne(), Error(ErrorCode.NotLeaderOrFollower));
            ConsumerEffects waiting = _reading.Plan();
            Assert.InRange(waiting.WakeAt!.Value - _reading.Now, TimeSpan.FromMilliseconds(80), TimeSpan.FromMilliseconds(120));
            _reading.Now = waiting.WakeAt.Value;
            _reading.Answer(_reading.PlanOne(), Fetched());
        }
    }

    [Fact]
    public void Metadata_are_asked_for_less_and_less_often_while_a_partition_has_no_leader_and_what_comes_is_used_at_once()
    {
        _reading.Assign(0).Lead(leader: -1, epoch: 1);
        int count = 0;
        for (; _reading.Now < TimeSpan.FromSeconds(5); _reading.Now += TimeSpan.FromMilliseconds(10))
        {
            count += _reading.Plan().NeedsMetadata ? 1 : 0;
        }

        Assert.InRange(count, 5, 9);
        Assert.NotNull(_reading.LastEffects.WakeAt);
        _reading.Lead(leader: 2, epoch: 2);
        _reading.Answer(_reading.PlanOne());
        _reading.Lead(leader: -1, epoch: 3);
        Assert.True(_reading.Plan().NeedsMetadata);
        _reading.Now += TimeSpan.FromMilliseconds(120);
        Assert.True(_reading.Plan().NeedsMetadata);
    }

    [Fact]
    public void A_position_outside_of_the_log_is_looked_up_again()
    {
        _reading.Answer(_reading.Assign(7).PlanOne(), Error(ErrorCode.OffsetOutOfRange));
        Assert.True(_reading.Plan().NeedsPositions);
        (TopicPartition partition, PositionSource source, long version) = Assert.Single(_reading.State.MissingPositions(_reading.Now));
        Assert.Equal(PositionSource.Reset, source);
        _reading.State.SetPosition(partition, version, new Offset(3));
        Assert.Equal(new Offset(3), _reading.Cursor.Position);
    }

    [Fact]
    public void A_commit_that_was_looked_up_before_a_seek_does_not_undo_it()
    {
        var reading = new ReadingState(new ConsumerOptions { GroupId = "g" });
        (TopicPartition partition, PositionSource source, long version) = Assert.Single(reading.Assign(-1).State.MissingPositions(reading.Now));
        Assert.Equal(PositionSource.Committed, source);
        reading.State.Seek(partition, new Offset(9));
        reading.State.SetPosition(partition, version, new Offset(1));
        reading.State.SetNotCommitted(partition, version);
        Assert.Equal(new Offset(9), reading.Cursor.Position);
    }

    [Fact]
    public void Held_and_paused_partitions_hand_out_nothing_and_keep_what_was_fetched()
    {
        _reading.Answer(_reading.Assign(0).PlanOne(), Fetched(Batch(0, 5)));
        _reading.State.Hold();
        Assert.Empty(_reading.TakeAll());
        _reading.State.Release();
        _reading.State.SetPaused([Partition], isPaused: true);
        Assert.Empty(_reading.TakeAll());
        Assert.Empty(_reading.Plan().Fetches);
        _reading.State.SetPaused([Partition], isPaused: false);
        Assert.Equal([0, 1, 2, 3, 4], _reading.TakeAll());
    }

    [Fact]
    public void A_broker_that_lags_behind_does_not_turn_a_recreated_topic_back()
    {
        Guid before = new("11111111-1111-1111-1111-111111111111");
        Guid now = new("22222222-2222-2222-2222-222222222222");
        _reading.Version = 13;
        _reading.Lead(leader: 1, epoch: 9, before);
        _reading.Answer(_reading.Assign(50).PlanOne());
        _reading.Lead(leader: 1, epoch: 0, now);
        Assert.True(_reading.Plan().NeedsPositions);
        _reading.State.SetPosition(Partition, _reading.Cursor.Version, Offset.Zero);
        _reading.Answer(_reading.PlanOne(), Fetched(Batch(0, 5, epoch: 0)));
        Assert.Equal([0, 1, 2, 3, 4], _reading.TakeAll());
        _reading.Lead(leader: 1, epoch: 9, before);
        Assert.False(_reading.Plan().NeedsPositions);
        Assert.Equal(new Offset(5), _reading.Cursor.Position);
        Assert.Single(_reading.Notices);
    }

    [Fact]
    public void The_lag_is_counted_to_the_end_that_may_be_read()
    {
        Assert.Null(_reading.Assign(10).State.Lag(Partition));
        _reading.Answer(_reading.PlanOne(), Fetched(Batch(10, 5)));
        Assert.Equal(990, _reading.State.Lag(Partition));
        _reading.TakeAll();
        Assert.Equal(985, _reading.State.Lag(Partition));

        var committed = new ReadingState(new ConsumerOptions { IsolationLevel = IsolationLevel.ReadCommitted });
        committed.Answer(committed.Assign(10).PlanOne(), Fetched());
        Assert.Equal(890, committed.State.Lag(Partition));
    }

    [Fact]
    public void An_answer_with_an_older_leader_epoch_does_not_replace_a_newer_leader()
    {
        _reading.Lead(leader: 1, epoch: 5);
        _reading.Lead(leader: 2, epoch: 4);
        Assert.True(_reading.View.TryGetLeader(Partition, out BrokerDescription? leader, out int epoch));
        Assert.Equal((1, 5), (leader.Id, epoch));
        _reading.Lead(leader: 2, epoch: 6);
        Assert.True(_reading.View.TryGetLeader(Partition, out leader, out _));
        Assert.Equal(2, leader.Id);
    }
}
