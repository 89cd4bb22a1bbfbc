using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>A partition that went offline comes back by itself once the cause is gone, and loses nothing that was acknowledged.</summary>
public class ReopeningTests
{
    private static readonly TopicPartition Other = new("orders", 1);
    private static readonly int BatchByteCount = LogHarness.Batch().Length;

    private readonly LogHarness _harness = LogHarness.WithPartition();

    public enum Fault
    {
        DiskFull,
        Write,
        Sync,
        Read,
    }

    [Theory]
    [InlineData(Fault.DiskFull)]
    [InlineData(Fault.Write)]
    [InlineData(Fault.Sync)]
    [InlineData(Fault.Read)]
    public void After_an_error_of_the_disk_the_partition_comes_back_in_a_new_epoch(Fault fault)
    {
        PartitionLog other = _harness.LogDirectory.Create(Other, LogHarness.OrdersId);
        _harness.AppendMany(2, AppendDurability.Disk);
        _harness.Sync();
        PartitionLog log = _harness.Log;
        Strike(fault);
        Assert.False(log.IsOnline);
        Assert.Contains("comes back by itself", log.OfflineReason, StringComparison.Ordinal);
        Assert.True(other.IsOnline);

        Assert.Equal(0, _harness.LogDirectory.ReopenDue());
        _harness.Storage.FreeByteCount = long.MaxValue;
        int progressed = 0;
        log.Progressed += _ => progressed++;
        _harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, _harness.LogDirectory.ReopenDue());

        Assert.Same(log, _harness.Log);
        Assert.True(log.IsOnline, log.OfflineReason);
        Assert.Equal(1, progressed);
        Assert.Equal(1, log.LeaderEpoch);
        Assert.True(log.LogEndOffset >= new Offset(2));
        Assert.Equal(log.LogEndOffset, log.HighWatermark);
        Assert.Equal(log.LogEndOffset, log.SyncedOffset);
        Assert.Equal((int)log.LogEndOffset.Value, _harness.ReadHeaders().Count);
        _harness.AppendMany(1, AppendDurability.Disk);
        _harness.Sync();
        Assert.Equal(1, _harness.ReadHeaders(log.LogEndOffset.Value - 1)[0].LeaderEpoch);
        Assert.Equal(0, _harness.LogDirectory.ReopenDue());

