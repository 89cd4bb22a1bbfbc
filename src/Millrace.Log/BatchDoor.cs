using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What may come into the log. Everything that is appended is checked here once, and never again before it is read.</summary>
internal static class BatchDoor
{
    private const int LastKnownCodec = (int)CompressionCodec.Zstd;

    /// <summary>The headers of all batches, or the reason why none may come in.</summary>
    public static AppendResult.Rejected? Check(
        ReadOnlySpan<byte> batches, int maximumBatchByteCount, AppendOrigin origin, List<RecordBatchHeader> headers)
    {
        if (batches.IsEmpty)
        {
            return Refuse(AppendRejection.InvalidRecord, "There is no batch.");
        }

        while (!batches.IsEmpty)
        {
            BatchVerdict verdict = RecordBatch.Check(batches, out RecordBatchHeader header);
            if (verdict == BatchVerdict.UnsupportedMagic)
            {
                return Refuse(AppendRejection.UnsupportedForMessageFormat, $"Message format {header.Magic} is not served, only 2.");
            }

            if (verdict != BatchVerdict.Valid)
            {
                return Refuse(AppendRejection.CorruptMessage, $"The batch is damaged: {verdict}.");
            }

            if (header.TotalByteCount > maximumBatchByteCount)
            {
                string detail = $"The batch has {header.TotalByteCount} bytes; the limit is {maximumBatchByteCount}.";
                return Refuse(AppendRejection.MessageTooLarge, detail);
            }

            if ((FindFault(header, origin) ?? FindFaultInRecords(header, batches)) is { } fault)
            {
                return Refuse(AppendRejection.InvalidRecord, fault);
            }

            headers.Add(header);
            batches = batches[header.TotalByteCount..];
        }

        return null;
    }

    private static string? FindFault(in RecordBatchHeader header, AppendOrigin origin) => header switch
    {
        { RecordCount: 0 } => "The batch has no records.",
        _ when header.RecordCount != header.LastOffsetDelta + 1 =>
            $"The batch has {header.RecordCount} records and {header.LastOffsetDelta + 1L} offsets.",
        { CodecBits: > LastKnownCodec } => $"Compression codec {header.CodecBits} is unknown.",
        { IsControl: true } => "A control batch is written by brokers only.",
        { IsTransactional: true, Producer.IsNone: true } => "A transaction has a producer with an id.",
        { IsLogAppendTime: true } => "A producer does not set the timestamp type to LogAppendTime.",
        { Producer: { IsNone: false, Epoch: < 0 } } => "A producer with an id has an epoch.",
        { Producer.IsNone: false, BaseSequence: < 0 } when origin == AppendOrigin.Client => "A producer with an id numbers its batches.",
        _ => null,
    };

    /// <summary>
    /// A batch with a right checksum over nonsense would stop every consumer that comes to it. Compressed records pass untouched.
    /// </summary>
    private static string? FindFaultInRecords(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        if (header.Codec != CompressionCodec.None)
        {
            return null;
        }

        try
        {
            RecordBatchReader.Validate(batch);
            return null;
        }
        catch (InvalidRecordBatchException exception)
        {
            return exception.Message;
        }
    }

    private static AppendResult.Rejected Refuse(AppendRejection rejection, string detail) => new(rejection, detail);
}
