using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Numerics;

namespace Millrace.Kafka.Records;

/// <summary>
/// CRC-32C (Castagnoli polynomial, reflected, as iSCSI and Kafka use it; RFC 3720, appendix B.4).
/// Uses the processor's instruction where there is one.
/// </summary>
public static class Crc32C
{
    public static uint Compute(ReadOnlySpan<byte> bytes) => ~Append(uint.MaxValue, bytes);

    private static uint Append(uint state, ReadOnlySpan<byte> bytes)
    {
        // BitOperations.Crc32C is the SSE4.2 or ARMv8 instruction, with a table behind it elsewhere.
        ref byte start = ref MemoryMarshal.GetReference(bytes);
        int position = 0;
        for (; position <= bytes.Length - sizeof(ulong); position += sizeof(ulong))
        {
            ulong word = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, position));
            state = BitOperations.Crc32C(state, BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word));
        }

        for (; position < bytes.Length; position++)
        {
            state = BitOperations.Crc32C(state, bytes[position]);
        }

        return state;
    }
}
