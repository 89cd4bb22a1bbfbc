using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>Deleting records and partitions.</summary>
public class DeletingTests
{
    private static readonly int BatchByteCount = LogHarness.Batch().Length;

    [Fact]
    public void Records_below_the_new_start_are_out_of_range_and_the_others_stay()
    {
        LogHarness harness = WithSegments(7);
        Assert.Equal(Deleted(3), harness.Log.DeleteRecords(new Offset(3)));
        Assert.Equal(new Offset(3), harness.Log.LogStartOffset);
        Assert.Equal(new ReadResult.OutOfRange(new Offset(3), new Offset(7)), Read(harness.Log, 2));
        Assert.Equal(new Offset(3), harness.ReadHeaders(from: 3)[0].BaseOffset);
        Assert.Null(harness.Log.OffsetAtTimestamp(long.MaxValue, harness.Log.HighWatermark));
        Assert.Equal(new Offset(3), harness.Log.OffsetAtTimestamp(0, harness.Log.HighWatermark)!.Value.Offset);
    }

    [Fact]
    public void The_start_never_falls_and_never_passes_the_high_watermark()
    {
        LogHarness harness = WithSegments(2);
        harness.AppendMany(2, AppendDurability.Disk);
        Assert.Equal(Deleted(2), harness.Log.DeleteRecords(new Offset(100)));
        Assert.Equal(Deleted(2), harness.Log.DeleteRecords(Offset.Zero));
        harness.Sync();
        Assert.Equal(Deleted(4), harness.Log.DeleteRecords(new Offset(100)));
    }

    [Fact]
    public void The_start_is_written_down_before_a_file_goes()
    {
        LogHarness harness = WithSegments(7);
        harness.Storage.FailNext(SimulatedOperation.Create, "log-start-offset-checkpoint.tmp");
        Assert.IsType<DeleteRecordsResult.Failed>(harness.Log.DeleteRecords(new Offset(5)));
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);
        Assert.DoesNotContain(harness.Files(), static file => file.EndsWith(".deleted", StringComparison.Ordinal));

