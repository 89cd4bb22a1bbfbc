using System.Runtime.InteropServices;

namespace Millrace.Kafka.Records;

/// <summary>Sees the key of a record; records without key are passed by.</summary>
public delegate void KeyVisitor(Offset offset, ReadOnlySpan<byte> key);

/// <summary>Whether a record stays. A null key is empty here, with <paramref name="hasKey"/> false.</summary>
public delegate bool RecordPredicate(Offset offset, ReadOnlySpan<byte> key, bool hasKey, bool hasValue);

/// <summary>What is left of a batch.</summary>
/// <param name="RecordCount">0: there is no batch of them; <see cref="RecordBatchCompaction.Empty"/> makes one without records.</param>
/// <param name="Batch">The new batch; null if none of it changes, or nothing is left.</param>
public readonly record struct CompactedBatch(int RecordCount, byte[]? Batch);

/// <summary>
/// Takes records out of a batch. What stays keeps its offsets and its bytes, the batch its first and last offset, producer, sequence, epoch and
/// codec. Where a tombstone stays, the batch gets the time from which on that may go (KIP-534): it stands in place of the base timestamp.
/// </summary>
public static class RecordBatchCompaction
{
    private const int AttributesByteCount = 1;
    private const long NoTimestamp = -1;

    /// <exception cref="InvalidRecordBatchException">The batch is malformed.</exception>
    /// <exception cref="CodecUnavailableException">It is compressed with a codec that the system does not have.</exception>
    public static void VisitKeys(ReadOnlySpan<byte> batch, KeyVisitor visit)
    {
        RecordBatchHeader header = RecordBatchHeader.Read(batch);
        using BareRecords bare = BareRecords.Open(batch, header);
        ReadOnlySpan<byte> records = bare.Bytes;
        var reader = new RecordReader(records, header);
        while (reader.TryReadNext(out RecordLayout layout))
        {
            SkipHeaders(ref reader, layout);
            if (!layout.Key.IsNull)
            {
                visit(header.BaseOffset + layout.OffsetDelta, records.Slice(layout.Key.Start, layout.Key.Length));
            }
        }

        reader.ThrowIfFaulty();
    }

    /// <summary>Keeps the records that the predicate wants.</summary>
    /// <param name="deleteHorizon">From when on tombstones that stay may go, in milliseconds since 1970; a batch that has such a time keeps it.</param>
    /// <param name="isEndOfNothing">Whether the batch is the marker of a transaction that has no records left: then it gets such a time as well.</param>
    /// <inheritdoc cref="VisitKeys" path="/exception"/>
    public static CompactedBatch Filter(ReadOnlySpan<byte> batch, RecordPredicate keeps, long deleteHorizon, bool isEndOfNothing)
    {
        RecordBatchHeader header = RecordBatchHeader.Read(batch);
        using BareRecords bare = BareRecords.Open(batch, header);
        ReadOnlySpan<byte> records = bare.Bytes;
        List<KeptRecord> kept = Select(records, header, keeps, out long maxTimestamp, out bool hasTombstone);
        bool getsHorizon = header.DeleteHorizon is null && (isEndOfNothing || (hasTombstone && !header.IsControl));
        if (kept.Count == 0 || (kept.Count == header.RecordCount && !getsHorizon))
        {
            return new CompactedBatch(kept.Count, null);
        }

        long baseTimestamp = getsHorizon ? deleteHorizon : header.BaseTimestamp;
        byte[] result = Write(records, header, kept, baseTimestamp);
        RecordBatchHeader changed = header with
        {
            BatchLength = result.Length - RecordBatchHeader.LengthPrefixByteCount,
            Attributes = getsHorizon ? (short)(ushort)((ushort)header.Attributes | RecordBatchHeader.DeleteHorizonFlag) : header.Attributes,
            BaseTimestamp = baseTimestamp,
            MaxTimestamp = header.IsLogAppendTime ? header.MaxTimestamp : maxTimestamp,
            RecordCount = kept.Count,
        };
        changed.Write(result);
        RecordBatch.Seal(result);
        return new CompactedBatch(kept.Count, result);
    }

    /// <summary>
    /// The batch without its records: it keeps the place of its offsets and what is known of its producer. Unlike Kafka's it has no time: an index of times would point to it, and there is
    /// nothing that has it.
    /// </summary>
    public static byte[] Empty(in RecordBatchHeader header)
    {
        byte[] result = new byte[RecordBatchHeader.ByteCount];
        RecordBatchHeader changed = header with
        {
            BatchLength = RecordBatchHeader.MinimumBatchLength,
            Attributes = (short)(header.Attributes & ~(RecordBatchHeader.DeleteHorizonFlag | RecordBatchHeader.CodecMask)),
            BaseTimestamp = NoTimestamp,
            MaxTimestamp = NoTimestamp,
            RecordCount = 0,
        };
        changed.Write(result);
        RecordBatch.Seal(result);
        return result;
    }

