using System.Buffers.Binary;

namespace Millrace.Kafka.Records;

/// <summary>Zstandard (RFC 8878), by the system's libzstd.</summary>
/// <remarks>
/// <code>
/// frame:       28 B5 2F FD, header (window size, content size if known), blocks, checksum if flagged
/// skippable:   5x 2A 4D 18, size uint32, that many bytes
/// </code>
/// Frames may follow one another. Each is decoded in one call straight into the output, which grows and is tried again when it is too small:
/// so the window that a frame claims (up to gigabytes) is never allocated. A frame of the formats before 0.8, which libzstd may still
/// decode, is refused.
/// </remarks>
internal static class Zstd
{
    private const uint Magic = 0xFD2FB528;
    private const uint SkippableMagic = 0x184D2A50;
    private const uint SkippableMask = 0xFFFFFFF0;
    private const int DefaultLevel = 3;
    private const int SmallestOutputByteCount = 64 * 1024;
    private const int UsualRatio = 8;
    private const int TrustedRatio = 64;

    // libzstd has no global state; what is kept here is the address of its code.
    private static readonly Lazy<ZstdLibrary> Library = new(ZstdLibrary.Load, LazyThreadSafetyMode.PublicationOnly);

    public static unsafe void Compress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        ZstdLibrary library = Library.Value;
        nuint bound = library.CompressBound((nuint)source.Length);
        Span<byte> target = output.Reserve(checked((int)bound));
        nuint result;
        fixed (byte* targetStart = target)
        fixed (byte* sourceStart = source)
        {
            result = library.Compress(targetStart, (nuint)target.Length, sourceStart, (nuint)source.Length, DefaultLevel);
        }

        if (library.IsError(result))
        {
            throw new InvalidOperationException($"libzstd cannot compress {source.Length} bytes: {library.ErrorName(result)}.");
        }

        output.Advance((int)result);
    }

    public static unsafe void Decompress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        ZstdLibrary library = Library.Value;
        int position = 0;
        do
        {
            ReadOnlySpan<byte> rest = source[position..];
            uint magic = rest.Length < sizeof(uint) ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(rest);
            bool isSkippable = (magic & SkippableMask) == SkippableMagic;
            if (magic != Magic && !isSkippable)
            {
                throw new InvalidRecordBatchException($"The zstd data at byte {position} does not begin with the magic of a frame.");
            }

            nuint frameByteCount;
            fixed (byte* start = rest)
            {
                frameByteCount = library.FindFrameCompressedSize(start, (nuint)rest.Length);
            }

            if (library.IsError(frameByteCount))
            {
                throw new InvalidRecordBatchException($"The zstd frame at byte {position} is malformed: {library.ErrorName(frameByteCount)}.");
            }

            if (!isSkippable)
            {
                DecompressFrame(library, rest[..(int)frameByteCount], position, output);
            }

            position += (int)frameByteCount;
        }
        while (position < source.Length);
    }

    private static unsafe void DecompressFrame(ZstdLibrary library, ReadOnlySpan<byte> frame, int position, CodecBuffer output)
    {
        long capacity = FirstCapacity(library, frame);
        while (true)
        {
            Span<byte> target = output.Reserve((int)Math.Min(capacity, output.Remaining));
            nuint result;
            fixed (byte* targetStart = target)
            fixed (byte* sourceStart = frame)
            {
                result = library.Decompress(targetStart, (nuint)target.Length, sourceStart, (nuint)frame.Length);
            }

            if (!library.IsError(result))
            {
                output.Advance((int)result);
                return;
            }

            if (!library.IsOutputTooSmall(result))
            {
                throw new InvalidRecordBatchException($"The zstd frame at byte {position} is malformed: {library.ErrorName(result)}.");
            }

            if (target.Length == output.Remaining)
            {
                output.ThrowTooLarge();
            }

            capacity *= 2;
        }
    }

    /// <summary>The claimed size where it is believable, else a guess; a wrong one costs another round.</summary>
    private static unsafe long FirstCapacity(ZstdLibrary library, ReadOnlySpan<byte> frame)
    {
        fixed (byte* start = frame)
        {
            ulong? claimed = library.FrameContentSize(start, (nuint)frame.Length);
            long trusted = Math.Max(SmallestOutputByteCount, frame.Length * (long)TrustedRatio);
            return claimed is { } size
                ? Math.Max(1, (long)Math.Min(size, (ulong)trusted))
                : Math.Max(SmallestOutputByteCount, frame.Length * (long)UsualRatio);
        }
    }
}
