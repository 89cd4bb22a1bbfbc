using System.Buffers.Binary;

namespace Millrace.Kafka.Records.Tests;

public sealed class SnappyTests
{
    private const string Text = "the quick brown fox jumps over the lazy dog, the quick brown fox jumps over the lazy dog";

    // What snappy-java 1.1.8.3 makes of the text: SnappyOutputStream, its default block size.
    private const string Xerial =
        "82534E4150505900" + "00000001" + "00000001" + "00000032" +
        "587874686520717569636B2062726F776E20666F78206A756D7073206F76657220011F206C617A7920646F672C050E9A2D00";

    [Fact]
    public void A_frame_of_snappy_java_is_read() =>
        Assert.Equal(Text, Samples.Text(Compression.Decompress(CompressionCodec.Snappy, Convert.FromHexString(Xerial))));

    [Fact]
    public void A_bare_block_is_read() =>
        Assert.Equal(Text, Samples.Text(Compression.Decompress(CompressionCodec.Snappy, Convert.FromHexString(Xerial)[20..])));

    [Fact]
    public void We_write_the_frame_of_snappy_java_in_blocks_of_32_KiB()
    {
        byte[] compressed = Compression.Compress(CompressionCodec.Snappy, Samples.Noise(70_000));
        Assert.Equal(Xerial[..32], Convert.ToHexString(compressed.AsSpan(0, 16)));
        List<int> sizes = [];
        for (int position = 16; position < compressed.Length;)
        {
            int byteCount = BinaryPrimitives.ReadInt32BigEndian(compressed.AsSpan(position));
            sizes.Add(IronSnappy.Snappy.Decode(compressed.AsSpan(position + 4, byteCount)).Length);
            position += 4 + byteCount;
        }

        Assert.Equal([32_768, 32_768, 4_464], sizes);
    }

    [Fact]
    public void An_empty_frame_decodes_to_nothing() =>
        Assert.Empty(Compression.Decompress(CompressionCodec.Snappy, Convert.FromHexString(Xerial[..32])));

    [Theory]
    [InlineData("", "has no decoded length")]
    [InlineData("FFFFFFFFFF", "has no decoded length")]
    [InlineData("FFFFFFFF0F00", "claims that its 6 bytes decode to 4294967295")]
    [InlineData("FFFFFF7F00", "claims that its 5 bytes decode to 268435455")]
    [InlineData("0A00", "is malformed")] // ten bytes are due, one literal of none there
    [InlineData("05F004", "ends inside a literal")] // the literal's length is cut off
    [InlineData("0508AABB", "ends inside a literal")] // three bytes, two there
    [InlineData("0404AABB 06 01", "ends inside a copy")] // half of the offset
    [InlineData("0604AABB 05 03", "copies from before")] // two are there, three back
    [InlineData("0604AABB 05 00", "copies from before")] // offset 0
    [InlineData("0104AABB", "decodes to more than it claims")]
    [InlineData("0304AABB 05 01", "decodes to more than it claims")]
    [InlineData("0904AABB", "claims 9 bytes and decodes to 2")]
    [InlineData("8253 4E41 5050 5900 00000001", "header has 12 bytes of 16")]
    [InlineData("8253 4E41 5050 5900 00000001 00000002", "needs a reader of version 2")]
    [InlineData("8253 4E41 5050 5900 00000001 00000001 0000", "at byte 16 is cut off")]
    [InlineData("8253 4E41 5050 5900 00000001 00000001 7FFFFFFF 00", "at byte 16 is cut off")]
    [InlineData("8253 4E41 5050 5900 00000001 00000001 FFFFFFFF 00", "at byte 16 is cut off")]
    public void What_is_malformed_is_refused_with_its_reason(string hex, string reason)
    {
        byte[] bytes = Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));
        long before = GC.GetAllocatedBytesForCurrentThread();
        InvalidRecordBatchException exception =
            Assert.Throws<InvalidRecordBatchException>(() => Compression.Decompress(CompressionCodec.Snappy, bytes));
        Assert.Contains(reason, exception.Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Theory]
    [InlineData("06 04AABB 01 02", "AABBAABBAABB")] // a copy of four that repeats two
    [InlineData("0C 00AA 11 01 00AABB", null)] // of five, then a literal of one and a byte too many
    [InlineData("07 00AA 16 0100", "AAAAAAAAAAAAAA")] // an offset of two bytes
    [InlineData("07 00AA 17 01000000", "AAAAAAAAAAAAAA")] // an offset of four
    [InlineData("03 F002 AABBCC", "AABBCC")] // a length of one byte
    [InlineData("03 F40200 AABBCC", "AABBCC")] // a length of two
    public void Elements_of_every_kind_are_decoded(string hex, string? expected)
    {
        byte[] bytes = Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));
        if (expected is null)
        {
            Assert.Throws<InvalidRecordBatchException>(() => Compression.Decompress(CompressionCodec.Snappy, bytes));
            return;
        }

        Assert.Equal(expected, Convert.ToHexString(Compression.Decompress(CompressionCodec.Snappy, bytes)));
    }

    [Fact]
    public void What_the_other_library_encodes_is_decoded_as_it_was()
    {
        var random = new Random(7);
        for (int round = 0; round < 300; round++)
        {
            byte[] plain = new byte[random.Next(1, 40_000)];
            int alphabet = random.Next(1, 40);
            for (int i = 0; i < plain.Length; i++)
            {
                plain[i] = i > 20 && random.Next(4) > 0 ? plain[i - random.Next(1, 20)] : (byte)random.Next(alphabet);
            }

            Assert.Equal(plain, Compression.Decompress(CompressionCodec.Snappy, IronSnappy.Snappy.Encode(plain)));
        }
    }
}
