using System.Text;

namespace Millrace.Kafka.Records.Tests;

public sealed class Crc32CTests
{
    public static TheoryData<string, uint> Rfc3720Vectors => new()
    {
        { new string('0', 64), 0x8A9136AA },
        { new string('F', 64), 0x62A8AB43 },
        { Convert.ToHexString([.. Enumerable.Range(0, 32).Select(i => (byte)i)]), 0x46DD794E },
        { Convert.ToHexString([.. Enumerable.Range(0, 32).Select(i => (byte)(31 - i))]), 0x113FDB5C },
        {
            "01C00000000000000000000000000000" + "14000000000004000000001400000018" + "28000000000000000200000000000000",
            0xD9963A56
        },
    };

    [Theory]
    [MemberData(nameof(Rfc3720Vectors))]
    public void The_vectors_of_RFC_3720_appendix_B_4_agree(string hex, uint expected) =>
        Assert.Equal(expected, Crc32C.Compute(Convert.FromHexString(hex)));

    [Fact]
    public void The_check_value_agrees() => Assert.Equal(0xE3069283, Crc32C.Compute(Encoding.ASCII.GetBytes("123456789")));

    [Fact]
    public void Nothing_has_checksum_zero() => Assert.Equal(0u, Crc32C.Compute([]));

    [Fact]
    public void Every_length_and_alignment_agrees_with_the_definition()
    {
        byte[] bytes = new byte[40_000];
        new Random(1).NextBytes(bytes);
        foreach (int length in Enumerable.Range(0, 200).Concat([1023, 1024, 1025, 3071, 3072, 3073, 4095, 8191, 12_288, 24_575, 24_576, 24_577, 36_000]))
        {
            int start = length % 9;
            Assert.Equal(BitByBit(bytes.AsSpan(start, length)), Crc32C.Compute(bytes.AsSpan(start, length)));
            int first = length / 3;
            Assert.Equal(BitByBit(bytes.AsSpan(start, length)), Crc32C.Append(Crc32C.Compute(bytes.AsSpan(start, first)), bytes.AsSpan(start + first, length - first)));
        }
    }

    /// <summary>The polynomial division as it is defined, reflected: one bit at a time.</summary>
    private static uint BitByBit(ReadOnlySpan<byte> bytes)
    {
        uint state = uint.MaxValue;
        foreach (byte value in bytes)
        {
            state ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                state = (state >> 1) ^ ((state & 1) * 0x82F63B78);
            }
        }

        return ~state;
    }
}