        Assert.True(_harness.LogDirectory.Close());
        _harness.KillAndOpen();
        Assert.Empty(_harness.LogDirectory.Recovery.Findings);
    }

    [Fact]
    public void While_the_cause_is_there_it_stays_offline_and_is_tried_less_and_less_often()
    {
        _harness.AppendMany(1);
        _harness.Storage.FreeByteCount = 0;
        Assert.IsType<AppendResult.Rejected>(_harness.Append(LogHarness.Batch()));
        foreach (int seconds in (int[])[1, 2, 4, 8, 16, 32, 60, 60])
        {
            _harness.Time.Advance(TimeSpan.FromSeconds(seconds) - TimeSpan.FromTicks(1));
            Assert.False(_harness.LogDirectory.HasDueReopening);
            _harness.Time.Advance(TimeSpan.FromTicks(1));
            Assert.True(_harness.LogDirectory.HasDueReopening);
            Assert.Equal(0, _harness.LogDirectory.ReopenDue());
            Assert.Contains("No space left on device", _harness.Log.OfflineReason, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_partition_that_fails_again_soon_does_not_come_and_go_each_second()
    {
        _harness.AppendMany(1);
        Strike(Fault.Write);
        Reopen(TimeSpan.FromSeconds(1));
        Strike(Fault.Write);
        _harness.Time.Advance(TimeSpan.FromSeconds(3));
        Assert.False(_harness.LogDirectory.HasDueReopening);
        Reopen(TimeSpan.FromSeconds(1));

        _harness.Time.Advance(TimeSpan.FromMinutes(1));
        _harness.LogDirectory.ReopenDue();
        Strike(Fault.Write);
        Reopen(TimeSpan.FromSeconds(1));
    }

    [Fact]
    public void A_partition_does_not_come_back_shorter_while_its_start_is_moved()
    {
        PartitionLog log = LoseTail(() => Assert.True(_harness.Log.TryPrepareStart(new Offset(4))));
        _harness.Time.Advance(TimeSpan.FromSeconds(1));
        _harness.LogDirectory.ReopenDue();
        _harness.LogDirectory.MoveLogStarts([KeyValuePair.Create(log, new Offset(4))]);
        log.ApplyLogStart(new Offset(4));
        log.EndStartMove();

        Reopen(TimeSpan.FromSeconds(2));
        Assert.Equal((new Offset(4), new Offset(4)), (log.LogStartOffset, log.LogEndOffset));
        _harness.AppendMany(1, AppendDurability.Disk);
        _harness.Sync();
        _harness.KillAndOpen();
        Assert.Equal((new Offset(4), new Offset(5)), (_harness.Log.LogStartOffset, _harness.Log.LogEndOffset));
    }

    [Fact]
    public void A_start_that_was_chosen_before_the_log_lost_its_end_is_not_taken()
    {
        PartitionLog log = LoseTail(static () => { });
        Reopen(TimeSpan.FromSeconds(1));
        Assert.Equal(new Offset(2), log.LogEndOffset);
        Assert.False(log.TryPrepareStart(new Offset(4)));
        Assert.True(log.TryPrepareStart(new Offset(2)));
    }

    /// <summary>Has the partition go offline with two records of five that the disk has.</summary>
    private PartitionLog LoseTail(Action before)
    {
        _harness.AppendMany(2, AppendDurability.Disk);
        _harness.Sync();
        _harness.AppendMany(3);
        before();
        Strike(Fault.Sync);
        Assert.False(_harness.Log.IsOnline);
        _harness.Edit(LogHarness.FirstSegment, static bytes => bytes[..(2 * BatchByteCount)]);
        return _harness.Log;
    }

    [Fact]
    public void What_was_taken_for_compacted_for_want_of_a_readable_file_ends_where_the_log_ended()
    {
        _harness.AppendMany(3);
        Assert.True(_harness.LogDirectory.Close());
        _harness.Kill();
        _harness.WriteText($"{LogHarness.Root}/compaction-offset-checkpoint", "0\n1\norders\n");
        _harness.Storage.FailNext(SimulatedOperation.Open, "leader-epoch-checkpoint");
        _harness.Open();
        Assert.False(_harness.Log.IsOnline);
        _harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, _harness.LogDirectory.ReopenDue());
        Assert.Equal(new Offset(3), _harness.Log.SparseBelow);
    }

    [Fact]
    public void It_comes_back_although_the_logger_fails()
    {
        var harness = new LogHarness();
        var logger = new FailingLogger();
        LogDirectory directory = LogDirectory.Open(harness.Options, harness.Storage, harness.Time, new Random(1), logger);
        PartitionLog log = directory.Create(LogHarness.Orders, LogHarness.OrdersId);
        logger.Fails = true;
        harness.Storage.FailNext(SimulatedOperation.Write, ".log");
        Assert.IsType<AppendResult.Rejected>(log.Append(LogHarness.Batch(), AppendDurability.Disk));
        harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, directory.ReopenDue());
        Assert.True(log.IsOnline);
    }

    [Fact]
    public void A_partition_that_fails_again_before_its_return_is_noted_is_tried_again()
    {
        var schedule = new ReopenSchedule(_harness.Time);
        schedule.WentOffline(_harness.Log);
        _harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([_harness.Log], schedule.TakeDue());
        Strike(Fault.Write);
        schedule.WentOffline(_harness.Log);
        schedule.Tried(_harness.Log);
        _harness.Time.Advance(TimeSpan.FromMinutes(2));
        Assert.True(schedule.HasDue);
    }

    [Fact]
    public void After_a_failed_sync_what_comes_back_is_on_the_disk()
    {
        _harness.AppendMany(3, AppendDurability.Disk);
        Strike(Fault.Sync);
        Reopen(TimeSpan.FromSeconds(1));
        Assert.Equal(new Offset(4), _harness.Log.SyncedOffset);
        for (int attempt = 0; attempt < 20; attempt++)
        {
            using var view = new LogHarnessView(_harness.Storage.Crash(SimulatedCrashKind.PowerLoss), _harness.Options);
            Assert.Equal(new Offset(4), view.Log.LogEndOffset);
        }
    }

    [Fact]
    public void A_tail_that_was_cut_while_the_disk_did_not_take_that_does_not_come_back_behind_what_is_acknowledged_since()
    {
        for (int attempt = 0; attempt < 20; attempt++)
        {
            LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 2 * BatchByteCount, seed: attempt);
            harness.AppendMany(2, AppendDurability.Disk);
            harness.Checkpoint();
            harness.Kill();
            harness.Edit(LogHarness.FirstSegment, static bytes => [.. bytes, .. LogHarness.Batch(valueByteCount: 2000)[..1500]]);

            // That of the cut, which the operating system takes for done from then on. What comes next goes into another segment: nothing else tells the disk how long this one is.
            harness.Storage.FailNext(SimulatedOperation.SyncData, ".log");
            harness.Open();
            Assert.False(harness.Log.IsOnline);
            harness.Time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(1, harness.LogDirectory.ReopenDue());
            harness.AppendMany(1, AppendDurability.Disk);
            harness.Sync();

            harness.LosePower();
            harness.Open();
            Assert.True(harness.Log.IsOnline, harness.Log.OfflineReason);
            Assert.Equal(new Offset(3), harness.Log.LogEndOffset);
            Assert.Equal(new Offset(2), Assert.Single(harness.ReadHeaders(2)).BaseOffset);
        }
    }

    [Fact]
    public void Damage_below_the_recovery_point_stays_offline_until_the_file_is_as_it_was()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 2 * BatchByteCount);
        harness.AppendMany(7);
        harness.Sync();
        harness.Storage.FlipBit(LogHarness.FirstSegment, BatchByteCount + 90);
        Assert.IsType<ReadResult.Offline>(harness.Log.Read(new Offset(1), 1000, atLeastOneBatch: true, harness.Log.HighWatermark));
        string? reason = harness.Log.OfflineReason;
        Assert.Contains($"00000000000000000000.log of orders-0 at byte {BatchByteCount} fails its checksum", reason, StringComparison.Ordinal);
        byte[] damaged = harness.ReadFile(LogHarness.FirstSegment);
        for (int attempt = 0; attempt < 3; attempt++)
        {
            harness.Time.Advance(TimeSpan.FromMinutes(1));
            Assert.Equal(0, harness.LogDirectory.ReopenDue());
            Assert.Equal(reason, harness.Log.OfflineReason);
            Assert.Equal(damaged, harness.ReadFile(LogHarness.FirstSegment));
        }

        harness.Storage.FlipBit(LogHarness.FirstSegment, BatchByteCount + 90);
        harness.Time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(1, harness.LogDirectory.ReopenDue());
        Assert.Equal(7, Enumerable.Range(0, 7).Sum(offset => harness.ReadHeaders(offset, 1).Count));
    }

    [Fact]
    public void What_an_append_was_told_holds_for_no_other_record_at_its_offset()
    {
        _harness.AppendMany(2, AppendDurability.Disk);
        _harness.Sync();
        var lost = Assert.IsType<AppendResult.Appended>(_harness.Append(LogHarness.Batch(), AppendDurability.Disk));
        Assert.True(_harness.Log.IsOnDisk(new Offset(1), 0));
        Assert.False(_harness.Log.IsOnDisk(lost.LastOffset, lost.LeaderEpoch));

        // The bytes of the third never got as far as the disk.
        Strike(Fault.Sync);
        _harness.Edit(LogHarness.FirstSegment, static log => log[..(2 * BatchByteCount + 10)]);
        Reopen(TimeSpan.FromSeconds(1));
        Assert.Equal(new Offset(2), _harness.Log.LogEndOffset);
        var other = Assert.IsType<AppendResult.Appended>(_harness.Append(LogHarness.Batch(), AppendDurability.Disk));
        _harness.Sync();
        Assert.Equal(lost.LastOffset, other.LastOffset);
        Assert.True(_harness.Log.IsOnDisk(other.LastOffset, other.LeaderEpoch));
        Assert.False(_harness.Log.IsOnDisk(lost.LastOffset, lost.LeaderEpoch));
        Assert.True(_harness.Log.IsOnDisk(new Offset(1), 0));
    }

    [Fact]
    public void Producers_and_their_transactions_come_back_too()
    {
        var producer = new ProducerIdentity(7, 0);
        _harness.Append(LogHarness.Batch(producerId: 7, isTransactional: true));
        _harness.Log.AppendMarker(producer, isCommit: false, coordinatorEpoch: 0);
        _harness.Append(LogHarness.Batch(producerId: 7, sequence: 1, isTransactional: true));
        Strike(Fault.Write);
        Reopen(TimeSpan.FromSeconds(1));
        Assert.IsType<AppendResult.Duplicate>(_harness.Append(LogHarness.Batch(producerId: 7, sequence: 1, isTransactional: true)));
        Assert.Equal(new Offset(2), _harness.Log.LastStableOffset);
        Assert.Single(_harness.Log.AbortedTransactions(Offset.Zero, new Offset(2))!);
        Assert.Single(_harness.Log.OpenTransactions);
    }

    [Fact]
    public void Until_its_transactions_are_settled_nothing_is_written_in_one()
    {
        _harness.LogDirectory.CameBack += static _ => { };
        _harness.Append(LogHarness.Batch(producerId: 7, isTransactional: true));
        Assert.False(_harness.Log.AwaitsSettlement);
        Strike(Fault.Write);
        Reopen(TimeSpan.FromSeconds(1));
        Assert.True(_harness.Log.AwaitsSettlement);

        byte[] next = LogHarness.Batch(producerId: 7, sequence: 1, isTransactional: true);
        Assert.Equal(AppendRejection.TransactionsUnsettled, Assert.IsType<AppendResult.Rejected>(_harness.Append(next)).Rejection);
        ProducerIdentity producer = new(7, 0);
        Assert.IsType<AppendResult.Rejected>(_harness.Log.AppendMarker(producer, isCommit: true, coordinatorEpoch: 0));
        Assert.IsType<AppendResult.Appended>(_harness.Append(LogHarness.Batch()));
        Assert.IsType<AppendResult.Appended>(_harness.Log.AppendMarker(producer, isCommit: true, coordinatorEpoch: 0, settles: true));

        // Who settled what it was before knows nothing of what it is now.
        _harness.Log.Settle(leaderEpoch: 0);
        Assert.True(_harness.Log.AwaitsSettlement);
        _harness.Log.Settle(_harness.Log.LeaderEpoch);
        Assert.IsType<AppendResult.Appended>(_harness.Append(next));
    }

    [Fact]
    public void A_sync_that_began_before_is_waited_for()
    {
        _harness.AppendMany(2, AppendDurability.Disk);
        SyncWork work = _harness.Log.BeginSync()!;
        Strike(Fault.Write);
        _harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(0, _harness.LogDirectory.ReopenDue());
        _harness.Log.EndSync(work, work.TryRun());
        Reopen(TimeSpan.FromSeconds(2));
        Assert.Equal(new Offset(2), _harness.Log.SyncedOffset);
    }

    [Fact]
    public void A_partition_that_could_not_be_opened_comes_back_without_a_restart()
    {
        _harness.AppendMany(2);
        _harness.Kill();
        _harness.Storage.FailNext(SimulatedOperation.Read, ".log");
        _harness.Open();
        Assert.False(_harness.Log.IsOnline);
        Reopen(TimeSpan.FromSeconds(1));
        Assert.Equal(new Offset(2), _harness.Log.HighWatermark);
        _harness.AppendMany(1);
    }

    [Fact]
    public void An_index_that_points_astray_is_made_anew()
    {
        LogHarness harness = WithEveryBatchIndexed();
        harness.Sync();
        harness.Edit(LogHarness.FirstIndex, static index => [.. index.Select(static (value, place) => (byte)(place % 8 == 7 ? value ^ 1 : value))]);
        Assert.IsType<ReadResult.Offline>(harness.Log.Read(new Offset(3), 1000, atLeastOneBatch: true, harness.Log.HighWatermark));
        harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, harness.LogDirectory.ReopenDue());
        Assert.Equal(new Offset(3), harness.ReadHeaders(3, 1)[0].BaseOffset);
    }

    [Fact]
    public void An_index_that_points_beyond_what_is_asked_for_hides_no_record()
    {
        LogHarness harness = WithEveryBatchIndexed();
        Assert.True(harness.LogDirectory.Close());
        harness.Kill();

        // The second batch has the position of the fourth.
        harness.Edit(LogHarness.FirstIndex, static index => [.. index[..4], .. index[20..24], .. index[8..]]);
        harness.Open();
        Assert.IsType<ReadResult.Offline>(harness.Log.Read(new Offset(1), 1000, atLeastOneBatch: true, harness.Log.HighWatermark));
        harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, harness.LogDirectory.ReopenDue());
        Assert.Equal(new Offset(1), harness.ReadHeaders(1, 1)[0].BaseOffset);
    }

    [Fact]
    public void What_is_said_of_an_index_that_points_behind_its_segment_is_not_that_all_is_whole()
    {
        LogHarness harness = WithEveryBatchIndexed();
        harness.Sync();
        harness.Edit(LogHarness.FirstIndex, static index => [.. index.Select(static (value, place) => (byte)(place % 8 == 4 ? 0x40 : value))]);
        string reason = Assert.IsType<ReadResult.Offline>(harness.Log.Read(new Offset(3), 1000, atLeastOneBatch: true, harness.Log.HighWatermark)).Reason;
        Assert.Contains(" has no batch. ", reason, StringComparison.Ordinal);
        harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, harness.LogDirectory.ReopenDue());
        Assert.Equal(new Offset(3), harness.ReadHeaders(3, 1)[0].BaseOffset);
    }

    [Fact]
    public void Indexes_below_the_recovery_point_that_are_made_anew_survive_a_crash_in_the_middle_of_it()
    {
        bool isThrough = false;
        for (int operationCount = 0; !isThrough; operationCount++)
        {
            LogHarness harness = LogHarness.WithPartition(static options =>
            {
                options.SegmentByteCount = 4 * BatchByteCount;
                options.IndexIntervalByteCount = 0;
            });
            for (int number = 0; number < 9; number++)
            {
                Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch(timestamp: 1000 + number)));
            }

            harness.Checkpoint();
            TopicSettingsCell settings = harness.LogDirectory.SettingsCellOf(LogHarness.Orders.Topic);
            settings.Current = settings.Current with { IndexIntervalByteCount = 2 * BatchByteCount };
            harness.Storage.FailNext(SimulatedOperation.Read, ".log");
            Assert.IsType<ReadResult.Offline>(harness.Log.Read(Offset.Zero, 1000, atLeastOneBatch: true, harness.Log.HighWatermark));
            harness.Time.Advance(TimeSpan.FromSeconds(1));
            harness.Storage.CrashAfter(operationCount);
            isThrough = Xunit.Record.Exception(() => harness.LogDirectory.ReopenDue()) is null;
            harness.KillAndOpen();
            Assert.True(harness.LogDirectory.Close());
            List<InspectionFinding> findings = [];
            LogInspection.Run(harness.Options, harness.Storage, [], findings.Add);
            Assert.DoesNotContain(findings, static finding => !finding.IsNote);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_partition_that_is_closed_or_deleted_does_not_come_back(bool isDeleted)
    {
        PartitionLog log = _harness.Log;
        Strike(Fault.Write);
        _harness.Time.Advance(TimeSpan.FromSeconds(1));
        if (isDeleted)
        {
            _harness.LogDirectory.Delete(LogHarness.Orders);
        }
        else
        {
            Assert.False(_harness.LogDirectory.Close());
        }

        Assert.Equal(0, _harness.LogDirectory.ReopenDue());
        Assert.False(log.IsOnline);
        _harness.Time.Advance(TimeSpan.FromMinutes(5));
        Assert.False(_harness.LogDirectory.HasDueReopening);
    }

    [Fact]
    public void A_partition_whose_metadata_is_lost_meanwhile_is_not_taken_for_one_that_never_was()
    {
        Strike(Fault.Write);
        string path = $"{LogHarness.Directory}/partition.metadata";
        byte[] metadata = _harness.ReadFile(path);
        _harness.Storage.DeleteFile(path);
        _harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(0, _harness.LogDirectory.ReopenDue());
        Assert.Contains("partition.metadata is missing", _harness.Log.OfflineReason, StringComparison.Ordinal);
        _harness.WriteFile(path, metadata);
        Reopen(TimeSpan.FromSeconds(2));
    }

    [Fact]
    public async Task The_committer_brings_partitions_back()
    {
        var back = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var committer = new GroupCommitter(_harness.LogDirectory, new GroupCommitterOptions(), _harness.Time);
        Strike(Fault.Write);
        _harness.Log.Progressed += log =>
        {
            if (log.IsOnline)
            {
                back.TrySetResult();
            }
        };
        _harness.Time.Advance(TimeSpan.FromSeconds(1));
        await back.Task.WaitAsync(TestContext.Current.CancellationToken);
        _harness.AppendMany(1);
    }

    private void Reopen(TimeSpan after)
    {
        _harness.Time.Advance(after);
        _harness.LogDirectory.ReopenDue();
        Assert.True(_harness.Log.IsOnline, _harness.Log.OfflineReason);
    }

    private void Strike(Fault fault)
    {
        switch (fault)
        {
            case Fault.DiskFull:
                _harness.Storage.FreeByteCount = 50;
                Assert.IsType<AppendResult.Rejected>(_harness.Append(LogHarness.Batch()));
                break;
            case Fault.Write:
                _harness.Storage.FailNext(SimulatedOperation.Write, ".log");
                Assert.IsType<AppendResult.Rejected>(_harness.Append(LogHarness.Batch()));
                break;
            case Fault.Sync:
                _harness.Storage.FailNext(SimulatedOperation.SyncData, ".log");
                _harness.Append(LogHarness.Batch(), AppendDurability.Disk);
                SyncWork work = _harness.Log.BeginSync()!;
                _harness.Log.EndSync(work, work.TryRun());
                break;
            default:
                _harness.Storage.FailNext(SimulatedOperation.Read, ".log");
                Assert.IsType<ReadResult.Offline>(_harness.Log.Read(Offset.Zero, 1000, atLeastOneBatch: true, _harness.Log.HighWatermark));
                break;
        }
    }

    /// <summary>As one that writes to a disk that is full.</summary>
    private sealed class FailingLogger : ILogger
    {
        public bool Fails { get; set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (Fails)
            {
                throw new IOException("No space left on device");
            }
        }
    }

    /// <summary>Nine batches in segments of four, each of which but the first of a segment has an entry in the index.</summary>
    private static LogHarness WithEveryBatchIndexed()
    {
        LogHarness harness = LogHarness.WithPartition(static options =>
        {
            options.SegmentByteCount = 4 * BatchByteCount;
            options.IndexIntervalByteCount = 0;
        });
        harness.AppendMany(9);
        return harness;
    }
}
