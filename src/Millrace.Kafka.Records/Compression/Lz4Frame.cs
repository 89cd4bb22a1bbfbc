using System.Buffers.Binary;

namespace Millrace.Kafka.Records;

/// <summary>The LZ4 frame format, version 1.6.</summary>
/// <remarks>
/// <code>
/// frame:       04 22 4D 18              magic
///              FLG 1                    7-6 version (01), 5 blocks independent, 4 block checksums, 3 content size,
///                                       2 content checksum, 1 reserved, 0 dictionary id
///              BD 1                     6-4 largest block: 4 = 64 KiB, 5 = 256 KiB, 6 = 1 MiB, 7 = 4 MiB
///              [content size uint64]    decoded bytes
///              [dictionary id uint32]   not used by Kafka, refused
///              HC 1                     second byte of xxHash32 of FLG to here
///              blocks
///              00 00 00 00              end
///              [checksum uint32]        xxHash32 of the decoded bytes
/// block:       size uint32              high bit set: stored as it is
///              data
///              [checksum uint32]        xxHash32 of the data
/// skippable:   5x 2A 4D 18, size uint32, that many bytes
/// </code>
/// All numbers are little-endian. Frames may follow one another. We write what Java's client writes: independent blocks of 64 KiB, no
/// checksums (the batch has its own), no content size. We read everything but dictionaries.
/// </remarks>
internal static class Lz4Frame
{
    private const uint Magic = 0x184D2204;
    private const uint SkippableMagic = 0x184D2A50;
    private const uint SkippableMask = 0xFFFFFFF0;
    private const uint StoredFlag = 0x80000000;
    private const uint EndMark = 0;
    private const int WordByteCount = 4;

    private const int Version = 0x40;
    private const int VersionMask = 0xC0;
    private const int IndependentFlag = 0x20;
    private const int BlockChecksumFlag = 0x10;
    private const int ContentSizeFlag = 0x08;
    private const int ContentChecksumFlag = 0x04;
    private const int ReservedFlag = 0x02;
    private const int DictionaryFlag = 0x01;
    private const int BlockSizeMask = 0x70;
    private const int SmallestBlockCode = 4;
    private const int SmallestBlockShift = 16;

    private static ReadOnlySpan<byte> WrittenHeader => [0x04, 0x22, 0x4D, 0x18, Version | IndependentFlag, SmallestBlockCode << 4, 0x82];

    public static void Compress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        Span<ushort> table = stackalloc ushort[Lz4Block.HashTableSize];
        output.Append(WrittenHeader);
        while (!source.IsEmpty)
        {
            ReadOnlySpan<byte> block = source[..Math.Min(Lz4Block.MaximumCompressibleByteCount, source.Length)];
            Span<byte> target = output.Reserve(WordByteCount + block.Length);
            if (Lz4Block.TryCompress(block, target.Slice(WordByteCount, block.Length - 1), table, out int byteCount))
            {
                BinaryPrimitives.WriteUInt32LittleEndian(target, (uint)byteCount);
            }
            else
            {
                byteCount = block.Length;
                BinaryPrimitives.WriteUInt32LittleEndian(target, StoredFlag | (uint)byteCount);
                block.CopyTo(target[WordByteCount..]);
            }

            output.Advance(WordByteCount + byteCount);
            source = source[block.Length..];
        }

