using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Millrace.Kafka.Records.Tests;

/// <summary>Our LZ4 beside the system's liblz4.so.1 (Debian: liblz4-1), in both directions.</summary>
public sealed unsafe class Lz4FrameTests
{
    private const int Linked = 0;
    private const int Independent = 1;

    public static TheoryData<int, int, bool, bool, bool, int> FrameOptions
    {
        get
        {
            var options = new TheoryData<int, int, bool, bool, bool, int>();
            for (int combination = 0; combination < 32; combination++)
            {
                int blockSizeCode = 4 + (combination % 4);
                options.Add(
                    (combination & 1) == 0 ? Linked : Independent,
                    blockSizeCode,
                    (combination & 2) != 0,
                    (combination & 4) != 0,
                    (combination & 8) != 0,
                    (combination & 16) != 0 ? 9 : 0);
            }

            return options;
        }
    }

    [Theory]
    [MemberData(nameof(FrameOptions))]
    public void We_read_every_kind_of_frame_that_liblz4_writes(
        int blockMode, int blockSizeCode, bool hasBlockChecksums, bool hasContentChecksum, bool hasContentSize, int level)
    {
        foreach (byte[] content in Contents())
        {
            var preferences = new Preferences
            {
                BlockMode = blockMode,
                BlockSizeCode = blockSizeCode,
                BlockChecksum = hasBlockChecksums ? 1 : 0,
                ContentChecksum = hasContentChecksum ? 1 : 0,
                ContentSize = hasContentSize ? (ulong)content.Length : 0,
                Level = level,
            };
            byte[] frame = LibraryCompress(content, preferences);
            Assert.True(content.AsSpan().SequenceEqual(Compression.Decompress(CompressionCodec.Lz4, frame)), $"{content.Length} bytes");
        }
    }

    [Fact]
    public void Liblz4_reads_what_we_write()
    {
        foreach (byte[] content in Contents())
        {
            byte[] frame = Compression.Compress(CompressionCodec.Lz4, content);
            Assert.True(content.AsSpan().SequenceEqual(LibraryDecompress(frame, content.Length)), $"{content.Length} bytes");
        }
    }

    [Fact]
    public void We_compress_about_as_well_as_liblz4_does_by_default()
    {
        byte[] content = Samples.Prose(1_000_000);
        int theirs = LibraryCompress(content, new Preferences { BlockMode = Independent, BlockSizeCode = 4 }).Length;
        Assert.InRange(Compression.Compress(CompressionCodec.Lz4, content).Length, 1, theirs * 11 / 10);
    }

    [Fact]
    public void Linked_blocks_reach_back_into_the_blocks_before_them()
    {
        // Noise does not compress, its repetition does, and that goes on into the second block of 64 KiB.
        byte[] noise = Samples.Noise(40_000);
        byte[] frame = LibraryCompress([.. noise, .. noise], new Preferences { BlockMode = Linked, BlockSizeCode = 4 });
        Assert.InRange(frame.Length, 40_000, 41_000);
        Assert.Equal([.. noise, .. noise], Compression.Decompress(CompressionCodec.Lz4, frame));
        frame[4] |= 0x20; // say that the blocks are independent
        frame[6] = (byte)(XxHash32.Compute(frame.AsSpan(4, 2)) >> 8);
        Assert.Contains("copies from before its beginning", Refusal(frame), StringComparison.Ordinal);
    }