    /// <summary>The same records, which are checked, compressed with another codec; everything else of the batch stays.</summary>
    /// <inheritdoc cref="VisitKeys" path="/exception"/>
    public static byte[] Recompress(ReadOnlySpan<byte> batch, CompressionCodec codec)
    {
        RecordBatchHeader header = RecordBatchHeader.Read(batch);
        using BareRecords records = BareRecords.Open(batch, header);
        RecordBatchReader.ValidateRecords(records.Bytes, header);
        byte[] result = Compression.Compress(codec, records.Bytes, RecordBatchHeader.ByteCount);
        RecordBatchHeader changed = header with
        {
            BatchLength = result.Length - RecordBatchHeader.LengthPrefixByteCount,
            Attributes = (short)((header.Attributes & ~RecordBatchHeader.CodecMask) | (int)codec),
        };
        changed.Write(result);
        RecordBatch.Seal(result);
        return result;
    }

    private static void SkipHeaders(ref RecordReader reader, in RecordLayout layout)
    {
        for (int i = 0; i < layout.HeaderCount && reader.TryReadHeader(out _, out _); i++)
        {
        }
    }

    private static List<KeptRecord> Select(
        ReadOnlySpan<byte> records, in RecordBatchHeader header, RecordPredicate keeps, out long maxTimestamp, out bool hasTombstone)
    {
        maxTimestamp = NoTimestamp;
        hasTombstone = false;
        List<KeptRecord> kept = [];
        var reader = new RecordReader(records, header);
        while (reader.TryReadNext(out RecordLayout layout))
        {
            int start = reader.RecordStart;
            int bodyStart = reader.BodyStart;
            SkipHeaders(ref reader, layout);
            ReadOnlySpan<byte> key = layout.Key.IsNull ? [] : records.Slice(layout.Key.Start, layout.Key.Length);
            if (keeps(header.BaseOffset + layout.OffsetDelta, key, !layout.Key.IsNull, !layout.Value.IsNull))
            {
                kept.Add(new KeptRecord(start, bodyStart, reader.RecordEnd, layout.TimestampDelta, layout.OffsetDelta));
                maxTimestamp = Math.Max(maxTimestamp, header.TimestampOf(layout.TimestampDelta));
                hasTombstone |= layout.Value.IsNull;
            }
        }

        reader.ThrowIfFaulty();
        return kept;
    }

    /// <summary>The records behind room for a header, compressed as they were.</summary>
    private static byte[] Write(ReadOnlySpan<byte> records, in RecordBatchHeader header, List<KeptRecord> kept, long baseTimestamp)
    {
        // With another base, all time deltas change, and with them the lengths: at most by what a varint has.
        long shift = unchecked(header.BaseTimestamp - baseTimestamp);
        long growth = shift == 0 ? 0 : Varint.MaximumByteCount64 + (long)Varint.MaximumByteCount32;
        byte[] buffer = new byte[checked((int)(RecordBatchHeader.ByteCount + kept.Sum(record => record.End - record.Start + growth)))];
        int position = RecordBatchHeader.ByteCount;
        foreach (KeptRecord record in CollectionsMarshal.AsSpan(kept))
        {
            position += shift == 0
                ? Copy(records[record.Start..record.End], buffer.AsSpan(position))
                : Write(records, record, unchecked(record.TimestampDelta + shift), buffer.AsSpan(position));
        }

        if (header.Codec == CompressionCodec.None)
        {
            return buffer[..position];
        }

        return Compression.Compress(header.Codec, buffer.AsSpan(RecordBatchHeader.ByteCount, position - RecordBatchHeader.ByteCount), RecordBatchHeader.ByteCount);
    }

    private static int Copy(ReadOnlySpan<byte> record, Span<byte> target)
    {
        record.CopyTo(target);
        return record.Length;
    }

    private static int Write(ReadOnlySpan<byte> records, in KeptRecord record, long timestampDelta, Span<byte> target)
    {
        ReadOnlySpan<byte> body = records[record.BodyStart..record.End];
        int byteCount = AttributesByteCount + Varint.ZigzagByteCount(timestampDelta) + Varint.ZigzagByteCount(record.OffsetDelta) + body.Length;
        int position = Varint.WriteZigzag(target, byteCount);
        target[position++] = 0; // attributes: none are defined
        position += Varint.WriteZigzag(target[position..], timestampDelta);
        position += Varint.WriteZigzag(target[position..], record.OffsetDelta);
        body.CopyTo(target[position..]);
        return position + body.Length;
    }

    /// <param name="BodyStart">Where its key begins, or rather the length of that.</param>
    private readonly record struct KeptRecord(int Start, int BodyStart, int End, long TimestampDelta, int OffsetDelta);
}
