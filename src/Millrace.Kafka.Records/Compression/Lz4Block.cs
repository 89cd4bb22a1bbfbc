using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Millrace.Kafka.Records;

/// <summary>The LZ4 block format: literals and copies of what was decoded before.</summary>
/// <remarks>
/// <code>
/// sequence:  token 1          high four bits: literal count, low four: match length minus 4
///            [more count]     when the count is 15: bytes to add, up to and including the first that is not 255
///            literals
///            offset uint16    little-endian, 1 to 65535 back from here; may be less than the length: the match repeats itself
///            [more length]    as above
/// </code>
/// The last sequence ends after its literals. A writer ends with at least five literals, and starts no match in the last twelve bytes.
/// </remarks>
internal static class Lz4Block
{
    /// <summary>More bytes of output than this for each byte of input cannot be.</summary>
    public const int MaximumRatio = 255;

    /// <summary>The largest block that <see cref="TryCompress"/> takes: its positions fit into 16 bits.</summary>
    public const int MaximumCompressibleByteCount = 64 * 1024;

    public const int HashTableSize = 1 << HashBitCount;

    private const int HashBitCount = 13;
    private const int MinimumMatchByteCount = 4;
    private const int LastLiteralCount = 5;
    private const int MatchFreeTailByteCount = 12;
    private const int NibbleMaximum = 15;
    private const int OffsetByteCount = 2;

    // After this many misses in a row the search begins to skip bytes, so that incompressible data passes quickly.
    private const int SkipTriggerBitCount = 6;

    /// <summary>Compresses greedily. False when the result does not fit into <paramref name="target"/>.</summary>
    /// <param name="source">At most <see cref="MaximumCompressibleByteCount"/>.</param>
    /// <param name="target">Where the block goes.</param>
    /// <param name="table">Scratch of <see cref="HashTableSize"/>: hash of four bytes to where they were seen last.</param>
    /// <param name="byteCount">The size of the block.</param>
    public static bool TryCompress(ReadOnlySpan<byte> source, Span<byte> target, Span<ushort> table, out int byteCount)
    {
        byteCount = 0;
        table.Clear();
        int literalStart = 0;
        int position = 1;
        int lastMatchStart = source.Length - MatchFreeTailByteCount;
        while (TryFindMatch(source, table, lastMatchStart, ref position, out int candidate))
        {
            while (position > literalStart && candidate > 0 && source[position - 1] == source[candidate - 1])
            {
                position--;
                candidate--;
            }

            ReadOnlySpan<byte> rest = source[position..^LastLiteralCount];
            int matchByteCount = rest.CommonPrefixLength(source[candidate..]);
            if (!TryWrite(source[literalStart..position], position - candidate, matchByteCount, target, ref byteCount))
            {
                return false;
            }

            position += matchByteCount;
            literalStart = position;
            if (position <= lastMatchStart)
            {
                table[Hash(ReadWord(source, position - 2))] = (ushort)(position - 2);
            }
        }

        return TryWrite(source[literalStart..], offset: 0, matchByteCount: 0, target, ref byteCount);
    }

    /// <summary>Decodes a block behind what <paramref name="target"/> holds already.</summary>
    /// <param name="source">The whole block.</param>
    /// <param name="target">Earlier output that matches may reach back to, and room for the block's.</param>
    /// <param name="start">Where the block's output begins.</param>
    /// <param name="byteCount">How much was decoded.</param>
    public static Lz4BlockVerdict Decompress(ReadOnlySpan<byte> source, Span<byte> target, int start, out int byteCount)
    {
        int read = 0;
        int written = start;
        byteCount = 0;
        while (read < source.Length)
        {
            byte token = source[read++];
            int literalCount = token >> 4;
            if (literalCount == NibbleMaximum && !TryReadMore(source, ref read, ref literalCount))
            {
                return Lz4BlockVerdict.CutOff;
            }

            if (literalCount > source.Length - read)
            {
                return Lz4BlockVerdict.CutOff;
            }

            if (literalCount > target.Length - written)
            {
                return Lz4BlockVerdict.TooLarge;
            }

            source.Slice(read, literalCount).CopyTo(target[written..]);
            read += literalCount;
            written += literalCount;
            if (read == source.Length)
            {
                byteCount = written - start;
                return Lz4BlockVerdict.Decoded;
            }

            if (source.Length - read < OffsetByteCount)
            {
                return Lz4BlockVerdict.CutOff;
            }

            int offset = BinaryPrimitives.ReadUInt16LittleEndian(source[read..]);
            read += OffsetByteCount;
            int matchByteCount = token & NibbleMaximum;
            if (matchByteCount == NibbleMaximum && !TryReadMore(source, ref read, ref matchByteCount))
            {
                return Lz4BlockVerdict.CutOff;
            }

            matchByteCount += MinimumMatchByteCount;
            if (offset == 0 || offset > written)
            {
                return Lz4BlockVerdict.BadOffset;
            }

            if (matchByteCount > target.Length - written)
            {
                return Lz4BlockVerdict.TooLarge;
            }

            CopyMatch(target, written, offset, matchByteCount);
            written += matchByteCount;
        }

        // A block ends after literals; this one ended after a match, or has no bytes at all.
        return Lz4BlockVerdict.CutOff;
    }

