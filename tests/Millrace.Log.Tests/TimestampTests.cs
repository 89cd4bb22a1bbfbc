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

    public static TheoryData<string, Func<byte[], byte[]>> Damages => new()
    {
        { "zeros", static bytes => new byte[bytes.Length] },
        { "ones", static bytes => [.. bytes.Select(static _ => (byte)0xFF)] },
        { "noise", static bytes => [.. bytes.Select(static (value, place) => (byte)(value ^ (place * 37 + 11)))] },
        { "nothing", static _ => [] },
        { "no last entry", static bytes => bytes[..^12] },
        { "a last time that is too low", static bytes => WithTime(bytes, bytes.Length - 12, -5) },
        { "a last time that is too high", static bytes => WithTime(bytes, bytes.Length - 12, 1_000_000) },
        { "a first time that is too low", static bytes => WithTime(bytes, 0, -5) },
        { "an offset that is too high", static bytes => [.. bytes[..11], (byte)(bytes[11] + 3), .. bytes[12..]] },
    };

    [Theory]
    [MemberData(nameof(Damages))]
    public void By_a_time_index_that_was_damaged_while_nobody_looked_nothing_is_answered(string what, Func<byte[], byte[]> damage)
    {
        Assert.NotEmpty(what);
        for (int sought = -5; sought < 250; sought += 5)
        {
            LogHarness harness = WithDamage(damage, out long first);
            int offset = (sought + 9) / 10;
            TimestampedOffset? expected = sought > 240 ? null : new TimestampedOffset(new Offset(offset), first + 10 * offset);
            AssertFound(harness, expected, (log, end) => log.OffsetAtTimestamp(first + sought, end));
        }

        AssertFound(WithDamage(damage, out long start), new TimestampedOffset(new Offset(24), start + 240), static (log, end) => log.OffsetOfMaximumTimestamp(end));
        AssertFound(WithDamage(damage, out _), new TimestampedOffset(new Offset(6), start + 60), static (log, _) => log.OffsetOfMaximumTimestamp(new Offset(7)));
    }

    [Theory]
    [MemberData(nameof(Damages))]
    public void By_a_time_index_that_was_damaged_while_nobody_looked_nothing_is_deleted_and_nothing_is_kept(string what, Func<byte[], byte[]> damage)
    {
        Assert.NotEmpty(what);
        LogHarness harness = WithDamage(damage, out _);
        harness.Time.Advance(TimeSpan.FromSeconds(30));
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);
        ComeBack(harness);
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);

        harness = WithDamage(damage, out _);
        harness.Time.Advance(TimeSpan.FromSeconds(61));
        harness.LogDirectory.ApplyRetention();
        ComeBack(harness);
        harness.LogDirectory.ApplyRetention();
        Assert.Equal(new Offset(25), harness.Log.LogStartOffset);
    }

    public static TheoryData<string, Func<byte[], byte[]>> DamagesOfPositions => new()
    {
        { "zeros", static bytes => new byte[bytes.Length] },
        { "ones", static bytes => [.. bytes.Select(static _ => (byte)0xFF)] },
        { "noise", static bytes => [.. bytes.Select(static (value, place) => (byte)(value ^ (place * 37 + 11)))] },
        { "nothing", static _ => [] },
        { "positions below zero", static bytes => [.. bytes.Select(static (value, place) => (byte)(place % 8 == 4 ? 0x80 : value))] },
        { "positions beyond the end", static bytes => [.. bytes.Select(static (value, place) => (byte)(place % 8 == 4 ? 0x40 : value))] },
        { "offsets below the segment", static bytes => [.. bytes.Select(static (value, place) => (byte)(place % 8 == 0 ? 0x80 : value))] },
    };

    [Theory]
    [MemberData(nameof(DamagesOfPositions))]
    public void By_an_offset_index_that_was_damaged_while_nobody_looked_nothing_is_answered_and_nothing_fails(string what, Func<byte[], byte[]> damage)
    {
        foreach (string segment in (string[])[LogHarness.FirstIndex, LogHarness.Directory + "/00000000000000000020.index"])
        {
            for (int offset = 0; offset < 25; offset++)
            {
                LogHarness harness = WithDamage(segment, damage, out long first);
                if (harness.Log.Read(new Offset(offset), 1, atLeastOneBatch: true, harness.Log.LogEndOffset) is ReadResult.Data data)
                {
                    Assert.True(LogHarness.Headers(data.Batches)[0].BaseOffset.Value == offset, $"{what}: {offset} is not read");
                }

                ComeBack(harness);
                Assert.Equal(offset, harness.ReadHeaders(offset, 1)[0].BaseOffset.Value);

                harness = WithDamage(segment, damage, out first);
                AssertFound(harness, new TimestampedOffset(new Offset(offset), first + 10 * offset), (log, end) => log.OffsetAtTimestamp(first + 10 * offset, end));
                AssertFound(harness, new TimestampedOffset(new Offset(24), first + 240), static (log, end) => log.OffsetOfMaximumTimestamp(end));
            }

            LogHarness another = WithDamage(segment, damage, out _);
            another.Time.Advance(TimeSpan.FromSeconds(61));
            for (int attempt = 0; attempt < 2; attempt++)
            {
                another.LogDirectory.ApplyRetention();
                ComeBack(another);
            }

            another.LogDirectory.ApplyRetention();
            Assert.Equal(new Offset(25), another.Log.LogStartOffset);

            another = WithDamage(segment, damage, out long start);
            _ = another.Append(LogHarness.Batch(timestamp: start));
            ComeBack(another);
            Assert.IsType<AppendResult.Appended>(another.Append(LogHarness.Batch(timestamp: start)));
        }
    }

    /// <summary>25 records, ten of them in a segment, with times ten apart, after a clean stop in which an index was damaged.</summary>
    private static LogHarness WithDamage(Func<byte[], byte[]> damage, out long first) => WithDamage(FirstTimeIndex, damage, out first);

    private static LogHarness WithDamage(string index, Func<byte[], byte[]> damage, out long first)
    {
        LogHarness harness = LogHarness.WithPartition(static options =>
        {
            options.SegmentByteCount = 10 * BatchByteCount;
            options.IndexIntervalByteCount = 2 * BatchByteCount;
            options.TopicDefaults = options.TopicDefaults with { RetentionMilliseconds = 60_000 };
        });
        first = harness.Time.GetUtcNow().ToUnixTimeMilliseconds();
        for (int number = 0; number < 25; number++)
        {
            harness.Append(LogHarness.Batch(timestamp: first + 10 * number));
        }

        Assert.True(harness.LogDirectory.Close());
        harness.Kill();
        harness.Edit(index, damage);
        harness.Open();
        Assert.Empty(harness.LogDirectory.Recovery.Findings);
        return harness;
    }

    private static byte[] WithTime(byte[] index, int position, long later)
    {
        byte[] changed = [.. index];
        BinaryPrimitives.WriteInt64BigEndian(changed.AsSpan(position), BinaryPrimitives.ReadInt64BigEndian(changed.AsSpan(position)) + later);
        return changed;
    }

    /// <summary>What is looked for is found, if not at once, then when the partition has come back.</summary>
    private static void AssertFound(LogHarness harness, TimestampedOffset? expected, Func<PartitionLog, Offset, TimestampedOffset?> find)
    {
        TimestampedOffset? found = find(harness.Log, harness.Log.LogEndOffset);
        Assert.Equal(harness.Log.IsOnline ? expected : null, found);
        ComeBack(harness);
        Assert.Equal(expected, find(harness.Log, harness.Log.LogEndOffset));
    }

    private static void ComeBack(LogHarness harness)
    {
        harness.Time.Advance(TimeSpan.FromSeconds(1));
        harness.LogDirectory.ReopenDue();
        Assert.True(harness.Log.IsOnline, harness.Log.OfflineReason);
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
