using System.IO.Compression;

namespace Millrace.Kafka.Records.Tests;

public sealed class CompressionTests
{
    private const int KiB = 1024;

    public static TheoryData<CompressionCodec> Codecs => Samples.EveryCodec;

    public static TheoryData<CompressionCodec> CompressingCodecs => Samples.EveryCompressingCodec;

    [Theory]
    [MemberData(nameof(Codecs))]
    public void What_is_compressed_decompresses_to_itself(CompressionCodec codec)
    {
        // Around the sizes at which blocks end: 32 KiB in snappy's framing, 64 KiB in LZ4, 128 KiB in zstd.
        int[] sizes = [0, 1, 4, 5, 12, 13, 14, 100, 4095, 4096, 4097, .. Around(32 * KiB), .. Around(64 * KiB), .. Around(128 * KiB), 700_001];
        foreach (int size in sizes)
        {
            foreach (byte[] content in (byte[][])[Samples.Prose(size), Samples.Noise(size), new byte[size], [.. Samples.Noise(size / 2), .. Samples.Prose(size - (size / 2))]])
            {
                byte[] compressed = Compression.Compress(codec, content);
                Assert.True(content.AsSpan().SequenceEqual(Compression.Decompress(codec, compressed)), $"{codec} of {size} bytes");
            }
        }
    }

    [Theory]
    [MemberData(nameof(CompressingCodecs))]
    public void Prose_becomes_smaller_and_noise_hardly_larger(CompressionCodec codec)
    {
        Assert.InRange(Compression.Compress(codec, Samples.Prose(256 * KiB)).Length, 1, 256 * KiB * 6 / 10);
        Assert.InRange(Compression.Compress(codec, Samples.Noise(256 * KiB)).Length, 256 * KiB, 256 * KiB * 1001 / 1000);
    }

    [Theory]
    [MemberData(nameof(Codecs))]
    public void The_bound_is_exact(CompressionCodec codec)
    {
        byte[] content = Samples.Prose(100_000);
        byte[] compressed = Compression.Compress(codec, content);
        Assert.Equal(content, Compression.Decompress(codec, compressed, content.Length));
        InvalidRecordBatchException exception =
            Assert.Throws<InvalidRecordBatchException>(() => Compression.Decompress(codec, compressed, content.Length - 1));
        Assert.Contains("more than 99999 bytes", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(CompressingCodecs))]
    public void A_bomb_is_refused_before_it_takes_memory(CompressionCodec codec)
    {
        const int limit = 1024 * KiB;
        byte[] bomb = Compression.Compress(codec, new byte[64 * limit]);
        Assert.InRange(bomb.Length, 1, 64 * limit / 20);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<InvalidRecordBatchException>(() => Compression.Decompress(codec, bomb, limit));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 5 * limit);
    }

    [Theory]
    [MemberData(nameof(CompressingCodecs))]
    public void Every_cut_is_refused_or_ends_at_a_block(CompressionCodec codec)
    {
        byte[] content = Samples.Prose(40_000);
        byte[] compressed = Compression.Compress(codec, content);
        int accepted = 0;
        for (int length = 0; length < compressed.Length; length++)
        {
            try
            {
                byte[] output = Compression.Decompress(codec, compressed.AsSpan(0, length));
                Assert.True(content.AsSpan().StartsWith(output));
                accepted++;
            }
            catch (InvalidRecordBatchException)
            {
                // what is expected of nearly all
            }
        }

        // Two blocks in snappy's framing, which has no end mark: a cut before either is not seen here, but by the record count.
        Assert.Equal(codec == CompressionCodec.Snappy ? 2 : 0, accepted);
    }

    [Theory]
    [MemberData(nameof(CompressingCodecs))]
    public void A_flipped_bit_is_refused_or_gives_bounded_output_and_nothing_else(CompressionCodec codec)
    {
        const int limit = 64 * KiB;
        byte[] content = Samples.Prose(3_000);
        byte[] compressed = Compression.Compress(codec, content);
        int refused = 0;
        for (int bit = 0; bit < compressed.Length * 8; bit++)
        {
            compressed[bit / 8] ^= (byte)(1 << (bit % 8));
            try
            {
                Assert.InRange(Compression.Decompress(codec, compressed, limit).Length, 0, limit);
            }
            catch (InvalidRecordBatchException)
            {
                refused++;
            }

            compressed[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        Assert.InRange(refused, 1, compressed.Length * 8);
        Assert.Equal(content, Compression.Decompress(codec, compressed, limit));
    }

    [Fact]
    public void Gzip_members_may_follow_one_another()
    {
        byte[] first = Compression.Compress(CompressionCodec.Gzip, Samples.Bytes("one "));
        byte[] second = Compression.Compress(CompressionCodec.Gzip, Samples.Bytes("two"));
        Assert.Equal("one two", Samples.Text(Compression.Decompress(CompressionCodec.Gzip, [.. first, .. second])));
    }

    [Fact]
    public void Bytes_behind_gzip_that_are_no_member_are_refused()
    {
        byte[] compressed = Compression.Compress(CompressionCodec.Gzip, Samples.Bytes("content"));
        Assert.Throws<InvalidRecordBatchException>(() => Compression.Decompress(CompressionCodec.Gzip, [.. compressed, 0]));
        Assert.Throws<InvalidRecordBatchException>(() => Compression.Decompress(CompressionCodec.Gzip, [.. compressed, 1, 2, 3]));
    }

    [Fact]
    public void Gzip_content_that_fails_its_checksum_is_refused()
    {
        byte[] compressed = Compression.Compress(CompressionCodec.Gzip, Samples.Prose(1000));
        compressed[^5] ^= 1;
        Assert.Throws<InvalidRecordBatchException>(() => Compression.Decompress(CompressionCodec.Gzip, compressed));
    }

    [Fact]
    public void Our_gzip_is_read_by_a_plain_gzip_stream()
    {
        using var stream = new GZipStream(new MemoryStream(Compression.Compress(CompressionCodec.Gzip, Samples.Prose(5000))), CompressionMode.Decompress);
        using var content = new MemoryStream();
        stream.CopyTo(content);
        Assert.Equal(Samples.Prose(5000), content.ToArray());
    }

    private static int[] Around(int size) => [size - 1, size, size + 1];
}