    [Fact]
    public void Frames_may_follow_one_another_and_skippable_ones_are_skipped()
    {
        byte[] one = Compression.Compress(CompressionCodec.Lz4, Samples.Bytes("one "));
        byte[] skippable = [0x5F, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        byte[] two = Compression.Compress(CompressionCodec.Lz4, Samples.Bytes("two"));
        Assert.Equal("one two", Samples.Text(Compression.Decompress(CompressionCodec.Lz4, [.. one, .. skippable, .. two])));
    }

    [Fact]
    public void The_header_that_we_write_is_the_one_that_Javas_client_writes() =>
        Assert.Equal("04224D1860408200000000", Convert.ToHexString(Compression.Compress(CompressionCodec.Lz4, [])));

    [Theory]
    [InlineData("", "ends in its magic")]
    [InlineData("02214C18 00000000", "begins with 184C2102")] // the legacy format
    [InlineData("04224D18 60", "ends in its descriptor")]
    [InlineData("04224D18 6040 83 00000000", "checksum 83; its content gives 82")]
    [InlineData("04224D18 A040 00 00000000", "flags A0")]
    [InlineData("04224D18 6240 00 00000000", "flags 62")]
    [InlineData("04224D18 6140 00000000 00", "needs a dictionary")]
    [InlineData("04224D18 6030 00", "block descriptor 30")]
    [InlineData("04224D18 6041 00", "block descriptor 41")]
    [InlineData("04224D18 60C0 00", "block descriptor C0")]
    [InlineData("04224D18 604082", "ends in its block size")]
    [InlineData("04224D18 604082 FFFFFF7F 00", "ends in its block: at byte 11, 2147483647 bytes are due and 1 are there")]
    [InlineData("04224D18 604082 01000080 41", "ends in its block size")]
    [InlineData("04224D18 604082 00000000 00", "ends in its magic")]
    [InlineData("04224D18 604082 01000000 F0 00000000", "at byte 11 ends inside a sequence")]
    [InlineData("04224D18 604082 01000000 10 00000000", "at byte 11 ends inside a sequence")]
    [InlineData("04224D18 604082 03000000 104101 00000000", "at byte 11 ends inside a sequence")]
    [InlineData("04224D18 604082 04000000 10410100 00000000", "at byte 11 ends inside a sequence")] // after a match
    [InlineData("04224D18 604082 05000000 1041000000 00000000", "at byte 11 copies from before its beginning")]
    [InlineData("04224D18 604082 05000000 1041020000 00000000", "at byte 11 copies from before its beginning")]
    [InlineData("04224D18 604082 05000000 1F410100FF 00000000", "at byte 11 ends inside a sequence")]
    public void What_is_malformed_is_refused_with_its_reason(string hex, string reason) =>
        Assert.Contains(reason, Refusal(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal))), StringComparison.Ordinal);

    [Fact]
    public void A_content_size_that_is_not_met_is_refused()
    {
        byte[] frame = LibraryCompress(Samples.Bytes("content"), new Preferences { BlockSizeCode = 4, ContentSize = 7 });
        BinaryPrimitives.WriteUInt64LittleEndian(frame.AsSpan(6), 8);
        frame[14] = (byte)(XxHash32.Compute(frame.AsSpan(4, 10)) >> 8);
        Assert.Contains("claims 8 bytes and has 7", Refusal(frame), StringComparison.Ordinal);
        BinaryPrimitives.WriteUInt64LittleEndian(frame.AsSpan(6), ulong.MaxValue);
        frame[14] = (byte)(XxHash32.Compute(frame.AsSpan(4, 10)) >> 8);
        Assert.Contains("decompress to more than", Refusal(frame), StringComparison.Ordinal);
    }

    [Fact]
    public void Checksums_of_blocks_and_content_are_checked()
    {
        byte[] content = Samples.Noise(100);
        byte[] withBlock = LibraryCompress(content, new Preferences { BlockSizeCode = 4, BlockChecksum = 1 });
        withBlock[50] ^= 1;
        Assert.Contains("block at byte 11 fails its checksum", Refusal(withBlock), StringComparison.Ordinal);
        byte[] withContent = LibraryCompress(content, new Preferences { BlockSizeCode = 4, ContentChecksum = 1 });
        withContent[50] ^= 1;
        Assert.Contains("content of the LZ4 frame fails its checksum", Refusal(withContent), StringComparison.Ordinal);
    }

    [Fact]
    public void A_block_that_decodes_to_more_than_its_frame_allows_is_refused()
    {
        byte[] large = LibraryCompress(new byte[200_000], new Preferences { BlockMode = Independent, BlockSizeCode = 5 });
        large[5] = 0x40; // 64 KiB instead of 256
        large[6] = (byte)(XxHash32.Compute(large.AsSpan(4, 2)) >> 8);
        Assert.Contains("more than the 65536 bytes that its frame allows", Refusal(large), StringComparison.Ordinal);
    }

    private static IEnumerable<byte[]> Contents()
    {
        foreach (int size in (int[])[0, 1, 12, 13, 14, 1_000, 65_535, 65_536, 65_537, 300_000])
        {
            yield return Samples.Prose(size);
            yield return Samples.Noise(size);
            yield return new byte[size];
        }
    }

    private static string Refusal(byte[] frame) =>
        Assert.Throws<InvalidRecordBatchException>(() => Compression.Decompress(CompressionCodec.Lz4, frame)).Message;

    private static byte[] LibraryCompress(byte[] content, Preferences preferences)
    {
        byte[] target = new byte[LZ4F_compressFrameBound((nuint)content.Length, &preferences) + 64];
        fixed (byte* targetStart = target)
        fixed (byte* contentStart = content)
        {
            nuint result = LZ4F_compressFrame(targetStart, (nuint)target.Length, contentStart, (nuint)content.Length, &preferences);
            Assert.Equal(0u, LZ4F_isError(result));
            return target[..(int)result];
        }
    }

    private static byte[] LibraryDecompress(byte[] frame, int byteCount)
    {
        byte[] target = new byte[byteCount + 1];
        nint context;
        Assert.Equal(0u, LZ4F_isError(LZ4F_createDecompressionContext(&context, 100)));
        try
        {
            int read = 0;
            int written = 0;
            nuint hint = 1;
            fixed (byte* targetStart = target)
            fixed (byte* frameStart = frame)
            {
                while (hint != 0)
                {
                    nuint targetSize = (nuint)(target.Length - written);
                    nuint sourceSize = (nuint)(frame.Length - read);
                    hint = LZ4F_decompress(context, targetStart + written, &targetSize, frameStart + read, &sourceSize, 0);
                    Assert.Equal(0u, LZ4F_isError(hint));
                    Assert.True(hint == 0 || sourceSize + targetSize > 0, "The frame is cut off.");
                    read += (int)sourceSize;
                    written += (int)targetSize;
                }
            }

            Assert.Equal(frame.Length, read);
            return target[..written];
        }
        finally
        {
            _ = LZ4F_freeDecompressionContext(context);
        }
    }

    // LZ4F_preferences_t of lz4frame.h
    [StructLayout(LayoutKind.Sequential)]
    private struct Preferences
    {
        public int BlockSizeCode;
        public int BlockMode;
        public int ContentChecksum;
        public int FrameType;
        public ulong ContentSize;
        public uint DictionaryId;
        public int BlockChecksum;
        public int Level;
        public uint AutoFlush;
        public uint FavorDecompressionSpeed;
        public uint Reserved1;
        public uint Reserved2;
        public uint Reserved3;
    }

    [DllImport("liblz4.so.1")]
    private static extern nuint LZ4F_compressFrameBound(nuint size, Preferences* preferences);

    [DllImport("liblz4.so.1")]
    private static extern nuint LZ4F_compressFrame(byte* target, nuint capacity, byte* source, nuint size, Preferences* preferences);

    [DllImport("liblz4.so.1")]
    private static extern uint LZ4F_isError(nuint code);

    [DllImport("liblz4.so.1")]
    private static extern nuint LZ4F_createDecompressionContext(nint* context, uint version);

    [DllImport("liblz4.so.1")]
    private static extern nuint LZ4F_freeDecompressionContext(nint context);

    [DllImport("liblz4.so.1")]
    private static extern nuint LZ4F_decompress(nint context, byte* target, nuint* targetSize, byte* source, nuint* sourceSize, nint options);
}
