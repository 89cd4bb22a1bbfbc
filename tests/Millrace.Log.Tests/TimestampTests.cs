using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class TimestampTests
{
    private const string FirstTimeIndex = LogHarness.Directory + "/00000000000000000000.timeindex";
    private static readonly int BatchByteCount = LogHarness.Batch().Length;

    [Fact]
    public void The_time_index_has_the_latest_time_so_far_beside_each_entry_of_the_offset_index_if_it_has_risen()
    {
        LogHarness harness = LogHarness.WithPartition(options => options.IndexIntervalByteCount = 2 * BatchByteCount);
        foreach (long timestamp in (long[])[10, 40, 20, 30, 50, 60, 50, 5, 5, 5, 5, 70])
        {
            harness.Append(LogHarness.Batch(timestamp: timestamp));
        }

        Assert.Equal([(3, 3 * BatchByteCount), (6, 6 * BatchByteCount), (9, 9 * BatchByteCount)], OffsetEntries(harness.ReadFile(LogHarness.FirstIndex)));
        Assert.Equal([(40, 1), (60, 5)], TimeEntries(harness.ReadFile(FirstTimeIndex)));
    }

    [Fact]
    public void The_time_index_of_a_complete_segment_ends_with_its_latest_time()
    {
        LogHarness harness = LogHarness.WithPartition(options => options.SegmentByteCount = 3 * BatchByteCount);
        foreach (long timestamp in (long[])[10, 30, 20, 5])
        {
            harness.Append(LogHarness.Batch(timestamp: timestamp));
        }

        Assert.Equal([(30, 1)], TimeEntries(harness.ReadFile(FirstTimeIndex)));
        Assert.Empty(harness.ReadFile($"{LogHarness.Directory}/00000000000000000003.timeindex"));
    }

    [Fact]
    public void The_offset_in_an_entry_is_the_last_of_the_first_batch_with_that_time()
    {
        LogHarness harness = LogHarness.WithPartition(options => options.SegmentByteCount = 3 * LogHarness.Batch(3).Length);
        for (int number = 0; number < 4; number++)
        {
            harness.Append(LogHarness.Batch(3, timestamp: 100));
        }

        Assert.Equal([(102, 2)], TimeEntries(harness.ReadFile(FirstTimeIndex)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void A_lookup_finds_what_a_look_at_every_record_finds(int seed)
    {
        var random = new Random(seed);
        LogHarness harness = LogHarness.WithPartition(options =>
        {
            options.SegmentByteCount = 900 + random.Next(5000);
            options.IndexIntervalByteCount = random.Next(800);
        });
        List<(long Timestamp, Offset Next)> records = [];
        for (int batch = 0; batch < 120; batch++)
        {
            // Times that rise with a lot of noise, and some that are far off.
            long timestamp = random.Next(12) == 0 ? random.Next(5000) : (batch * 20) + random.Next(200);
            int count = 1 + random.Next(3);
            harness.Append(LogHarness.Batch(count, timestamp: timestamp));
            for (int record = 0; record < count; record++)
            {
                records.Add((timestamp + record, harness.Log.LogEndOffset));
            }

            if (random.Next(3) == 0)
            {
                Compare(harness, records, random);
            }
        }

        harness.KillAndOpen();

        // Recovery finds the indexes to be what it would make itself.
        Assert.Empty(harness.LogDirectory.Recovery.Findings);
        for (int round = 0; round < 200; round++)
        {
            Compare(harness, records, random);
        }
    }

    [Fact]
    public void A_lookup_reads_a_few_intervals_of_a_log_and_no_more()
    {
        LogHarness harness = LogHarness.WithPartition(static options =>
        {
            options.SegmentByteCount = 100_000;
            options.IndexIntervalByteCount = 1000;
        });
        const int count = 5000;
        for (int number = 0; number < count; number++)
        {
            harness.Append(LogHarness.Batch(timestamp: number));
        }

        Offset end = harness.Log.HighWatermark;
        for (int timestamp = 100; timestamp < count; timestamp += 700)
        {
            long before = harness.Storage.ReadByteCount;
            Assert.Equal(new TimestampedOffset(new Offset(timestamp), timestamp), harness.Log.OffsetAtTimestamp(timestamp, end));
            Assert.InRange(harness.Storage.ReadByteCount - before, 1, 20_000);
        }

        long start = harness.Storage.ReadByteCount;
        Assert.Equal(new TimestampedOffset(new Offset(count - 1), count - 1), harness.Log.OffsetOfMaximumTimestamp(end));
        Assert.Equal(new TimestampedOffset(new Offset(1234), 1234), harness.Log.OffsetOfMaximumTimestamp(new Offset(1235)));
        Assert.InRange(harness.Storage.ReadByteCount - start, 1, 40_000);
    }

    private static void Compare(LogHarness harness, List<(long Timestamp, Offset Next)> records, Random random)
    {
        // Whole batches only, as high watermarks are.
        Offset upTo = random.Next(2) == 0 ? harness.Log.LogEndOffset : records[random.Next(records.Count)].Next;
        List<long> visible = [.. records.Where(record => record.Next <= upTo).Select(static record => record.Timestamp)];
        long timestamp = random.Next(6000);
        int first = visible.FindIndex(found => found >= timestamp);
        TimestampedOffset? expected = first < 0 ? null : new TimestampedOffset(new Offset(first), visible[first]);
        Assert.Equal(expected, harness.Log.OffsetAtTimestamp(timestamp, upTo));

        int latest = visible.IndexOf(visible.Max());
        Assert.Equal(new TimestampedOffset(new Offset(latest), visible[latest]), harness.Log.OffsetOfMaximumTimestamp(upTo));
    }

    private static List<(int Offset, int Position)> OffsetEntries(byte[] bytes)
    {
        List<(int, int)> entries = [];
        for (int entry = 0; entry < bytes.Length; entry += 8)
        {
            entries.Add((BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(entry)), BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(entry + 4))));
        }

        return entries;
    }

    private static List<(long Timestamp, int Offset)> TimeEntries(byte[] bytes)
    {
        List<(long, int)> entries = [];
        for (int entry = 0; entry < bytes.Length; entry += 12)
        {
            entries.Add((BinaryPrimitives.ReadInt64BigEndian(bytes.AsSpan(entry)), BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(entry + 8))));
        }

        return entries;
    }
}
