using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>What a start reads, and what it begins with: snapshots of the producers, indexes, checkpoints.</summary>
public class CleanStartTests
{
    private static readonly int BatchByteCount = LogHarness.Batch(producerId: 7).Length;

    // Three batches a segment.
    private readonly LogHarness _harness = LogHarness.WithPartition(static options =>
    {
        options.SegmentByteCount = 3 * BatchByteCount;
        options.IndexIntervalByteCount = 0;
    });

    private List<string> Snapshots => [.. _harness.Files().Where(static file => file.EndsWith(".snapshot", StringComparison.Ordinal))];

    [Fact]
    public void A_segment_begins_with_a_snapshot_and_a_clean_stop_ends_with_one()
    {
        Send(count: 7);
        Assert.Equal([SnapshotAt(3), SnapshotAt(6)], Snapshots);
        CloseAndOpen();
        Assert.Equal([SnapshotAt(3), SnapshotAt(6), SnapshotAt(7)], Snapshots);
        AssertRemembered(7);
    }

    [Fact]
    public void The_snapshot_of_a_clean_stop_goes_with_the_next_one()
    {
        Send(count: 7);
        CloseAndOpen();
        Send(count: 1);
        CloseAndOpen();
        Assert.Equal([SnapshotAt(3), SnapshotAt(6), SnapshotAt(8)], Snapshots);
        Send(count: 2);
        Assert.Equal([SnapshotAt(3), SnapshotAt(6), SnapshotAt(9)], Snapshots);
        CloseAndOpen();
        AssertRemembered(10);
    }

    [Fact]
    public void A_stop_at_a_snapshot_keeps_it()
    {
        Send(count: 6);
        CloseAndOpen();
        Send(count: 1);
        Assert.Equal([SnapshotAt(3), SnapshotAt(6)], Snapshots);
        CloseAndOpen();
        Assert.Equal([SnapshotAt(3), SnapshotAt(6), SnapshotAt(7)], Snapshots);
    }

    [Fact]
    public void A_clean_stop_without_anything_new_touches_no_partition()
    {
        Send(count: 7);
        CloseAndOpen();
        List<StorageEntry> before = [.. _harness.Storage.List(LogHarness.Directory)];
        _harness.Storage.FailNext(SimulatedOperation.SyncData, ".log");
        _harness.Storage.FailNext(SimulatedOperation.SyncData, "index");
        _harness.Storage.FailNext(SimulatedOperation.SyncData, ".snapshot");
        _harness.Storage.FailNext(SimulatedOperation.SyncDirectory, "orders-0");
        CloseAndOpen();
        Assert.Equal(before, _harness.Storage.List(LogHarness.Directory));
    }

    [Fact]
    public void After_a_clean_stop_no_byte_of_a_log_or_an_index_is_read_until_it_is_used()
    {
        Send(count: 7);
        _harness.LogDirectory.Close();
        _harness.Kill();
        _harness.Storage.FailNext(SimulatedOperation.Open, ".log");
        _harness.Storage.FailNext(SimulatedOperation.Open, "index");
        _harness.Open();
        Assert.Empty(_harness.LogDirectory.Recovery.Findings);
        Assert.Equal((7, 7), ((int)_harness.Log.LogEndOffset.Value, (int)_harness.Log.HighWatermark.Value));
    }

    [Fact]
    public void After_a_clean_stop_the_files_go_on_as_if_it_had_not_been()
    {
        LogHarness undisturbed = LogHarness.WithPartition(static options => options.IndexIntervalByteCount = 2 * BatchByteCount);
        LogHarness stopped = LogHarness.WithPartition(static options => options.IndexIntervalByteCount = 2 * BatchByteCount);
        for (int number = 0; number < 30; number++)
        {
            // Times that go back now and then.
            byte[] batch = LogHarness.Batch(timestamp: 1000 + number - 5 * (number % 3));
            undisturbed.Append([.. batch]);
            stopped.Append([.. batch]);
            stopped.LogDirectory.Close();
            stopped.KillAndOpen();
            Assert.Empty(stopped.LogDirectory.Recovery.Findings);
        }

        foreach (string suffix in (string[])["log", "index", "timeindex"])
        {
            string path = $"{LogHarness.Directory}/00000000000000000000.{suffix}";
            Assert.Equal(undisturbed.ReadFile(path), stopped.ReadFile(path));
        }
    }