    private static bool TryFindMatch(ReadOnlySpan<byte> source, Span<ushort> table, int lastMatchStart, ref int position, out int candidate)
    {
        int attempts = 1 << SkipTriggerBitCount;
        while (position <= lastMatchStart)
        {
            uint word = ReadWord(source, position);
            int slot = Hash(word);
            candidate = table[slot];
            table[slot] = (ushort)position;

            // An empty slot says 0, which is a position like any other: only the bytes decide.
            if (candidate < position && ReadWord(source, candidate) == word)
            {
                return true;
            }

            position += attempts++ >> SkipTriggerBitCount;
        }

        candidate = 0;
        return false;
    }

    /// <summary>Writes a sequence; one without match length is the last.</summary>
    private static bool TryWrite(ReadOnlySpan<byte> literals, int offset, int matchByteCount, Span<byte> target, ref int position)
    {
        bool isLast = matchByteCount == 0;
        int matchCode = isLast ? 0 : matchByteCount - MinimumMatchByteCount;
        int needed = 1 + MoreByteCount(literals.Length) + literals.Length + (isLast ? 0 : OffsetByteCount + MoreByteCount(matchCode));
        if (needed > target.Length - position)
        {
            return false;
        }

        target[position++] = (byte)((Math.Min(literals.Length, NibbleMaximum) << 4) | Math.Min(matchCode, NibbleMaximum));
        WriteMore(literals.Length, target, ref position);
        literals.CopyTo(target[position..]);
        position += literals.Length;
        if (!isLast)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(target[position..], (ushort)offset);
            position += OffsetByteCount;
            WriteMore(matchCode, target, ref position);
        }

        return true;
    }

    private static int MoreByteCount(int count) => count < NibbleMaximum ? 0 : 1 + ((count - NibbleMaximum) / byte.MaxValue);

    private static void WriteMore(int count, Span<byte> target, ref int position)
    {
        if (count < NibbleMaximum)
        {
            return;
        }

        for (count -= NibbleMaximum; count >= byte.MaxValue; count -= byte.MaxValue)
        {
            target[position++] = byte.MaxValue;
        }

        target[position++] = (byte)count;
    }

    private static bool TryReadMore(ReadOnlySpan<byte> source, ref int position, ref int count)
    {
        // A block has at most 4 MiB, so the sum stays far below 2^31.
        while (position < source.Length)
        {
            byte more = source[position++];
            count += more;
            if (more != byte.MaxValue)
            {
                return true;
            }
        }

        return false;
    }

    private static void CopyMatch(Span<byte> target, int position, int offset, int byteCount)
    {
        // A match may overlap itself: what is copied doubles with every round.
        int from = position - offset;
        while (byteCount > 0)
        {
            int chunk = Math.Min(position - from, byteCount);
            target.Slice(from, chunk).CopyTo(target[position..]);
            position += chunk;
            byteCount -= chunk;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint ReadWord(ReadOnlySpan<byte> source, int position) =>
        MemoryMarshal.Read<uint>(source.Slice(position, sizeof(uint)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Hash(uint word) => (int)((word * 2654435761u) >> (32 - HashBitCount));
}

internal enum Lz4BlockVerdict
{
    Decoded,

    /// <summary>It ends inside a sequence.</summary>
    CutOff,

    /// <summary>A match reaches back before the output begins.</summary>
    BadOffset,

    /// <summary>Its output does not fit.</summary>
    TooLarge,
}
