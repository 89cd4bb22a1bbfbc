using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class LogRepairTests
{
    private const string SecondOfLastSegment = "the second batch of the last segment";

    private readonly DamagedLog _log = DamagedLog.Stopped();

    private LogHarness Harness => _log.Harness;

    public static TheoryData<string, int> Damages => new()
    {
        { "a batch in the first segment", 0 },
        { "a batch in the middle", 5 },
        { SecondOfLastSegment, DamagedLog.EndOffset },
        { "a segment that is gone", 4 },
        { "the last segment that is gone", 8 },
        { "the metadata", DamagedLog.EndOffset },
        { "the indexes", DamagedLog.EndOffset },
        { "a snapshot", DamagedLog.EndOffset },
        { "the recovery points and a batch", 5 },
        { "the first segment that is gone", DamagedLog.EndOffset },
        { "all segments that are gone", 0 },
        { "the epochs", DamagedLog.EndOffset },
    };

    [Theory]
    [MemberData(nameof(Damages))]
    public void After_a_repair_a_check_finds_nothing_and_the_partition_starts_online_with_what_was_whole(string damage, int endOffset)
    {
        Do(damage);
        Assert.NotEmpty(_log.Check());
        Repair();
        Assert.Empty(_log.Check());
        Harness.Kill();
        Harness.Open();
        Assert.True(Harness.Log.IsOnline, Harness.Log.OfflineReason);
        Assert.Equal(new Offset(endOffset), Harness.Log.LogEndOffset);
        Assert.Equal(LogHarness.OrdersId, Harness.Log.TopicId);
        AssertWhole(Harness.Log, endOffset);
        Assert.Equal(new Offset(endOffset), Assert.IsType<AppendResult.Appended>(Harness.Append(LogHarness.Batch())).BaseOffset);
    }

    [Fact]
    public void It_says_what_it_is_going_to_do_and_does_nothing_until_then()
    {
        _log.FlipBit(DamagedLog.PathOf(4, ".log"), BatchByteCount + 70);
        long before = Harness.Storage.OperationCount;
        using LogRepair repair = LogRepair.Prepare(Harness.Options, Harness.Storage, LogHarness.Orders);
        Assert.Equal(before, Harness.Storage.OperationCount);
        Assert.Equal(
            [
                "The marker of the clean stop is taken away until the repair is done.",
                $"The log is cut at offset 5: 00000000000000000004.log at byte {BatchByteCount} fails its checksum. Offsets 5 to at least 8 are given up, and are "
                + "given out again to new records. What is cut stays in .cut files in /data/orders-0.",
                "The partition is recovered as after a crash: its indexes, snapshots and leader epochs are made right.",
                "The marker of the clean stop comes back.",
            ],
            repair.Steps);
    }

    [Fact]
    public void What_is_cut_is_kept_byte_for_byte_however_much_it_is()
    {
        Harness.Options.MaximumKeptCutCount = 1;
        string[] segments = [DamagedLog.PathOf(4, ".log"), DamagedLog.PathOf(6, ".log"), DamagedLog.PathOf(8, ".log")];
        _log.FlipBit(segments[0], 70);
        byte[][] before = [.. segments.Select(Harness.ReadFile)];
        Repair();
        string[] kept = [.. Harness.Files().Where(static file => file.EndsWith(".cut", StringComparison.Ordinal))];
        Assert.Equal(before, kept.Select(file => Harness.ReadFile($"{LogHarness.Directory}/{file}")));
    }

    [Fact]
    public void The_other_partitions_start_as_after_their_clean_stop()
    {
        _log.FlipBit(DamagedLog.PathOf(4, ".log"), 70);
        Repair();
        Harness.Kill();
        Harness.Open();
        Assert.True(Harness.LogDirectory.Recovery.WasCleanStop);
        Assert.True(Harness.LogDirectory.TryGet(DamagedLog.OtherPartition, out PartitionLog? other));
        Assert.Equal((0, new Offset(1)), (other.LeaderEpoch, other.LogEndOffset));
        Assert.Equal(1, Harness.Log.LeaderEpoch);
    }

    [Fact]
    public void Nothing_is_done_where_nothing_is_wrong()
    {
        using LogRepair repair = LogRepair.Prepare(Harness.Options, Harness.Storage, LogHarness.Orders);
        Assert.Empty(repair.Findings);
        Assert.Empty(repair.Steps);
        Assert.Null(repair.Refusal);
    }

    [Fact]
    public void A_directory_in_use_is_refused()
    {
        DamagedLog running = DamagedLog.Running();
        LogDirectoryException refusal = Assert.Throws<LogDirectoryException>(() => LogRepair.Prepare(running.Harness.Options, running.Harness.Storage, LogHarness.Orders));
        Assert.Equal(LogDirectoryFailure.Locked, refusal.Failure);
    }

    [Fact]
    public void The_directory_is_locked_while_it_is_repaired()
    {
        using LogRepair repair = LogRepair.Prepare(Harness.Options, Harness.Storage, LogHarness.Orders);
        Assert.Equal(LogDirectoryFailure.Locked, Assert.Throws<LogDirectoryException>(() => Harness.Open()).Failure);
    }

    [Fact]
    public void Without_a_sibling_the_topic_gets_a_new_id_only_when_told_so()
    {
        Harness.Storage.DeleteFile($"{LogHarness.Directory}/partition.metadata");
        Harness.Storage.DeleteFile($"{DamagedLog.Sibling}/partition.metadata");
        using (LogRepair refused = LogRepair.Prepare(Harness.Options, Harness.Storage, LogHarness.Orders))
        {
            Assert.Contains("--new-topic-id", refused.Refusal);
            Assert.Empty(refused.Steps);
        }

        var id = new Guid(5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        using (LogRepair repair = LogRepair.Prepare(Harness.Options, Harness.Storage, LogHarness.Orders, id))
        {
            Assert.Null(repair.Run(static _ => { }));
        }

        Harness.Kill();
        Harness.Open();
        Assert.Equal(id, Harness.Log.TopicId);
        Assert.True(Harness.Log.IsOnline);
    }

    [Fact]
    public void A_disk_that_refuses_to_be_read_is_not_taken_for_damage()
    {
        Harness.Storage.FailNext(SimulatedOperation.Read, "00000000000000000002.log");
        using LogRepair repair = LogRepair.Prepare(Harness.Options, Harness.Storage, LogHarness.Orders);
        Assert.Contains("Input/output error", repair.Refusal);
        Assert.Empty(repair.Steps);
    }

    [Theory]
    [InlineData("cleaner-offset-checkpoint")]
    [InlineData("compaction-offset-checkpoint")]
    public void Where_it_cannot_be_read_how_far_logs_are_compacted_no_gap_is_given_up_for_damage(string file)
    {
        var topic = new CompactionHarness(segmentByteCount: 170);
        topic.Append("a", "1");
        topic.Append("b", "1");
        topic.Append("b", "2");
        topic.Append("b", "3");
        topic.Close();
        topic.Compact();
        topic.Harness.LogDirectory.Close();
        topic.Harness.Kill();
        topic.Harness.Storage.DeleteFile($"{LogHarness.Root}/cleaner-offset-checkpoint");
        topic.Harness.Storage.DeleteFile($"{LogHarness.Root}/compaction-offset-checkpoint");
        topic.Harness.WriteText($"{LogHarness.Root}/{file}", "0\n2\norders 0 4\n");
        topic.Harness.WriteText($"{LogHarness.Directory}/leader-epoch-checkpoint", "");
        using (LogRepair repair = LogRepair.Prepare(topic.Harness.Options, topic.Harness.Storage, LogHarness.Orders))
        {
            Assert.DoesNotContain(repair.Steps, static step => step.Contains("given up", StringComparison.Ordinal));
            Assert.Null(repair.Run(static _ => { }));
        }

        topic.Harness.Open();
        Assert.Equal(["0:a=1", "3:b=3"], topic.Records());
    }

    [Fact]
    public void A_crash_at_any_operation_of_a_compaction_is_no_damage_and_nothing_is_given_up_by_a_repair()
    {
        int refusalCount = 0;
        bool isDone = false;
        for (int operation = 0; !isDone; operation++)
        {
            var topic = new CompactionHarness(segmentByteCount: 170);
            topic.Append("a", "1");
            topic.Append("b", "1");
            topic.Append("b", "2");
            topic.Append("b", "3");
            topic.Close();
            topic.Harness.Checkpoint();
            topic.Harness.Storage.CrashAfter(operation);
            try
            {
                isDone = topic.Compact().IsComplete;
            }
            catch (SimulatedCrashException)
            {
            }

            topic.Harness.LosePower();
            using (LogRepair repair = LogRepair.Prepare(topic.Harness.Options, topic.Harness.Storage, LogHarness.Orders))
            {
                Assert.DoesNotContain(repair.Findings, static finding => !finding.IsNote);
                Assert.Empty(repair.Steps);
                refusalCount += repair.Refusal is null ? 0 : 1;
            }

            topic.Harness.Open();
            string[] newest = ["0:a=1", "3:b=3"];
            Assert.Equal(newest, topic.Records().Where(newest.Contains));
        }

        Assert.True(refusalCount > 5, $"{refusalCount} crashes left a compacted segment that was not in its place.");
    }

    /// <summary>
    /// The machine goes down at every operation of the repair in turn. Then either a broker starts, or the repair is begun again and then a broker starts: what
    /// was whole is there, and what was cut is kept.
    /// </summary>
    [Theory]
    [MemberData(nameof(Damages))]
    public void A_crash_at_any_operation_loses_nothing_that_was_whole(string damage, int endOffset)
    {
        int crashCount = 0;
        for (int operation = 0; ; operation++)
        {
            DamagedLog log = DamagedLog.Stopped();
            Do(log, damage);
            log.Harness.Storage.CrashAfter(operation);
            bool hasCrashed = !TryRepair(log);
            if (!hasCrashed)
            {
                break;
            }

            crashCount++;
            if (operation % 2 == 0)
            {
                log.Harness.LosePower();
            }
            else
            {
                log.Harness.Kill();
            }

            if (operation % 3 == 0)
            {
                log.Harness.Open();

                // As damaged as it was, or mended, and never shorter.
                Assert.True(!log.Harness.Log.IsOnline || log.Harness.Log.LogEndOffset >= new Offset(endOffset));
                int end = damage == SecondOfLastSegment ? DamagedLog.EndOffset + 1 : DamagedLog.EndOffset;
                if (log.Harness.LogDirectory.Recovery.WasCleanStop && log.Harness.Log.IsOnline && log.Harness.Log.LogEndOffset < new Offset(end))
                {
                    // Nothing of the log was read: the marker may vouch for a shorter one only when the repair is done.
                    Assert.Empty(log.Check(LogHarness.Orders));
                }

                log.Harness.LogDirectory.Dispose();
            }

            Assert.True(TryRepair(log));
            Assert.Empty(log.Check(LogHarness.Orders));
            log.Harness.Open();
            Assert.True(log.Harness.Log.IsOnline, log.Harness.Log.OfflineReason);
            Assert.Equal(new Offset(endOffset), log.Harness.Log.LogEndOffset);
            AssertWhole(log.Harness.Log, endOffset);
            Assert.True(log.Harness.LogDirectory.TryGet(DamagedLog.OtherPartition, out PartitionLog? other));
            Assert.Equal(new Offset(1), other.LogEndOffset);
        }

        Assert.InRange(crashCount, 5, 500);
    }

    private static int BatchByteCount => LogHarness.Batch().Length;

    private static void AssertWhole(PartitionLog log, int endOffset)
    {
        Offset start = log.LogStartOffset;
        if (log.LogEndOffset > start)
        {
            var data = Assert.IsType<ReadResult.Data>(log.Read(start, int.MaxValue, atLeastOneBatch: true, log.LogEndOffset));
            Assert.NotEmpty(LogHarness.Headers(data.Batches));
        }

        Assert.True(log.LogEndOffset >= new Offset(endOffset));
        if (start == Offset.Zero && endOffset > 4)
        {
            Assert.Equal([new AbortedTransaction(7, Offset.Zero, new Offset(3), new Offset(4))], log.AbortedTransactions(Offset.Zero, new Offset(5)));
        }
    }

    [Fact]
    public void Of_a_log_that_has_lost_its_segments_it_does_not_say_that_there_never_was_a_record()
    {
        Do("all segments that are gone");
        List<string> done = [];
        using LogRepair repair = LogRepair.Prepare(Harness.Options, Harness.Storage, LogHarness.Orders);
        Assert.Null(repair.Run(done.Add));
        Assert.Contains(done, static line => line.Contains("There is no segment", StringComparison.Ordinal));
        Assert.DoesNotContain(done, static line => line.Contains("never was a record", StringComparison.Ordinal));
    }

    private void Do(string damage) => Do(_log, damage);

    private static void Do(DamagedLog log, string damage)
    {
        LogHarness harness = log.Harness;
        switch (damage)
        {
            case "a batch in the first segment":
                log.FlipBit(DamagedLog.PathOf(0, ".log"), 70);
                break;
            case "a batch in the middle":
                log.FlipBit(DamagedLog.PathOf(4, ".log"), harness.ReadFile(DamagedLog.PathOf(4, ".log")).Length - 5);
                break;
            case SecondOfLastSegment:
                harness.Open();
                harness.AppendMany(1);
                harness.LogDirectory.Close();
                log.FlipBit(DamagedLog.PathOf(8, ".log"), BatchByteCount + 70);
                break;
            case "a segment that is gone":
                harness.Storage.DeleteFile(DamagedLog.PathOf(4, ".log"));
                break;
            case "the last segment that is gone":
                harness.Storage.DeleteFile(DamagedLog.PathOf(8, ".log"));
                break;
            case "the metadata":
                harness.WriteText($"{LogHarness.Directory}/partition.metadata", "version: 0\n");
                break;
            case "the indexes":
                log.FlipBit(DamagedLog.PathOf(2, ".txnindex"), 9);
                log.FlipBit(DamagedLog.PathOf(2, ".timeindex"), 3);
                log.FlipBit(DamagedLog.PathOf(4, ".index"), 3);
                break;
            case "a snapshot":
                log.FlipBit(DamagedLog.PathOf(4, ".snapshot"), 3);
                break;
            case "the recovery points and a batch":
                harness.WriteText($"{LogHarness.Root}/recovery-point-offset-checkpoint", "x");
                log.FlipBit(DamagedLog.PathOf(4, ".log"), harness.ReadFile(DamagedLog.PathOf(4, ".log")).Length - 5);
                break;
            case "the first segment that is gone":
                harness.Storage.DeleteFile(DamagedLog.PathOf(0, ".log"));
                break;
            case "all segments that are gone":
                harness.Files().Where(static file => file.EndsWith(".log", StringComparison.Ordinal)).ToList()
                    .ForEach(file => harness.Storage.DeleteFile($"{LogHarness.Directory}/{file}"));
                break;
            case "the epochs":
                harness.WriteText($"{LogHarness.Directory}/leader-epoch-checkpoint", "0\n");
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(damage), damage, message: null);
        }

        harness.Storage.SyncDirectory(LogHarness.Directory);
    }

    private void Repair() => Assert.True(TryRepair(_log));

    /// <summary>False if the machine went down.</summary>
    private static bool TryRepair(DamagedLog log)
    {
        try
        {
            using LogRepair repair = LogRepair.Prepare(log.Harness.Options, log.Harness.Storage, LogHarness.Orders);
            Assert.Null(repair.Refusal);
            Assert.Null(repair.Run(static _ => { }));
            return true;
        }
        catch (SimulatedCrashException)
        {
            return false;
        }
    }
}
