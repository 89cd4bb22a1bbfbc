using System.Buffers.Binary;

namespace Millrace.Kafka.Records;

/// <summary>
/// Snappy blocks, in the framing of snappy-java ("xerial") that Java's client writes, or bare, as librdkafka writes them. Both are read.
/// </summary>
/// <remarks>
/// <code>
/// xerial:  82 53 4E 41 50 50 59 00     magic, "\x82SNAPPY\0"
///          version int32               1
///          compatible version int32    1
///          then until the end:         length int32, a snappy block of that length
/// block:   decoded length, unsigned varint of 32 bits, then literals and copies
/// </code>
/// The integers of the framing are big-endian.
/// </remarks>
internal static class Snappy
{
    private const int FrameHeaderByteCount = 16;
    private const int FrameVersion = 1;

    /// <summary>What snappy-java puts into a block.</summary>
    private const int BlockByteCount = 32 * 1024;

    // A copy of three bytes yields 64, and no element yields more for its size.
    private const int MaximumRatio = 22;

    private static ReadOnlySpan<byte> FrameMagic => [0x82, (byte)'S', (byte)'N', (byte)'A', (byte)'P', (byte)'P', (byte)'Y', 0];

    public static void Compress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        output.Append(FrameMagic);
        AppendInt32(output, FrameVersion);
        AppendInt32(output, FrameVersion);
        while (!source.IsEmpty)
        {
            ReadOnlySpan<byte> block = source[..Math.Min(BlockByteCount, source.Length)];
            byte[] encoded = IronSnappy.Snappy.Encode(block);
            AppendInt32(output, encoded.Length);
            output.Append(encoded);
            source = source[block.Length..];
        }
    }

    public static void Decompress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        if (!source.StartsWith(FrameMagic))
        {
            DecompressBlock(source, 0, output);
            return;
        }

        if (source.Length < FrameHeaderByteCount)
        {
            throw new InvalidRecordBatchException($"The snappy frame header has {source.Length} bytes of {FrameHeaderByteCount}.");
        }

        int compatibleVersion = BinaryPrimitives.ReadInt32BigEndian(source[(FrameHeaderByteCount - sizeof(int))..]);
        if (compatibleVersion != FrameVersion)
        {
            throw new InvalidRecordBatchException($"The snappy frame needs a reader of version {compatibleVersion}; this is one of version {FrameVersion}.");
        }

        int position = FrameHeaderByteCount;
        while (position < source.Length)
        {
            int left = source.Length - position - sizeof(int);
            int byteCount = left < 0 ? -1 : BinaryPrimitives.ReadInt32BigEndian(source[position..]);
            if (byteCount < 0 || byteCount > left)
            {
                throw new InvalidRecordBatchException($"The snappy block at byte {position} is cut off or claims a length that {Math.Max(left, 0)} remaining bytes contradict.");
            }

            position += sizeof(int);
            DecompressBlock(source.Slice(position, byteCount), position, output);
            position += byteCount;
        }
    }

    private static void DecompressBlock(ReadOnlySpan<byte> block, int position, CodecBuffer output)
    {
        if (!Varint.TryReadUnsigned(block, out uint claimed, out int lengthByteCount))
        {
            throw new InvalidRecordBatchException($"The snappy block at byte {position} has no decoded length.");
        }

        if (claimed > (long)block.Length * MaximumRatio)
        {
            throw new InvalidRecordBatchException($"The snappy block at byte {position} claims that its {block.Length} bytes decode to {claimed}, more than any can.");
        }

        if (claimed > output.Remaining)
        {
            output.ThrowTooLarge();
        }

        string? fault = SnappyBlock.Decompress(block[lengthByteCount..], output.Reserve((int)claimed));
        if (fault is not null)
        {
            throw new InvalidRecordBatchException($"The snappy block at byte {position} is malformed: {fault}.");
        }

        output.Advance((int)claimed);
    }

    private static void AppendInt32(CodecBuffer output, int value)
    {
        BinaryPrimitives.WriteInt32BigEndian(output.Reserve(sizeof(int)), value);
        output.Advance(sizeof(int));
    }
}
