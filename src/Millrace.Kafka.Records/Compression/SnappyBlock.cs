using System.Buffers.Binary;

namespace Millrace.Kafka.Records;

/// <summary>Decodes the elements of a snappy block: literals, and copies of what was decoded before.</summary>
/// <remarks>
/// <code>
/// block:    decoded length varint, elements
/// element:  tag 1, whose two lowest bits are the kind
///   0 literal   length - 1 in the upper six bits; 60 to 63: in the 1 to 4 bytes that follow, little-endian; then the bytes
///   1 copy      length - 4 in bits 2-4 (4 to 11), offset: upper three bits of the tag and 1 byte
///   2 copy      length - 1 in the upper six bits, offset: 2 bytes, little-endian
///   3 copy      the same, offset: 4 bytes
/// </code>
/// An offset counts back from here, and may be less than the length: the copy repeats itself.
/// </remarks>
internal static class SnappyBlock
{
    private const int KindMask = 3;
    private const int LiteralKind = 0;
    private const int ShortCopyKind = 1;
    private const int MediumCopyKind = 2;
    private const int LongestInlineLiteral = 60;
    private const int BitsPerByte = 8;

    /// <summary>Decodes exactly as much as the target holds. Returns what is wrong with the elements, or null.</summary>
    /// <param name="source">The elements.</param>
    /// <param name="target">As long as the block says that it decodes to.</param>
    public static string? Decompress(ReadOnlySpan<byte> source, Span<byte> target)
    {
        int read = 0;
        int written = 0;
        while (read < source.Length)
        {
            int tag = source[read++];
            int kind = tag & KindMask;
            if (kind == LiteralKind)
            {
                if (!TryReadLiteralLength(source, ref read, tag >> 2, out long length) || length > source.Length - read)
                {
                    return "it ends inside a literal";
                }

                if (length > target.Length - written)
                {
                    return "it decodes to more than it claims";
                }

                source.Slice(read, (int)length).CopyTo(target[written..]);
                read += (int)length;
                written += (int)length;
                continue;
            }

            if (!TryReadCopy(source, ref read, tag, kind, out int copied, out long offset))
            {
                return "it ends inside a copy";
            }

            if (offset == 0 || offset > written)
            {
                return "it copies from before its beginning";
            }

            if (copied > target.Length - written)
            {
                return "it decodes to more than it claims";
            }

            Copy(target, written, (int)offset, copied);
            written += copied;
        }

        return written == target.Length ? null : $"it claims {target.Length} bytes and decodes to {written}";
    }

    private static bool TryReadLiteralLength(ReadOnlySpan<byte> source, ref int read, int code, out long length)
    {
        length = code + 1;
        if (code < LongestInlineLiteral)
        {
            return true;
        }

        int byteCount = code - LongestInlineLiteral + 1;
        if (byteCount > source.Length - read)
        {
            return false;
        }

        uint value = 0;
        for (int i = 0; i < byteCount; i++)
        {
            value |= (uint)source[read++] << (i * BitsPerByte);
        }

        length = value + 1L;
        return true;
    }

    private static bool TryReadCopy(ReadOnlySpan<byte> source, ref int read, int tag, int kind, out int length, out long offset)
    {
        int offsetByteCount = kind switch { ShortCopyKind => sizeof(byte), MediumCopyKind => sizeof(ushort), _ => sizeof(uint) };
        length = kind == ShortCopyKind ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
        offset = 0;
        if (offsetByteCount > source.Length - read)
        {
            return false;
        }

        ReadOnlySpan<byte> bytes = source.Slice(read, offsetByteCount);
        offset = kind switch
        {
            ShortCopyKind => ((tag >> 5) << BitsPerByte) | bytes[0],
            MediumCopyKind => BinaryPrimitives.ReadUInt16LittleEndian(bytes),
            _ => BinaryPrimitives.ReadUInt32LittleEndian(bytes),
        };
        read += offsetByteCount;
        return true;
    }

    private static void Copy(Span<byte> target, int written, int offset, int length)
    {
        // What is copied may itself be in the making: then as much at a time as there is of it, which doubles.
        int start = written - offset;
        while (length > 0)
        {
            int part = Math.Min(length, written - start);
            target.Slice(start, part).CopyTo(target[written..]);
            written += part;
            length -= part;
        }
    }
}
