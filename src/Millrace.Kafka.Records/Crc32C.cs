using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Millrace.Kafka.Records;

/// <summary>
/// CRC-32C (Castagnoli polynomial, reflected, as iSCSI and Kafka use it; RFC 3720, appendix B.4).
/// Uses the processor's instruction where there is one.
/// </summary>
/// <remarks>
/// The instruction takes eight bytes, answers three cycles later, and can be issued every cycle. So long inputs go through three lanes at a
/// time, each a stretch of its own:
/// <code>
/// | lane 0, from the state so far | lane 1, from 0 | lane 2, from 0 |    each LaneByteCount long
/// state = advance(advance(lane 0) ^ lane 1) ^ lane 2
/// </code>
/// where advance(s) is the state that s becomes after LaneByteCount zero bytes. It is linear over the bits of s, hence a table for each of its bytes.
/// </remarks>
public static class Crc32C
{
    private const int WordByteCount = sizeof(ulong);
    private const int LaneByteCount = 1024;
    private const int LaneCount = 3;
    private const int StateByteCount = sizeof(uint);
    private const int TableSize = 256;

    private static readonly uint[] AdvanceTables = MakeAdvanceTables();

    public static uint Compute(ReadOnlySpan<byte> bytes) => ~Update(uint.MaxValue, bytes);

    /// <summary>The checksum of bytes that come in several pieces.</summary>
    /// <param name="checksum">Of the pieces before.</param>
    /// <param name="bytes">The next piece.</param>
    public static uint Append(uint checksum, ReadOnlySpan<byte> bytes) => ~Update(~checksum, bytes);

    private static uint Update(uint state, ReadOnlySpan<byte> bytes)
    {
        // BitOperations.Crc32C is the SSE4.2 or ARMv8 instruction, with a table behind it elsewhere.
        ref byte start = ref MemoryMarshal.GetReference(bytes);
        int position = 0;
        for (; position <= bytes.Length - (LaneCount * LaneByteCount); position += LaneCount * LaneByteCount)
        {
            state = AppendLanes(state, ref Unsafe.Add(ref start, position));
        }

        for (; position <= bytes.Length - WordByteCount; position += WordByteCount)
        {
            state = BitOperations.Crc32C(state, Word(ref start, position));
        }

        for (; position < bytes.Length; position++)
        {
            state = BitOperations.Crc32C(state, bytes[position]);
        }

        return state;
    }

    private static uint AppendLanes(uint lane0, ref byte start)
    {
        uint lane1 = 0;
        uint lane2 = 0;
        for (int position = 0; position < LaneByteCount; position += WordByteCount)
        {
            lane0 = BitOperations.Crc32C(lane0, Word(ref start, position));
            lane1 = BitOperations.Crc32C(lane1, Word(ref start, position + LaneByteCount));
            lane2 = BitOperations.Crc32C(lane2, Word(ref start, position + (2 * LaneByteCount)));
        }

        return Advance(Advance(lane0) ^ lane1) ^ lane2;
    }

    private static uint Advance(uint state) =>
        AdvanceTables[state & 0xFF]
        ^ AdvanceTables[TableSize + ((state >> 8) & 0xFF)]
        ^ AdvanceTables[(2 * TableSize) + ((state >> 16) & 0xFF)]
        ^ AdvanceTables[(3 * TableSize) + (state >> 24)];

    private static uint[] MakeAdvanceTables()
    {
        uint[] tables = new uint[StateByteCount * TableSize];
        for (int bit = 0; bit < StateByteCount * 8; bit++)
        {
            uint advanced = 1u << bit;
            for (int position = 0; position < LaneByteCount; position += WordByteCount)
            {
                advanced = BitOperations.Crc32C(advanced, 0UL);
            }

            Span<uint> table = tables.AsSpan(bit / 8 * TableSize, TableSize);
            for (int value = 0; value < TableSize; value++)
            {
                table[value] ^= (value & (1 << (bit % 8))) == 0 ? 0 : advanced;
            }
        }

        return tables;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Word(ref byte start, int position)
    {
        ulong word = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, position));
        return BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word);
    }
}
