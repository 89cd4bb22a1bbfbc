using System.Buffers;
using System.IO.Compression;

namespace Millrace.Kafka.Records;

/// <summary>gzip (RFC 1952).</summary>
/// <remarks>
/// <code>
/// member:  1F 8B 08             magic, deflate
///          flags 1              which optional fields follow the header
///          time 4, extra 1, system 1
///          [optional fields]
///          deflated data        RFC 1951
///          CRC-32 uint32        of the decoded bytes
///          size uint32          decoded bytes, modulo 2^32
/// </code>
/// All numbers are little-endian. Members may follow one another.
/// </remarks>
internal static class Gzip
{
    private const int ReadByteCount = 16 * 1024;

    /// <summary>Of nothing, GZipStream makes nothing, which is not a gzip file.</summary>
    private static ReadOnlySpan<byte> EmptyMember => [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    /// <summary>What <see cref="SentinelMember"/> decodes to.</summary>
    private static ReadOnlySpan<byte> Sentinel => [0x00, 0x65, 0x6E, 0x64, 0x20, 0x6F, 0x66, 0x00];

    // GZipStream takes the end of its input for the end of the content, wherever it comes, and ignores what is no member. So this one is
    // put behind the input: it is decoded last if, and only if, everything before it was whole.
    private static ReadOnlySpan<byte> SentinelMember =>
    [
        0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x63, 0x48, 0xCD, 0x4B, 0x51, 0xC8, 0x4F, 0x63,
        0x00, 0x00, 0x8E, 0xEC, 0xFE, 0x32, 0x08, 0x00, 0x00, 0x00,
    ];

    public static void Compress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        if (source.IsEmpty)
        {
            output.Append(EmptyMember);
            return;
        }

        using var target = new MemoryStream();
        using (var gzip = new GZipStream(target, CompressionLevel.Optimal, leaveOpen: true))
        {
            gzip.Write(source);
        }

        output.Append(target.GetBuffer().AsSpan(0, (int)target.Length));
    }

    public static void Decompress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        byte[] input = ArrayPool<byte>.Shared.Rent(source.Length + SentinelMember.Length);
        try
        {
            source.CopyTo(input);
            SentinelMember.CopyTo(input.AsSpan(source.Length));
            using var stream = new MemoryStream(input, 0, source.Length + SentinelMember.Length);
            using var gzip = new GZipStream(stream, CompressionMode.Decompress);
            DrainToSentinel(gzip, source.Length, output);
        }
        catch (InvalidDataException exception)
        {
            throw new InvalidRecordBatchException($"The gzip data is malformed: {exception.Message}", exception);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(input);
        }
    }

    private static void DrainToSentinel(GZipStream gzip, int sourceByteCount, CodecBuffer output)
    {
        // The bound is on the content alone: at the bound the sentinel, and one byte that would be too many, go here.
        Span<byte> overflow = stackalloc byte[Sentinel.Length + 1];
        int overflowCount = 0;
        while (true)
        {
            int room = Math.Min(ReadByteCount, output.Remaining);
            int byteCount = gzip.Read(room > 0 ? output.Reserve(room) : overflow[overflowCount..]);
            if (byteCount == 0)
            {
                break;
            }

            if (room > 0)
            {
                output.Advance(byteCount);
                continue;
            }

            overflowCount += byteCount;
            if (overflowCount > Sentinel.Length)
            {
                output.ThrowTooLarge();
            }
        }

        int inOutput = Sentinel.Length - overflowCount;
        if (sourceByteCount == 0
            || !output.Written.EndsWith(Sentinel[..inOutput])
            || !overflow[..overflowCount].SequenceEqual(Sentinel[inOutput..]))
        {
            throw new InvalidRecordBatchException("The gzip data is cut off, or followed by bytes that are no member of it.");
        }

        output.Advance(-inOutput);
    }
}