    [Fact]
    public void After_a_crash_only_what_is_past_the_segment_of_the_recovery_point_is_read()
    {
        Send(count: 7);
        _harness.Checkpoint();
        Send(count: 1);
        _harness.Kill();
        _harness.Storage.FailNext(SimulatedOperation.Open, "00000000000000000000.log");
        _harness.Storage.FailNext(SimulatedOperation.Open, "00000000000000000003.log");
        _harness.Storage.FailNext(SimulatedOperation.Open, "00000000000000000003.index");
        _harness.Open();
        Assert.Empty(_harness.LogDirectory.Recovery.Findings);
        Assert.Equal(new Offset(8), _harness.Log.LogEndOffset);
        AssertRemembered(8);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void A_snapshot_that_is_missing_or_damaged_is_made_anew_from_an_older_one_and_the_batches(bool isDamaged, bool isCleanStop)
    {
        Send(count: 8);
        if (isCleanStop)
        {
            _harness.LogDirectory.Close();
        }
        else
        {
            _harness.Checkpoint();
        }

        string path = $"{LogHarness.Directory}/{SnapshotAt(isCleanStop ? 8 : 6)}";
        byte[] snapshot = _harness.ReadFile(path);
        _harness.Kill();
        DamageOrDelete(path, isDamaged);

        _harness.Open();

        RecoveryCondition condition = isDamaged ? RecoveryCondition.SnapshotUnreadable : RecoveryCondition.SnapshotMissing;
        Assert.Equal(isDamaged ? RecoveryAction.Delete : RecoveryAction.Rebuild, _harness.Finding(condition).Action);
        Assert.True(_harness.Log.IsOnline, _harness.Log.OfflineReason);
        Assert.Equal(snapshot, _harness.ReadFile(path));
        AssertRemembered(8);
        _harness.KillAndOpen();
        Assert.Empty(_harness.LogDirectory.Recovery.Findings);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Without_any_snapshot_the_log_is_read_from_its_start(bool isCleanStop)
    {
        Send(count: 8);
        if (isCleanStop)
        {
            _harness.LogDirectory.Close();
        }
        else
        {
            _harness.Checkpoint();
        }

        _harness.Kill();
        Snapshots.ForEach(name => _harness.Storage.DeleteFile($"{LogHarness.Directory}/{name}"));
        _harness.Open();
        Assert.True(_harness.Log.IsOnline, _harness.Log.OfflineReason);
        Assert.Equal(new Offset(8), _harness.Log.LogEndOffset);
        AssertRemembered(8);
    }

    [Fact]
    public void A_snapshot_beyond_the_end_is_deleted_since_other_batches_may_come_there()
    {
        Send(count: 4);
        Assert.Contains(SnapshotAt(3), Snapshots);
        _harness.Kill();
        _harness.Edit(LogHarness.FirstSegment, static log => log[..(2 * BatchByteCount + 5)]);
        _harness.Open();
        Assert.Equal(new Offset(2), _harness.Log.LogEndOffset);
        Assert.Equal(RecoveryAction.Delete, _harness.Finding(RecoveryCondition.SnapshotStale).Action);
        Assert.Empty(Snapshots);

        // Another producer writes what comes there now.
        _harness.AppendMany(2);
        CloseAndOpen();
        Assert.IsType<AppendResult.Appended>(_harness.Append(LogHarness.Batch(producerId: 7, sequence: 2)));
    }

    [Fact]
    public void The_snapshot_of_a_segment_is_on_the_disk_before_the_recovery_point_moves_into_it()
    {
        Send(count: 4);
        _harness.Checkpoint();
        for (int attempt = 0; attempt < 20; attempt++)
        {
            using var view = new LogHarnessView(_harness.Storage.Crash(SimulatedCrashKind.PowerLoss), _harness.Options);
            Assert.Empty(view.Directory.Recovery.Findings);
            Assert.IsType<AppendResult.Duplicate>(view.Log.Append(LogHarness.Batch(producerId: 7, sequence: 3), AppendDurability.PageCache));
        }
    }

    [Fact]
    public void The_snapshots_of_segments_that_leave_the_log_leave_with_them()
    {
        Send(count: 8);
        _harness.Sync();
        _harness.Log.DeleteRecords(new Offset(7));
        _harness.Time.Advance(TimeSpan.FromMilliseconds(_harness.Log.Settings.FileDeleteDelayMilliseconds));
        _harness.Log.DeleteDiscardedFiles();
        Assert.Equal([SnapshotAt(6)], Snapshots);
        CloseAndOpen();
        Assert.Equal(new Offset(7), _harness.Log.LogStartOffset);
        AssertRemembered(8);
    }

    private static string SnapshotAt(long offset) => FileNames.Segment(new Offset(offset), ".snapshot");

    private void Send(int count)
    {
        for (int number = 0; number < count; number++)
        {
            int sequence = (int)_harness.Log.LogEndOffset.Value;
            Assert.IsType<AppendResult.Appended>(_harness.Append(LogHarness.Batch(producerId: 7, sequence: sequence)));
        }
    }

    private void CloseAndOpen()
    {
        _harness.LogDirectory.Close();
        _harness.KillAndOpen();
        Assert.True(_harness.LogDirectory.Recovery.WasCleanStop);
        Assert.Empty(_harness.LogDirectory.Recovery.Findings);
    }

    private void DamageOrDelete(string path, bool isDamaged)
    {
        if (isDamaged)
        {
            _harness.Edit(path, static bytes => [.. bytes[..^1], (byte)(bytes[^1] ^ 1)]);
        }
        else
        {
            _harness.Storage.DeleteFile(path);
        }
    }

    /// <summary>The last five batches of the producer are known, and no older one is.</summary>
    private void AssertRemembered(int end)
    {
        for (int sequence = end - 5; sequence < end; sequence++)
        {
            Assert.IsType<AppendResult.Duplicate>(_harness.Append(LogHarness.Batch(producerId: 7, sequence: sequence)));
        }

        Assert.IsType<AppendResult.Rejected>(_harness.Append(LogHarness.Batch(producerId: 7, sequence: end - 6)));
        Assert.IsType<AppendResult.Rejected>(_harness.Append(LogHarness.Batch(producerId: 7, sequence: end + 1)));
    }
}
