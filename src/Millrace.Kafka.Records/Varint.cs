using System.Numerics;

namespace Millrace.Kafka.Records;

/// <summary>
/// Variable-length integers as Kafka writes them: base 128, the lowest seven bits first, the high bit of a byte set while more follow.
/// </summary>
/// <remarks>
/// <code>
/// unsigned   300                 AC 02
/// zigzag     0 -1 1 -2 2 ...  →  0 1 2 3 4 ... , then as unsigned: small magnitudes stay short whatever their sign
/// </code>
/// A padded form of a number (80 00 for zero) is read; one that has more bytes or bits than its type is not.
/// </remarks>
public static class Varint
{
    /// <summary>The most bytes that a 32-bit number takes.</summary>
    public const int MaximumByteCount32 = 5;

    /// <summary>The most bytes that a 64-bit number takes.</summary>
    public const int MaximumByteCount64 = 10;

    private const int BitsPerByte = 7;
    private const byte MoreFollow = 0x80;

    public static int UnsignedByteCount(uint value) => (BitOperations.Log2(value | 1) / BitsPerByte) + 1;

    public static int UnsignedByteCount(ulong value) => (BitOperations.Log2(value | 1) / BitsPerByte) + 1;

    public static int ZigzagByteCount(int value) => UnsignedByteCount(ZigzagEncode(value));

    public static int ZigzagByteCount(long value) => UnsignedByteCount(ZigzagEncode(value));

    /// <summary>Writes at the start of <paramref name="destination"/> and returns the number of bytes written.</summary>
    public static int WriteUnsigned(Span<byte> destination, ulong value)
    {
        int position = 0;
        while (value >= MoreFollow)
        {
            destination[position++] = (byte)(value | MoreFollow);
            value >>= BitsPerByte;
        }

        destination[position++] = (byte)value;
        return position;
    }

    /// <summary>Writes at the start of <paramref name="destination"/> and returns the number of bytes written.</summary>
    public static int WriteZigzag(Span<byte> destination, int value) => WriteUnsigned(destination, ZigzagEncode(value));

    /// <summary>Writes at the start of <paramref name="destination"/> and returns the number of bytes written.</summary>
    public static int WriteZigzag(Span<byte> destination, long value) => WriteUnsigned(destination, ZigzagEncode(value));

    /// <summary>Reads at the start of <paramref name="source"/>. False when the bytes end too early or the number does not fit.</summary>
    public static bool TryReadUnsigned(ReadOnlySpan<byte> source, out uint value, out int byteCount)
    {
        // Most lengths and deltas are below 64 and take one byte.
        if (source.Length > 0 && source[0] < MoreFollow)
        {
            value = source[0];
            byteCount = 1;
            return true;
        }

        bool isRead = TryReadUnsigned(source, out ulong wide, out byteCount);
        value = (uint)wide;
        return isRead && wide <= uint.MaxValue && byteCount <= MaximumByteCount32;
    }

    /// <summary>Reads at the start of <paramref name="source"/>. False when the bytes end too early or the number does not fit.</summary>
    public static bool TryReadUnsigned(ReadOnlySpan<byte> source, out ulong value, out int byteCount)
    {
        const byte highestLastByte = 1; // nine bytes hold 63 bits; the tenth has one left

        value = 0;
        int limit = Math.Min(source.Length, MaximumByteCount64);
        for (int position = 0; position < limit; position++)
        {
            byte current = source[position];
            if (position == MaximumByteCount64 - 1 && current > highestLastByte)
            {
                break;
            }

            value |= (ulong)(current & (MoreFollow - 1)) << (position * BitsPerByte);
            if (current < MoreFollow)
            {
                byteCount = position + 1;
                return true;
            }
        }

        value = 0;
        byteCount = 0;
        return false;
    }

    /// <inheritdoc cref="TryReadUnsigned(ReadOnlySpan{byte}, out uint, out int)"/>
    public static bool TryReadZigzag(ReadOnlySpan<byte> source, out int value, out int byteCount)
    {
        bool isRead = TryReadUnsigned(source, out uint encoded, out byteCount);
        value = (int)(encoded >> 1) ^ -(int)(encoded & 1);
        return isRead;
    }

    /// <inheritdoc cref="TryReadUnsigned(ReadOnlySpan{byte}, out uint, out int)"/>
    public static bool TryReadZigzag(ReadOnlySpan<byte> source, out long value, out int byteCount)
    {
        bool isRead = TryReadUnsigned(source, out ulong encoded, out byteCount);
        value = (long)(encoded >> 1) ^ -(long)(encoded & 1);
        return isRead;
    }

    private static uint ZigzagEncode(int value) => (uint)((value << 1) ^ (value >> 31));

    private static ulong ZigzagEncode(long value) => (ulong)((value << 1) ^ (value >> 63));
}
