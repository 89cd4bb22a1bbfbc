using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Kafka.Tests.ReadingState;

namespace Millrace.Kafka.Tests;

/// <summary>What a reader of committed records is handed out (KIP-98).</summary>
public sealed class AbortedFilterTests
{
    private readonly ReadingState _reading = new(new ConsumerOptions { IsolationLevel = IsolationLevel.ReadCommitted });

    [Fact]
    public void Records_of_an_aborted_transaction_are_passed_over_and_those_of_its_neighbours_are_not()
    {
        Answer(
            from: 0,
            [Aborted(producer: 7, firstOffset: 0)],
            Batch(0, 2, producerId: 7),
            Batch(2, 2, producerId: 8),
            Batch(4, 1),
            Batch(5, 1, producerId: 7),
            Marker(6, 7, isCommit: false),
            Marker(7, 8, isCommit: true));
        Assert.Equal([2, 3, 4], _reading.TakeAll());
        Assert.Equal(new Offset(8), _reading.Cursor.Position);
    }

    [Fact]
    public void A_later_transaction_of_the_same_producer_is_another_one()
    {
        Answer(
            from: 0,
            [Aborted(producer: 7, firstOffset: 6), Aborted(producer: 7, firstOffset: 0)],
            Batch(0, 1, producerId: 7),
            Marker(1, 7, isCommit: false),
            Batch(2, 2, producerId: 7),
            Marker(4, 7, isCommit: true),
            Batch(5, 1),
            Batch(6, 1, producerId: 7),
            Marker(7, 7, isCommit: false),
            Batch(8, 1, producerId: 7),
            Marker(9, 7, isCommit: true));
        Assert.Equal([2, 3, 5, 8], _reading.TakeAll());
    }

    [Theory]
    [InlineData(12)] // in the middle of its first batch
    [InlineData(15)] // in the middle of its second batch
    [InlineData(17)] // behind its last batch, before its marker
    public void An_aborted_transaction_that_began_before_the_offset_that_was_asked_for_is_passed_over(long from)
    {
        Answer(
            from,
            [Aborted(producer: 7, firstOffset: 10)],
            [.. new[] { Batch(10, 4, producerId: 7), Batch(14, 3, producerId: 7), Marker(17, 7, isCommit: false), Batch(18, 1, producerId: 7), Marker(19, 7, isCommit: true) }
                .Where(batch => RecordBatchHeader.Read(batch.Span).NextOffset.Value > from)]);
        Assert.Equal([18], _reading.TakeAll());
        Assert.Equal(new Offset(20), _reading.Cursor.Position);
    }

    [Fact]
    public void Each_answer_has_a_list_of_its_own()
    {
        Answer(from: 0, [Aborted(producer: 7, firstOffset: 0)], Batch(0, 2, producerId: 7));
        Assert.Empty(_reading.TakeAll());
        FetchPlan plan = _reading.PlanOne();
        _reading.Answer(plan, WithAborted([Aborted(producer: 7, firstOffset: 0)], Batch(2, 1, producerId: 7), Marker(3, 7, isCommit: false)));
        Assert.Empty(_reading.TakeAll());
        Assert.Equal(new Offset(4), _reading.Cursor.Position);
        _reading.Answer(_reading.PlanOne(), WithAborted([], Batch(4, 1, producerId: 7), Marker(5, 7, isCommit: true)));
        Assert.Equal([4], _reading.TakeAll());
    }

    [Fact]
    public void A_reader_of_everything_gets_aborted_records_too_and_no_markers()
    {
        var reading = new ReadingState();
        reading.Answer(
            reading.Assign(0).PlanOne(),
            WithAborted([Aborted(producer: 7, firstOffset: 0)], Batch(0, 2, producerId: 7), Marker(2, 7, isCommit: false)));
        Assert.Equal([0, 1], reading.TakeAll());
    }

    [Fact]
    public void Compressed_records_of_an_aborted_transaction_are_not_even_decompressed()
    {
        byte[] unreadable = Batch(0, 50, producerId: 7, codec: CompressionCodec.Gzip).ToArray();
        unreadable.AsSpan(RecordBatchHeader.ByteCount).Clear();
        Seal(unreadable);
        Answer(from: 0, [Aborted(producer: 7, firstOffset: 0)], unreadable, Marker(50, 7, isCommit: false), Batch(51, 1));
        Assert.Equal([51], _reading.TakeAll());
    }

    private static AbortedTransaction Aborted(long producer, long firstOffset) => new() { ProducerId = producer, FirstOffset = firstOffset };

    private static FetchPartitionResponse WithAborted(List<AbortedTransaction> aborted, params ReadOnlyMemory<byte>[] batches)
    {
        FetchPartitionResponse answer = Fetched(batches);
        answer.AbortedTransactions = aborted;
        return answer;
    }

    private static void Seal(byte[] batch)
    {
        const int checksumPosition = 17;
        const int attributesPosition = 21;
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(batch.AsSpan(checksumPosition), Crc32C.Compute(batch.AsSpan(attributesPosition)));
    }

    private void Answer(long from, List<AbortedTransaction> aborted, params ReadOnlyMemory<byte>[] batches) =>
        _reading.Answer(_reading.Assign(from).PlanOne(), WithAborted(aborted, batches));
}
