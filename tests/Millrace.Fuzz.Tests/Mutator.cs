using System.Buffers.Binary;

namespace Millrace.Fuzz.Tests;

/// <summary>Damages well-formed bytes in the ways that break decoders: lengths that lie, parts that are missing, doubled or moved.</summary>
internal static class Mutator
{
    private const int MostChanges = 4;
    private const int LongestInputByteCount = 64 * 1024;

    private static readonly long[] TemptingNumbers =
    [
        0, 1, -1, -2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFFFF0, 0xFFFFFFFF, long.MaxValue, long.MinValue,
    ];

    // Unsigned and zigzag varints at the ends of their ranges, padded, and endless.
    private static readonly byte[][] TemptingVarints =
    [
        [0x01], [0x7F], [0xFE, 0xFF, 0xFF, 0xFF, 0x0F], [0xFF, 0xFF, 0xFF, 0xFF, 0x0F], [0xFF, 0xFF, 0xFF, 0xFF, 0x07], [0x80, 0x80, 0x00],
        [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
    ];

    public static byte[] Mutate(IReadOnlyList<byte[]> corpus, Random random)
    {
        byte[] bytes = [.. Pick(corpus, random)];
        int changes = random.Next(0, MostChanges + 1);
        for (int i = 0; i < changes; i++)
        {
            bytes = Change(bytes, corpus, random);
        }

        return bytes.Length <= LongestInputByteCount ? bytes : bytes[..LongestInputByteCount];
    }

    private static byte[] Change(byte[] bytes, IReadOnlyList<byte[]> corpus, Random random)
    {
        if (bytes.Length == 0)
        {
            return [.. Pick(corpus, random)];
        }

        int position = random.Next(bytes.Length);
        int length = random.Next(1, Math.Min(64, bytes.Length - position) + 1);
        switch (random.Next(9))
        {
            case 0:
                bytes[position] ^= (byte)(1 << random.Next(8));
                return bytes;
            case 1:
                bytes[position] = (byte)random.Next(256);
                return bytes;
            case 2:
                WriteNumber(bytes, position, random);
                return bytes;
            case 3:
                return Replace(bytes, position, Math.Min(1, length), TemptingVarints[random.Next(TemptingVarints.Length)]);
            case 4:
                return Replace(bytes, position, length, []);
            case 5:
                return Replace(bytes, position, 0, bytes.AsSpan(position, length));
            case 6:
                random.NextBytes(bytes.AsSpan(position, length));
                return bytes;
            case 7:
                return bytes[..position];
            default:
                byte[] other = Pick(corpus, random);
                return [.. bytes.AsSpan(0, position), .. other.AsSpan(random.Next(other.Length + 1))];
        }
    }

    private static void WriteNumber(byte[] bytes, int position, Random random)
    {
        long number = TemptingNumbers[random.Next(TemptingNumbers.Length)];
        Span<byte> field = stackalloc byte[sizeof(long)];
        int width = 1 << random.Next(4);
        if (random.Next(2) == 0)
        {
            BinaryPrimitives.WriteInt64BigEndian(field, number);
            field = field[^width..];
        }
        else
        {
            BinaryPrimitives.WriteInt64LittleEndian(field, number);
            field = field[..width];
        }

        field[..Math.Min(width, bytes.Length - position)].CopyTo(bytes.AsSpan(position));
    }

    private static byte[] Replace(byte[] bytes, int position, int length, ReadOnlySpan<byte> replacement) =>
        [.. bytes.AsSpan(0, position), .. replacement, .. bytes.AsSpan(position + length)];

    private static byte[] Pick(IReadOnlyList<byte[]> corpus, Random random) => corpus[random.Next(corpus.Count)];
}
