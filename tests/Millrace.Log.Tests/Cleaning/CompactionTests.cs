using System.Globalization;
using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>What stays of a compacted log, and what does not.</summary>
public class CompactionTests
{
    private static readonly ProducerIdentity Seven = new(7, 0);

    [Fact]
    public void Of_each_key_the_newest_record_stays_at_its_offset()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append("b", "1");
        topic.Append("a", "2");
        topic.Append("c", "1");
        topic.Append("a", "3");
        topic.Close();
        Assert.True(topic.Compact().IsComplete);
        Assert.Equal(["1:b=1", "3:c=1", "4:a=3"], topic.Records());
        Assert.Equal(Offset.Zero, topic.Log.LogStartOffset);
        Assert.Equal("0\n1\norders 0 5\n", topic.Harness.ReadText("/data/cleaner-offset-checkpoint"));
        Assert.DoesNotContain(topic.Harness.Files(), static name => name.EndsWith(".swap", StringComparison.Ordinal) || name.EndsWith(".cleaned", StringComparison.Ordinal));
        topic.Append("b", "2");
        topic.Close();
        Assert.True(topic.Compact().IsComplete);
        Assert.Equal(["3:c=1", "4:a=3", "6:b=2"], topic.Records());
    }

    [Fact]
    public void A_compacted_log_is_the_same_after_a_crash_and_after_a_clean_stop()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append("a", "2");
        topic.Append("a", "3");
        topic.Append("b", "1");
        topic.Append("b", "2");
        topic.Close();
        topic.Harness.Checkpoint();
        topic.Compact();
        List<string> records = topic.Records();
        topic.Harness.KillAndOpen();
        Assert.True(topic.Log.IsOnline, topic.Log.OfflineReason);
        Assert.Equal(records, topic.Records());
        topic.Harness.LogDirectory.Close();
        topic.Harness.KillAndOpen();
        Assert.Equal(records, topic.Records());
        Assert.Empty(topic.Harness.LogDirectory.Recovery.Findings);

        // Everything is read where there are no recovery points.
        topic.Harness.Kill();
        topic.Harness.Storage.DeleteFile("/data/recovery-point-offset-checkpoint");
        topic.Harness.Open();
        Assert.Equal(records, topic.Records());
        Assert.Null(topic.Log.PlanCleaning(topic.Now));
    }

    [Fact]
    public void Within_a_batch_records_go_and_the_others_keep_their_bytes()
    {
        foreach (CompressionCodec codec in new[] { CompressionCodec.None, CompressionCodec.Gzip, CompressionCodec.Snappy, CompressionCodec.Lz4 })
        {
            var topic = new CompactionHarness(segmentByteCount: 400);
            topic.Append(CompactionHarness.Batch([("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")], codec));
            topic.Append(CompactionHarness.Batch([("b", "2"), ("d", new string('x', 300))]));
            topic.Close();
            topic.Compact();
            Assert.Equal(["2:a=2", "3:c=1", "4:b=2"], topic.Records()[..3]);
            RecordBatchHeader header = topic.Headers()[0];
            Assert.Equal(codec, header.Codec);
            Assert.Equal((Offset.Zero, 3, 2), (header.BaseOffset, header.LastOffsetDelta, header.RecordCount));
        }
    }

    [Fact]
    public void A_tombstone_stays_for_delete_retention_ms_after_its_first_compaction()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append("a", null);
        topic.Close();
        topic.Compact();
        Assert.Equal(["1:a=null"], topic.Records());
        Assert.Equal(topic.Now + CompactionHarness.DeleteRetention, topic.Headers().Single(static header => header.BaseOffset == new Offset(1)).DeleteHorizon);

        topic.Harness.Time.Advance(TimeSpan.FromMilliseconds(CompactionHarness.DeleteRetention - 1));
        topic.Close();
        topic.Compact();
        Assert.Equal(["1:a=null"], topic.Records());
        topic.Harness.Time.Advance(TimeSpan.FromMilliseconds(1));
        topic.Close();
        topic.Compact();
        Assert.Empty(topic.Records());
    }

    [Fact]
    public void The_times_of_records_stay_when_the_delete_horizon_takes_the_place_of_the_base_timestamp()
    {
        var topic = new CompactionHarness();
        topic.Append(CompactionHarness.Batch([("a", null)], timestamp: 123_456));
        topic.Close();
        topic.Compact();
        Assert.Equal(new TimestampedOffset(Offset.Zero, 123_456), topic.Log.OffsetAtTimestamp(100_000, topic.Log.HighWatermark));
    }

    [Fact]
    public void Records_of_aborted_transactions_go_and_the_marker_goes_after_them()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append(CompactionHarness.Batch([("a", "aborted")], producer: Seven, isTransactional: true));
        topic.Log.AppendMarker(Seven, isCommit: false, 0);
        topic.Append(CompactionHarness.Batch([("b", "1")], producer: Seven, sequence: 1, isTransactional: true));
        topic.Log.AppendMarker(Seven, isCommit: true, 0);
        topic.Close();
        topic.Compact();
        Assert.Equal(["0:a=1", "3:b=1"], topic.Records());
        Assert.Equal(2, topic.Headers().Count(static header => header.IsControl));
        Assert.All(topic.Headers(), static header => Assert.Null(header.DeleteHorizon));

        // The data is gone: the marker gets its horizon, and goes after that.
        topic.Close();
        topic.Compact();
        RecordBatchHeader marker = topic.Headers().First(static header => header.IsControl);
        Assert.Equal((new Offset(2), topic.Now + CompactionHarness.DeleteRetention), (marker.BaseOffset, marker.DeleteHorizon));
        topic.Harness.Time.Advance(TimeSpan.FromMilliseconds(CompactionHarness.DeleteRetention));
        topic.Close();
        topic.Compact();
        Assert.Equal(new Offset(4), Assert.Single(topic.Headers(), static header => header.IsControl).BaseOffset);
        topic.Harness.KillAndOpen();
        Assert.Equal(["0:a=1", "3:b=1"], topic.Records());
    }

    [Fact]
    public void Nothing_is_compacted_at_or_beyond_the_last_stable_offset_or_in_the_active_segment()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append("a", "2");
        topic.Append(CompactionHarness.Batch([("b", "1")], producer: Seven, isTransactional: true));
        topic.Append("a", "3");
        topic.Append("a", "4");
        topic.Close();
        topic.Compact();
        Assert.Equal(["1:a=2", "2:b=1", "3:a=3", "4:a=4"], topic.Records());
        topic.Log.AppendMarker(Seven, isCommit: true, 0);
        topic.Harness.Sync();
        topic.Compact();
        Assert.Equal(["2:b=1", "4:a=4"], topic.Records());
    }

    [Fact]
    public void The_last_batch_of_a_producer_stays_without_its_records()
    {
        var topic = new CompactionHarness();
        byte[] first = CompactionHarness.Batch([("a", "1")], producer: Seven);
        byte[] last = CompactionHarness.Batch([("a", "2")], producer: Seven, sequence: 1);
        topic.Append([.. first]);
        topic.Append([.. last]);
        topic.Append("a", "3");
        topic.Close();
        topic.Compact();
        RecordBatchHeader header = Assert.Single(topic.Headers(), static header => header.Producer == Seven);
        Assert.Equal((new Offset(1), 0, 1), (header.BaseOffset, header.RecordCount, header.BaseSequence));

        // Also where no snapshot remembers it.
        topic.Harness.Kill();
        topic.Harness.Storage.DeleteFile("/data/recovery-point-offset-checkpoint");
        foreach (string snapshot in topic.Harness.Files().Where(static name => name.EndsWith(".snapshot", StringComparison.Ordinal)))
        {
            topic.Harness.Storage.DeleteFile($"{LogHarness.Directory}/{snapshot}");
        }

        topic.Harness.Open();
        var duplicate = Assert.IsType<AppendResult.Duplicate>(topic.Log.Append(last, AppendDurability.PageCache));
        Assert.Equal((new Offset(1), new Offset(1)), (duplicate.BaseOffset, duplicate.LastOffset));
    }

    [Fact]
    public void The_epoch_of_a_producer_is_remembered_by_its_last_marker_when_nothing_else_is_left_of_it()
    {
        var topic = new CompactionHarness();
        topic.Append(CompactionHarness.Batch([("a", "aborted")], producer: Seven, isTransactional: true));
        Assert.IsType<AppendResult.Appended>(topic.Log.AppendMarker(new ProducerIdentity(7, 1), isCommit: false, coordinatorEpoch: 0));
        topic.Close();
        topic.Compact();
        topic.Close();
        topic.Compact();
        topic.Harness.Time.Advance(TimeSpan.FromMilliseconds(CompactionHarness.DeleteRetention));
        topic.Close();
        topic.Compact();
        RecordBatchHeader marker = Assert.Single(topic.Headers(), static header => header.Producer.Id == 7);
        Assert.Equal((true, 0, new Offset(1)), (marker.IsControl, marker.RecordCount, marker.BaseOffset));
        short EpochOfSeven() => Assert.Single(topic.Log.ActiveProducers(), static producer => producer.Producer.Id == 7).Producer.Epoch;
        Assert.Equal(1, EpochOfSeven());

        // A start that has to read all of the log.
        topic.Harness.Kill();
        topic.Harness.Storage.DeleteFile("/data/recovery-point-offset-checkpoint");
        topic.Harness.Open();
        Assert.Equal(1, EpochOfSeven());
        AppendResult late = topic.Log.Append(CompactionHarness.Batch([("a", "late")], producer: Seven, sequence: 1), AppendDurability.PageCache);
        Assert.Equal(AppendRejection.InvalidProducerEpoch, Assert.IsType<AppendResult.Rejected>(late).Rejection);
    }

    [Fact]
    public void The_record_with_the_latest_time_is_found_where_a_later_one_is_gone_and_its_batch_is_kept()
    {
        var topic = new CompactionHarness();
        topic.Append(CompactionHarness.Batch([("a", "1")], timestamp: 2000));
        topic.Append(CompactionHarness.Batch([("b", "1")], producer: Seven, timestamp: 9000));
        topic.Append(CompactionHarness.Batch([("b", "2")], timestamp: 1000));
        topic.Close();
        topic.Compact();
        Assert.Equal(new TimestampedOffset(Offset.Zero, 2000), topic.Log.OffsetOfMaximumTimestamp(topic.Log.HighWatermark));
        Assert.Null(topic.Log.OffsetAtTimestamp(2001, topic.Log.HighWatermark));
    }

    [Fact]
    public void The_last_batch_before_the_end_stays_also_where_its_snapshot_is_gone()
    {
        var topic = new CompactionHarness();
        topic.Append(CompactionHarness.Batch([("a", "1")], producer: Seven));
        topic.Append("a", "2");
        topic.Close();
        topic.Append(CompactionHarness.Batch([("b", "1")], producer: Seven, sequence: 1));
        topic.Harness.Sync();
        topic.Harness.Storage.DeleteFile($"{LogHarness.Directory}/{3:D20}.snapshot");
        topic.Compact();
        Assert.Contains(topic.Headers(), static header => header.Producer == Seven && header.BaseOffset == Offset.Zero && header.RecordCount == 0);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_check_finds_nothing_wrong_in_what_is_left_of_an_aborted_transaction(bool isMarkerCompacted)
    {
        var topic = new CompactionHarness();
        topic.Append(CompactionHarness.Batch([("a", "1")], producer: Seven, isTransactional: true));
        topic.Append(CompactionHarness.Batch([("b", "1")], producer: Seven, sequence: 1, isTransactional: true));
        Assert.IsType<AppendResult.Appended>(topic.Log.AppendMarker(Seven, isCommit: false, coordinatorEpoch: 0));
        if (isMarkerCompacted)
        {
            topic.Close();
        }

        topic.Harness.Sync();
        Assert.True(topic.Compact().IsComplete);
        Assert.Empty(Check(topic));
    }

    [Fact]
    public void A_check_finds_nothing_wrong_behind_a_transaction_that_began_in_deleted_records_and_whose_marker_is_compacted_away()
    {
        var topic = new CompactionHarness();
        topic.Append(CompactionHarness.Batch([("a", "1")], producer: Seven, isTransactional: true));
        topic.Append("b", "1");
        topic.Log.AppendMarker(Seven, isCommit: true, coordinatorEpoch: 0);
        topic.Close();
        Assert.Equal(new DeleteRecordsResult.Deleted(new Offset(1)), topic.Log.DeleteRecords(new Offset(1)));
        topic.Compact();
        topic.Harness.Time.Advance(TimeSpan.FromMilliseconds(CompactionHarness.DeleteRetention));
        topic.Close();
        topic.Compact();
        Assert.DoesNotContain(topic.Headers(), static header => header.IsControl && header.RecordCount > 0);
        topic.Append(CompactionHarness.Batch([("c", "1")], producer: Seven, sequence: 1, isTransactional: true));
        topic.Log.AppendMarker(Seven, isCommit: false, coordinatorEpoch: 0);
        Assert.Empty(Check(topic));
    }

    [Fact]
    public void A_check_finds_nothing_wrong_in_an_aborted_transaction_of_which_the_first_records_alone_are_compacted_away()
    {
        var topic = new CompactionHarness();
        topic.Append(CompactionHarness.Batch([("aborted", "1")], producer: Seven, isTransactional: true));
        for (int number = 0; number < 20; number++)
        {
            topic.Append($"{number}", "1");
        }

        topic.Append(CompactionHarness.Batch([("aborted", "2")], producer: Seven, sequence: 1, isTransactional: true));
        topic.Log.AppendMarker(Seven, isCommit: false, coordinatorEpoch: 0);
        topic.Close();

        // The keys have room for some of the batches between the two of the transaction.
        topic.Compact(keyMemoryByteCount: 0);
        Assert.InRange(topic.Log.CleanedUpTo.Value, 1, 20);
        Assert.Equal("21:aborted=2", Assert.Single(topic.Records(), static record => record.Contains("aborted", StringComparison.Ordinal)));
        AbortedTransaction aborted = Assert.Single(topic.Log.AbortedTransactions(Offset.Zero, topic.Log.LastStableOffset)!);
        Assert.Equal((Offset.Zero, new Offset(22)), (aborted.FirstOffset, aborted.LastOffset));
        Assert.Empty(Check(topic));
    }

    [Fact]
    public void A_check_names_an_index_that_lacks_an_aborted_transaction_of_the_compacted_part()
    {
        var topic = new CompactionHarness();
        topic.Append(CompactionHarness.Batch([("a", "1")], producer: Seven, isTransactional: true));
        topic.Append("b", "1");
        topic.Log.AppendMarker(Seven, isCommit: false, coordinatorEpoch: 0);
        topic.Harness.Sync();
        topic.Compact();
        Assert.Equal((Seven, 0), (topic.Headers()[0].Producer, topic.Headers()[0].RecordCount));
        topic.Harness.LogDirectory.Close();
        topic.Harness.WriteFile($"{LogHarness.Directory}/{2:D20}.txnindex", []);
        Assert.Contains("lacks the transaction of producer 7", Assert.Single(Check(topic)).Description, StringComparison.Ordinal);
        topic.Harness.Kill();
        using (LogRepair repair = LogRepair.Prepare(topic.Harness.Options, topic.Harness.Storage, LogHarness.Orders))
        {
            Assert.Null(repair.Run(static _ => { }));
        }

        Assert.Empty(Check(topic));
    }

    [Fact]
    public void The_end_of_the_compacted_part_stays_as_an_empty_batch()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append("a", "2");
        topic.Append("a", "3");
        topic.Harness.Sync();
        topic.Compact();
        Assert.Equal([(1L, 1), (2L, 1)], topic.Headers().Select(static header => (header.BaseOffset.Value, header.RecordCount)));
        topic.Append("a", "4");
        topic.Harness.Sync();
        topic.Compact();
        Assert.Equal([(2L, 1), (3L, 1)], topic.Headers().Select(static header => (header.BaseOffset.Value, header.RecordCount)));
    }

    [Fact]
    public void Small_segments_become_one_as_far_as_it_has_room()
    {
        var topic = new CompactionHarness(segmentByteCount: 400);
        for (int number = 0; number < 12; number++)
        {
            topic.Append(CompactionHarness.Batch([("a", new string('x', 200)), ($"{number}", "1")]));
        }

        topic.Close();
        int count = topic.Log.SegmentsForTests.Count;
        topic.Compact();
        Assert.Equal(count, topic.Log.SegmentsForTests.Count);
        topic.Close();
        topic.Compact();
        Assert.InRange(topic.Log.SegmentsForTests.Count, 3, count / 2);
        Assert.Equal(13, topic.Records().Count);
        Assert.All(topic.Log.SegmentsForTests, static segment => Assert.InRange(segment.ByteCount, 0, 400));
    }

    [Fact]
    public void What_acks_all_waited_for_is_compacted_without_another_sync()
    {
        var topic = new CompactionHarness();
        foreach (string value in new[] { "1", "2", "3" })
        {
            Assert.IsType<AppendResult.Appended>(topic.Log.Append(CompactionHarness.Batch([("a", value)]), AppendDurability.Disk));
        }

        topic.Harness.Sync();
        Assert.Equal(new Offset(2), topic.Log.PlanCleaning(topic.Now)?.End);
    }

    [Fact]
    public void A_log_is_due_by_its_dirty_part_and_by_the_age_of_its_oldest_dirty_record()
    {
        var topic = new CompactionHarness(settings: new() { ["min.compaction.lag.ms"] = "5000", ["max.compaction.lag.ms"] = "20000" });
        long start = topic.Now;
        topic.Append(CompactionHarness.Batch([("a", "1")], timestamp: start));
        topic.Append(CompactionHarness.Batch([("a", "2")], timestamp: start + 1000));
        topic.Append(CompactionHarness.Batch([("a", "3")], timestamp: start + 1000));
        topic.Harness.Sync();
        Assert.Null(topic.Log.PlanCleaning(start + 4999));
        CleaningPlan plan = topic.Log.PlanCleaning(start + 5000)!;
        Assert.Equal((new Offset(1), 1.0, false), (plan.End, plan.DirtyRatio, plan.IsOverdue));
        plan = topic.Log.PlanCleaning(start + 6000)!;
        Assert.Equal(new Offset(2), plan.End);
        Assert.False(topic.Log.PlanCleaning(start + 20_000)!.IsOverdue);
        Assert.True(topic.Log.PlanCleaning(start + 20_001)!.IsOverdue);

        topic.Harness.Time.Advance(TimeSpan.FromSeconds(6));
        topic.Compact();
        topic.Append(CompactionHarness.Batch([("a", "4")], timestamp: start + 1000));
        topic.Harness.Sync();
        Assert.InRange(topic.Log.PlanCleaning(topic.Now)!.DirtyRatio, 0.3, 0.7);
    }

    [Fact]
    public void Where_not_all_keys_have_room_the_compaction_goes_as_far_as_they_have()
    {
        var topic = new CompactionHarness();
        for (int number = 0; number < 60; number++)
        {
            topic.Append($"{number % 30}", $"{number}");
        }

        topic.Close();
        topic.Compact(keyMemoryByteCount: 20 * KeyOffsets.EntryByteCount);
        Assert.True(topic.Log.CleanedUpTo > Offset.Zero && topic.Log.CleanedUpTo < new Offset(40));
        while (topic.Log.PlanCleaning(topic.Now) is not null)
        {
            topic.Compact(keyMemoryByteCount: 20 * KeyOffsets.EntryByteCount);
        }

        Assert.Equal(Enumerable.Range(30, 30).Select(static number => $"{number}:{number % 30}={number}"), topic.Records());
    }

    [Fact]
    public void A_batch_whose_keys_have_no_room_makes_the_log_uncleanable()
    {
        var topic = new CompactionHarness(segmentByteCount: 1400);
        topic.Append(CompactionHarness.Batch([.. Enumerable.Range(0, 40).Select(static number => ($"{number}", (string?)"1"))]));
        topic.Append(CompactionHarness.Batch([.. Enumerable.Range(0, 40).Select(static number => ($"{number}", (string?)new string('x', 10)))]));
        topic.Close();
        Assert.Throws<UncleanableException>(() => topic.Compact(keyMemoryByteCount: 20 * KeyOffsets.EntryByteCount));
    }

    [Fact]
    public void A_damaged_batch_makes_the_log_uncleanable_and_nothing_is_changed()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append("a", "2");
        topic.Append("a", "3");
        topic.Close();
        topic.Harness.Storage.FlipBit($"{LogHarness.Directory}/00000000000000000001.log", 70);
        List<string> files = topic.Harness.Files();
        Assert.Throws<UncleanableException>(() => topic.Compact());
        Assert.Equal(files, topic.Harness.Files());
        Assert.Equal(Offset.Zero, topic.Log.CleanedUpTo);
    }

    [Fact]
    public void Segments_that_leave_the_log_during_a_compaction_are_not_brought_back()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append("b", "1");
        topic.Append("a", "2");
        topic.Close();
        bool isDeleted = false;
        CleaningOutcome outcome = topic.Compact(isStopped: () =>
        {
            if (!isDeleted)
            {
                isDeleted = true;
                topic.Log.DeleteRecords(new Offset(2));
            }

            return false;
        });
        Assert.False(outcome.IsComplete);
        Assert.Equal(["2:a=2"], topic.Records());
        Assert.DoesNotContain(topic.Harness.Files(), static name => name.EndsWith(".cleaned", StringComparison.Ordinal));
    }

    [Fact]
    public void A_compaction_that_is_stopped_leaves_nothing_behind()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append("a", "2");
        topic.Append("a", "3");
        topic.Close();
        List<string> files = topic.Harness.Files();
        int asked = 0;
        Assert.False(topic.Compact(isStopped: () => ++asked > 3).IsComplete);
        Assert.Equal(files, topic.Harness.Files());
    }

    [Fact]
    public void A_reader_of_a_segment_that_is_replaced_reads_on()
    {
        var topic = new CompactionHarness();
        topic.Append("a", "1");
        topic.Append("a", "2");
        topic.Append("a", "3");
        topic.Close();
        using FileUse use = topic.Log.SegmentsForTests[0].File.Use();
        topic.Compact();
        byte[] bytes = new byte[use.File.Length];
        Assert.Equal(bytes.Length, use.File.Read(bytes, 0));
        Assert.Equal(1, Assert.Single(LogHarness.Headers(bytes)).RecordCount);
    }

    [Theory]
    [InlineData("00000000000000000000.log")]
    [InlineData("00000000000000000002.log")]
    [InlineData("00000000000000000000.txnindex.swap")]
    [InlineData("00000000000000000000.log.swap")]
    public void A_compacted_segment_whose_files_the_disk_does_not_rename_is_there_after_the_next_compaction(string pathSuffix)
    {
        var topic = new CompactionHarness(segmentByteCount: 170);
        topic.Append("a", "1");
        topic.Append("b", "1");
        topic.Append("b", "2");
        topic.Append("c", "1");
        topic.Append("c", "2");
        topic.Append("c", "3");
        topic.Close();
        topic.Harness.Storage.FailNext(SimulatedOperation.Rename, pathSuffix);
        Assert.False(topic.Compact().IsComplete);
        Assert.Contains("Renaming the files of a compacted segment", topic.Log.OfflineReason, StringComparison.Ordinal);
        topic.Harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, topic.Harness.LogDirectory.ReopenDue());
        Assert.DoesNotContain(topic.Harness.Files(), static name => name.Contains(".swap", StringComparison.Ordinal));
        Assert.True(topic.Compact().IsComplete);
        topic.Append("d", "1");
        topic.Close();
        Assert.True(topic.Compact().IsComplete);
        string[] newest = ["0:a=1", "2:b=2", "5:c=3"];
        Assert.Equal(newest, topic.Records().Where(newest.Contains));
        topic.Harness.KillAndOpen();
        Assert.True(topic.Log.IsOnline, topic.Log.OfflineReason);
        Assert.Equal(newest, topic.Records().Where(newest.Contains));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_compaction_of_which_the_disk_refuses_any_operations_changes_no_newest_record(int refusedCount)
    {
        bool isThrough = false;
        for (int operation = 0; !isThrough; operation++)
        {
            var topic = new CompactionHarness(segmentByteCount: 300);
            for (int number = 0; number < 12; number++)
            {
                topic.Append($"{number % 3}", $"{number}");
            }

            topic.Append(CompactionHarness.Batch([("0", "aborted")], producer: Seven, isTransactional: true));
            topic.Log.AppendMarker(Seven, isCommit: false, 0);
            topic.Close();
            topic.Close();
            topic.Harness.Checkpoint();
            long end = topic.Harness.Storage.OperationCount + operation;
            topic.Harness.Storage.FailAfter(operation, refusedCount);
            _ = Xunit.Record.Exception(() => topic.Compact());
            isThrough = topic.Harness.Storage.OperationCount <= end;
            topic.Harness.Storage.FailNoMore();
            topic.Harness.Time.Advance(TimeSpan.FromSeconds(1));
            topic.Harness.LogDirectory.ReopenDue();
            Assert.True(topic.Log.IsOnline, $"Operation {operation}: {topic.Log.OfflineReason}");

            // Little has stayed of the first segments, so that the next compactions put several into one.
            string[] newest = ["9:0=9", "10:1=10", $"{topic.Log.LogEndOffset}:2=12"];
            topic.Append("2", "12");
            for (int count = 0; count < 3; count++)
            {
                for (int closed = 0; closed < 4; closed++)
                {
                    topic.Close();
                }

                topic.Compact();
                Assert.Equal(newest, topic.Records());
            }

            topic.Harness.Checkpoint();
            topic.Harness.KillAndOpen();
            Assert.Equal(newest, topic.Records());
            Assert.Empty(Check(topic));
        }
    }

    [Fact]
    public void A_compaction_of_which_the_disk_refuses_any_operation_leaves_whole_segments_to_a_power_loss()
    {
        bool isThrough = false;
        for (int operation = 0; !isThrough; operation++)
        {
            for (int seed = 1; seed <= 8; seed++)
            {
                CompactionHarness topic = TopicWithIndexes(seed);
                long end = topic.Harness.Storage.OperationCount + operation;
                topic.Harness.Storage.FailAfter(operation, failureCount: 1);
                _ = Xunit.Record.Exception(() => topic.Compact());
                isThrough = topic.Harness.Storage.OperationCount <= end;
                topic.Harness.LosePower();
                RequireWhole(topic, $"operation {operation}, seed {seed}");
            }
        }
    }

    [Fact]
    public void A_power_loss_in_the_start_after_a_killed_compaction_leaves_whole_segments()
    {
        int swapCount = 0;
        bool isThrough = false;
        for (int operation = 0; !isThrough; operation++)
        {
            bool isSwap = true;
            for (int round = 0; round < 5 * 14 && isSwap && !isThrough; round++)
            {
                CompactionHarness topic = TopicWithIndexes(seed: 1 + round / 14);
                int startOperation = round % 14;
                topic.Harness.Storage.CrashAfter(operation);
                isThrough = Xunit.Record.Exception(() => topic.Compact()) is null;
                topic.Harness.Kill();
                isSwap = topic.Harness.Files().Any(static name => name.EndsWith(".swap", StringComparison.Ordinal));
                topic.Harness.Storage.CrashAfter(startOperation);
                _ = Xunit.Record.Exception(topic.Harness.Open);
                topic.Harness.LosePower();
                RequireWhole(topic, $"operation {operation} and {startOperation} of the start, round {round}");
                swapCount += isSwap ? 1 : 0;
            }
        }

        Assert.True(swapCount > 100, $"There were {swapCount} with names to finish.");
    }

    /// <summary>Of which an index says where each batch is, and of which every other record stays.</summary>
    private static CompactionHarness TopicWithIndexes(int seed)
    {
        var topic = new CompactionHarness(segmentByteCount: 400, new Dictionary<string, string> { ["index.interval.bytes"] = "0" }, seed);
        for (int number = 0; number < 12; number++)
        {
            topic.Append(number % 2 == 0 ? "again" : $"{number}", new string('x', 10 + number));
        }

        topic.Close();
        topic.Close();
        topic.Harness.Checkpoint();

        // Several go into one.
        TopicSettingsCell cell = topic.Harness.LogDirectory.SettingsCellOf("orders");
        cell.Current = cell.Current with { SegmentByteCount = 1200 };
        return topic;
    }

    private static void RequireWhole(CompactionHarness topic, string when)
    {
        topic.Harness.Storage.FailNoMore();
        topic.Harness.Open();
        Assert.True(topic.Log.IsOnline, $"{when}: {topic.Log.OfflineReason}");
        long[] offsets = [.. topic.Records().Select(static record => long.Parse(record.Split(':')[0], CultureInfo.InvariantCulture))];
        long[] newest = [1, 3, 5, 7, 9, 10, 11];
        Assert.True(newest.All(offsets.Contains), $"{when}: {string.Join(' ', offsets)} are left");
        Assert.True(topic.Harness.LogDirectory.Close());
        List<InspectionFinding> findings = [];
        LogInspection.Run(topic.Harness.Options, topic.Harness.Storage, [], findings.Add);
        Assert.True(findings.TrueForAll(static finding => finding.IsNote), $"{when}: {string.Join(" ", findings)}");
    }

    [Fact]
    public void A_compaction_that_is_struck_by_a_crash_at_any_operation_changes_no_newest_record()
    {
        for (int operation = 0; ; operation++)
        {
            var topic = new CompactionHarness(segmentByteCount: 300);
            for (int number = 0; number < 12; number++)
            {
                topic.Append($"{number % 3}", $"{number}");
            }

            topic.Append(CompactionHarness.Batch([("0", "aborted")], producer: Seven, isTransactional: true));
            topic.Log.AppendMarker(Seven, isCommit: false, 0);
            topic.Close();
            topic.Close();
            topic.Harness.Checkpoint();
            topic.Harness.Storage.CrashAfter(operation);
            bool isDone = false;
            try
            {
                isDone = topic.Compact().IsComplete;
            }
            catch (SimulatedCrashException)
            {
            }

            topic.Harness.LosePower();
            topic.Harness.Open();
            Assert.True(topic.Log.IsOnline, $"Operation {operation}: {topic.Log.OfflineReason}");
            Assert.DoesNotContain(topic.Harness.Files(), static name => name.Contains(".swap", StringComparison.Ordinal) || name.Contains(".cleaned", StringComparison.Ordinal));
            string[] newest = ["9:0=9", "10:1=10", "11:2=11"];
            Assert.Equal(newest, topic.Records().Where(newest.Contains));
            Assert.Equal(new Offset(16), topic.Log.LogEndOffset);
            if (topic.Records().Any(static record => record.Contains("aborted", StringComparison.Ordinal)))
            {
                Assert.Single(topic.Log.AbortedTransactions(Offset.Zero, topic.Log.LastStableOffset)!);
            }

            if (isDone)
            {
                Assert.Equal(newest, topic.Records());
                Assert.True(operation > 40, $"There were {operation} operations.");
                return;
            }

            if (topic.Log.PlanCleaning(topic.Now) is not null)
            {
                topic.Compact();
            }

            Assert.Equal(newest, topic.Records());
        }
    }

    /// <summary>What a check of the stopped log finds, without what is only worth knowing.</summary>
    private static List<InspectionFinding> Check(CompactionHarness topic)
    {
        topic.Harness.LogDirectory.Close();
        List<InspectionFinding> findings = [];
        LogInspection.Run(topic.Harness.Options, topic.Harness.Storage, [], findings.Add);
        return findings.FindAll(static finding => !finding.IsNote);
    }
}
