using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>A test for each row of <see cref="RecoveryTable"/>.</summary>
public class RecoveryTests
{
    private const int BatchCount = 4;
    private const int LargeByteCount = 8 << 20;
    private static readonly int BatchByteCount = LogHarness.Batch().Length;
    private static readonly int BadPosition = 2 * BatchByteCount;

    /// <summary>What can be wrong with the third batch of four.</summary>
    internal static readonly Dictionary<RecoveryCondition, Func<byte[], byte[]>> BadBatches = new()
    {
        [RecoveryCondition.BatchIncomplete] = static log => log[..(BadPosition + 70)],
        [RecoveryCondition.BatchLengthImpossible] = static log => With(log, BadPosition + 8, [0, 0, 0, 1]),
        [RecoveryCondition.BatchFormatUnknown] = static log => With(log, BadPosition + 16, [9]),
        [RecoveryCondition.BatchChecksumWrong] = static log => With(log, BadPosition + BatchByteCount - 5, [0xff]),
        [RecoveryCondition.BatchCountsContradict] = static log => Seal(With(log, BadPosition + 57, [0, 0, 0, 77])),
        [RecoveryCondition.BatchOffsetUnexpected] = static log => With(log, BadPosition, [0, 0, 0, 0, 0, 0, 0, 7]),
        [RecoveryCondition.BatchEpochWentBack] = static log => With(log, BadPosition + 12, [0xff, 0xff, 0xff, 0xff]),
    };

    public static TheoryData<string> BadBatchNames => [.. BadBatches.Keys.Select(static condition => condition.ToString())];

    [Fact]
    public void Every_condition_has_an_action_on_both_sides_of_the_recovery_point()
    {
        foreach (RecoveryCondition condition in Enum.GetValues<RecoveryCondition>())
        {
            Assert.True(Enum.IsDefined(RecoveryTable.Decide(condition, isBelowRecoveryPoint: false)));
            Assert.True(Enum.IsDefined(RecoveryTable.Decide(condition, isBelowRecoveryPoint: true)));
        }
    }

    [Fact]
    public void Nothing_below_the_recovery_point_is_ever_cut()
    {
        Assert.All(
            Enum.GetValues<RecoveryCondition>(),
            static condition => Assert.NotEqual(RecoveryAction.CutAndKeep, RecoveryTable.Decide(condition, isBelowRecoveryPoint: true)));
    }

    [Theory]
    [MemberData(nameof(BadBatchNames))]
    public void A_batch_that_fails_beyond_the_recovery_point_ends_the_log_and_is_kept(string name)
    {
        RecoveryCondition condition = Enum.Parse<RecoveryCondition>(name);
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        harness.Checkpoint();
        harness.AppendMany(BatchCount - 2);
        harness.Kill();
        harness.Edit(LogHarness.FirstSegment, BadBatches[condition]);
        byte[] damaged = harness.ReadFile(LogHarness.FirstSegment);

        harness.Open();

        Assert.Equal(RecoveryAction.CutAndKeep, harness.Finding(condition).Action);
        Assert.True(harness.Log.IsOnline);
        Assert.Equal(new Offset(2), harness.Log.LogEndOffset);
        Assert.Equal(2, harness.ReadHeaders().Count);
        string kept = Assert.Single(harness.Files(), static file => file.EndsWith(".cut", StringComparison.Ordinal));
        Assert.Equal(damaged[BadPosition..], harness.ReadFile($"{LogHarness.Directory}/{kept}"));
        Assert.Contains(kept, harness.Finding(condition).Description, StringComparison.Ordinal);

        harness.AppendMany(1, AppendDurability.Disk);
        Assert.Equal(3, harness.ReadHeaders().Count);
    }

