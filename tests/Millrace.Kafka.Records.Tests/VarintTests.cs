using FsCheck;
using FsCheck.Fluent;

namespace Millrace.Kafka.Records.Tests;

public sealed class VarintTests
{
    [Theory]
    [InlineData(0u, "00")]
    [InlineData(1u, "01")]
    [InlineData(127u, "7F")]
    [InlineData(128u, "8001")]
    [InlineData(300u, "AC02")]
    [InlineData(16383u, "FF7F")]
    [InlineData(16384u, "808001")]
    [InlineData(uint.MaxValue, "FFFFFFFF0F")]
    public void Unsigned_numbers_have_the_bytes_of_the_protocol_guide(uint value, string hex)
    {
        Span<byte> buffer = stackalloc byte[Varint.MaximumByteCount64];
        int written = Varint.WriteUnsigned(buffer, value);
        Assert.Equal(hex, Convert.ToHexString(buffer[..written]));
        Assert.Equal(written, Varint.UnsignedByteCount(value));
        Assert.True(Varint.TryReadUnsigned(buffer[..written], out uint read, out int byteCount));
        Assert.Equal((value, written), (read, byteCount));
    }

    [Theory]
    [InlineData(0, "00")]
    [InlineData(-1, "01")]
    [InlineData(1, "02")]
    [InlineData(63, "7E")]
    [InlineData(-64, "7F")]
    [InlineData(64, "8001")]
    [InlineData(int.MaxValue, "FEFFFFFF0F")]
    [InlineData(int.MinValue, "FFFFFFFF0F")]
    [InlineData(long.MaxValue, "FEFFFFFFFFFFFFFFFF01")]
    [InlineData(long.MinValue, "FFFFFFFFFFFFFFFFFF01")]
    public void Signed_numbers_are_zigzag(long value, string hex)
    {
        Span<byte> buffer = stackalloc byte[Varint.MaximumByteCount64];
        int written = Varint.WriteZigzag(buffer, value);
        Assert.Equal(hex, Convert.ToHexString(buffer[..written]));
        Assert.Equal(written, Varint.ZigzagByteCount(value));
        Assert.True(Varint.TryReadZigzag(buffer[..written], out long read, out int byteCount));
        Assert.Equal((value, written), (read, byteCount));
        if (value is >= int.MinValue and <= int.MaxValue)
        {
            Assert.Equal(written, Varint.ZigzagByteCount((int)value));
            Assert.True(Varint.TryReadZigzag(buffer[..written], out int narrow, out _));
            Assert.Equal(value, narrow);
        }
    }

    [Fact]
    public void Every_number_reads_back_and_every_cut_is_noticed()
    {
        Gen<long> numbers = from bits in Gen.Choose(0, 63)
                            from noise in ArbMap.Default.GeneratorFor<long>()
                            select noise >> bits;
        Prop.ForAll(numbers.ToArbitrary(), value =>
        {
            byte[] buffer = new byte[Varint.MaximumByteCount64];
            int written = Varint.WriteZigzag(buffer, value);
            bool isRead = Varint.TryReadZigzag(buffer, out long read, out int byteCount);
            bool cutsAreNoticed = Enumerable.Range(0, written)
                .All(length => !Varint.TryReadZigzag(buffer.AsSpan(0, length), out long _, out _));
            return isRead && read == value && byteCount == written && cutsAreNoticed && Varint.ZigzagByteCount(value) == written;
        }).QuickCheckThrowOnFailure();
    }

    [Theory]
    [InlineData("FFFFFFFF10")] // bit 32
    [InlineData("FFFFFFFF7F")]
    [InlineData("808080808000")] // six bytes, though the value would fit
    [InlineData("FFFFFFFFFF01")]
    public void A_number_of_more_than_32_bits_or_5_bytes_is_refused_where_32_bits_are_read(string hex)
    {
        byte[] bytes = Convert.FromHexString(hex);
        Assert.False(Varint.TryReadUnsigned(bytes, out uint _, out _));
        Assert.False(Varint.TryReadZigzag(bytes, out int _, out _));
    }

    [Theory]
    [InlineData("FFFFFFFFFFFFFFFFFF02")] // bit 64
    [InlineData("8080808080808080808000")] // eleven bytes
    public void A_number_of_more_than_64_bits_or_10_bytes_is_refused(string hex)
    {
        byte[] bytes = Convert.FromHexString(hex);
        Assert.False(Varint.TryReadUnsigned(bytes, out ulong _, out _));
        Assert.False(Varint.TryReadZigzag(bytes, out long _, out _));
    }

    [Fact]
    public void A_padded_number_is_read()
    {
        Assert.True(Varint.TryReadUnsigned(Convert.FromHexString("808000FF"), out uint value, out int byteCount));
        Assert.Equal((0u, 3), (value, byteCount));
    }
}
