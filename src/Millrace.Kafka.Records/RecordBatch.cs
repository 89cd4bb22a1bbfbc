using System.Buffers.Binary;

namespace Millrace.Kafka.Records;

/// <summary>What a look at the bytes of a batch finds.</summary>
public enum BatchVerdict
{
    /// <summary>Whole, of version 2, and its checksum agrees.</summary>
    Valid,

    /// <summary>The bytes end before the batch does.</summary>
    Incomplete,

    /// <summary>The length field is smaller than a header, or negative.</summary>
    BadLength,

    /// <summary>The magic byte is not 2.</summary>
    UnsupportedMagic,

    /// <summary>The checksum differs from the content.</summary>
    BadChecksum,

    /// <summary>The checksum agrees, but counts and deltas contradict each other.</summary>
    BadCounts,
}

/// <summary>Checks and patches record batches in place; nothing here copies or decompresses.</summary>
public static class RecordBatch
{
    /// <summary>The smallest length field that a message of version 0 can have; anything below it is no message of any version.</summary>
    private const int MinimumLegacyLength = 14;

    /// <summary>
    /// Judges the batch at the start of <paramref name="bytes"/>: its frame, its version, its checksum, its counts, in this order. The records
    /// themselves are not read; <see cref="RecordBatchReader.Validate"/> does that.
    /// </summary>
    /// <param name="bytes">One batch, and whatever follows it.</param>
    /// <param name="header">The header as it stands, whatever the verdict, where there are bytes for one; else all zero.</param>
    public static BatchVerdict Check(ReadOnlySpan<byte> bytes, out RecordBatchHeader header)
    {
        header = default;
        if (bytes.Length <= RecordBatchHeader.MagicPosition)
        {
            return BatchVerdict.Incomplete;
        }

        // The formats before version 2 have shorter headers, but length and magic lie at the same places in all of them.
        int batchLength = BinaryPrimitives.ReadInt32BigEndian(bytes[RecordBatchHeader.BatchLengthPosition..]);
        bool hasHeader = bytes.Length >= RecordBatchHeader.ByteCount;
        header = hasHeader ? RecordBatchHeader.Read(bytes) : default;
        if (batchLength is < MinimumLegacyLength or > int.MaxValue - RecordBatchHeader.LengthPrefixByteCount)
        {
            return BatchVerdict.BadLength;
        }

        if (bytes[RecordBatchHeader.MagicPosition] != RecordBatchHeader.CurrentMagic)
        {
            return BatchVerdict.UnsupportedMagic;
        }

        if (batchLength < RecordBatchHeader.MinimumBatchLength)
        {
            return BatchVerdict.BadLength;
        }

        if (!hasHeader || header.TotalByteCount > bytes.Length)
        {
            return BatchVerdict.Incomplete;
        }

        uint checksum = Crc32C.Compute(bytes[RecordBatchHeader.AttributesPosition..header.TotalByteCount]);
        if (checksum != header.Checksum)
        {
            return BatchVerdict.BadChecksum;
        }

        return CountsAgree(header) ? BatchVerdict.Valid : BatchVerdict.BadCounts;
    }

    /// <summary>Patches the two fields that the broker assigns. The checksum covers neither, so it stays right.</summary>
    public static void Assign(Span<byte> batch, Offset baseOffset, int leaderEpoch)
    {
        BinaryPrimitives.WriteInt64BigEndian(batch[RecordBatchHeader.BaseOffsetPosition..], baseOffset.Value);
        BinaryPrimitives.WriteInt32BigEndian(batch[RecordBatchHeader.LeaderEpochPosition..], leaderEpoch);
    }

    /// <summary>
    /// Gives a batch to another producer identity and sequence, and sets its checksum anew: what a producer does with the batches that it
    /// still holds after the broker has given it a new epoch.
    /// </summary>
    /// <param name="batch">Exactly one batch.</param>
    /// <param name="producer">The new identity.</param>
    /// <param name="baseSequence">The sequence number of the batch's first record.</param>
    public static void AssignProducer(Span<byte> batch, ProducerIdentity producer, int baseSequence)
    {
        BinaryPrimitives.WriteInt64BigEndian(batch[RecordBatchHeader.ProducerIdPosition..], producer.Id);
        BinaryPrimitives.WriteInt16BigEndian(batch[RecordBatchHeader.ProducerEpochPosition..], producer.Epoch);
        BinaryPrimitives.WriteInt32BigEndian(batch[RecordBatchHeader.BaseSequencePosition..], baseSequence);
        Seal(batch);
    }

    /// <summary>
    /// Makes the time of the append that of all records (message.timestamp.type=LogAppendTime), and sets the checksum anew. The base timestamp
    /// stays, as in Kafka: readers take the greatest.
    /// </summary>
    /// <param name="batch">Exactly one batch.</param>
    /// <param name="timestamp">Milliseconds since 1970.</param>
    public static void AssignLogAppendTime(Span<byte> batch, long timestamp)
    {
        short attributes = BinaryPrimitives.ReadInt16BigEndian(batch[RecordBatchHeader.AttributesPosition..]);
        BinaryPrimitives.WriteInt16BigEndian(batch[RecordBatchHeader.AttributesPosition..], (short)(attributes | RecordBatchHeader.LogAppendTimeFlag));
        BinaryPrimitives.WriteInt64BigEndian(batch[RecordBatchHeader.MaxTimestampPosition..], timestamp);
        Seal(batch);
    }

    /// <summary>Recomputes the checksum of exactly one batch after a field under it was changed.</summary>
    internal static void Seal(Span<byte> batch)
    {
        uint checksum = Crc32C.Compute(batch[RecordBatchHeader.AttributesPosition..]);
        BinaryPrimitives.WriteUInt32BigEndian(batch[RecordBatchHeader.ChecksumPosition..], checksum);
    }

    private static bool CountsAgree(in RecordBatchHeader header)
    {
        // A compacted batch may hold fewer records than offsets, never more.
        if (header.LastOffsetDelta < 0 || header.RecordCount < 0 || header.RecordCount > header.LastOffsetDelta + 1L)
        {
            return false;
        }

        int payloadByteCount = header.BatchLength - RecordBatchHeader.MinimumBatchLength;
        return header.Codec != CompressionCodec.None || header.RecordCount <= payloadByteCount / RecordReader.MinimumRecordByteCount;
    }
}
