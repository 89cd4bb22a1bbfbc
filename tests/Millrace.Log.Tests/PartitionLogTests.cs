using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class PartitionLogTests
{
    private static readonly int BatchByteCount = LogHarness.Batch().Length;

    [Fact]
    public void Appended_batches_get_offsets_and_epoch_in_place_and_lie_on_the_disk_as_they_are_on_the_wire()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.KillAndOpen();
        byte[] first = LogHarness.Batch(3);
        byte[] second = LogHarness.Batch(2);
        Assert.Equal(new AppendResult.Appended(new Offset(0), new Offset(2), LeaderEpoch: 1), harness.Append(first));
        Assert.Equal(new AppendResult.Appended(new Offset(3), new Offset(4), LeaderEpoch: 1), harness.Append(second));
        Assert.Equal([.. first, .. second], harness.ReadFile(LogHarness.FirstSegment));
        Assert.Equal(new Offset(3), RecordBatchHeader.Read(second).BaseOffset);
        Assert.Equal(1, RecordBatchHeader.Read(second).LeaderEpoch);
        Assert.Equal(new Offset(5), harness.Log.HighWatermark);
    }

    [Fact]
    public void A_read_returns_whole_batches_from_the_one_that_holds_the_offset()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.IndexIntervalByteCount = 500);
        for (int number = 0; number < 100; number++)
        {
            harness.Append(LogHarness.Batch(3));
        }

        for (long offset = 0; offset < 300; offset++)
        {
            Assert.Equal(offset / 3 * 3, harness.ReadHeaders(offset, 1)[0].BaseOffset.Value);
        }

        int byteCount = LogHarness.Batch(3).Length;
        Assert.Equal(2, harness.ReadHeaders(10, (3 * byteCount) - 1).Count);
        Assert.Equal(3, harness.ReadHeaders(10, 3 * byteCount).Count);
        Assert.Equal(97, harness.ReadHeaders(10).Count);
    }

    [Fact]
    public void A_read_returns_at_least_one_batch_only_where_it_is_asked_to()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        Assert.True(Read(harness, 0, 1, atLeastOne: false).IsEmpty);
        Assert.Equal(BatchByteCount, Read(harness, 0, 1, atLeastOne: true).Length);
        Assert.Equal(BatchByteCount, Read(harness, 0, 0, atLeastOne: true).Length);
        Assert.Equal(BatchByteCount, Read(harness, 0, BatchByteCount, atLeastOne: false).Length);
    }

    [Fact]
    public void A_read_stops_at_the_high_watermark()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        harness.AppendMany(1, AppendDurability.Disk);
        harness.AppendMany(1);
        Assert.Equal(new Offset(2), harness.Log.HighWatermark);
        Assert.Equal(2, LogHarness.Headers(Read(harness, 0, 100_000, atLeastOne: true, harness.Log.HighWatermark)).Count);
        Assert.True(Read(harness, 2, 100_000, atLeastOne: true, harness.Log.HighWatermark).IsEmpty);
        harness.Sync();
        Assert.Equal(4, LogHarness.Headers(Read(harness, 0, 100_000, atLeastOne: true, harness.Log.HighWatermark)).Count);
    }

    [Fact]
    public void Offsets_outside_the_log_are_out_of_range_and_its_end_is_empty()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        Assert.True(Read(harness, 2, 100, atLeastOne: true).IsEmpty);
        var expected = new ReadResult.OutOfRange(new Offset(0), new Offset(2));
        Assert.Equal(expected, harness.Log.Read(new Offset(3), 100, atLeastOneBatch: true, harness.Log.LogEndOffset));
        Assert.Equal(expected, harness.Log.Read(new Offset(-1), 100, atLeastOneBatch: true, harness.Log.LogEndOffset));
    }

    [Fact]
    public void A_segment_that_is_full_is_followed_by_one_named_by_its_first_offset()
    {
        LogHarness harness = LogHarness.WithPartition(options => options.SegmentByteCount = 3 * BatchByteCount);
        harness.AppendMany(7);
        Assert.Equal(
            ["00000000000000000000.log", "00000000000000000003.log", "00000000000000000006.log"],
            harness.Files().Where(static file => file.EndsWith(".log", StringComparison.Ordinal)));
        Assert.Equal(3, harness.ReadHeaders(0).Count);
        Assert.Equal([3, 4, 5], harness.ReadHeaders(3).Select(static header => header.BaseOffset.Value));
        Assert.Single(harness.ReadHeaders(6));
        harness.KillAndOpen();
        Assert.Equal(new Offset(7), harness.Log.LogEndOffset);
        Assert.Equal([5], harness.ReadHeaders(5).Select(static header => header.BaseOffset.Value));
    }

    [Fact]
    public void A_full_index_rolls_the_segment()
    {
        LogHarness harness = LogHarness.WithPartition(static options =>
        {
            options.IndexIntervalByteCount = 0;
            options.MaximumIndexByteCount = 2 * 8;
        });
        harness.AppendMany(7);
        Assert.Equal(3, harness.Files().Count(static file => file.EndsWith(".log", StringComparison.Ordinal)));
        Assert.Equal(16, harness.ReadFile(LogHarness.FirstIndex).Length);
    }

    [Fact]
    public void An_offset_too_far_from_the_base_for_the_index_rolls_the_segment()
    {
        LogHarness harness = LogHarness.WithPartition();
        LogSegment segment = LogSegment.Create(new OpenFiles(harness.Storage, 10), LogHarness.Root, Offset.Zero, harness.Options.ToSettings(), now: 0);
        segment.Publish(100);
        Assert.True(segment.HasRoomFor(100, new Offset(int.MaxValue), int.MaxValue));
        Assert.False(segment.HasRoomFor(100, new Offset(int.MaxValue + 1L), int.MaxValue));
        Assert.False(segment.HasRoomFor(100, new Offset(1), 199));
        Assert.True(segment.HasRoomFor(100, new Offset(1), 200));
    }

    [Fact]
    public void The_index_has_the_last_offset_and_the_position_of_a_batch_every_interval()
    {
        LogHarness harness = LogHarness.WithPartition(options => options.IndexIntervalByteCount = 2 * BatchByteCount);
        harness.AppendMany(8);
        byte[] index = harness.ReadFile(LogHarness.FirstIndex);
        List<(int Offset, int Position)> entries = [];
        for (int entry = 0; entry < index.Length; entry += 8)
        {
            entries.Add((BinaryPrimitives.ReadInt32BigEndian(index.AsSpan(entry)), BinaryPrimitives.ReadInt32BigEndian(index.AsSpan(entry + 4))));
        }

        Assert.Equal([(3, 3 * BatchByteCount), (6, 6 * BatchByteCount)], entries);
    }

    [Fact]
    public void What_is_no_batch_or_none_of_a_producer_is_refused_at_the_door()
    {
        LogHarness harness = LogHarness.WithPartition();
        AssertRejected(AppendRejection.InvalidRecord, harness.Append([]));
        AssertRejected(AppendRejection.CorruptMessage, harness.Append(LogHarness.Batch()[..^1]));
        AssertRejected(AppendRejection.CorruptMessage, harness.Append([.. LogHarness.Batch(), 0]));
        AssertRejected(AppendRejection.CorruptMessage, harness.Append(Edited(static batch => batch[^1] ^= 1)));
        AssertRejected(AppendRejection.UnsupportedForMessageFormat, harness.Append(Edited(static batch => batch[16] = 1)));
        AssertRejected(AppendRejection.InvalidRecord, harness.Append(Edited(static batch => batch[22] = 5, seals: true)));
        AssertRejected(AppendRejection.InvalidRecord, harness.Append(Edited(static batch => batch[22] = 0x08, seals: true)));
        AssertRejected(AppendRejection.InvalidRecord, harness.Append(Edited(static batch => batch[22] = 0x10, seals: true)));
        AssertRejected(AppendRejection.InvalidRecord, harness.Append(Edited(static batch => batch[22] = 0x20, seals: true)));
        AssertRejected(AppendRejection.InvalidRecord, harness.Append(Edited(static batch => batch[26] = 3, seals: true)));
        AssertRejected(AppendRejection.InvalidRecord, harness.Append(Edited(static batch => batch[61] = 0x7e, seals: true)));
        AssertRejected(AppendRejection.InvalidRecord, harness.Append(LogHarness.Batch(producerId: 1, sequence: -1)));
        AssertRejected(AppendRejection.InvalidRecord, harness.Append(LogHarness.Batch(producerId: 1, epoch: -1)));
        AssertRejected(AppendRejection.MessageTooLarge, harness.Log.Append(LogHarness.Batch(), AppendDurability.Disk, BatchByteCount - 1));
        Assert.Equal(Offset.Zero, harness.Log.LogEndOffset);
        Assert.Empty(harness.ReadFile(LogHarness.FirstSegment));
        Assert.IsType<AppendResult.Appended>(harness.Log.Append(LogHarness.Batch(), AppendDurability.Disk, BatchByteCount));
    }

    [Fact]
    public void Batches_larger_than_a_segment_are_refused()
    {
        LogHarness harness = LogHarness.WithPartition(options => options.SegmentByteCount = BatchByteCount);
        AssertRejected(AppendRejection.MessageTooLarge, harness.Append([.. LogHarness.Batch(), .. LogHarness.Batch()]));
        harness.AppendMany(2);
    }

    [Theory]
    [InlineData(SimulatedOperation.Write)]
    [InlineData(SimulatedOperation.SyncData)]
    [InlineData(SimulatedOperation.Create)]
    [InlineData(SimulatedOperation.SyncDirectory)]
    public void A_disk_that_fails_takes_the_partition_offline_and_a_restart_brings_back_what_was_acknowledged(SimulatedOperation operation)
    {
        LogHarness harness = LogHarness.WithPartition(options => options.SegmentByteCount = 2 * BatchByteCount);
        harness.AppendMany(2, AppendDurability.Disk);
        harness.Sync();
        int progressed = 0;
        harness.Log.Progressed += _ => progressed++;

        harness.Storage.FailNext(operation);
        AppendResult result = harness.Append(LogHarness.Batch(), AppendDurability.Disk);
        bool failsInAppend = operation is SimulatedOperation.Write or SimulatedOperation.Create;
        Assert.Equal(failsInAppend, result is AppendResult.Rejected { Rejection: AppendRejection.Offline });
        if (!failsInAppend)
        {
            SyncWork work = harness.Log.BeginSync()!;
            harness.Log.EndSync(work, work.TryRun());
        }

        Assert.False(harness.Log.IsOnline);
        Assert.Contains("Input/output error", harness.Log.OfflineReason, StringComparison.Ordinal);
        Assert.Equal(1, progressed);
        Assert.Equal(new Offset(2), harness.Log.HighWatermark);
        Assert.Equal(new Offset(2), harness.Log.SyncedOffset);
        Assert.Null(harness.Log.BeginSync());
        AssertRejected(AppendRejection.Offline, harness.Append(LogHarness.Batch()));

        harness.LogDirectory.Close();
        harness.KillAndOpen();
        Assert.False(harness.LogDirectory.Recovery.WasCleanStop);
        Assert.True(harness.Log.IsOnline, harness.Log.OfflineReason);
        Assert.InRange(harness.Log.LogEndOffset.Value, 2, 3);
        Assert.Equal([0, 1], harness.ReadHeaders().Select(static header => header.BaseOffset.Value));
    }

    [Fact]
    public void A_full_disk_takes_the_partition_offline_and_the_other_partitions_go_on_with_their_reads()
    {
        LogHarness harness = LogHarness.WithPartition();
        PartitionLog other = harness.LogDirectory.Create(new TopicPartition("orders", 1), LogHarness.OrdersId);
        Assert.IsType<AppendResult.Appended>(other.Append(LogHarness.Batch(), AppendDurability.PageCache));
        harness.AppendMany(1);
        harness.Storage.FreeByteCount = 50;
        AssertRejected(AppendRejection.Offline, harness.Append(LogHarness.Batch()));
        Assert.Contains("No space left on device", harness.Log.OfflineReason, StringComparison.Ordinal);
        Assert.IsType<ReadResult.Data>(other.Read(Offset.Zero, 1000, atLeastOneBatch: true, other.HighWatermark));

        harness.Storage.FreeByteCount = long.MaxValue;
        harness.KillAndOpen();
        Assert.Equal(new Offset(1), harness.Log.LogEndOffset);
    }

    [Theory]
    [InlineData(90, "fails its checksum")]
    [InlineData(8, "has an impossible batch length")]
    [InlineData(16, "has a batch of an unknown format")]
    [InlineData(7, "has offset 0 where 1 belongs")]
    public void Damage_that_a_read_meets_takes_the_partition_offline_and_is_not_served(int positionInBatch, string what)
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(3);
        harness.Storage.FlipBit(LogHarness.FirstSegment, BatchByteCount + positionInBatch);
        if (positionInBatch == 8)
        {
            harness.Storage.FlipBit(LogHarness.FirstSegment, BatchByteCount + 8);
            for (int bit = 0; bit < 4; bit++)
            {
                harness.Edit(LogHarness.FirstSegment, static log => [.. log[..(BatchByteCount + 8)], 0xff, .. log[(BatchByteCount + 9)..]]);
            }
        }

        ReadResult.Offline offline = Assert.IsType<ReadResult.Offline>(
            harness.Log.Read(Offset.Zero, 10_000, atLeastOneBatch: true, harness.Log.HighWatermark));
        Assert.Contains($"00000000000000000000.log of orders-0 at byte {BatchByteCount} {what}", offline.Reason, StringComparison.Ordinal);
        Assert.Contains("from offset 1 on, stop and run 'millrace log repair /data orders-0'", offline.Reason, StringComparison.Ordinal);
        Assert.False(harness.Log.IsOnline);
    }

    [Fact]
    public void A_sync_covers_the_old_segments_in_order_and_the_directory_of_new_ones()
    {
        LogHarness harness = LogHarness.WithPartition(options => options.SegmentByteCount = 2 * BatchByteCount);
        harness.AppendMany(5, AppendDurability.Disk);
        harness.Sync();
        for (int attempt = 0; attempt < 50; attempt++)
        {
            using var view = new LogHarnessView(harness.Storage.Crash(SimulatedCrashKind.PowerLoss), harness.Options);
            Assert.Equal(new Offset(5), view.Log.LogEndOffset);
        }
    }

    [Fact]
    public void Records_are_found_by_their_time()
    {
        LogHarness harness = LogHarness.WithPartition(options => options.SegmentByteCount = 400);
        harness.Append(LogHarness.Batch(2, timestamp: 1000));
        harness.Append(LogHarness.Batch(2, timestamp: 3000));
        harness.Append(LogHarness.Batch(2, timestamp: 2000));
        Offset end = harness.Log.HighWatermark;
        Assert.Equal(new TimestampedOffset(new Offset(0), 1000), harness.Log.OffsetAtTimestamp(0, end));
        Assert.Equal(new TimestampedOffset(new Offset(1), 1001), harness.Log.OffsetAtTimestamp(1001, end));
        Assert.Equal(new TimestampedOffset(new Offset(2), 3000), harness.Log.OffsetAtTimestamp(1002, end));
        Assert.Equal(new TimestampedOffset(new Offset(3), 3001), harness.Log.OffsetAtTimestamp(3001, end));
        Assert.Null(harness.Log.OffsetAtTimestamp(3002, end));
        Assert.Null(harness.Log.OffsetAtTimestamp(1002, new Offset(2)));
        Assert.Equal(new TimestampedOffset(new Offset(3), 3001), harness.Log.OffsetOfMaximumTimestamp(end));
        Assert.Equal(new TimestampedOffset(new Offset(1), 1001), harness.Log.OffsetOfMaximumTimestamp(new Offset(2)));
        Assert.Null(harness.Log.OffsetOfMaximumTimestamp(Offset.Zero));
    }

    [Fact]
    public async Task Readers_beside_a_writer_see_whole_batches_in_order()
    {
        LogHarness harness = LogHarness.WithPartition(static options =>
        {
            options.SegmentByteCount = 5000;
            options.IndexIntervalByteCount = 300;
        });
        const int batchCount = 3000;
        PartitionLog log = harness.Log;
        Task<int>[] readers = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(() => ReadUntil(log, new Offset(batchCount))))];
        harness.AppendMany(batchCount);
        int[] counts = await Task.WhenAll(readers);
        Assert.All(counts, static count => Assert.Equal(batchCount, count));
    }

    private static int ReadUntil(PartitionLog log, Offset end)
    {
        int count = 0;
        Offset next = Offset.Zero;
        while (next < end)
        {
            ReadResult.Data data = Assert.IsType<ReadResult.Data>(log.Read(next, 700, atLeastOneBatch: true, log.HighWatermark));
            foreach (RecordBatchHeader header in LogHarness.Headers(data.Batches))
            {
                Assert.Equal(next, header.BaseOffset);
                next = header.NextOffset;
                count++;
            }
        }

        return count;
    }

    private static ReadOnlyMemory<byte> Read(LogHarness harness, long from, int maximumByteCount, bool atLeastOne, Offset? upTo = null) =>
        Assert.IsType<ReadResult.Data>(
            harness.Log.Read(new Offset(from), maximumByteCount, atLeastOne, upTo ?? harness.Log.LogEndOffset)).Batches;

    private static byte[] Edited(Action<byte[]> edit, bool seals = false)
    {
        byte[] batch = LogHarness.Batch(2);
        edit(batch);
        if (seals)
        {
            BinaryPrimitives.WriteUInt32BigEndian(batch.AsSpan(17), Crc32C.Compute(batch.AsSpan(21)));
        }

        return batch;
    }

    private static void AssertRejected(AppendRejection expected, AppendResult result) =>
        Assert.Equal(expected, Assert.IsType<AppendResult.Rejected>(result).Rejection);
}
