using System.Runtime.CompilerServices;

namespace Millrace.Kafka.Records;

/// <summary>
/// The quick answer to the question whether <see cref="RecordReader"/> would read all the records of a batch without a fault: a yes is right, a no only
/// means that this has not seen it. Every produced record passes here, where reading it whole costs more than all else that the broker does with it.
/// </summary>
internal static class RecordScan
{
    private const byte MoreFollow = 0x80;
    private const int BitsPerByte = 7;
    private const int Null = -1;

    public static bool AreWellFormed(ReadOnlySpan<byte> bytes, RecordBatchHeader header, bool requiresKeys)
    {
        int position = 0;
        int lastOffsetDelta = -1;
        for (int record = 0; record < header.RecordCount; record++)
        {
            if (!TryReadNumber(bytes, ref position, out int byteCount)
                || byteCount < RecordReader.MinimumRecordByteCount - 1
                || byteCount > bytes.Length - position)
            {
                return false;
            }

            int end = position + byteCount;
            if (!IsWellFormed(bytes[..end], position, header.LastOffsetDelta, requiresKeys, ref lastOffsetDelta))
            {
                return false;
            }

            position = end;
        }

        return position == bytes.Length;
    }

    /// <summary>Whether a record ends where the bytes do.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsWellFormed(ReadOnlySpan<byte> bytes, int start, int highestOffsetDelta, bool requiresKeys, ref int lastOffsetDelta)
    {
        int position = start + 1; // attributes: none are defined
        if (!TrySkipNumber(bytes, ref position)
            || !TryReadNumber(bytes, ref position, out int offsetDelta)
            || offsetDelta <= lastOffsetDelta
            || offsetDelta > highestOffsetDelta
            || !TrySkipBytes(bytes, ref position, !requiresKeys)
            || !TrySkipBytes(bytes, ref position, mayBeNull: true)
            || !TryReadNumber(bytes, ref position, out int headerCount)
            || headerCount < 0)
        {
            return false;
        }

        lastOffsetDelta = offsetDelta;
        for (; headerCount > 0; headerCount--)
        {
            if (!TrySkipBytes(bytes, ref position, mayBeNull: false) || !TrySkipBytes(bytes, ref position, mayBeNull: true))
            {
                return false;
            }
        }

        return position == bytes.Length;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TrySkipBytes(ReadOnlySpan<byte> bytes, ref int position, bool mayBeNull)
    {
        if (!TryReadNumber(bytes, ref position, out int length))
        {
            return false;
        }

        if (length < 0)
        {
            return length == Null && mayBeNull;
        }

        position += length;
        return (uint)position <= (uint)bytes.Length;
    }

    /// <summary>One or two bytes hold what is below 8,192, which almost every number of a record is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool TryReadNumber(ReadOnlySpan<byte> bytes, ref int position, out int value)
    {
        int first = position;
        if ((uint)first < (uint)bytes.Length)
        {
            uint encoded = bytes[first];
            if (encoded < MoreFollow)
            {
                value = Decode(encoded);
                position = first + 1;
                return true;
            }

            if ((uint)(first + 1) < (uint)bytes.Length && bytes[first + 1] < MoreFollow)
            {
                value = Decode((encoded & (MoreFollow - 1)) | ((uint)bytes[first + 1] << BitsPerByte));
                position = first + 2;
                return true;
            }
        }

        return TryReadLongNumber(bytes, ref position, out value);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool TryReadLongNumber(ReadOnlySpan<byte> bytes, ref int position, out int value)
    {
        value = 0;
        if ((uint)position > (uint)bytes.Length || !Varint.TryReadZigzag(bytes[position..], out value, out int byteCount))
        {
            return false;
        }

        position += byteCount;
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TrySkipNumber(ReadOnlySpan<byte> bytes, ref int position)
    {
        if ((uint)position < (uint)bytes.Length && bytes[position] < MoreFollow)
        {
            position++;
            return true;
        }

        return TrySkipLongNumber(bytes, ref position);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool TrySkipLongNumber(ReadOnlySpan<byte> bytes, ref int position)
    {
        if ((uint)position > (uint)bytes.Length || !Varint.TryReadZigzag(bytes[position..], out long _, out int byteCount))
        {
            return false;
        }

        position += byteCount;
        return true;
    }

    private static int Decode(uint encoded) => (int)(encoded >> 1) ^ -(int)(encoded & 1);
}