    [Theory]
    [MemberData(nameof(BadBatchNames))]
    public void A_batch_that_fails_below_the_recovery_point_takes_the_partition_offline_and_changes_nothing(string name)
    {
        RecoveryCondition condition = Enum.Parse<RecoveryCondition>(name);
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(BatchCount);
        harness.Checkpoint();
        harness.Kill();
        harness.Edit(LogHarness.FirstSegment, BadBatches[condition]);
        byte[] damaged = harness.ReadFile(LogHarness.FirstSegment);

        for (int start = 0; start < 2; start++)
        {
            // The second start judges the same: the recovery point of the partition is not forgotten.
            harness.Open();
            Assert.Equal(RecoveryAction.StayOffline, harness.Finding(condition).Action);
            Assert.False(harness.Log.IsOnline);
            Assert.Contains("00000000000000000000.log of orders-0 at byte " + BadPosition, harness.Log.OfflineReason, StringComparison.Ordinal);
            Assert.Contains("give up the records from offset 2 on, stop and run 'millrace log repair /data orders-0'", harness.Log.OfflineReason, StringComparison.Ordinal);
            Assert.IsType<ReadResult.Offline>(harness.Log.Read(Offset.Zero, 1000, atLeastOneBatch: true, harness.Log.LogEndOffset));
            Assert.Equal(new AppendResult.Rejected(AppendRejection.Offline, harness.Log.OfflineReason!), harness.Append(LogHarness.Batch()));
            Assert.Equal(damaged, harness.ReadFile(LogHarness.FirstSegment));
            harness.Kill();
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_lower_limit_of_batches_takes_nothing_that_was_appended_under_a_higher_one(bool isCleanStop)
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.MaximumBatchByteCount = 5000);
        Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch(valueByteCount: 2000), AppendDurability.Disk));
        harness.Sync();
        if (isCleanStop)
        {
            Assert.True(harness.LogDirectory.Close());
        }

        harness.Kill();
        harness.Options.MaximumBatchByteCount = 1000;
        harness.Open();
        Assert.Equal((true, new Offset(1)), (harness.Log.IsOnline, harness.Log.LogEndOffset));
        Assert.Single(harness.ReadHeaders());
        var refused = Assert.IsType<AppendResult.Rejected>(harness.Append(LogHarness.Batch(valueByteCount: 2000)));
        Assert.Equal(AppendRejection.MessageTooLarge, refused.Rejection);
        List<InspectionFinding> findings = [];
        LogInspection.Run(harness.Options, harness.Storage, [], findings.Add);
        Assert.DoesNotContain(findings, static finding => !finding.IsNote);
    }

    [Fact]
    public void A_length_that_is_wrong_takes_no_memory()
    {
        LogHarness harness = WithLargeBatch();
        harness.Kill();
        using IStorageFile file = harness.Storage.Open(LogHarness.FirstSegment, StorageOpenMode.Existing);
        byte[] right = new byte[BatchByteCount];
        file.Read(right, 0);
        ClaimFile(file);
        AssertTakesNoMemory(() => Assert.Empty(Walk(file)));
        file.Write(right, 0);
        Assert.Equal([BatchByteCount, file.Length - BatchByteCount], Walk(file));

        static List<long> Walk(IStorageFile file)
        {
            List<long> byteCounts = [];
            using var walker = new BatchWalker(file, 0, file.Length, verifiesChecksums: true);
            while (walker.MoveNext())
            {
                Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(walker.Batch.Span, out RecordBatchHeader header));
                Assert.Equal(walker.Batch.Length, header.TotalByteCount);
                byteCounts.Add(walker.Batch.Length);
            }

            Assert.Equal(byteCounts.Count > 0 ? BatchVerdict.Valid : BatchVerdict.BadChecksum, walker.Verdict);
            return byteCounts;
        }
    }

    [Fact]
    public void A_length_that_is_wrong_takes_no_memory_of_a_reader()
    {
        LogHarness harness = WithLargeBatch();
        Assert.Equal(2, harness.ReadHeaders(from: 0).Count);
        Assert.Single(harness.ReadHeaders(from: 1, maximumByteCount: 100));
        using (IStorageFile file = harness.Storage.Open(LogHarness.FirstSegment, StorageOpenMode.Existing))
        {
            ClaimFile(file);
        }

        AssertTakesNoMemory(() => Assert.IsType<ReadResult.Offline>(harness.Log.Read(Offset.Zero, 100, atLeastOneBatch: true, harness.Log.LogEndOffset)));
        Assert.Contains("at byte 0 fails its checksum", harness.Log.OfflineReason, StringComparison.Ordinal);
    }

    [Fact]
    public void The_way_out_of_damage_that_the_message_names_works()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(BatchCount);
        harness.Checkpoint();
        harness.Kill();
        harness.Edit(LogHarness.FirstSegment, BadBatches[RecoveryCondition.BatchChecksumWrong]);
        harness.Open();
        Assert.False(harness.Log.IsOnline);
        harness.LogDirectory.Close();

        using (LogRepair repair = LogRepair.Prepare(harness.Options, harness.Storage, LogHarness.Orders))
        {
            Assert.Null(repair.Run(static _ => { }));
        }

        harness.Open();

        Assert.True(harness.Log.IsOnline, harness.Log.OfflineReason);
        Assert.Equal(new Offset(2), harness.Log.LogEndOffset);
    }

    [Fact]
    public void A_whole_batch_behind_a_torn_one_goes_with_it()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(BatchCount);
        harness.Kill();
        harness.Edit(LogHarness.FirstSegment, static log => With(log, BatchByteCount + 80, new byte[40]));
        harness.Open();
        Assert.Equal(new Offset(1), harness.Log.LogEndOffset);
        Assert.Equal(BatchByteCount, harness.ReadFile(LogHarness.FirstSegment).Length);
    }

    [Fact]
    public void A_tail_of_zeros_is_cut_and_not_kept()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(1);
        harness.Kill();
        harness.Edit(LogHarness.FirstSegment, static log => [.. log, .. new byte[5000]]);
        harness.Open();
        Assert.Equal(new Offset(1), harness.Log.LogEndOffset);
        Assert.Equal(BatchByteCount, harness.ReadFile(LogHarness.FirstSegment).Length);
        Assert.DoesNotContain(harness.Files(), static file => file.EndsWith(".cut", StringComparison.Ordinal));
    }

    [Fact]
    public void Kept_cuts_have_a_bound_and_the_oldest_goes_first()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.MaximumKeptCutCount = 2);
        for (int number = 0; number < 4; number++)
        {
            harness.Kill();
            harness.Edit(LogHarness.FirstSegment, log => [.. log, (byte)(number + 1)]);
            harness.Open();
        }

        List<string> kept = [.. harness.Files().Where(static file => file.EndsWith(".cut", StringComparison.Ordinal))];
        Assert.Equal([3, 4], kept.Select(file => harness.ReadFile($"{LogHarness.Directory}/{file}")[0]));
    }

    [Fact]
    public void A_segment_behind_a_gap_is_kept_aside_beyond_the_recovery_point()
    {
        (LogHarness harness, byte[] second) = WithGap(checkpoints: false);
        harness.Open();
        Assert.Equal(RecoveryAction.CutAndKeep, harness.Finding(RecoveryCondition.SegmentAfterGap).Action);
        Assert.Equal(new Offset(1), harness.Log.LogEndOffset);
        Assert.Contains(harness.Files(), file => file.EndsWith(".cut", StringComparison.Ordinal)
            && harness.ReadFile($"{LogHarness.Directory}/{file}").AsSpan().SequenceEqual(second));
        Assert.Single(harness.Files(), static file => file.EndsWith(".log", StringComparison.Ordinal));
        Assert.Single(harness.Files(), static file => file.EndsWith(".index", StringComparison.Ordinal));
    }

    [Fact]
    public void A_segment_behind_a_gap_below_the_recovery_point_takes_the_partition_offline()
    {
        (LogHarness harness, _) = WithGap(checkpoints: true);

        // The recovery point lies in the first segment, and the first batch only is left of it.
        string path = $"{LogHarness.Root}/recovery-point-offset-checkpoint";
        harness.WriteText(path, harness.ReadText(path).Replace("orders 0 4", "orders 0 2", StringComparison.Ordinal));
        List<string> files = harness.Files();
        harness.Open();
        Assert.Equal(RecoveryAction.StayOffline, harness.Finding(RecoveryCondition.SegmentAfterGap).Action);
        Assert.False(harness.Log.IsOnline);
        Assert.Equal(files, harness.Files());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_segment_that_overlaps_is_cut_beyond_the_recovery_point_and_damage_below(bool isBelow)
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(3);
        if (isBelow)
        {
            harness.Checkpoint();
        }

        harness.Kill();
        harness.WriteFile($"{LogHarness.Directory}/00000000000000000001.log", [1, 2, 3]);
        if (isBelow)
        {
            string path = $"{LogHarness.Root}/recovery-point-offset-checkpoint";
            harness.WriteText(path, harness.ReadText(path).Replace("orders 0 3", "orders 0 4", StringComparison.Ordinal));
        }

        harness.Open();
        RecoveryAction expected = isBelow ? RecoveryAction.StayOffline : RecoveryAction.CutAndKeep;
        Assert.Equal(expected, harness.Finding(RecoveryCondition.SegmentOverlaps).Action);
        Assert.Equal(!isBelow, harness.Log.IsOnline);
        Assert.Equal(new Offset(isBelow ? 4 : 3), harness.Log.LogEndOffset);
    }

    [Fact]
    public void A_log_that_ends_below_its_recovery_point_is_damage()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(3);
        harness.Checkpoint();
        harness.Kill();
        harness.Edit(LogHarness.FirstSegment, static log => log[..(2 * BatchByteCount)]);
        harness.Open();
        Assert.Equal(RecoveryAction.StayOffline, harness.Finding(RecoveryCondition.LogEndsEarly).Action);
        Assert.Contains("ends at offset 2, and offsets below 3 were on the disk", harness.Log.OfflineReason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Missing_segments_are_damage_only_where_records_were(bool hadRecords)
    {
        LogHarness harness = LogHarness.WithPartition();
        if (hadRecords)
        {
            harness.AppendMany(1);
            harness.Checkpoint();
        }

        harness.Kill();
        harness.Storage.DeleteFile(LogHarness.FirstSegment);
        harness.Open();
        RecoveryAction expected = hadRecords ? RecoveryAction.StayOffline : RecoveryAction.CreateFirstSegment;
        Assert.Equal(expected, harness.Finding(RecoveryCondition.SegmentsMissing).Action);
        Assert.Equal(!hadRecords, harness.Log.IsOnline);
        if (!hadRecords)
        {
            harness.AppendMany(1);
        }
    }

    [Theory]
    [InlineData("index", IndexFault.Missing, true)]
    [InlineData("index", IndexFault.Missing, false)]
    [InlineData("index", IndexFault.HalfAnEntry, true)]
    [InlineData("index", IndexFault.HalfAnEntry, false)]
    [InlineData("index", IndexFault.WrongEntry, false)]
    [InlineData("timeindex", IndexFault.Missing, true)]
    [InlineData("timeindex", IndexFault.HalfAnEntry, true)]
    [InlineData("timeindex", IndexFault.WrongEntry, false)]
    public void An_index_that_is_missing_or_stale_is_made_anew(string suffix, IndexFault fault, bool isCleanStop)
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.IndexIntervalByteCount = 100);
        for (int number = 0; number < 20; number++)
        {
            harness.Append(LogHarness.Batch(timestamp: 1000 + number));
        }

        if (isCleanStop)
        {
            harness.LogDirectory.Close();
        }

        string path = $"{LogHarness.Directory}/00000000000000000000.{suffix}";
        byte[] index = harness.ReadFile(path);
        Assert.NotEmpty(index);
        harness.Kill();
        switch (fault)
        {
            case IndexFault.Missing:
                harness.Storage.DeleteFile(path);
                break;
            case IndexFault.HalfAnEntry:
                harness.Edit(path, static bytes => bytes[..^3]);
                break;
            default:
                harness.Edit(path, static bytes => With(bytes, 12, [0, 0, 1, 1]));
                break;
        }

        harness.Open();
        RecoveryCondition condition = fault == IndexFault.Missing ? RecoveryCondition.IndexMissing : RecoveryCondition.IndexStale;
        Assert.Equal(RecoveryAction.Rebuild, harness.Finding(condition).Action);
        Assert.Equal(index, harness.ReadFile(path));
        Assert.Equal(new Offset(13), harness.ReadHeaders(13, 1)[0].BaseOffset);
    }

    public enum IndexFault
    {
        Missing,
        HalfAnEntry,
        WrongEntry,
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_index_that_is_made_anew_is_on_the_disk_also_where_a_sync_of_it_has_failed_before(bool isDeletionRefused)
    {
        for (int round = 0; round < 20; round++)
        {
            LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 3 * LogHarness.Batch().Length);
            harness.AppendMany(round);
            harness.Append(LogHarness.Batch(producerId: 7, isTransactional: true));
            harness.Log.AppendMarker(new ProducerIdentity(7, 0), isCommit: false, coordinatorEpoch: 0);
            harness.AppendMany(6);
            harness.Checkpoint();
            Offset stable = harness.Log.LastStableOffset;
            string index = $"{harness.Log.SegmentsForTests.First(static segment => segment.TransactionIndex.EntryCount > 0).BaseOffset.Value:D20}.txnindex";
            harness.Kill();
            harness.Storage.DeleteFile($"{LogHarness.Directory}/{index}");
            harness.Storage.FailNext(SimulatedOperation.SyncData, index + ".tmp");
            if (isDeletionRefused)
            {
                harness.Storage.FailNext(SimulatedOperation.DeleteFile, index + ".tmp");
            }

            harness.Open();
            Assert.False(harness.Log.IsOnline);
            harness.Time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(1, harness.LogDirectory.ReopenDue());
            harness.LosePower();
            harness.Open();
            Assert.Single(harness.Log.AbortedTransactions(Offset.Zero, stable)!);
        }
    }

    [Theory]
    [InlineData(".index")]
    [InlineData(".timeindex")]
    public void An_index_that_is_made_anew_is_on_the_disk_also_where_the_process_was_killed_meanwhile(string suffix)
    {
        for (int number = 0; number < 400; number++)
        {
            int operation = number / 10;
            LogHarness harness = LogHarness.WithPartition(
                static options =>
                {
                    options.SegmentByteCount = 3 * LogHarness.Batch().Length;
                    options.IndexIntervalByteCount = 0;
                },
                seed: number % 10);
            harness.AppendMany(9);
            harness.Checkpoint();
            harness.Kill();
            harness.Storage.DeleteFile($"{LogHarness.Directory}/{0:D20}{suffix}");
            harness.Storage.SyncDirectory(LogHarness.Directory);
            harness.Storage.CrashAfter(operation);
            _ = Xunit.Record.Exception(harness.Open);
            harness.Kill();
            harness.Open();
            harness.LosePower();
            harness.Open();
            Assert.True(harness.LogDirectory.Close());
            List<InspectionFinding> findings = [];
            LogInspection.Run(harness.Options, harness.Storage, [], findings.Add);
            Assert.True(findings.TrueForAll(static finding => finding.IsNote), $"Operation {operation}: {string.Join(" ", findings)}");
        }
    }

    [Fact]
    public void An_index_without_its_segment_is_deleted()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.Kill();
        harness.WriteFile($"{LogHarness.Directory}/00000000000000000009.index", new byte[8]);
        harness.Open();
        Assert.Equal(RecoveryAction.Delete, harness.Finding(RecoveryCondition.IndexWithoutSegment).Action);
        Assert.DoesNotContain("00000000000000000009.index", harness.Files());
    }

    [Fact]
    public void A_temporary_file_is_deleted()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.Kill();
        harness.WriteFile($"{LogHarness.Directory}/leader-epoch-checkpoint.tmp", [1]);
        harness.Open();
        Assert.Equal(RecoveryAction.Delete, harness.Finding(RecoveryCondition.TemporaryFile).Action);
        Assert.DoesNotContain("leader-epoch-checkpoint.tmp", harness.Files());
    }

    [Theory]
    [InlineData(null, nameof(RecoveryCondition.EpochsMissing))]
    [InlineData("0\n2\n0 0\n", nameof(RecoveryCondition.EpochsUnreadable))]
    [InlineData("0\n1\n0 0\n", nameof(RecoveryCondition.EpochsBehindBatches))]
    public void Leader_epochs_that_are_missing_or_wrong_are_made_anew_from_the_batches(string? content, string name)
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        harness.KillAndOpen();
        harness.AppendMany(3);
        Assert.Equal([new LeaderEpochStart(0, new Offset(0)), new LeaderEpochStart(1, new Offset(2))], harness.Log.LeaderEpochs);
        harness.Kill();
        string path = $"{LogHarness.Directory}/leader-epoch-checkpoint";
        if (content is null)
        {
            harness.Storage.DeleteFile(path);
        }
        else
        {
            harness.WriteText(path, content);
        }

        harness.Open();

        Assert.Equal(RecoveryAction.Rebuild, harness.Finding(Enum.Parse<RecoveryCondition>(name)).Action);
        Assert.Equal([0, 1, 2], harness.Log.LeaderEpochs.Select(static start => start.Epoch));
        Assert.Equal([0, 2, 5], harness.Log.LeaderEpochs.Select(static start => start.StartOffset.Value));
        Assert.Equal("0\n3\n0 0\n1 2\n2 5\n", harness.ReadText(path));
        Assert.Equal((1, new Offset(5)), harness.Log.EndOfLeaderEpoch(1));
        Assert.Null(harness.Log.EndOfLeaderEpoch(3));
    }

    [Fact]
    public void A_partition_whose_creation_was_interrupted_is_removed()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.Kill();
        harness.Storage.DeleteFile($"{LogHarness.Directory}/partition.metadata");
        harness.Open();
        Assert.Equal(RecoveryAction.DeletePartition, harness.Finding(RecoveryCondition.MetadataMissingWithoutRecords).Action);
        Assert.Empty(harness.LogDirectory.Partitions);
        Assert.False(harness.Storage.DirectoryExists(LogHarness.Directory));
        harness.LogDirectory.Create(LogHarness.Orders, LogHarness.OrdersId);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("version: 0\ntopic_id: ???\n")]
    public void Records_without_their_topic_id_take_the_partition_offline(string? content)
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(1);
        harness.Kill();
        string path = $"{LogHarness.Directory}/partition.metadata";
        if (content is null)
        {
            harness.Storage.DeleteFile(path);
        }
        else
        {
            harness.WriteText(path, content);
        }

        harness.Open();
        Assert.Equal(RecoveryAction.StayOffline, harness.Finding(RecoveryCondition.MetadataMissingWithRecords).Action);
        Assert.False(harness.Log.IsOnline);
        Assert.NotEmpty(harness.ReadFile(LogHarness.FirstSegment));
    }

    [Fact]
    public void A_partition_without_metadata_and_records_that_had_some_is_damage()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(1);
        harness.Checkpoint();
        harness.Kill();
        harness.Storage.DeleteFile($"{LogHarness.Directory}/partition.metadata");
        harness.Edit(LogHarness.FirstSegment, static _ => []);
        harness.Open();
        Assert.Equal(RecoveryAction.StayOffline, harness.Finding(RecoveryCondition.MetadataMissingWithoutRecords).Action);
    }

    [Fact]
    public void A_disk_error_takes_its_partition_offline_and_leaves_the_others()
    {
        LogHarness harness = LogHarness.WithPartition();
        var other = new TopicPartition("orders", 1);
        harness.LogDirectory.Create(other, LogHarness.OrdersId);
        harness.AppendMany(1);
        harness.Kill();
        harness.Storage.FailNext(SimulatedOperation.Read, "orders-0/00000000000000000000.log");
        harness.Open();
        Assert.Equal(RecoveryAction.StayOffline, harness.Finding(RecoveryCondition.DiskError).Action);
        Assert.Contains("Input/output error", harness.Log.OfflineReason, StringComparison.Ordinal);
        Assert.True(harness.LogDirectory.TryGet(other, out PartitionLog? log) && log.IsOnline);
        harness.KillAndOpen();
        Assert.True(harness.Log.IsOnline);
    }

    [Fact]
    public void A_partition_that_is_gone_is_reported()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(1);
        harness.Checkpoint();
        harness.Kill();
        foreach (string file in harness.Files())
        {
            harness.Storage.DeleteFile($"{LogHarness.Directory}/{file}");
        }

        harness.Storage.DeleteDirectory(LogHarness.Directory);
        harness.Open();
        Assert.Equal(RecoveryAction.Report, harness.Finding(RecoveryCondition.PartitionMissing).Action);
    }

    [Fact]
    public void Without_recovery_points_everything_is_read_and_cut_at_the_first_batch_that_fails()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(BatchCount);
        harness.Checkpoint();
        harness.Kill();
        harness.Storage.DeleteFile($"{LogHarness.Root}/recovery-point-offset-checkpoint");
        harness.Edit(LogHarness.FirstSegment, BadBatches[RecoveryCondition.BatchChecksumWrong]);
        harness.Open();
        Assert.Equal(RecoveryAction.TrustNothing, harness.Finding(RecoveryCondition.RecoveryPointsMissing).Action);
        Assert.Equal(new Offset(2), harness.Log.LogEndOffset);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0\n2\norders 0 4\n")]
    [InlineData("0\n1\norders 0 4")]
    [InlineData("0\n1\norders 0 -4\n")]
    public void With_damaged_recovery_points_everything_is_read_and_nothing_is_cut(string content)
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(BatchCount);
        harness.Checkpoint();
        harness.Kill();
        harness.WriteText($"{LogHarness.Root}/recovery-point-offset-checkpoint", content);
        harness.Edit(LogHarness.FirstSegment, BadBatches[RecoveryCondition.BatchChecksumWrong]);
        harness.Open();
        Assert.Equal(RecoveryAction.CutNothing, harness.Finding(RecoveryCondition.RecoveryPointsUnreadable).Action);
        Assert.False(harness.Log.IsOnline);

        // The checkpoint is readable from now on, and what it says of this partition leads to the same judgement.
        harness.KillAndOpen();
        Assert.False(harness.Log.IsOnline);
    }

    [Fact]
    public void With_damaged_recovery_points_a_partition_that_is_whole_comes_up()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(BatchCount);
        harness.Kill();
        harness.WriteText($"{LogHarness.Root}/recovery-point-offset-checkpoint", "x");
        harness.Open();
        Assert.True(harness.Log.IsOnline);
        Assert.Equal(new Offset(BatchCount), harness.Log.LogEndOffset);
    }

    [Fact]
    public void A_directory_that_is_no_partition_is_reported_and_left_alone()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.Kill();
        harness.Storage.CreateDirectory("/data/orders-0.0123-delete");
        harness.Open();
        Assert.Equal(RecoveryAction.Report, harness.Finding(RecoveryCondition.UnknownEntry).Action);
        Assert.True(harness.Storage.DirectoryExists("/data/orders-0.0123-delete"));
    }

    [Fact]
    public void An_empty_last_segment_is_appended_to()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        harness.Kill();
        harness.WriteFile($"{LogHarness.Directory}/00000000000000000002.log", []);
        harness.Open();
        Assert.Equal(new Offset(2), harness.Log.LogEndOffset);
        harness.AppendMany(1);
        Assert.Equal(BatchByteCount, harness.ReadFile($"{LogHarness.Directory}/00000000000000000002.log").Length);
    }

    [Fact]
    public void After_a_clean_stop_bytes_beyond_the_recovery_point_are_judged_as_after_a_crash()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        harness.LogDirectory.Close();
        harness.Kill();
        harness.Edit(LogHarness.FirstSegment, static log => [.. log, 1, 2, 3]);
        harness.Open();
        Assert.True(harness.LogDirectory.Recovery.WasCleanStop);

        // The start reads nothing; the first append does.
        Assert.Equal(AppendRejection.Offline, Assert.IsType<AppendResult.Rejected>(harness.Append(LogHarness.Batch())).Rejection);
        Assert.Contains("does not end with offset 2", harness.Log.OfflineReason, StringComparison.Ordinal);
        harness.KillAndOpen();
        Assert.Equal(RecoveryAction.CutAndKeep, harness.Finding(RecoveryCondition.BatchIncomplete).Action);
        Assert.Equal(1, harness.Log.LeaderEpoch);
    }

    [Fact]
    public void After_a_sync_that_failed_the_tail_is_written_again_before_it_is_trusted()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2, AppendDurability.Disk);
        harness.Storage.FailNext(SimulatedOperation.SyncData, ".log");
        SyncWork work = harness.Log.BeginSync()!;
        harness.Log.EndSync(work, work.TryRun());
        Assert.False(harness.Log.IsOnline);

        // The page cache still has the bytes, and takes them for written: a sync alone would not bring them to the disk.
        harness.KillAndOpen();
        Assert.Equal(new Offset(2), harness.Log.HighWatermark);
        for (int attempt = 0; attempt < 20; attempt++)
        {
            using var storage = new LogHarnessView(harness.Storage.Crash(SimulatedCrashKind.PowerLoss), harness.Options);
            Assert.Equal(new Offset(2), storage.Log.LogEndOffset);
        }
    }

    private static (LogHarness Harness, byte[] SecondSegment) WithGap(bool checkpoints)
    {
        LogHarness harness = LogHarness.WithPartition(options => options.SegmentByteCount = 3 * BatchByteCount);
        harness.AppendMany(4);
        if (checkpoints)
        {
            harness.Checkpoint();
        }

        harness.Kill();
        harness.Edit(LogHarness.FirstSegment, static log => log[..BatchByteCount]);
        return (harness, harness.ReadFile($"{LogHarness.Directory}/00000000000000000003.log"));
    }

    private static LogHarness WithLargeBatch()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(1);
        AppendResult appended = harness.Log.Append(LogHarness.Batch(valueByteCount: LargeByteCount), AppendDurability.PageCache, maximumBatchByteCount: 2 * LargeByteCount);
        Assert.IsType<AppendResult.Appended>(appended);
        return harness;
    }

    /// <summary>The first batch claims what there is of the file, but for a byte.</summary>
    private static void ClaimFile(IStorageFile file)
    {
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(length, (int)file.Length - RecordBatchHeader.LengthPrefixByteCount - 1);
        file.Write(length, 8);
    }

    private static void AssertTakesNoMemory(Action look)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        look();
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, LargeByteCount / 2);
    }

    private static byte[] With(byte[] bytes, int position, ReadOnlySpan<byte> replacement)
    {
        byte[] changed = [.. bytes];
        replacement.CopyTo(changed.AsSpan(position));
        return changed;
    }

    /// <summary>Makes the checksum of the bad batch right again.</summary>
    private static byte[] Seal(byte[] log)
    {
        uint checksum = Crc32C.Compute(log.AsSpan(BadPosition + 21, BatchByteCount - 21));
        BinaryPrimitives.WriteUInt32BigEndian(log.AsSpan(BadPosition + 17), checksum);
        return log;
    }
}
