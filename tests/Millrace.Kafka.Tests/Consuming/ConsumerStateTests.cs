using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class ConsumerStateTests
{
    private static readonly TopicPartition Partition = new("orders", 0);

    private readonly ConsumerState _state = Create(new ConsumerOptions { PrefetchByteCount = 1000 });
    private TimeSpan _now;

    [Fact]
    public void An_answer_to_a_fetch_from_before_a_seek_is_dropped()
    {
        Assign(0);
        FetchTarget target = PlanOne();
        _state.Seek(Partition, new Offset(50));
        _state.Seek(Partition, Offset.Zero);
        Add(target, 0, 5);
        _state.EndFetch(1, hasFailed: false, _now);
        Assert.Empty(TakeAll());
        Assert.Equal(Offset.Zero, _state.Find(Partition)!.Position);
    }

    [Fact]
    public void An_answer_from_before_a_new_assignment_of_the_same_partition_is_dropped()
    {
        Assign(0);
        FetchTarget target = PlanOne();
        Assign(0);
        Add(target, 0, 5);
        Assert.Empty(TakeAll());
    }

    [Fact]
    public void One_fetch_at_a_time_goes_to_a_broker_and_none_while_enough_waits()
    {
        Assign(0);
        FetchTarget target = PlanOne();
        Assert.Empty(Plan().Fetches);
        Add(target, 0, 5, valueByteCount: 2000);
        _state.EndFetch(1, hasFailed: false, _now);
        Assert.Empty(Plan().Fetches);
        Assert.Equal(5, TakeAll().Count);
        Assert.Equal(new Offset(5), PlanOne().Offset);
    }

    [Fact]
    public void Offsets_without_a_record_advance_the_position()
    {
        Assign(0);
        FetchTarget target = PlanOne();
        _state.AddFetched(target, [Batch(0, 3), Batch(3, 2, isControl: true)], fault: null);
        Assert.Equal([0, 1, 2], TakeAll().Select(record => record.Offset.Value));
        Assert.Equal(new Offset(5), _state.Find(Partition)!.Position);
    }

    [Fact]
    public void Records_before_the_position_in_the_first_batch_are_not_handed_out()
    {
        Assign(3);
        Add(PlanOne(), 0, 6);
        Assert.Equal([3, 4, 5], TakeAll().Select(record => record.Offset.Value));
    }

    [Fact]
    public void A_batch_is_handed_out_in_pieces_of_the_size_that_is_asked_for()
    {
        Assign(0);
        Add(PlanOne(), 0, 5);
        Assert.Equal([0, 1], Take(2).Select(record => record.Offset.Value));
        Assert.Equal(new Offset(2), _state.Find(Partition)!.Position);
        Assert.Equal([2, 3, 4], Take(9).Select(record => record.Offset.Value));
    }

    [Fact]
    public void A_damaged_batch_is_told_after_the_good_ones_before_it_once_and_a_seek_mends_it()
    {
        Assign(0);
        FetchTarget target = PlanOne();
        var fault = new KafkaCorruptBatchException("damaged", Partition, new Offset(3));
        _state.AddFetched(target, [Batch(0, 3)], fault);
        _state.EndFetch(1, hasFailed: false, _now);
        Assert.Null(_state.TakeFault());
        Assert.Equal(3, TakeAll().Count);
        Assert.Same(fault, _state.TakeFault());
        Assert.Null(_state.TakeFault());
        Assert.Empty(Plan().Fetches);
        _state.Seek(Partition, new Offset(4));
        Assert.Equal(new Offset(4), PlanOne().Offset);
    }

    [Theory]
    [InlineData(ErrorCode.NotLeaderOrFollower)]
    [InlineData(ErrorCode.FencedLeaderEpoch)]
    [InlineData(ErrorCode.UnknownLeaderEpoch)]
    [InlineData(ErrorCode.OffsetNotAvailable)]
    public void Errors_that_pass_refresh_metadata_and_are_tried_again_later(ErrorCode error)
    {
        Assign(0);
        Assert.True(_state.FailFetched(PlanOne(), error, _now));
        _state.EndFetch(1, hasFailed: false, _now);
        ConsumerEffects effects = Plan();
        Assert.Empty(effects.Fetches);
        _now = effects.WakeAt!.Value;
        Assert.Single(Plan().Fetches);
    }

    [Fact]
    public void A_position_outside_of_the_log_is_looked_up_again()
    {
        Assign(7);
        Assert.False(_state.FailFetched(PlanOne(), ErrorCode.OffsetOutOfRange, _now));
        Assert.True(Plan().NeedsPositions);
        (TopicPartition partition, PositionSource source, long version) = Assert.Single(_state.MissingPositions(_now));
        Assert.Equal(PositionSource.Reset, source);
        _state.SetPosition(partition, version, new Offset(3));
        Assert.Equal(new Offset(3), _state.Find(Partition)!.Position);
    }

    [Fact]
    public void A_commit_that_was_looked_up_before_a_seek_does_not_undo_it()
    {
        ConsumerState state = Create(new ConsumerOptions { GroupId = "g" });
        state.Assign([new TopicPartitionOffset(Partition, new Offset(-1))], isHeld: false);
        (TopicPartition partition, PositionSource source, long version) = Assert.Single(state.MissingPositions(_now));
        Assert.Equal(PositionSource.Committed, source);
        state.Seek(partition, new Offset(9));
        state.SetPosition(partition, version, new Offset(1));
        state.SetNotCommitted(partition, version);
        Assert.Equal(new Offset(9), state.Find(partition)!.Position);
    }

    [Fact]
    public void Held_and_paused_partitions_hand_out_nothing()
    {
        Assign(0);
        Add(PlanOne(), 0, 5);
        _state.Hold();
        Assert.Empty(TakeAll());
        _state.Release();
        _state.SetPaused([Partition], isPaused: true);
        Assert.Empty(TakeAll());
        _state.SetPaused([Partition], isPaused: false);
        Assert.Equal(5, TakeAll().Count);
    }

    [Fact]
    public void An_answer_with_an_older_leader_epoch_does_not_replace_a_newer_leader()
    {
        ClusterView view = View(leader: 1, epoch: 5).Merge(Metadata(leader: 2, epoch: 4));
        Assert.True(view.TryGetLeader(Partition, out BrokerDescription? leader, out int epoch));
        Assert.Equal((1, 5), (leader.Id, epoch));
        Assert.True(view.Merge(Metadata(leader: 2, epoch: 6)).TryGetLeader(Partition, out leader, out _));
        Assert.Equal(2, leader.Id);
    }

    private static ConsumerState Create(ConsumerOptions options) => new(
        ConsumerSettings.From(options), new Backoff(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1), new Chance(new Random(1))));

    private static ClusterView View(int leader = 1, int epoch = 0) => ClusterView.Empty.Merge(Metadata(leader, epoch));

    private static MetadataResponse Metadata(int leader, int epoch) => new()
    {
        Brokers = [new MetadataBroker { NodeId = 1, Host = "one", Port = 1 }, new MetadataBroker { NodeId = 2, Host = "two", Port = 2 }],
        Topics = [new MetadataTopic { Name = "orders", Partitions = [new MetadataPartition { LeaderId = leader, LeaderEpoch = epoch }] }],
    };

    private static FetchedBatch Batch(long baseOffset, int count, bool isControl = false, int valueByteCount = 4)
    {
        var builder = new RecordBatchBuilder();
        for (int i = 0; i < count; i++)
        {
            builder.Append(0, null, new byte[valueByteCount]);
        }

        Memory<byte> bytes = builder.Build(ProducerIdentity.None, -1, isTransactional: isControl, isControl: isControl);
        RecordBatch.Assign(bytes.Span, new Offset(baseOffset), leaderEpoch: 3);
        return new FetchedBatch(Partition, bytes, RecordBatchHeader.Read(bytes.Span));
    }

    private void Assign(long offset) => _state.Assign([new TopicPartitionOffset(Partition, new Offset(offset))], isHeld: false);

    private ConsumerEffects Plan()
    {
        var effects = new ConsumerEffects();
        _state.PlanFetches(View(), _now, effects);
        return effects;
    }

    private FetchTarget PlanOne() => Assert.Single(Assert.Single(Plan().Fetches).Targets);

    private void Add(FetchTarget target, long baseOffset, int count, int valueByteCount = 4) =>
        _state.AddFetched(target, [Batch(baseOffset, count, valueByteCount: valueByteCount)], fault: null);

    private List<ConsumerRecord> TakeAll() => Take(int.MaxValue);

    private List<ConsumerRecord> Take(int maxRecords)
    {
        foreach (FetchedBatch batch in _state.Undecoded(maxRecords))
        {
            batch.Decode(int.MaxValue);
        }

        return _state.Take(maxRecords);
    }
}
