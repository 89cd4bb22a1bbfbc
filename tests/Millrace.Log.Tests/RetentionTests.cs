using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>What goes by age and by size, and when a segment is closed.</summary>
public class RetentionTests
{
    private const long Hour = 60 * 60 * 1000;
    private static readonly int BatchByteCount = LogHarness.Batch().Length;

    [Fact]
    public void A_segment_goes_when_its_latest_record_is_older_than_the_retention_time()
    {
        LogHarness harness = WithTopic(new() { ["retention.ms"] = "10000" });
        AppendSegments(harness, Now(harness), Now(harness), Now(harness) + 5000, Now(harness) + 5000, Now(harness) + 9000);
        harness.Time.Advance(TimeSpan.FromMilliseconds(10_000));
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);
        harness.Time.Advance(TimeSpan.FromMilliseconds(1));
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(new Offset(2), harness.Log.LogStartOffset);
        Assert.Contains("00000000000000000000.log.deleted", harness.Files());
        Assert.Equal("0\n1\norders 0 2\n", harness.ReadText("/data/log-start-offset-checkpoint"));
    }

    [Fact]
    public void The_active_segment_goes_too_when_all_of_it_is_old()
    {
        LogHarness harness = WithTopic(new() { ["retention.ms"] = "10000" });
        AppendSegments(harness, Now(harness), Now(harness), Now(harness));
        harness.Time.Advance(TimeSpan.FromSeconds(11));
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(new Offset(3), harness.Log.LogStartOffset);
        Assert.Equal(["00000000000000000003.log"], harness.Files().Where(static name => name.EndsWith(".log", StringComparison.Ordinal)));
        Assert.Equal(new AppendResult.Appended(new Offset(3), new Offset(3)), harness.Append(LogHarness.Batch(timestamp: Now(harness))));
        harness.KillAndOpen();
        Assert.Equal(new Offset(3), harness.Log.LogStartOffset);
        Assert.Equal(new Offset(4), harness.Log.LogEndOffset);
    }

    [Fact]
    public void A_producer_that_is_silent_for_too_long_is_forgotten_and_what_it_sends_next_is_a_beginning()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.ProducerIdExpiration = TimeSpan.FromHours(1));
        harness.Append(LogHarness.Batch(producerId: 7, sequence: 0));
        harness.LogDirectory.ApplyRetention();
        harness.Time.Advance(TimeSpan.FromHours(1) - TimeSpan.FromMilliseconds(1));
        harness.LogDirectory.ApplyRetention();
        Assert.Single(harness.Log.ActiveProducers());
        Assert.IsType<AppendResult.Rejected>(harness.Append(LogHarness.Batch(producerId: 7, sequence: 5)));

        harness.Time.Advance(TimeSpan.FromMilliseconds(1));
        harness.LogDirectory.ApplyRetention();
        Assert.Empty(harness.Log.ActiveProducers());
        Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch(producerId: 7, sequence: 5)));
    }

    [Fact]
    public void In_a_compacted_log_a_producer_is_remembered_however_long_it_is_silent()
    {
        LogHarness harness = WithTopic([]);
        harness.Append(LogHarness.Batch(producerId: 7, sequence: 0));
        harness.LogDirectory.SetOverrides("orders", new Dictionary<string, string> { ["cleanup.policy"] = "compact" });
        harness.LogDirectory.ApplyRetention();
        harness.Time.Advance(TimeSpan.FromDays(2));
        harness.LogDirectory.ApplyRetention();
        Assert.Single(harness.Log.ActiveProducers());
    }

    [Fact]
    public void A_segment_without_times_goes_with_the_next_one_that_has_them()
    {
        LogHarness harness = WithTopic(new() { ["retention.ms"] = "10000" });
        AppendSegments(harness, -5, -5, Now(harness), Now(harness), Now(harness) + Hour / 2);
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);
        harness.Time.Advance(TimeSpan.FromSeconds(11));
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(new Offset(4), harness.Log.LogStartOffset);
    }

    [Fact]
    public void The_oldest_segments_go_as_long_as_what_stays_has_the_retention_size()
    {
        LogHarness harness = WithTopic(new() { ["retention.bytes"] = $"{3 * BatchByteCount}", ["retention.ms"] = "-1" });
        harness.AppendMany(6);
        harness.Sync();
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(new Offset(2), harness.Log.LogStartOffset);
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(new Offset(2), harness.Log.LogStartOffset);
    }

    [Fact]
    public void A_segment_that_compaction_has_emptied_holds_up_none_behind_it()
    {
        var topic = new CompactionHarness(settings: new()
        {
            ["cleanup.policy"] = "compact,delete", ["retention.bytes"] = "200", ["retention.ms"] = "-1",
        });
        topic.Append("a", "1");
        topic.Append("a", "2");
        topic.Append("b", "2");
        topic.Close();
        topic.Compact();
        Assert.Equal(0, topic.Log.SegmentsForTests[0].ByteCount);
        for (int number = 0; number < 20; number++)
        {
            topic.Append($"k{number}", new string('x', 30));
        }

        topic.Harness.Sync();
        topic.Harness.LogDirectory.ApplyRetention();
        Assert.InRange(topic.Log.LogByteCount, 200, 400);
    }

    [Fact]
    public void Nothing_goes_where_the_policy_does_not_delete()
    {
        LogHarness harness = WithTopic(new() { ["retention.bytes"] = "0", ["retention.ms"] = "0", ["cleanup.policy"] = "" });
        harness.AppendMany(6);
        harness.Time.Advance(TimeSpan.FromDays(100));
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);
    }

    [Fact]
    public void Nothing_goes_that_is_not_visible_yet()
    {
        LogHarness harness = WithTopic(new() { ["retention.bytes"] = "0" });
        harness.AppendMany(3);
        harness.Sync();
        harness.AppendMany(3, AppendDurability.Disk);
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(new Offset(2), harness.Log.LogStartOffset);
        harness.Sync();
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(new Offset(6), harness.Log.LogStartOffset);
    }

    [Fact]
    public void Where_the_start_cannot_be_written_down_nothing_goes_and_the_next_check_tries_again()
    {
        LogHarness harness = WithTopic(new() { ["retention.bytes"] = "0" });
        harness.AppendMany(4);
        harness.Storage.FailNext(SimulatedOperation.SyncData, "log-start-offset-checkpoint.tmp");
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);
        Assert.DoesNotContain(harness.Files(), static name => name.EndsWith(".deleted", StringComparison.Ordinal));
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(new Offset(4), harness.Log.LogStartOffset);
    }

    [Fact]
    public void A_reader_in_a_segment_reads_on_when_its_file_is_deleted()
    {
        LogHarness harness = WithTopic(new() { ["retention.bytes"] = "0", ["file.delete.delay.ms"] = "0" });
        harness.AppendMany(4);
        using FileUse use = harness.Log.SegmentsForTests[0].File.Use();
        harness.LogDirectory.ApplyRetention();
        Assert.DoesNotContain(harness.Files(), static name => name.StartsWith("00000000000000000000.log", StringComparison.Ordinal));
        byte[] bytes = new byte[BatchByteCount];
        Assert.Equal(BatchByteCount, use.File.Read(bytes, 0));
        Assert.Single(LogHarness.Headers(bytes));
    }

    [Fact]
    public void A_retention_that_is_struck_by_a_crash_at_any_operation_loses_nothing_that_stays()
    {
        for (int operation = 0; ; operation++)
        {
            LogHarness harness = WithTopic(new() { ["retention.bytes"] = $"{3 * BatchByteCount}", ["retention.ms"] = "-1", ["file.delete.delay.ms"] = "0" });
            harness.AppendMany(7);
            harness.Checkpoint();
            harness.Storage.CrashAfter(operation);
            bool isDone = false;
            try
            {
                harness.LogDirectory.ApplyRetention();
                isDone = true;
            }
            catch (SimulatedCrashException)
            {
            }

            harness.LosePower();
            harness.Open();
            Assert.True(harness.Log.IsOnline, harness.Log.OfflineReason);
            bool isWhole = harness.Log.LogStartOffset == new Offset(4) || (harness.Log.LogStartOffset == Offset.Zero && !isDone);
            Assert.True(isWhole, $"The log starts at {harness.Log.LogStartOffset} after a crash in operation {operation}, done: {isDone}.");
            Assert.Equal(new Offset(7), harness.Log.LogEndOffset);
            Assert.Equal(7 - harness.Log.LogStartOffset.Value, CountRecords(harness));
            if (isDone)
            {
                Assert.True(operation > 10, $"There were {operation} operations.");
                return;
            }
        }
    }

    [Fact]
    public void A_segment_is_closed_when_a_record_is_so_much_later_than_its_first()
    {
        LogHarness harness = WithTopic(new() { ["segment.ms"] = $"{Hour}", ["segment.bytes"] = $"{1 << 20}" });
        long start = Now(harness) - 10 * Hour;
        harness.Append(LogHarness.Batch(timestamp: start));
        harness.Append(LogHarness.Batch(timestamp: start + Hour));
        Assert.Single(harness.Log.SegmentsForTests);
        harness.Append(LogHarness.Batch(timestamp: start + Hour + 1));
        Assert.Equal([Offset.Zero, new Offset(2)], harness.Log.SegmentsForTests.Select(static segment => segment.BaseOffset));
        harness.KillAndOpen();
        harness.Append(LogHarness.Batch(timestamp: start + 2 * Hour + 2));
        Assert.Equal(3, harness.Log.SegmentsForTests.Count);
    }

    [Fact]
    public void The_jitter_closes_segments_earlier_and_not_all_at_once()
    {
        var ages = new HashSet<long>();
        for (int partition = 0; partition < 10; partition++)
        {
            LogHarness harness = WithTopic(new() { ["segment.ms"] = "1000", ["segment.jitter.ms"] = "900", ["segment.bytes"] = $"{1 << 20}" });
            PartitionLog log = harness.LogDirectory.Create(new TopicPartition("orders", partition + 1), LogHarness.OrdersId);
            long age = 0;
            for (long time = 1000; log.SegmentsForTests.Count == 1; time += 20)
            {
                log.Append(LogHarness.Batch(timestamp: time), AppendDurability.PageCache);
                age = time - 1000;
            }

            Assert.InRange(age, 100, 1020);
            ages.Add(age);
        }

        Assert.True(ages.Count > 3);
    }

    [Fact]
    public void Segments_and_batches_have_the_sizes_that_the_topic_says()
    {
        LogHarness harness = WithTopic(new() { ["segment.bytes"] = $"{1 << 20}", ["max.message.bytes"] = "400" });
        harness.AppendMany(5);
        Assert.Single(harness.Log.SegmentsForTests);
        Assert.Equal(AppendRejection.MessageTooLarge, Rejection(harness.Append(LogHarness.Batch(valueByteCount: 400))));
        harness.LogDirectory.SetOverrides("orders", new Dictionary<string, string>());
        Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch(valueByteCount: 200)));
        Assert.Equal(2, harness.Log.SegmentsForTests.Count);
    }

    [Fact]
    public void With_LogAppendTime_every_record_has_the_time_of_its_append()
    {
        LogHarness harness = WithTopic(new() { ["message.timestamp.type"] = "LogAppendTime" });
        harness.Time.Advance(TimeSpan.FromSeconds(7));
        long now = Now(harness);
        Assert.Equal(new AppendResult.Appended(Offset.Zero, new Offset(1), now), harness.Append(LogHarness.Batch(recordCount: 2, timestamp: 5 * now)));
        RecordBatchHeader header = Assert.Single(harness.ReadHeaders());
        Assert.True(header.IsLogAppendTime);
        Assert.Equal(now, header.MaxTimestamp);
        Assert.Equal(new TimestampedOffset(Offset.Zero, now), harness.Log.OffsetAtTimestamp(now, harness.Log.HighWatermark));
        Assert.Null(harness.Log.OffsetAtTimestamp(now + 1, harness.Log.HighWatermark));
    }

    [Fact]
    public void Times_that_are_too_far_from_the_brokers_are_refused()
    {
        LogHarness harness = WithTopic(new() { ["message.timestamp.before.max.ms"] = "1000", ["message.timestamp.after.max.ms"] = "2000" });
        long now = Now(harness);
        Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch(timestamp: now - 1000)));
        Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch(timestamp: now + 2000)));
        Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch(timestamp: -1)));
        Assert.Equal(AppendRejection.InvalidTimestamp, Rejection(harness.Append(LogHarness.Batch(timestamp: now - 1001))));
        Assert.Equal(AppendRejection.InvalidTimestamp, Rejection(harness.Append(LogHarness.Batch(timestamp: now + 2001))));
        Assert.Equal(AppendRejection.InvalidTimestamp, Rejection(harness.Append(LogHarness.Batch(recordCount: 3, timestamp: now + 1999))));
    }

    [Fact]
    public void The_records_whose_times_are_too_far_off_are_named()
    {
        LogHarness harness = WithTopic(new() { ["message.timestamp.before.max.ms"] = "1000", ["message.timestamp.after.max.ms"] = "2000" });
        long now = Now(harness);
        foreach (CompressionCodec codec in new[] { CompressionCodec.None, CompressionCodec.Gzip, CompressionCodec.Lz4 })
        {
            Assert.Equal([1, 3], Named(codec, now, now - 1001, now - 1000, -5000 + now));
            Assert.Equal([0, 2], Named(codec, now + 2001, now + 2000, now + 5000));
            Assert.Equal([0, 2], Named(codec, now - 1001, now, now + 2001));
        }

        IReadOnlyList<int> Named(CompressionCodec codec, params long[] times)
        {
            var builder = new RecordBatchBuilder(codec);
            foreach (long time in times)
            {
                builder.Append(time, null, "v"u8.ToArray());
            }

            AppendResult.Rejected rejected = Assert.IsType<AppendResult.Rejected>(harness.Append(builder.Build().ToArray()));
            Assert.Equal(AppendRejection.InvalidTimestamp, rejected.Rejection);
            return rejected.FaultyRecords;
        }
    }

    [Fact]
    public void A_record_without_key_is_refused_where_the_topic_is_compacted()
    {
        LogHarness harness = WithTopic(new() { ["cleanup.policy"] = "compact,delete" });
        Assert.Equal(AppendRejection.InvalidRecord, Rejection(harness.Append(LogHarness.Batch())));
        foreach (CompressionCodec codec in new[] { CompressionCodec.None, CompressionCodec.Gzip, CompressionCodec.Lz4 })
        {
            var builder = new RecordBatchBuilder(codec);
            builder.Append(1000, "k"u8.ToArray(), "v"u8.ToArray());
            Assert.IsType<AppendResult.Appended>(harness.Append(builder.Build().ToArray()));
            builder = new RecordBatchBuilder(codec);
            builder.Append(1000, "k"u8.ToArray(), "v"u8.ToArray());
            builder.Append(1000, null, "v"u8.ToArray());
            AppendResult.Rejected rejected = Assert.IsType<AppendResult.Rejected>(harness.Append(builder.Build().ToArray()));
            Assert.Equal(AppendRejection.InvalidRecord, rejected.Rejection);
            Assert.Equal([1], rejected.FaultyRecords);
        }
    }

    /// <summary>Two batches a segment, unless the settings say otherwise.</summary>
    private static LogHarness WithTopic(Dictionary<string, string> settings)
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 2 * BatchByteCount + 90);
        harness.LogDirectory.SetOverrides("orders", settings);
        return harness;
    }

    private static void AppendSegments(LogHarness harness, params long[] timestamps)
    {
        foreach (long timestamp in timestamps)
        {
            Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch(timestamp: timestamp)));
        }

        harness.Sync();
    }

    private static int CountRecords(LogHarness harness)
    {
        int count = 0;
        for (Offset next = harness.Log.LogStartOffset; next < harness.Log.LogEndOffset;)
        {
            List<RecordBatchHeader> headers = harness.ReadHeaders(next.Value);
            count += headers.Count;
            next = headers[^1].NextOffset;
        }

        return count;
    }

    private static long Now(LogHarness harness) => harness.Time.GetUtcNow().ToUnixTimeMilliseconds();

    private static AppendRejection Rejection(AppendResult result) => Assert.IsType<AppendResult.Rejected>(result).Rejection;
}
