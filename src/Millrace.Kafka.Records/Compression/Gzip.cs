using System.IO.Compression;

namespace Millrace.Kafka.Records;

/// <summary>gzip (RFC 1952): one or more members, each with a header, deflated data, a CRC-32 and its decoded length.</summary>
internal static class Gzip
{
    private const int ReadByteCount = 16 * 1024;

    public static void Compress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        using var target = new MemoryStream();
        using (var gzip = new GZipStream(target, CompressionLevel.Optimal, leaveOpen: true))
        {
            gzip.Write(source);
        }

        output.Append(target.GetBuffer().AsSpan(0, (int)target.Length));
    }

    public static unsafe void Decompress(ReadOnlySpan<byte> source, CodecBuffer output)
    {
        fixed (byte* start = source)
        {
            using var stream = new UnmanagedMemoryStream(start, source.Length);
            using var gzip = new GZipStream(stream, CompressionMode.Decompress);
            try
            {
                Drain(gzip, output);
            }
            catch (InvalidDataException exception)
            {
                throw new InvalidRecordBatchException($"The gzip data is malformed: {exception.Message}", exception);
            }
        }
    }

    private static void Drain(GZipStream gzip, CodecBuffer output)
    {
        // At the bound, one more byte tells a full output from one that is too large.
        Span<byte> probe = stackalloc byte[1];
        while (true)
        {
            int room = Math.Min(ReadByteCount, output.Remaining);
            int byteCount = gzip.Read(room > 0 ? output.Reserve(room) : probe);
            if (byteCount == 0)
            {
                return;
            }

            if (room == 0)
            {
                output.ThrowTooLarge();
            }

            output.Advance(byteCount);
        }
    }
}
