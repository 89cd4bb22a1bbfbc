using System.Buffers.Binary;
using System.Numerics;

namespace Millrace.Kafka.Records;

/// <summary>The 32-bit xxHash with seed 0: the checksum of LZ4 frames.</summary>
/// <remarks>
/// Four lanes eat a stripe of 16 bytes at a time, a word each; then the lanes are folded together, the length is added, the
/// remaining words and bytes follow, and the bits are mixed.
/// </remarks>
internal static class XxHash32
{
    private const uint Prime1 = 2654435761;
    private const uint Prime2 = 2246822519;
    private const uint Prime3 = 3266489917;
    private const uint Prime4 = 668265263;
    private const uint Prime5 = 374761393;
    private const int StripeByteCount = 16;

    public static uint Compute(ReadOnlySpan<byte> bytes)
    {
        uint length = (uint)bytes.Length;
        uint hash = bytes.Length >= StripeByteCount ? HashStripes(ref bytes) : Prime5;
        hash += length;
        for (; bytes.Length >= sizeof(uint); bytes = bytes[sizeof(uint)..])
        {
            hash += BinaryPrimitives.ReadUInt32LittleEndian(bytes) * Prime3;
            hash = BitOperations.RotateLeft(hash, 17) * Prime4;
        }

        foreach (byte last in bytes)
        {
            hash += last * Prime5;
            hash = BitOperations.RotateLeft(hash, 11) * Prime1;
        }

        hash ^= hash >> 15;
        hash *= Prime2;
        hash ^= hash >> 13;
        hash *= Prime3;
        return hash ^ (hash >> 16);
    }

    private static uint HashStripes(ref ReadOnlySpan<byte> bytes)
    {
        uint lane1 = unchecked(Prime1 + Prime2);
        uint lane2 = Prime2;
        uint lane3 = 0;
        uint lane4 = unchecked(0 - Prime1);
        for (; bytes.Length >= StripeByteCount; bytes = bytes[StripeByteCount..])
        {
            lane1 = Round(lane1, BinaryPrimitives.ReadUInt32LittleEndian(bytes));
            lane2 = Round(lane2, BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]));
            lane3 = Round(lane3, BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]));
            lane4 = Round(lane4, BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]));
        }

        return BitOperations.RotateLeft(lane1, 1)
            + BitOperations.RotateLeft(lane2, 7)
            + BitOperations.RotateLeft(lane3, 12)
            + BitOperations.RotateLeft(lane4, 18);
    }

    private static uint Round(uint lane, uint word) => BitOperations.RotateLeft(lane + (word * Prime2), 13) * Prime1;
}
