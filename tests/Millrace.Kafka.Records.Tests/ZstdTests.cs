using System.Runtime.InteropServices;

namespace Millrace.Kafka.Records.Tests;

public sealed unsafe class ZstdTests
{
    private const int ChecksumFlag = 201;
    private const int WindowLog = 101;
    private const int EndDirective = 2;
    private const int FlushDirective = 1;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1_000)]
    [InlineData(3_000_000)]
    public void A_stream_that_does_not_tell_its_size_is_read(int byteCount)
    {
        foreach (byte[] content in (byte[][])[Samples.Prose(byteCount), Samples.Noise(byteCount), new byte[byteCount]])
        {
            Assert.True(content.AsSpan().SequenceEqual(Compression.Decompress(CompressionCodec.Zstd, Stream(content), Math.Max(1, byteCount))));
        }
    }

    [Fact]
    public void A_claimed_window_is_not_allocated_and_not_refused()
    {
        byte[] content = Samples.Prose(10_000);
        byte[] frame = Stream(content, windowLog: 27);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal(content, Compression.Decompress(CompressionCodec.Zstd, frame));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 300_000);
    }

    [Fact]
    public void A_flipped_bit_fails_the_frames_checksum()
    {
        byte[] frame = Stream(Samples.Noise(1_000));
        frame[500] ^= 1;
        Assert.Contains("checksum", Refusal(frame), StringComparison.Ordinal);
    }

    [Fact]
    public void Frames_may_follow_one_another_and_skippable_ones_are_skipped()
    {
        byte[] skippable = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        byte[] frames = [.. Stream(Samples.Bytes("one ")), .. skippable, .. Stream(Samples.Bytes("two"))];
        Assert.Equal("one two", Samples.Text(Compression.Decompress(CompressionCodec.Zstd, frames)));
    }

    [Theory]
    [InlineData("", "at byte 0 does not begin with the magic")]
    [InlineData("28B52FFD", "at byte 0 is malformed")]
    [InlineData("27B52FFD 00000000", "at byte 0 does not begin with the magic")] // version 0.7
    [InlineData("1EB52FFD 00000000", "at byte 0 does not begin with the magic")] // version 0.1
    [InlineData("502A4D18 00000000 27B52FFD", "at byte 8 does not begin with the magic")]
    [InlineData("502A4D18 FFFFFFFF", "at byte 0 is malformed")]
    public void What_is_malformed_is_refused_with_its_reason(string hex, string reason) =>
        Assert.Contains(reason, Refusal(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal))), StringComparison.Ordinal);

    [Fact]
    public void A_system_without_the_library_is_told_what_to_install()
    {
        CodecUnavailableException exception = Assert.Throws<CodecUnavailableException>(() => ZstdLibrary.Load(["libabsent.so.1"]));
        Assert.Contains("libabsent.so.1 could be loaded. Install it (Debian: apt-get install libzstd1)", exception.Message, StringComparison.Ordinal);
    }

    private static string Refusal(byte[] frame) =>
        Assert.Throws<InvalidRecordBatchException>(() => Compression.Decompress(CompressionCodec.Zstd, frame)).Message;

    /// <summary>What a streaming writer makes, as Java's does: no content size; with a checksum.</summary>
    private static byte[] Stream(byte[] content, int windowLog = 0)
    {
        nint context = ZSTD_createCCtx();
        try
        {
            _ = ZSTD_CCtx_setParameter(context, ChecksumFlag, 1);
            _ = ZSTD_CCtx_setParameter(context, WindowLog, windowLog);
            byte[] target = new byte[ZSTD_compressBound((nuint)content.Length) + 100];
            fixed (byte* targetStart = target)
            fixed (byte* contentStart = content)
            {
                var output = new NativeBuffer { Start = targetStart, Size = (nuint)target.Length };
                var input = new NativeBuffer { Start = contentStart, Size = (nuint)content.Length };
                Assert.Equal(0u, ZSTD_compressStream2(context, &output, &input, FlushDirective));
                Assert.Equal(0u, ZSTD_compressStream2(context, &output, &input, EndDirective));
                return target[..(int)output.Position];
            }
        }
        finally
        {
            _ = ZSTD_freeCCtx(context);
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct NativeBuffer
    {
        public byte* Start;
        public nuint Size;
        public nuint Position;
    }

    [DllImport("libzstd.so.1")]
    private static extern nint ZSTD_createCCtx();

    [DllImport("libzstd.so.1")]
    private static extern nuint ZSTD_freeCCtx(nint context);

    [DllImport("libzstd.so.1")]
    private static extern nuint ZSTD_CCtx_setParameter(nint context, int parameter, int value);

    [DllImport("libzstd.so.1")]
    private static extern nuint ZSTD_compressBound(nuint size);

    [DllImport("libzstd.so.1")]
    private static extern nuint ZSTD_compressStream2(nint context, NativeBuffer* output, NativeBuffer* input, int directive);
}