        BinaryPrimitives.WriteUInt32LittleEndian(output.Reserve(WordByteCount), EndMark);
        output.Advance(WordByteCount);
    }

    public static void Decompress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        var input = new Input(source);
        do
        {
            uint magic = input.ReadWord("magic");
            if (magic == Magic)
            {
                DecompressFrame(ref input, output);
            }
            else if ((magic & SkippableMask) == SkippableMagic)
            {
                input.Read(input.ReadWord("size of a skippable frame"), "skippable frame");
            }
            else
            {
                throw new InvalidRecordBatchException($"The LZ4 data at byte {input.Position - WordByteCount} begins with {magic:X8}, not with the magic of a frame.");
            }
        }
        while (!input.IsAtEnd);
    }

    private static void DecompressFrame(ref Input input, CodecBuffer output)
    {
        Descriptor descriptor = ReadDescriptor(ref input);
        int frameStart = output.Count;
        if (descriptor.ContentByteCount > (ulong)output.Remaining)
        {
            output.ThrowTooLarge();
        }

        while (true)
        {
            uint size = input.ReadWord("block size");
            if (size == EndMark)
            {
                break;
            }

            int blockPosition = input.Position;
            ReadOnlySpan<byte> data = input.Read(size & ~StoredFlag, "block");
            if (data.Length > descriptor.BlockByteCount)
            {
                throw new InvalidRecordBatchException($"The LZ4 block at byte {blockPosition} has {data.Length} bytes; its frame allows {descriptor.BlockByteCount}.");
            }

            if (descriptor.HasBlockChecksums && input.ReadWord("block checksum") != XxHash32.Compute(data))
            {
                throw new InvalidRecordBatchException($"The LZ4 block at byte {blockPosition} fails its checksum.");
            }

            if ((size & StoredFlag) != 0)
            {
                output.Append(data);
            }
            else
            {
                DecompressBlock(data, blockPosition, descriptor, frameStart, output);
            }
        }

        ReadOnlySpan<byte> content = output.Written[frameStart..];
        if (descriptor.ContentByteCount is { } claimed && claimed != (ulong)content.Length)
        {
            throw new InvalidRecordBatchException($"The LZ4 frame claims {claimed} bytes and has {content.Length}.");
        }

        if (descriptor.HasContentChecksum && input.ReadWord("content checksum") != XxHash32.Compute(content))
        {
            throw new InvalidRecordBatchException("The content of the LZ4 frame fails its checksum.");
        }
    }

    private static Descriptor ReadDescriptor(ref Input input)
    {
        int start = input.Position;
        ReadOnlySpan<byte> fixedPart = input.Read(2, "descriptor");
        int flags = fixedPart[0];
        int blockCode = fixedPart[1] >> 4;
        if ((flags & VersionMask) != Version || (flags & ReservedFlag) != 0)
        {
            throw new InvalidRecordBatchException($"The LZ4 frame has flags {flags:X2}, which are of no known version.");
        }

        if ((flags & DictionaryFlag) != 0)
        {
            throw new InvalidRecordBatchException("The LZ4 frame needs a dictionary; Kafka has none.");
        }

        if (blockCode < SmallestBlockCode || (fixedPart[1] & ~BlockSizeMask) != 0)
        {
            throw new InvalidRecordBatchException($"The LZ4 frame has block descriptor {fixedPart[1]:X2}, which is not defined.");
        }

        ulong? contentByteCount = null;
        if ((flags & ContentSizeFlag) != 0)
        {
            contentByteCount = BinaryPrimitives.ReadUInt64LittleEndian(input.Read(sizeof(ulong), "content size"));
        }

        byte expected = (byte)(XxHash32.Compute(input.Since(start)) >> 8);
        byte checksum = input.Read(1, "header checksum")[0];
        if (checksum != expected)
        {
            throw new InvalidRecordBatchException($"The LZ4 frame header has checksum {checksum:X2}; its content gives {expected:X2}.");
        }

        return new Descriptor(
            IsIndependent: (flags & IndependentFlag) != 0,
            HasBlockChecksums: (flags & BlockChecksumFlag) != 0,
            HasContentChecksum: (flags & ContentChecksumFlag) != 0,
            ContentByteCount: contentByteCount,
            BlockByteCount: 1 << (SmallestBlockShift + (2 * (blockCode - SmallestBlockCode))));
    }

    private static void DecompressBlock(ReadOnlySpan<byte> data, int position, Descriptor descriptor, int frameStart, CodecBuffer output)
    {
        int possible = (int)Math.Min(descriptor.BlockByteCount, (long)data.Length * Lz4Block.MaximumRatio);
        int room = Math.Min(possible, output.Remaining);

        // Linked blocks reach back into those before them, independent ones only into themselves.
        int historyStart = descriptor.IsIndependent ? output.Count : frameStart;
        Span<byte> target = output.ReserveWithHistory(room)[historyStart..];
        Lz4BlockVerdict verdict = Lz4Block.Decompress(data, target, output.Count - historyStart, out int byteCount);
        if (verdict == Lz4BlockVerdict.TooLarge && room < possible)
        {
            output.ThrowTooLarge();
        }

        if (verdict != Lz4BlockVerdict.Decoded)
        {
            string fault = verdict switch
            {
                Lz4BlockVerdict.CutOff => "ends inside a sequence",
                Lz4BlockVerdict.BadOffset => "copies from before its beginning",
                _ => $"decodes to more than the {descriptor.BlockByteCount} bytes that its frame allows",
            };
            throw new InvalidRecordBatchException($"The LZ4 block at byte {position} {fault}.");
        }

        output.Advance(byteCount);
    }

    private readonly record struct Descriptor(
        bool IsIndependent,
        bool HasBlockChecksums,
        bool HasContentChecksum,
        ulong? ContentByteCount,
        int BlockByteCount);

    /// <summary>Reads forward; the end of the bytes is an error that names what was missing.</summary>
    private ref struct Input(ReadOnlySpan<byte> bytes)
    {
        private readonly ReadOnlySpan<byte> _bytes = bytes;

        public int Position { get; private set; }

        public readonly bool IsAtEnd => Position == _bytes.Length;

        public readonly ReadOnlySpan<byte> Since(int start) => _bytes[start..Position];

        public uint ReadWord(string what) => BinaryPrimitives.ReadUInt32LittleEndian(Read(WordByteCount, what));

        public ReadOnlySpan<byte> Read(uint byteCount, string what)
        {
            int left = _bytes.Length - Position;
            if (byteCount > (uint)left)
            {
                throw new InvalidRecordBatchException($"The LZ4 data ends in its {what}: at byte {Position}, {byteCount} bytes are due and {left} are there.");
            }

            ReadOnlySpan<byte> part = _bytes.Slice(Position, (int)byteCount);
            Position += (int)byteCount;
            return part;
        }
    }
}
