using System.Text;

namespace Millrace.Kafka.Records;

/// <summary>Sees a record: where it stands in its batch, its time, and whether it has a key. False: it has seen enough.</summary>
public delegate bool RecordVisitor(int index, long timestamp, bool hasKey);

/// <summary>
/// Decodes the records of a batch. Whether the checksum agrees is judged by <see cref="RecordBatch.Check"/>, once, where bytes arrive;
/// it is not computed again here.
/// </summary>
public static class RecordBatchReader
{
    /// <summary>
    /// The records of the batch at the start of <paramref name="batch"/>. Keys, values and header values are slices of it,
    /// or of one array of their own when it is compressed.
    /// </summary>
    /// <remarks>
    /// What is allocated stays below the decompressed size plus 20 bytes for each of its bytes, whatever the fields claim.
    /// </remarks>
    /// <exception cref="InvalidRecordBatchException">The batch is malformed, or decompresses to more than <paramref name="maximumDecompressedByteCount"/>.</exception>
    /// <exception cref="CodecUnavailableException">It is compressed with zstd, and the system has no libzstd.</exception>
    public static List<Record> Read(
        ReadOnlyMemory<byte> batch,
        int maximumDecompressedByteCount = Compression.DefaultMaximumDecompressedByteCount)
    {
        RecordBatchHeader header = ReadHeader(batch.Span);
        ReadOnlyMemory<byte> payload = batch[RecordBatchHeader.ByteCount..header.TotalByteCount];
        ReadOnlyMemory<byte> records = header.Codec == CompressionCodec.None || header.RecordCount == 0
            ? payload
            : Compression.Decompress(header.Codec, payload.Span, maximumDecompressedByteCount);

        var reader = new RecordReader(records.Span, header);
        var result = new List<Record>(reader.HasPlausibleCount() ? header.RecordCount : 0);
        while (reader.TryReadNext(out RecordLayout layout))
        {
            result.Add(new Record(
                header.BaseOffset + layout.OffsetDelta,
                header.TimestampOf(layout.TimestampDelta),
                layout.Key.Of(records),
                layout.Value.Of(records),
                ReadHeaders(ref reader, layout.HeaderCount, records)));
        }

        reader.ThrowIfFaulty();
        return result;
    }

    /// <summary>
    /// Walks the records of the batch at the start of <paramref name="batch"/> without keeping them: the question whether
    /// <see cref="Read"/> would succeed. Allocates nothing; what is compressed goes into memory of the shared pool.
    /// </summary>
    /// <exception cref="InvalidRecordBatchException">It would not.</exception>
    /// <exception cref="CodecUnavailableException">It is compressed with zstd, and the system has no libzstd.</exception>
    /// <param name="requiresKeys">Whether a record without key is a fault, as it is where old records are replaced by key.</param>
    public static void Validate(
        ReadOnlySpan<byte> batch,
        int maximumDecompressedByteCount = Compression.DefaultMaximumDecompressedByteCount,
        bool requiresKeys = false)
    {
        RecordBatchHeader header = ReadHeader(batch);
        using BareRecords records = BareRecords.Open(batch, header, maximumDecompressedByteCount);
        ValidateRecords(records.Bytes, header, requiresKeys);
    }

    /// <summary>Shows each record of the batch at the start of <paramref name="batch"/>, and keeps none.</summary>
    /// <param name="batch">One batch, and whatever follows it.</param>
    /// <param name="visit">Sees the records until it says that it has seen enough.</param>
    /// <exception cref="InvalidRecordBatchException">The batch is malformed; records before the fault have been shown.</exception>
    /// <exception cref="CodecUnavailableException">It is compressed with zstd, and the system has no libzstd.</exception>
    public static void Visit(ReadOnlySpan<byte> batch, RecordVisitor visit)
    {
        RecordBatchHeader header = ReadHeader(batch);
        using BareRecords records = BareRecords.Open(batch, header);
        var reader = new RecordReader(records.Bytes, header);
        for (int index = 0; reader.TryReadNext(out RecordLayout layout); index++)
        {
            for (int i = 0; i < layout.HeaderCount && reader.TryReadHeader(out _, out _); i++)
            {
            }

            if (!visit(index, header.TimestampOf(layout.TimestampDelta), !layout.Key.IsNull))
            {
                return;
            }
        }

        reader.ThrowIfFaulty();
    }

