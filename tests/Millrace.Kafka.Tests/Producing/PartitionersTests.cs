using System.Text;

namespace Millrace.Kafka.Tests;

public sealed class PartitionersTests
{
    [Fact]
    public void Crc32_is_that_of_zlib()
    {
        // The check value of the polynomial's catalogue entry.
        Assert.Equal(0xCBF43926, Crc32.Hash("123456789"u8));
        Assert.Equal(0u, Crc32.Hash([]));
    }

    [Theory]
    [InlineData("a", 10, 7)]
    [InlineData("order-4711", 7, 0)]
    [InlineData("\u00e4\u00f6\u00fc", 12, 11)]
    public void Crc32_takes_the_remainder_of_the_unsigned_hash(string key, int count, int expected)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(key);
        Assert.Equal(expected, Partitioners.Crc32.Choose(new SpanRecord("orders", bytes, []), count));
    }

    [Fact]
    public void A_record_without_a_key_is_left_to_the_producer_and_crc32_leaves_an_empty_key_too()
    {
        Assert.Null(Partitioners.Murmur2.Choose(new SpanRecord("orders"), 3));
        Assert.Null(Partitioners.Crc32.Choose(new SpanRecord("orders"), 3));
        Assert.NotNull(Partitioners.Murmur2.Choose(new SpanRecord("orders", [], []), 3));
        Assert.Null(Partitioners.Crc32.Choose(new SpanRecord("orders", [], []), 3));
        Assert.Null(Partitioners.IgnoreKeys.Choose(new SpanRecord("orders", "key"u8, []), 3));
    }
}
