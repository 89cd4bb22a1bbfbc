using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class TransactionTests
{
    private static readonly ProducerIdentity Seven = new(7, 0);
    private static readonly ProducerIdentity Eight = new(8, 0);

    private readonly LogHarness _harness = LogHarness.WithPartition(static options => options.MaximumProducerCount = 3);

    private PartitionLog Log => _harness.Log;

    [Fact]
    public void The_last_stable_offset_stops_at_the_first_open_transaction()
    {
        _harness.AppendMany(2);
        AssertStable(2);
        Send(Seven, 0);
        Send(Eight, 0);
        Send(Seven, 1);
        _harness.AppendMany(1);
        AssertStable(2);
        Assert.Equal([(7, 2), (8, 3)], Log.OpenTransactions.Select(static open => ((int)open.Producer.Id, (int)open.FirstOffset.Value)));

        Assert.Equal(new AppendResult.Appended(new Offset(6), new Offset(6)), End(Seven, isCommit: true));
        AssertStable(3);
        Send(Seven, 2);
        AssertStable(3);
        End(Eight, isCommit: false);
        AssertStable(7);
        End(Seven, isCommit: false);
        AssertStable(10);
        Assert.Equal(Log.HighWatermark, Log.LastStableOffset);
        Assert.Empty(Log.OpenTransactions);
    }

    [Fact]
    public void The_last_stable_offset_never_passes_the_high_watermark()
    {
        Send(Seven, 0);
        _harness.AppendMany(1, AppendDurability.Disk);
        Assert.Equal(new Offset(1), Log.HighWatermark);
        AssertStable(0);

        // The high watermark stays where it is, and yet who waits for committed records has to be woken.
        int progressed = 0;
        Log.Progressed += _ => progressed++;
        End(Seven, isCommit: true);
        Assert.Equal(1, progressed);
        Assert.Equal(new Offset(1), Log.HighWatermark);
        AssertStable(1);
        _harness.Sync();
        AssertStable(3);
    }

    [Fact]
    public void A_marker_lies_in_the_log_as_a_control_batch_with_the_brokers_time()
    {
        Send(Seven, 0);
        End(Seven with { Epoch = 3 }, isCommit: false, coordinatorEpoch: 5);
        byte[] log = _harness.ReadFile(LogHarness.FirstSegment);
        RecordBatchHeader data = RecordBatchHeader.Read(log);
        ReadOnlySpan<byte> batch = log.AsSpan(data.TotalByteCount);
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch, out RecordBatchHeader header));
        Assert.True(header is { IsControl: true, IsTransactional: true, BaseSequence: -1, RecordCount: 1, LeaderEpoch: 0 });
        Assert.Equal(new ProducerIdentity(7, 3), header.Producer);
        Assert.Equal(new Offset(1), header.BaseOffset);
        Assert.InRange(header.MaxTimestamp, 1_700_000_000_000, long.MaxValue);
        Assert.True(EndTransactionMarker.TryRead(batch, out EndTransactionMarker marker));
        Assert.Equal(new EndTransactionMarker(IsCommit: false, 5), marker);
    }

    [Theory]
    [InlineData(ProducerStatesTests.Restart.None)]
    [InlineData(ProducerStatesTests.Restart.Kill)]
    [InlineData(ProducerStatesTests.Restart.Clean)]
    public void A_marker_of_a_newer_epoch_shuts_out_the_older_and_sequences_begin_again(ProducerStatesTests.Restart restart)
    {
        Send(Seven, 0);
        Assert.IsType<AppendResult.Appended>(End(Seven with { Epoch = 1 }, isCommit: true));
        ProducerStatesTests.Do(_harness, restart);
        AssertStable(2);

        AssertRejected(AppendRejection.InvalidProducerEpoch, Send(Seven, 0));
        AssertRejected(AppendRejection.InvalidProducerEpoch, Send(Seven, 1));
        AssertRejected(AppendRejection.InvalidProducerEpoch, End(Seven, isCommit: true));
        AssertRejected(AppendRejection.OutOfOrderSequence, Send(Seven with { Epoch = 1 }, 1));
        AssertRejected(AppendRejection.OutOfOrderSequence, Send(Seven with { Epoch = 2 }, 1));
        Assert.IsType<AppendResult.Appended>(Send(Seven with { Epoch = 1 }, 0));
        Assert.IsType<AppendResult.Duplicate>(Send(Seven with { Epoch = 1 }, 0));
    }

    [Theory]
    [InlineData(ProducerStatesTests.Restart.None)]
    [InlineData(ProducerStatesTests.Restart.Kill)]
    [InlineData(ProducerStatesTests.Restart.Clean)]
    public void After_a_marker_of_the_same_epoch_sequences_go_on_and_retries_are_recognised(ProducerStatesTests.Restart restart)
    {
        Send(Seven, 0, recordCount: 2);
        End(Seven, isCommit: true);
        ProducerStatesTests.Do(_harness, restart);
        Assert.Equal(new AppendResult.Duplicate(new Offset(0), new Offset(1), Log.LeaderEpoch), Send(Seven, 0, recordCount: 2));
        AssertRejected(AppendRejection.OutOfOrderSequence, Send(Seven, 0));
        Assert.IsType<AppendResult.Appended>(Send(Seven, 2));
    }

    [Theory]
    [InlineData(ProducerStatesTests.Restart.None)]
    [InlineData(ProducerStatesTests.Restart.Kill)]
    [InlineData(ProducerStatesTests.Restart.Clean)]
    public void An_older_coordinator_is_shut_out(ProducerStatesTests.Restart restart)
    {
        Send(Seven, 0);
        End(Seven, isCommit: true, coordinatorEpoch: 4);
        ProducerStatesTests.Do(_harness, restart);
        Send(Seven, 1);
        AssertRejected(AppendRejection.CoordinatorFenced, End(Seven, isCommit: true, coordinatorEpoch: 3));
        Assert.IsType<AppendResult.Appended>(End(Seven, isCommit: true, coordinatorEpoch: 4));
        Assert.IsType<AppendResult.Appended>(End(Eight, isCommit: true, coordinatorEpoch: 0));
    }

    [Theory]
    [InlineData(ProducerStatesTests.Restart.None)]
    [InlineData(ProducerStatesTests.Restart.Kill)]
    [InlineData(ProducerStatesTests.Restart.Clean)]
    public void A_transaction_that_no_coordinator_knows_is_ended_in_the_name_of_the_last_that_did(ProducerStatesTests.Restart restart)
    {
        Send(Seven, 0);
        End(Seven, isCommit: true, coordinatorEpoch: 4);
        ProducerStatesTests.Do(_harness, restart);
        Send(Seven, 1);
        Send(Eight, 0);
        Assert.IsType<AppendResult.Appended>(End(Seven, isCommit: false, coordinatorEpoch: null));
        Assert.IsType<AppendResult.Appended>(End(Eight, isCommit: false, coordinatorEpoch: null));
        Assert.Equal(Log.LogEndOffset, Log.LastStableOffset);
        Assert.Equal([4, 0], Log.ActiveProducers().Select(static producer => producer.CoordinatorEpoch));
        AssertRejected(AppendRejection.CoordinatorFenced, End(Seven, isCommit: true, coordinatorEpoch: 3));
    }

    [Theory]
    [InlineData(ProducerStatesTests.Restart.Kill)]
    [InlineData(ProducerStatesTests.Restart.Clean)]
    public void Open_transactions_and_producers_are_known_after_a_restart(ProducerStatesTests.Restart restart)
    {
        Send(Eight, 5, recordCount: 2);
        Send(Seven, 0);
        End(Eight, isCommit: false, coordinatorEpoch: 2);
        IReadOnlyList<ActiveProducer> producers = Log.ActiveProducers();
        IReadOnlyList<OpenTransaction> open = Log.OpenTransactions;
        long markedAt = producers[0].LastTimestamp;
        Assert.Equal(
            [
                new ActiveProducer(Eight, LastSequence: 6, markedAt, CoordinatorEpoch: 2, TransactionFirstOffset: null),
                new ActiveProducer(Seven, LastSequence: 0, LastTimestamp: 1000, CoordinatorEpoch: -1, new Offset(2)),
            ],
            producers);

        ProducerStatesTests.Do(_harness, restart);
        Assert.Equal(producers, Log.ActiveProducers());
        Assert.Equal(open, Log.OpenTransactions);
        AssertStable(2);
    }

    [Fact]
    public void Records_outside_of_the_open_transaction_of_their_producer_are_refused()
    {
        byte[] inside = LogHarness.Batch(producerId: 7, isTransactional: true);
        byte[] outside = LogHarness.Batch(producerId: 7, sequence: 1);
        AssertRejected(AppendRejection.InvalidTransactionState, _harness.Append([.. inside, .. outside]));
        Assert.IsType<AppendResult.Appended>(_harness.Append(inside));
        AssertRejected(AppendRejection.InvalidTransactionState, _harness.Append(outside));
        End(Seven, isCommit: true);
        Assert.IsType<AppendResult.Appended>(_harness.Append(outside));
    }

    [Fact]
    public void Records_of_a_newer_epoch_wait_for_the_marker_of_the_older_one()
    {
        Send(Seven, 0);
        AssertRejected(AppendRejection.InvalidTransactionState, Send(Seven with { Epoch = 1 }, 0));
        End(Seven with { Epoch = 1 }, isCommit: false);
        Assert.IsType<AppendResult.Appended>(Send(Seven with { Epoch = 1 }, 0));
    }

    [Fact]
    public void Records_that_a_marker_has_overtaken_open_no_transaction()
    {
        Send(Seven, 0);
        Offset verifiedAt = Log.LogEndOffset;
        byte[] late = LogHarness.Batch(producerId: 7, sequence: 1, isTransactional: true);
        End(Seven, isCommit: false);
        AssertRejected(AppendRejection.InvalidTransactionState, Log.Append(late, AppendDurability.PageCache, verifiedAt: verifiedAt));
        AssertStable(2);
        Assert.IsType<AppendResult.Appended>(Log.Append(late, AppendDurability.PageCache, verifiedAt: Log.LogEndOffset));

        // Within an open transaction there is nothing to overtake.
        Assert.IsType<AppendResult.Appended>(Log.Append(
            LogHarness.Batch(producerId: 7, sequence: 2, isTransactional: true), AppendDurability.PageCache, verifiedAt: Offset.Zero));
    }

    [Fact]
    public void A_producer_of_which_nothing_is_known_may_begin_a_transaction_with_any_sequence()
    {
        Assert.IsType<AppendResult.Appended>(Send(Seven, 77));
        End(Eight, isCommit: true);
        AssertRejected(AppendRejection.OutOfOrderSequence, Send(Eight, 77));
        Assert.IsType<AppendResult.Appended>(Send(Eight, 0));
    }

    [Fact]
    public void Producers_beyond_the_maximum_are_refused_while_all_others_have_transactions_open()
    {
        Send(new ProducerIdentity(1, 0), 0);
        Send(new ProducerIdentity(2, 0), 0);
        Send(new ProducerIdentity(3, 0), 0);
        AssertRejected(AppendRejection.TooManyProducers, Send(Seven, 0));
        AssertRejected(AppendRejection.TooManyProducers, End(Seven, isCommit: true));
        End(new ProducerIdentity(2, 0), isCommit: true);
        Assert.IsType<AppendResult.Appended>(Send(Seven, 0));
    }

    [Fact]
    public void A_coordinator_writes_on_behalf_of_a_producer_without_a_sequence()
    {
        byte[] batch = LogHarness.Batch(producerId: 7, epoch: 1, sequence: -1, isTransactional: true);
        AssertRejected(AppendRejection.InvalidRecord, _harness.Append([.. batch]));
        for (int number = 0; number < 2; number++)
        {
            Assert.IsType<AppendResult.Appended>(Log.Append([.. batch], AppendDurability.PageCache, origin: AppendOrigin.Coordinator));
        }

        AssertStable(0);
        AssertRejected(
            AppendRejection.InvalidProducerEpoch,
            Log.Append(
                LogHarness.Batch(producerId: 7, sequence: -1, isTransactional: true), AppendDurability.PageCache, origin: AppendOrigin.Coordinator));
        End(Seven with { Epoch = 1 }, isCommit: true);
        AssertStable(3);
        byte[] marker = new EndTransactionMarker(IsCommit: true, 0).ToBatch(Seven, 1).ToArray();
        AssertRejected(AppendRejection.InvalidRecord, Log.Append(marker, AppendDurability.PageCache, origin: AppendOrigin.Coordinator));
    }

    [Fact]
    public void A_partition_that_is_offline_takes_no_marker()
    {
        _harness.Storage.FailNext(SimulatedOperation.Write);
        AssertRejected(AppendRejection.Offline, End(Seven, isCommit: true));
        AssertRejected(AppendRejection.Offline, End(Seven, isCommit: true));
        AssertStable(0);
    }

    private AppendResult Send(ProducerIdentity producer, int sequence, int recordCount = 1) =>
        _harness.Append(LogHarness.Batch(recordCount, producer.Id, producer.Epoch, sequence, isTransactional: true));

    private AppendResult End(ProducerIdentity producer, bool isCommit, int? coordinatorEpoch = 0) =>
        Log.AppendMarker(producer, isCommit, coordinatorEpoch);

    private void AssertStable(long offset) => Assert.Equal(new Offset(offset), Log.LastStableOffset);

    private static void AssertRejected(AppendRejection expected, AppendResult result) =>
        Assert.Equal(expected, Assert.IsType<AppendResult.Rejected>(result).Rejection);
}
