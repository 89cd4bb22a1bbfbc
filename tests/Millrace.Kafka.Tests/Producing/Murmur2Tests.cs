using System.Text;

namespace Millrace.Kafka.Tests;

public sealed class Murmur2Tests
{
    // From Java's own tests (UtilsTest.testMurmur2), and one of librdkafka's.
    [Theory]
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("a-little-bit-long-string", -985981536)]
    [InlineData("a-little-bit-longer-string", -1486304829)]
    [InlineData("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)]
    [InlineData("abc", 479470107)]
    public void Hashes_are_those_of_java(string key, int hash) => Assert.Equal(hash, Murmur2.Hash(Encoding.UTF8.GetBytes(key)));

    [Fact]
    public void A_negative_hash_loses_its_sign_bit_and_is_not_negated() =>
        Assert.Equal((-973932308 & int.MaxValue) % 7, Murmur2.Partition("21"u8, 7));
}
