using System.Buffers.Binary;

namespace Millrace.Kafka.Records.Tests;

public sealed class RecordBatchCheckTests
{
    [Fact]
    public void A_whole_batch_is_valid_also_with_bytes_behind_it()
    {
        byte[] batch = Samples.Batch();
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch, out RecordBatchHeader header));
        Assert.Equal(batch.Length, header.TotalByteCount);
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check([.. batch, 1, 2, 3], out _));
    }

    [Fact]
    public void Every_cut_is_incomplete()
    {
        byte[] batch = Samples.Batch();
        for (int length = 0; length < batch.Length; length++)
        {
            Assert.Equal(BatchVerdict.Incomplete, RecordBatch.Check(batch.AsSpan(0, length), out _));
        }
    }

    [Fact]
    public void Every_flipped_bit_is_noticed_except_in_the_two_fields_that_the_broker_assigns()
    {
        byte[] batch = Samples.Batch();
        for (int bit = 0; bit < batch.Length * 8; bit++)
        {
            byte[] copy = [.. batch];
            copy[bit / 8] ^= (byte)(1 << (bit % 8));
            bool isAssigned = bit / 8 is < RecordBatchHeader.BatchLengthPosition
                or (>= RecordBatchHeader.LeaderEpochPosition and < RecordBatchHeader.MagicPosition);
            Assert.Equal(isAssigned, RecordBatch.Check(copy, out _) == BatchVerdict.Valid);
        }
    }

    [Theory]
    [InlineData(int.MinValue)]
    [InlineData(-1)]
    [InlineData(0)]
    [InlineData(RecordBatchHeader.MinimumBatchLength - 1)]
    [InlineData(int.MaxValue)]
    [InlineData(int.MaxValue - 11)]
    public void A_length_that_no_batch_has_is_bad(int length)
    {
        byte[] batch = Samples.Batch();
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(RecordBatchHeader.BatchLengthPosition), length);
        Assert.Equal(BatchVerdict.BadLength, RecordBatch.Check(batch, out _));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    public void Another_version_is_told_from_damage_even_when_it_is_shorter_than_a_header(byte magic)
    {
        byte[] message = new byte[30];
        BinaryPrimitives.WriteInt32BigEndian(message.AsSpan(RecordBatchHeader.BatchLengthPosition), 18);
        message[RecordBatchHeader.MagicPosition] = magic;
        Assert.Equal(BatchVerdict.UnsupportedMagic, RecordBatch.Check(message, out _));
    }

    [Fact]
    public void Zeros_are_no_batch() => Assert.Equal(BatchVerdict.BadLength, RecordBatch.Check(new byte[4096], out _));

    [Theory]
    [InlineData(RecordBatchHeader.LastOffsetDeltaPosition, -1)]
    [InlineData(RecordBatchHeader.LastOffsetDeltaPosition, 0)] // two records
    [InlineData(RecordBatchHeader.RecordCountPosition, -1)]
    [InlineData(RecordBatchHeader.RecordCountPosition, 3)]
    [InlineData(RecordBatchHeader.RecordCountPosition, int.MaxValue)]
    public void Counts_that_contradict_each_other_are_bad(int position, int value)
    {
        byte[] batch = Samples.Batch();
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(position), value);
        RecordBatch.Seal(batch);
        Assert.Equal(BatchVerdict.BadCounts, RecordBatch.Check(batch, out _));
    }

    [Fact]
    public void A_count_that_the_bytes_cannot_hold_is_bad()
    {
        byte[] batch = Samples.Batch();
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(RecordBatchHeader.LastOffsetDeltaPosition), int.MaxValue);
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(RecordBatchHeader.RecordCountPosition), 1_000_000);
        RecordBatch.Seal(batch);
        Assert.Equal(BatchVerdict.BadCounts, RecordBatch.Check(batch, out _));
    }

    [Fact]
    public void Assigning_offset_and_epoch_leaves_the_checksum_right()
    {
        byte[] batch = Samples.Batch();
        RecordBatch.Assign(batch, new Offset(4096), 7);
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch, out RecordBatchHeader header));
        Assert.Equal((4096, 4097, 4098, 7), (header.BaseOffset.Value, header.LastOffset.Value, header.NextOffset.Value, header.LeaderEpoch));
        Assert.Equal([4096L, 4097L], RecordBatchReader.Read(batch).Select(record => record.Offset.Value));
    }

    [Fact]
    public void Assigning_a_producer_sets_the_checksum_anew()
    {
        byte[] batch = Samples.Batch();
        RecordBatch.AssignProducer(batch, new ProducerIdentity(9, 3), 17);
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch, out RecordBatchHeader header));
        Assert.Equal((new ProducerIdentity(9, 3), 17, 18), (header.Producer, header.BaseSequence, header.LastSequence));
    }
}
