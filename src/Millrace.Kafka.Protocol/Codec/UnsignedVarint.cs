using System.Numerics;

namespace Millrace.Kafka.Protocol;

/// <summary>Seven bits a byte, low bits first; the high bit says that more bytes follow.</summary>
internal static class UnsignedVarint
{
    public const int MaximumByteCount = 5;

    public static int ByteCount(uint value) => (38 - BitOperations.LeadingZeroCount(value | 1)) / 7;

    public static int Write(Span<byte> target, uint value)
    {
        int position = 0;
        while (value >= 0x80)
        {
            target[position++] = (byte)(value | 0x80);
            value >>= 7;
        }

        target[position++] = (byte)value;
        return position;
    }

    /// <summary>Bytes read; 0 when the bytes end too early, -1 when the number has more than 32 bits.</summary>
    public static int Read(ReadOnlySpan<byte> source, out uint value)
    {
        value = 0;
        for (int position = 0; position < source.Length; position++)
        {
            byte current = source[position];
            if (position == MaximumByteCount - 1 && current > 0x0F) return -1;
            value |= (uint)(current & 0x7F) << (7 * position);
            if (current < 0x80) return position + 1;
        }

        return 0;
    }
}