    /// <summary>
    /// Walks the bare records of a batch, as they are after decompression, and checks what a <see cref="RecordCursor"/> relies on. Allocates nothing.
    /// </summary>
    /// <param name="records">The records, without the header of their batch.</param>
    /// <param name="header">The header, which <see cref="RecordBatch.Check"/> has found valid.</param>
    /// <param name="requiresKeys">Whether a record without key is a fault.</param>
    /// <exception cref="InvalidRecordBatchException">They cannot be read.</exception>
    public static void ValidateRecords(ReadOnlySpan<byte> records, in RecordBatchHeader header, bool requiresKeys = false)
    {
        if (RecordScan.AreWellFormed(records, header, requiresKeys))
        {
            return;
        }

        var reader = new RecordReader(records, header);
        _ = reader.HasPlausibleCount();
        while (reader.TryReadNext(out RecordLayout layout))
        {
            for (int i = 0; i < layout.HeaderCount && reader.TryReadHeader(out _, out _); i++)
            {
            }

            if (requiresKeys && layout.Key.IsNull)
            {
                throw new InvalidRecordBatchException(
                    $"The record at offset delta {layout.OffsetDelta} has no key. The topic is compacted: each record needs one.");
            }
        }

        reader.ThrowIfFaulty();
    }

    private static IReadOnlyList<RecordHeader> ReadHeaders(ref RecordReader reader, int count, ReadOnlyMemory<byte> records)
    {
        if (count == 0)
        {
            return [];
        }

        var headers = new RecordHeader[count];
        for (int i = 0; i < count && reader.TryReadHeader(out ByteRange key, out ByteRange value); i++)
        {
            // As Java does, bytes that are not UTF-8 become U+FFFD: a name that cannot be read must not hide the record.
            headers[i] = new RecordHeader(Encoding.UTF8.GetString(records.Span.Slice(key.Start, key.Length)), value.Of(records));
        }

        return headers;
    }

    private static RecordBatchHeader ReadHeader(ReadOnlySpan<byte> batch)
    {
        if (batch.Length < RecordBatchHeader.ByteCount)
        {
            throw new InvalidRecordBatchException(
                $"A record batch has a header of {RecordBatchHeader.ByteCount} bytes; there are {batch.Length} bytes.");
        }

        RecordBatchHeader header = RecordBatchHeader.Read(batch);
        string? fault = header switch
        {
            { Magic: not RecordBatchHeader.CurrentMagic } =>
                $"The batch at offset {header.BaseOffset} has magic {header.Magic}; only {RecordBatchHeader.CurrentMagic} is read.",
            { BatchLength: < RecordBatchHeader.MinimumBatchLength } =>
                $"The batch at offset {header.BaseOffset} has length {header.BatchLength}; the least is {RecordBatchHeader.MinimumBatchLength}.",
            _ when header.BatchLength > batch.Length - RecordBatchHeader.LengthPrefixByteCount =>
                $"The batch at offset {header.BaseOffset} has {header.BatchLength + (long)RecordBatchHeader.LengthPrefixByteCount} bytes; there are {batch.Length}.",
            { LastOffsetDelta: < 0 } =>
                $"The batch at offset {header.BaseOffset} has last offset delta {header.LastOffsetDelta}.",
            _ when header.BaseOffset < Offset.Zero || header.BaseOffset.Value > long.MaxValue - 1 - header.LastOffsetDelta =>
                $"The batch at offset {header.BaseOffset} with last offset delta {header.LastOffsetDelta} leaves the range of offsets.",
            _ when header.RecordCount < 0 || header.RecordCount > header.LastOffsetDelta + 1L =>
                $"The batch at offset {header.BaseOffset} claims {header.RecordCount} records in {header.LastOffsetDelta + 1L} offsets.",
            _ => null,
        };
        return fault is null ? header : throw new InvalidRecordBatchException(fault);
    }
}
