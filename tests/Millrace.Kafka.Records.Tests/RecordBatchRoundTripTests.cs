using System.Text;

namespace Millrace.Kafka.Records.Tests;

public sealed class RecordBatchRoundTripTests
{
    [Theory]
    [InlineData(CompressionCodec.None)]
    [InlineData(CompressionCodec.Gzip)]
    [InlineData(CompressionCodec.Snappy)]
    [InlineData(CompressionCodec.Lz4)]
    [InlineData(CompressionCodec.Zstd)]
    public void A_built_batch_is_valid_and_reads_back_equal(CompressionCodec codec)
    {
        var builder = new RecordBatchBuilder(codec);
        builder.Append(1000, "key"u8.ToArray(), "value"u8.ToArray(), [new RecordHeader("h", "x"u8.ToArray()), new RecordHeader("h", null)]);
        builder.Append(990, null, ReadOnlyMemory<byte>.Empty);
        Memory<byte> batch = builder.Build(new ProducerIdentity(7, 1), 5);

        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch.Span, out RecordBatchHeader header));
        Assert.Equal(codec, header.Codec);
        Assert.Equal(6, header.LastSequence);
        Assert.Equal(1000, header.MaxTimestamp);
        List<Record> records = RecordBatchReader.Read(batch);
        Assert.Equal(2, records.Count);
        Assert.Equal("value", Encoding.UTF8.GetString(records[0].Value!.Value.Span));
        Assert.Equal(990, records[1].Timestamp);
        Assert.Null(records[1].Key);
        Assert.True(records[1].Value is { Length: 0 });
        Assert.Equal(2, records[0].Headers.Count);
        Assert.Null(records[0].Headers[1].Value);
    }
}
