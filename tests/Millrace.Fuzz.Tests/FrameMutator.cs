using System.Buffers.Binary;

namespace Millrace.Fuzz.Tests;

/// <summary>Damages bytes in the ways that hurt a length-prefixed format: bits, bytes, lengths, cuts, repeats, and pieces of something else.</summary>
internal static class FrameMutator
{
    private const int MaximumMutationCount = 4;

    private static readonly int[] TellingNumbers = [0, 1, -1, -2, int.MaxValue, int.MinValue, 0x7FFF, 0xFFFF, 0x0FFFFFFF, 1 << 20];

    private static readonly byte[] TellingBytes = [0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF];

    /// <summary>A damaged copy; foreign pieces come from <paramref name="other"/>.</summary>
    public static byte[] Mutate(byte[] bytes, byte[] other, Random random)
    {
        var mutated = (byte[])bytes.Clone();
        var count = random.Next(1, MaximumMutationCount + 1);
        for (var index = 0; index < count; index++) mutated = MutateOnce(mutated, other, random);
        return mutated;
    }

    private static byte[] MutateOnce(byte[] bytes, byte[] other, Random random)
    {
        var position = random.Next(bytes.Length + 1);
        switch (random.Next(9))
        {
            case 0:
                return bytes[..position];
            case 1:
                return [.. bytes, .. other.AsSpan(random.Next(other.Length + 1))];
            case 2:
                return [.. bytes[..position], .. other.AsSpan(random.Next(other.Length + 1))];
            case 3:
                return [.. bytes[..position], .. bytes[Math.Min(bytes.Length, position + random.Next(1, 9))..]];
            case 4:
                return [.. bytes[..position], .. bytes[random.Next(position + 1)..position], .. bytes[position..]];
            case 5 when bytes.Length > 0:
                bytes[position % bytes.Length] ^= (byte)(1 << random.Next(8));
                return bytes;
            case 6 when position + sizeof(int) <= bytes.Length:
                BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(position), TellingNumbers[random.Next(TellingNumbers.Length)]);
                return bytes;
            case 7 when position + sizeof(short) <= bytes.Length:
                BinaryPrimitives.WriteInt16BigEndian(bytes.AsSpan(position), (short)TellingNumbers[random.Next(TellingNumbers.Length)]);
                return bytes;
            default:
                if (bytes.Length > 0) bytes[position % bytes.Length] = TellingBytes[random.Next(TellingBytes.Length)];
                return bytes;
        }
    }
}
