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
    /// <summary>Judges the batch at the start of <paramref name="bytes"/>. <paramref name="header"/> is meaningful unless the verdict is <see cref="BatchVerdict.Incomplete"/> for want of a header.</summary>
    public static BatchVerdict Check(ReadOnlySpan<byte> bytes, out RecordBatchHeader header)
    {
        header = default;
        if (bytes.Length < RecordBatchHeader.ByteCount)
        {
            return BatchVerdict.Incomplete;
        }

        header = RecordBatchHeader.Read(bytes);
        if (header.BatchLength is < RecordBatchHeader.MinimumBatchLength or > int.MaxValue - RecordBatchHeader.LengthPrefixByteCount)
        {
            return BatchVerdict.BadLength;
        }

        if (header.Magic != RecordBatchHeader.CurrentMagic)
        {
            return BatchVerdict.UnsupportedMagic;
        }

        if (header.TotalByteCount > bytes.Length)
        {
            return BatchVerdict.Incomplete;
        }

        uint checksum = Crc32C.Compute(bytes[RecordBatchHeader.AttributesPosition..header.TotalByteCount]);
        if (checksum != header.Checksum)
        {
            return BatchVerdict.BadChecksum;
        }

        // A compacted batch may hold fewer records than offsets, never more.
        bool countsAgree = header.LastOffsetDelta >= 0 && header.RecordCount >= 0 && header.RecordCount <= header.LastOffsetDelta + 1L;
        return countsAgree ? BatchVerdict.Valid : BatchVerdict.BadCounts;
    }

    /// <summary>Patches the two fields that the broker assigns. The checksum covers neither, so it stays right.</summary>
    public static void Assign(Span<byte> batch, Offset baseOffset, int leaderEpoch)
    {
        BinaryPrimitives.WriteInt64BigEndian(batch[RecordBatchHeader.BaseOffsetPosition..], baseOffset.Value);
        BinaryPrimitives.WriteInt32BigEndian(batch[RecordBatchHeader.LeaderEpochPosition..], leaderEpoch);
    }

    /// <summary>Recomputes the checksum after a field under it was changed.</summary>
    internal static void Seal(Span<byte> batch)
    {
        uint checksum = Crc32C.Compute(batch[RecordBatchHeader.AttributesPosition..]);
        BinaryPrimitives.WriteUInt32BigEndian(batch[RecordBatchHeader.ChecksumPosition..], checksum);
    }
}