        Assert.Equal(Deleted(5), harness.Log.DeleteRecords(new Offset(5)));
        Assert.Equal("0\n1\norders 0 5\n", harness.ReadText("/data/log-start-offset-checkpoint"));
    }

    [Fact]
    public void A_log_whose_deletion_fails_is_synced_as_before()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        QueuedLogs queued = new();
        harness.LogDirectory.Attach(queued);
        harness.Storage.FailNext(SimulatedOperation.Create, "log-start-offset-checkpoint.tmp");
        Assert.IsType<DeleteRecordsResult.Failed>(harness.Log.DeleteRecords(new Offset(2)));
        Assert.True(harness.Log.IsOnline);
        harness.AppendMany(1, AppendDurability.Disk);
        Assert.Equal([harness.Log], queued.Logs);
    }

    [Fact]
    public void What_is_known_of_producers_outlives_their_deleted_records_and_the_power()
    {
        for (int count = 1; count <= 20; count++)
        {
            LogHarness harness = LogHarness.WithPartition();
            for (int sequence = 0; sequence < count; sequence++)
            {
                harness.Append(LogHarness.Batch(producerId: 7, sequence: sequence));
            }

            harness.Sync();
            Assert.IsType<DeleteRecordsResult.Deleted>(harness.Log.DeleteRecords(new Offset(count)));
            harness.LosePower();
            harness.Open();
            Assert.Equal(count - 1, Assert.Single(harness.Log.ActiveProducers()).LastSequence);
        }
    }

    [Fact]
    public void So_does_it_where_the_disk_has_refused_to_sync_it_before()
    {
        for (int count = 1; count <= 20; count++)
        {
            LogHarness harness = LogHarness.WithPartition();
            for (int sequence = 0; sequence < count; sequence++)
            {
                harness.Append(LogHarness.Batch(producerId: 7, sequence: sequence));
            }

            harness.Sync();
            harness.Storage.FailNext(SimulatedOperation.SyncData, ".snapshot");
            Assert.IsType<DeleteRecordsResult.Failed>(harness.Log.DeleteRecords(new Offset(count)));
            harness.Time.Advance(TimeSpan.FromSeconds(1));
            harness.LogDirectory.ReopenDue();
            Assert.IsType<DeleteRecordsResult.Deleted>(harness.Log.DeleteRecords(new Offset(count)));
            harness.LosePower();
            harness.Open();
            Assert.Equal(count - 1, Assert.Single(harness.Log.ActiveProducers()).LastSequence);
        }
    }

    [Fact]
    public void So_does_it_where_a_segment_begins_at_the_end_of_a_clean_stop_long_ago()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 2 * LogHarness.Batch().Length);
        harness.Append(LogHarness.Batch(producerId: 7, sequence: 0));
        harness.Append(LogHarness.Batch(producerId: 7, sequence: 1));
        harness.LogDirectory.Close();
        harness.KillAndOpen();
        harness.KillAndOpen();
        harness.AppendMany(1);
        Assert.Contains("00000000000000000002.snapshot", harness.Files());
        harness.Sync();
        harness.Log.DeleteRecords(new Offset(2));
        harness.LosePower();
        harness.Open();
        Assert.Equal(1, Assert.Single(harness.Log.ActiveProducers()).LastSequence);
    }

    [Fact]
    public void So_does_it_where_the_power_has_cut_the_log_at_its_start_and_a_new_segment_begins_there()
    {
        int cutCount = 0;
        for (int seed = 1; seed <= 40; seed++)
        {
            LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 2 * LogHarness.Batch().Length, seed);
            harness.Append(LogHarness.Batch(producerId: 7, sequence: 0));
            harness.Sync();
            harness.AppendMany(1);
            harness.Log.DeleteRecords(new Offset(1));
            harness.LosePower();
            harness.Open();
            if (harness.Log.LogEndOffset > new Offset(1))
            {
                continue;
            }

            cutCount++;
            Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch(recordCount: 2)));
            harness.LogDirectory.DeleteLeftovers();
            harness.Time.Advance(TimeSpan.FromHours(1));
            harness.LogDirectory.DeleteLeftovers();
            Assert.DoesNotContain(harness.Files(), static file => file.StartsWith("00000000000000000000.log", StringComparison.Ordinal));
            harness.LosePower();
            harness.Open();
            Assert.Equal(0, Assert.Single(harness.Log.ActiveProducers()).LastSequence);
        }

        Assert.InRange(cutCount, 1, 39);
    }

    [Fact]
    public void Segments_below_the_start_are_renamed_at_once_and_deleted_after_their_delay()
    {
        LogHarness harness = WithSegments(7);
        harness.Log.DeleteRecords(new Offset(5));
        Assert.Equal(
            [
                "00000000000000000000.index.deleted", "00000000000000000000.log.deleted", "00000000000000000000.timeindex.deleted", "00000000000000000000.txnindex.deleted",
                "00000000000000000002.index.deleted", "00000000000000000002.log.deleted", "00000000000000000002.timeindex.deleted", "00000000000000000002.txnindex.deleted",
            ],
            harness.Files().Where(static file => file.EndsWith(".deleted", StringComparison.Ordinal)));
        harness.Time.Advance(TimeSpan.FromSeconds(59));
        harness.Log.DeleteDiscardedFiles();
        Assert.Contains("00000000000000000000.log.deleted", harness.Files());
        harness.Time.Advance(TimeSpan.FromSeconds(1));
        harness.Log.DeleteDiscardedFiles();
        Assert.DoesNotContain(harness.Files(), static file => file.EndsWith(".deleted", StringComparison.Ordinal));
        Assert.Equal(new Offset(5), harness.ReadHeaders(from: 5)[0].BaseOffset);
    }

    [Fact]
    public void A_segment_that_is_not_synced_stays_until_it_is()
    {
        LogHarness harness = WithSegments(2);
        harness.AppendMany(5);
        SyncWork running = harness.Log.BeginSync()!;
        Assert.Equal(Deleted(7), harness.Log.DeleteRecords(new Offset(7)));
        Assert.DoesNotContain("00000000000000000002.log.deleted", harness.Files());
        running.Run();
        harness.Log.EndSync(running, null);
        Assert.True(harness.Log.IsOnline);
        harness.Log.ApplyLogStart(harness.Log.LogStartOffset);
        Assert.Contains("00000000000000000002.log.deleted", harness.Files());
    }

    [Fact]
    public void After_a_restart_the_log_begins_where_it_did()
    {
        LogHarness harness = WithSegments(7);
        harness.Log.DeleteRecords(new Offset(5));
        harness.KillAndOpen();
        Assert.True(harness.Log.IsOnline);
        Assert.Equal(new Offset(5), harness.Log.LogStartOffset);
        Assert.Equal(new Offset(7), harness.Log.LogEndOffset);
        Assert.DoesNotContain(harness.Files(), static file => file.EndsWith(".deleted", StringComparison.Ordinal));
        harness.LogDirectory.Close();
        harness.KillAndOpen();
        Assert.Equal(new Offset(5), harness.Log.LogStartOffset);
        Assert.Empty(harness.LogDirectory.Recovery.Findings);
    }

    [Fact]
    public void A_deletion_of_which_the_power_kept_a_part_is_finished()
    {
        LogHarness harness = WithSegments(9);
        harness.Checkpoint();
        harness.Kill();
        harness.WriteText("/data/log-start-offset-checkpoint", "0\n1\norders 0 7\n");
        harness.Storage.DeleteFile($"{LogHarness.Directory}/00000000000000000002.log");

        harness.Open();

        Assert.True(harness.Log.IsOnline, harness.Log.OfflineReason);
        Assert.Equal(new Offset(7), harness.Log.LogStartOffset);
        Assert.Contains(harness.LogDirectory.Recovery.Findings, static finding => finding.Condition == RecoveryCondition.SegmentBelowLogStart);
        Assert.Equal(new Offset(6), harness.ReadHeaders(from: 7)[0].BaseOffset + -1);
    }

    [Fact]
    public void A_log_that_begins_beyond_its_start_has_lost_segments_and_stays_offline()
    {
        LogHarness harness = WithSegments(7);
        harness.Checkpoint();
        harness.Kill();
        harness.Storage.DeleteFile(LogHarness.FirstSegment);
        harness.Open();
        Assert.False(harness.Log.IsOnline);
    }

    [Fact]
    public void Records_that_were_deleted_before_they_were_on_the_disk_are_not_given_out_again()
    {
        LogHarness harness = WithSegments(2);
        harness.AppendMany(3);
        harness.Kill();
        harness.WriteText("/data/log-start-offset-checkpoint", "0\n1\norders 0 5\n");
        harness.Edit(LogHarness.FirstSegment, static log => log[..BatchByteCount]);
        harness.Storage.DeleteFile($"{LogHarness.Directory}/00000000000000000002.log");
        harness.Storage.DeleteFile($"{LogHarness.Directory}/00000000000000000004.log");
        harness.WriteText("/data/recovery-point-offset-checkpoint", "0\n1\norders 0 1\n");

        harness.Open();

        Assert.Equal(RecoveryAction.BeginAtLogStart, harness.Finding(RecoveryCondition.LogEndsBelowStart).Action);
        Assert.Equal(new Offset(5), harness.Log.LogStartOffset);
        Assert.Equal(new AppendResult.Appended(new Offset(5), new Offset(5), LeaderEpoch: 1), harness.Append(LogHarness.Batch()));
        harness.KillAndOpen();
        Assert.Equal(new Offset(6), harness.Log.LogEndOffset);
    }

    [Fact]
    public void Without_a_readable_file_of_starts_each_log_begins_with_its_first_segment()
    {
        LogHarness harness = WithSegments(7);
        harness.Log.DeleteRecords(new Offset(5));
        harness.Kill();
        harness.WriteText("/data/log-start-offset-checkpoint", "0\n2\norders 0 5\n");
        harness.Open();
        Assert.Equal(RecoveryAction.BeginAtFirstSegment, harness.Finding(RecoveryCondition.LogStartsUnreadable).Action);
        Assert.Equal(new Offset(4), harness.Log.LogStartOffset);
        Assert.Equal("0\n1\norders 0 4\n", harness.ReadText("/data/log-start-offset-checkpoint"));
    }

    [Fact]
    public void A_deleted_partition_is_offline_for_who_holds_it_and_gone_after_a_restart()
    {
        LogHarness harness = WithSegments(7);
        PartitionLog log = harness.Log;
        int progressCount = 0;
        log.Progressed += _ => progressCount++;
        Assert.True(harness.LogDirectory.Delete(LogHarness.Orders));
        Assert.False(harness.LogDirectory.Delete(LogHarness.Orders));
        Assert.Equal(1, progressCount);
        Assert.Equal("Partition orders-0 was deleted.", log.OfflineReason);
        Assert.IsType<ReadResult.Offline>(Read(log, 0));
        Assert.IsType<AppendResult.Rejected>(log.Append(LogHarness.Batch(), AppendDurability.Disk));
        Assert.False(harness.LogDirectory.TryGet(LogHarness.Orders, out _));
        Assert.DoesNotContain(harness.Storage.List(LogHarness.Root), static entry => entry.IsDirectory);
        harness.KillAndOpen();
        Assert.Empty(harness.LogDirectory.Partitions);
        Assert.Empty(harness.LogDirectory.Recovery.Findings);
    }

    [Fact]
    public void What_the_disk_does_not_let_go_of_a_deleted_partition_stops_no_start()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.LogDirectory.Create(new TopicPartition("orders", 1), LogHarness.OrdersId);
        harness.Storage.FailNext(SimulatedOperation.DeleteFile, ".log");
        Assert.True(harness.LogDirectory.Delete(LogHarness.Orders));
        harness.Kill();
        harness.Storage.FailNext(SimulatedOperation.DeleteFile, ".log");
        harness.Open();
        Assert.Equal(new TopicPartition("orders", 1), Assert.Single(harness.LogDirectory.Partitions).TopicPartition);
        Assert.Contains(harness.Messages, static message => message.Contains("-delete", StringComparison.Ordinal) && message.Contains("Input/output error", StringComparison.Ordinal));
        harness.KillAndOpen();
        Assert.DoesNotContain(harness.Storage.List(LogHarness.Root), static entry => entry.Name.EndsWith("-delete", StringComparison.Ordinal));
    }

    [Fact]
    public void Many_partitions_are_deleted_with_as_many_syncs_as_one()
    {
        LogHarness harness = WithSegments(7);
        TopicPartition[] many = [.. Enumerable.Range(1, 20).Select(number => new TopicPartition("many", number))];
        foreach (TopicPartition partition in many)
        {
            harness.LogDirectory.Create(partition, LogHarness.OrdersId);
        }

        long before = harness.Storage.OperationCount;
        Assert.True(harness.LogDirectory.Delete(many[0]));
        long one = harness.Storage.OperationCount - before;
        before = harness.Storage.OperationCount;
        Assert.Equal(19, harness.LogDirectory.Delete(many));

        // Each has a name to change and files to remove; the checkpoints are written once.
        Assert.InRange(harness.Storage.OperationCount - before, 1, 19 * (one - 4));
        harness.KillAndOpen();
        Assert.Equal([LogHarness.Orders], harness.LogDirectory.Partitions.Select(log => log.TopicPartition));
        Assert.Empty(harness.LogDirectory.Recovery.Findings);
    }

    [Fact]
    public void A_partition_under_the_name_of_a_deleted_one_begins_anew()
    {
        LogHarness harness = WithSegments(7);
        harness.Log.DeleteRecords(new Offset(5));
        harness.Checkpoint();
        harness.LogDirectory.Delete(LogHarness.Orders);
        harness.LogDirectory.Create(LogHarness.Orders, LogHarness.OrdersId);
        harness.AppendMany(1);
        harness.KillAndOpen();
        Assert.True(harness.Log.IsOnline, harness.Log.OfflineReason);
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);
        Assert.Equal(new Offset(1), harness.Log.LogEndOffset);
    }

    [Theory]
    [InlineData(SimulatedOperation.SyncDirectory, "/data")]
    [InlineData(SimulatedOperation.Create, "recovery-point-offset-checkpoint.tmp")]
    [InlineData(SimulatedOperation.Create, "log-start-offset-checkpoint.tmp")]
    [InlineData(SimulatedOperation.Create, "compaction-offset-checkpoint.tmp")]
    public void A_deletion_that_the_disk_has_stopped_is_finished_by_the_next_one_whatever_that_names(SimulatedOperation operation, string pathSuffix)
    {
        LogHarness harness = WithSegments(7);
        harness.LogDirectory.AllowGaps(harness.Log, new Offset(6), new Offset(6));
        harness.Log.DeleteRecords(new Offset(5));
        harness.Checkpoint();
        harness.Storage.FailNext(operation, pathSuffix);
        Assert.Throws<IOException>(() => harness.LogDirectory.Delete(LogHarness.Orders));

        Assert.Equal(0, harness.LogDirectory.Delete([]));
        Assert.DoesNotContain(harness.Storage.List(LogHarness.Root), static entry => entry.IsDirectory);
        Assert.All(
            (string[])[FileNames.RecoveryPoints, FileNames.LogStartOffsets, FileNames.SparseOffsets],
            name => Assert.Equal("0\n0\n", harness.ReadText($"{LogHarness.Root}/{name}")));

        harness.LogDirectory.Create(LogHarness.Orders, LogHarness.OrdersId);
        harness.AppendMany(1, AppendDurability.Disk);
        harness.Sync();
        harness.KillAndOpen();
        Assert.True(harness.Log.IsOnline, harness.Log.OfflineReason);
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);
        Assert.Equal(new Offset(1), harness.Log.LogEndOffset);
    }

    [Fact]
    public void Several_of_which_the_disk_lets_one_go_are_deleted_by_the_next_call()
    {
        LogHarness harness = WithSegments(7);
        var second = new TopicPartition("orders", 1);
        harness.LogDirectory.Create(second, LogHarness.OrdersId);
        harness.Storage.FailNext(SimulatedOperation.Rename, "/data/orders-1");
        Assert.Throws<IOException>(() => harness.LogDirectory.Delete([LogHarness.Orders, second]));
        Assert.Equal([second], harness.LogDirectory.Partitions.Select(static log => log.TopicPartition));
        Assert.Equal(1, harness.LogDirectory.Delete([LogHarness.Orders, second]));
        Assert.DoesNotContain(harness.Storage.List(LogHarness.Root), static entry => entry.IsDirectory);
    }

    [Fact]
    public void A_deletion_that_is_struck_by_a_crash_at_any_operation_is_whole_or_did_not_begin()
    {
        for (int operation = 0; ; operation++)
        {
            LogHarness harness = WithSegments(7);
            harness.Checkpoint();
            harness.Storage.CrashAfter(operation);
            bool isDeleted = false;
            try
            {
                isDeleted = harness.LogDirectory.Delete(LogHarness.Orders);
            }
            catch (SimulatedCrashException)
            {
            }

            if (isDeleted)
            {
                Assert.True(operation > 5, $"There were {operation} operations.");
                return;
            }

            harness.LosePower();
            harness.Open();
            Assert.DoesNotContain(harness.LogDirectory.Recovery.Findings, static finding => finding.Condition == RecoveryCondition.PartitionMissing);
            if (harness.LogDirectory.TryGet(LogHarness.Orders, out PartitionLog? log))
            {
                Assert.Equal(new Offset(7), log.LogEndOffset);
            }

            Assert.DoesNotContain(harness.Storage.List(LogHarness.Root), static entry => entry.Name.EndsWith("-delete", StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData(5)]
    [InlineData(7)]
    public void A_start_that_loses_power_after_a_kill_leaves_the_log_whole_wherever_both_strike(long logStart)
    {
        // What the killed process wrote and did not sync is seen by the start, and gone after it.
        int killedAt = 0;
        for (bool isDeleted = false; !isDeleted; killedAt++)
        {
            bool hasStarted = false;
            for (int operation = 0; !hasStarted; operation++)
            {
                LogHarness harness = WithSegments(7);
                harness.Checkpoint();
                isDeleted = EndsBefore(harness, killedAt, () => harness.Log.DeleteRecords(new Offset(logStart)));
                harness.Kill();
                hasStarted = EndsBefore(harness, operation, () => harness.Open());
                harness.LosePower();
                harness.Open();
                Assert.True(harness.Log.IsOnline, $"killed at {killedAt}, without power at {operation}: {harness.Log.OfflineReason}");
                Assert.Equal(new Offset(7), harness.Log.LogEndOffset);
                for (long offset = logStart; offset < 7; offset++)
                {
                    Assert.Equal(new Offset(offset), harness.ReadHeaders(from: offset)[0].BaseOffset);
                }

            }
        }

        Assert.True(killedAt > 5, $"There were {killedAt} operations.");
    }

    [Theory]
    [InlineData("orders-3.00112233445566778899aabbccddeeff-delete", "orders-3")]
    [InlineData("a.b-12.00112233445566778899aabbccddeeff-delete", "a.b-12")]
    public void The_name_of_a_deleted_partition_is_kafkas(string name, string partition)
    {
        Assert.True(FileNames.TryParseDeletedPartition(name, out TopicPartition parsed));
        Assert.Equal(partition, parsed.ToString());
        Assert.Equal(name, FileNames.DeletedPartition(parsed, Guid.ParseExact("00112233445566778899aabbccddeeff", "N")));
    }

    [Theory]
    [InlineData("orders-3-delete")]
    [InlineData("orders-3.00112233445566778899aabbccddeefg-delete")]
    [InlineData("orders-3.00112233445566778899aabbccddeeff")]
    [InlineData(".00112233445566778899aabbccddeeff-delete")]
    public void Other_names_are_not(string name) => Assert.False(FileNames.TryParseDeletedPartition(name, out _));

    /// <summary>False: the machine went down in the middle.</summary>
    private static bool EndsBefore(LogHarness harness, int operation, Action run)
    {
        harness.Storage.CrashAfter(operation);
        try
        {
            run();
            return true;
        }
        catch (SimulatedCrashException)
        {
            return false;
        }
    }

    /// <summary>Two batches a segment, and all but the last segment synced.</summary>
    private static LogHarness WithSegments(int batchCount)
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 2 * BatchByteCount);
        harness.AppendMany(batchCount);
        harness.Sync();
        return harness;
    }

    private static ReadResult Read(PartitionLog log, long from) => log.Read(new Offset(from), int.MaxValue, atLeastOneBatch: true, log.HighWatermark);

    private static DeleteRecordsResult.Deleted Deleted(long start) => new(new Offset(start));
}
