namespace Millrace.Kafka.Records.Tests;

public sealed class SequenceTests
{
    [Theory]
    [InlineData(0, 0, 0)]
    [InlineData(5, 3, 8)]
    [InlineData(int.MaxValue, 0, int.MaxValue)]
    [InlineData(int.MaxValue, 1, 0)]
    [InlineData(int.MaxValue - 1, 3, 1)]
    [InlineData(int.MaxValue, int.MaxValue, int.MaxValue - 1)]
    public void A_sequence_wraps_from_2_to_the_31_minus_1_to_0(int sequence, int count, int expected) =>
        Assert.Equal(expected, Sequence.Add(sequence, count));

    [Theory]
    [InlineData(10, 4, 14)]
    [InlineData(int.MaxValue, 1, 0)]
    [InlineData(-1, 4, -1)]
    public void The_last_sequence_of_a_batch_follows_from_its_first(int baseSequence, int lastOffsetDelta, int expected)
    {
        byte[] batch = new byte[RecordBatchHeader.ByteCount];
        (RecordBatchHeader.Read(batch) with { BaseSequence = baseSequence, LastOffsetDelta = lastOffsetDelta }).Write(batch);
        Assert.Equal(expected, RecordBatchHeader.Read(batch).LastSequence);
    }
}
