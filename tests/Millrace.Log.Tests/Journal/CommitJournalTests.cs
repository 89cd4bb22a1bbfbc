using Millrace.Kafka.Records;

namespace Millrace.Log.Tests.Journal;

public class CommitJournalTests
{
    private readonly JournalHarness _harness = new();

    [Fact]
    public void A_round_acknowledges_what_several_partitions_wait_for_with_one_sync()
    {
        JournalHarness.Append(_harness.Orders);
        JournalHarness.Append(_harness.Second);
        long before = _harness.Storage.OperationCount;
        _harness.Round(_harness.Orders, _harness.Second);
        Assert.Equal(2, _harness.Storage.OperationCount - before);
        Assert.All([_harness.Orders, _harness.Second], static log =>
        {
            JournalHarness.AssertOffsets(log, synced: 1, stored: 0);
            Assert.Equal(new Offset(1), log.HighWatermark);
            Assert.True(log.IsOnDisk(Offset.Zero, log.LeaderEpoch));
        });
    }

    [Fact]
    public void What_comes_while_a_round_runs_waits_for_the_next()
    {
        JournalHarness.Append(_harness.Orders);
        RoundTask round = _harness.Begin(_harness.Orders);
        JournalHarness.Append(_harness.Orders);
        round.Run();
        round.End();
        JournalHarness.AssertOffsets(_harness.Orders, synced: 1, stored: 0);
        Assert.True(_harness.Orders.IsSyncQueued);
        _harness.Round(_harness.Orders);
        JournalHarness.AssertOffsets(_harness.Orders, synced: 2, stored: 0);
    }

    [Fact]
    public void A_sync_of_the_files_moves_the_recovery_point_over_what_the_journal_had()
    {
        _harness.Commit(_harness.Orders);
        JournalHarness.Store(_harness.Orders);
        JournalHarness.AssertOffsets(_harness.Orders, synced: 1, stored: 1);
        Assert.Null(_harness.Orders.BeginStore());
    }

    [Fact]
    public void A_partition_in_a_round_is_stored_after_it()
    {
        _harness.Commit(_harness.Orders);
        JournalHarness.Append(_harness.Orders);
        RoundTask round = _harness.Begin(_harness.Orders);
        Assert.Null(_harness.Orders.BeginStore());
        round.Run();
        round.End();
        Assert.True(_harness.Orders.IsSyncQueued);
        var next = new RoundTask(_harness.Journal, [_harness.Orders]);
        Assert.False(next.TryBegin());
        Assert.Equal([_harness.Orders], next.ForFiles);
        Assert.NotNull(_harness.Orders.BeginQueuedSync());
    }

    [Fact]
    public void A_new_segment_is_synced_in_its_files()
    {
        var harness = new JournalHarness(static options => options.SegmentByteCount = 400);
        harness.Commit(harness.Orders);
        JournalHarness.Append(harness.Orders);
        JournalHarness.Append(harness.Orders);
        AssertForFiles(harness);
    }

    [Fact]
    public void A_large_write_is_synced_in_its_files()
    {
        JournalHarness.Append(_harness.Orders, valueByteCount: 5000);
        AssertForFiles(_harness);
    }

    [Fact]
    public void A_partition_for_which_a_round_has_no_room_is_in_a_later_one()
    {
        var harness = new JournalHarness(static options => options.CommitJournalByteCount = 2 * 8192);
        JournalHarness.Append(harness.Orders, valueByteCount: 3800);
        JournalHarness.Append(harness.Second, valueByteCount: 3800);
        PartitionLog third = harness.Log.LogDirectory.Create(new TopicPartition("orders", 2), LogHarness.OrdersId);
        JournalHarness.Append(third, valueByteCount: 3800);
        var round = new RoundTask(harness.Journal, [harness.Orders, harness.Second, third]);
        Assert.True(round.TryBegin());
        Assert.Equal([third], round.Later);
        Assert.True(third.IsSyncQueued);
    }

