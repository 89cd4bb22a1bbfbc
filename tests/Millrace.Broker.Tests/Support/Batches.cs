using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Broker.Tests;

internal static class Batches
{
    public static Memory<byte> Of(params string[] values) => Sequenced(ProducerIdentity.None, -1, values);

    public static Memory<byte> Sequenced(ProducerIdentity producer, int baseSequence, params string[] values) =>
        Timed(producer, baseSequence, CompressionCodec.None, [.. values.Select((value, index) => (1_000L + index, value))]);

    public static Memory<byte> Timed(params (long Timestamp, string Value)[] records) => Timed(ProducerIdentity.None, -1, CompressionCodec.None, records);

    public static Memory<byte> Timed(ProducerIdentity producer, int baseSequence, CompressionCodec codec, (long Timestamp, string Value)[] records)
    {
        var builder = new RecordBatchBuilder(codec);
        foreach ((long timestamp, string value) in records)
        {
            builder.Append(timestamp, null, (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(value));
        }

        return builder.Build(producer, baseSequence);
    }

    /// <summary>Records of 1970 would be too old to be kept.</summary>
    private const long TodayOfManualTime = 20_000L * 24 * 60 * 60 * 1000;

    public static Memory<byte> InTransaction(ProducerIdentity producer, int baseSequence, params string[] values)
    {
        var builder = new RecordBatchBuilder();
        foreach (string value in values)
        {
            builder.Append(TodayOfManualTime, null, (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(value));
        }

        return builder.Build(producer, baseSequence, isTransactional: true);
    }

    /// <summary>The values of every record in some batches, and their offsets.</summary>
    public static List<(long Offset, string Value)> Read(ReadOnlyMemory<byte>? batches)
    {
        List<(long, string)> records = [];
        ReadOnlyMemory<byte> rest = batches.GetValueOrDefault();
        while (!rest.IsEmpty)
        {
            Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(rest.Span, out RecordBatchHeader header));
            records.AddRange(RecordBatchReader.Read(rest).Select(record => (record.Offset.Value, Encoding.UTF8.GetString(record.Value!.Value.Span))));
            rest = rest[header.TotalByteCount..];
        }

        return records;
    }
}