    [Fact]
    public void A_half_is_used_again_when_its_partitions_have_what_is_in_it_and_not_before()
    {
        // Four rounds a half.
        for (int number = 0; number < 8; number++)
        {
            _harness.Commit(_harness.Orders);
        }

        JournalHarness.Append(_harness.Orders);
        AssertForFiles(_harness);
        Assert.Same(_harness.Orders, _harness.Journal.TakeToStore());
        JournalHarness.Store(_harness.Orders);
        _harness.Commit(_harness.Orders);
        JournalHarness.AssertOffsets(_harness.Orders, synced: 10, stored: 9);
    }

    [Fact]
    public void A_half_that_was_full_before_it_was_old_grows()
    {
        var harness = new JournalHarness(static options => options.CommitJournalByteCount = 8 << 20);
        for (int number = 0; number < 300; number++)
        {
            harness.Commit(harness.Orders);
        }

        Assert.True(harness.Journal.WantsPreparation);
        harness.Journal.Prepare();
        Assert.Equal([4 << 20, 1 << 20], JournalHarness.Halves.Select(half => harness.Log.ReadFile(half).Length));
    }

    [Fact]
    public void What_is_old_in_the_journal_is_stored()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        _harness.Log.Time.Advance(TimeSpan.FromSeconds(29));
        Assert.False(_harness.Journal.HasOld);
        _harness.Log.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(_harness.Journal.HasOld);
        _harness.Journal.StoreOld();
        Assert.Equal(2, _harness.Journal.ToStoreCount);
        Assert.False(_harness.Journal.HasOld);
    }

    [Fact]
    public void What_gets_old_while_a_round_runs_is_stored_when_that_has_ended_and_everybody_knows_it()
    {
        _harness.Commit(_harness.Orders);
        RoundTask round = BeginInBoth();
        _harness.Log.Time.Advance(TimeSpan.FromSeconds(30));
        _harness.Journal.StoreOld();
        Assert.Equal(0, _harness.Journal.ToStoreCount);
        AssertStoredAfter(round);
        Assert.False(_harness.Journal.HasOld);
    }

    [Fact]
    public void What_a_round_has_written_when_the_journal_failed_meanwhile_is_stored_after_it()
    {
        var harness = new JournalHarness(static options => options.CommitJournalByteCount = 8 << 20);
        for (int number = 0; !harness.Journal.WantsPreparation; number++)
        {
            harness.Commit(harness.Orders);
        }

        JournalHarness.Append(harness.Second);
        RoundTask round = harness.Begin(harness.Second);
        harness.Storage.FailNext(SimulatedOperation.Write, JournalHarness.Halves[0]);
        harness.Journal.Prepare();
        Assert.Contains(harness.Orders, TakeAllToStore(harness));
        round.Run();
        Assert.Null(round.Error);
        harness.Second.Progressed += _ => Assert.Equal(0, harness.Journal.ToStoreCount);
        round.End();
        JournalHarness.AssertOffsets(harness.Second, synced: 1, stored: 0);
        Assert.Contains(harness.Second, TakeAllToStore(harness));
    }

    [Fact]
    public void A_round_that_takes_nothing_holds_nothing_up()
    {
        _harness.Commit(_harness.Orders);
        _harness.Log.Time.Advance(TimeSpan.FromSeconds(30));
        JournalHarness.Append(_harness.Orders, valueByteCount: 5000);
        AssertForFiles(_harness);
        _harness.Journal.StoreOld();
        Assert.Same(_harness.Orders, _harness.Journal.TakeToStore());
    }

    [Fact]
    public void A_partition_that_is_offline_keeps_its_half_from_being_used_again()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        FailSync(_harness.Orders);
        for (int number = 0; number < 7; number++)
        {
            _harness.Commit(_harness.Second);
        }

        JournalHarness.Store(_harness.Second);
        JournalHarness.Append(_harness.Second);
        AssertForFiles(_harness, _harness.Second);
        ComeBack(_harness);
        Assert.True(_harness.Orders.IsOnline);
        _harness.Commit(_harness.Second);
    }

    [Fact]
    public void A_partition_that_is_deleted_keeps_nothing()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        _harness.Log.LogDirectory.Delete(LogHarness.Orders);
        for (int number = 0; number < 7; number++)
        {
            _harness.Commit(_harness.Second);
        }

        JournalHarness.Store(_harness.Second);
        _harness.Commit(_harness.Second);
    }

    [Fact]
    public void A_partition_that_is_deleted_in_a_round_is_left_out_of_it()
    {
        JournalHarness.Append(_harness.Orders);
        JournalHarness.Append(_harness.Second);
        RoundTask round = _harness.Begin(_harness.Orders, _harness.Second);
        _harness.Log.LogDirectory.Delete(LogHarness.Orders);
        round.Run();
        Assert.Null(round.Error);
        round.End();
        JournalHarness.AssertOffsets(_harness.Second, synced: 1, stored: 0);
    }

    [Theory]
    [InlineData(SimulatedOperation.Write)]
    [InlineData(SimulatedOperation.SyncData)]
    public void A_journal_that_fails_acknowledges_nothing_and_is_not_used_any_more(SimulatedOperation operation)
    {
        _harness.Commit(_harness.Second);
        JournalHarness.Append(_harness.Orders);
        RoundTask round = _harness.Begin(_harness.Orders);
        _harness.Storage.FailNext(operation, JournalHarness.Halves[0]);
        round.Run();
        round.End();
        JournalHarness.AssertOffsets(_harness.Orders, synced: 0, stored: 0);
        Assert.True(_harness.Orders.IsOnline);
        AssertForFiles(_harness);

        // What it has acknowledged before comes into the files at once.
        Assert.Same(_harness.Second, _harness.Journal.TakeToStore());
        SyncWork work = _harness.Orders.BeginQueuedSync()!;
        work.Run();
        _harness.Orders.EndSync(work, null);
        JournalHarness.AssertOffsets(_harness.Orders, synced: 1, stored: 1);
    }

    [Fact]
    public void A_disk_without_room_for_a_journal_has_none()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(1, AppendDurability.Disk);
        Assert.False(new RoundTask(harness.LogDirectory.Journal, [harness.Log]).TryBegin());
        harness.Storage.FreeByteCount = 1000;
        harness.LogDirectory.Journal.Prepare();
        Assert.False(harness.LogDirectory.Journal.WantsPreparation);
        Assert.False(new RoundTask(harness.LogDirectory.Journal, [harness.Log]).TryBegin());
        Assert.True(harness.Log.IsOnline);
    }

    [Fact]
    public void A_partition_whose_written_bytes_cannot_be_read_goes_offline_and_the_others_are_acknowledged()
    {
        JournalHarness.Append(_harness.Orders);
        JournalHarness.Append(_harness.Second);
        RoundTask round = _harness.Begin(_harness.Orders, _harness.Second);
        _harness.Storage.FailNext(SimulatedOperation.Read, "orders-0/00000000000000000000.log");
        round.Run();
        round.End();
        Assert.False(_harness.Orders.IsOnline);
        Assert.Equal(Offset.Zero, _harness.Orders.SyncedOffset);
        JournalHarness.AssertOffsets(_harness.Second, synced: 1, stored: 0);
    }

    [Fact]
    public void What_the_disk_has_lost_since_it_was_written_is_not_acknowledged()
    {
        Assert.IsType<AppendResult.Appended>(_harness.Orders.Append(LogHarness.Batch(valueByteCount: 1000), AppendDurability.PageCache));
        using (IStorageFile file = _harness.Storage.Open(LogHarness.FirstSegment, StorageOpenMode.Existing))
        {
            // The system writes in the background, without a word to anybody, and then memory gets scarce.
            _harness.Storage.FailNext(SimulatedOperation.SyncData, LogHarness.FirstSegment);
            Assert.Throws<IOException>(file.SyncData);
        }

        _harness.Storage.DropCleanPages(LogHarness.FirstSegment);
        JournalHarness.Append(_harness.Orders);
        AssertNotTaken();
        ComeBack(_harness);
        Assert.Equal((true, Offset.Zero), (_harness.Orders.IsOnline, _harness.Orders.LogEndOffset));
    }

    [Theory]
    [InlineData("another first offset", 7)]
    [InlineData("another length", 11)]
    [InlineData("another leader epoch", 15)]
    [InlineData("another record", 100)]
    public void Bytes_that_are_not_those_that_were_appended_are_not_acknowledged(string what, int position)
    {
        JournalHarness.Append(_harness.Orders);
        using (IStorageFile file = _harness.Storage.Open(LogHarness.FirstSegment, StorageOpenMode.Existing))
        {
            byte[] bytes = new byte[1];
            file.Read(bytes, position);
            bytes[0] ^= 1;
            file.Write(bytes, position);
        }

        Assert.NotEmpty(what);
        AssertNotTaken();
    }

    [Fact]
    public void A_compaction_first_writes_down_the_recovery_point()
    {
        _harness.Commit(_harness.Orders);
        JournalHarness.Store(_harness.Orders);
        Assert.DoesNotContain("orders 0 1", _harness.Log.ReadText("/data/recovery-point-offset-checkpoint"), StringComparison.Ordinal);
        _harness.Orders.AllowGaps(below: Offset.Zero, end: new Offset(1));
        Assert.Contains("orders 0 1", _harness.Log.ReadText("/data/recovery-point-offset-checkpoint"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_clean_stop_leaves_no_journal()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        Assert.True(_harness.HasJournal);
        Assert.True(_harness.Log.LogDirectory.Close());
        Assert.False(_harness.HasJournal);
        _harness.Log.LosePower();
        _harness.Log.Open();
        Assert.True(_harness.Log.LogDirectory.Recovery.WasCleanStop);
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
    }

    internal static void FailSync(PartitionLog log)
    {
        JournalHarness.Append(log);
        SyncWork work = log.BeginSync()!;
        log.EndSync(work, new IOException("Input/output error"));
        Assert.False(log.IsOnline);
    }

    internal static void ComeBack(JournalHarness harness)
    {
        harness.Log.Time.Advance(TimeSpan.FromMinutes(1));
        harness.Log.LogDirectory.ReopenDue();
    }

    private static List<PartitionLog> TakeAllToStore(JournalHarness harness)
    {
        List<PartitionLog> logs = [];
        while (harness.Journal.TakeToStore() is { } log)
        {
            logs.Add(log);
        }

        return logs;
    }

    private RoundTask BeginInBoth()
    {
        JournalHarness.Append(_harness.Orders);
        JournalHarness.Append(_harness.Second);
        return _harness.Begin(_harness.Orders, _harness.Second);
    }

    /// <summary>Those of the round are to be stored after it, and not before each of them knows that the journal has it: one that does not would find nothing to store.</summary>
    private void AssertStoredAfter(RoundTask round)
    {
        round.Run();
        Assert.Null(round.Error);
        int progressed = 0;
        foreach (PartitionLog log in round.Logs)
        {
            log.Progressed += _ =>
            {
                progressed++;
                Assert.Equal(0, _harness.Journal.ToStoreCount);
            };
        }

        round.End();
        Assert.Equal(2, progressed);
        Assert.Equal(2, _harness.Journal.ToStoreCount);
        JournalHarness.Store(_harness.Journal.TakeToStore()!);
        JournalHarness.Store(_harness.Journal.TakeToStore()!);
    }

    /// <summary>The partition goes offline; the other one in the round is acknowledged.</summary>
    private void AssertNotTaken()
    {
        JournalHarness.Append(_harness.Second);
        RoundTask round = _harness.Begin(_harness.Orders, _harness.Second);
        round.Run();
        Assert.Null(round.Error);
        round.End();
        Assert.Equal((false, Offset.Zero), (_harness.Orders.IsOnline, _harness.Orders.SyncedOffset));
        Assert.Contains("00000000000000000000.log at byte 0", _harness.Orders.OfflineReason, StringComparison.Ordinal);
        JournalHarness.AssertOffsets(_harness.Second, synced: 1, stored: 0);
    }

    private static void AssertForFiles(JournalHarness harness, PartitionLog? log = null)
    {
        PartitionLog queued = log ?? harness.Orders;
        var round = new RoundTask(harness.Journal, [queued]);
        Assert.False(round.TryBegin());
        Assert.Equal([queued], round.ForFiles);
    }
}
