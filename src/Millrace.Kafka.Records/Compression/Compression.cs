namespace Millrace.Kafka.Records;

/// <summary>Compresses and decompresses the records of a batch, each codec in the form that Kafka's Java client reads and writes.</summary>
public static class Compression
{
    /// <summary>
    /// The default bound on what a batch may decompress to. A request has at most 100 MiB
    /// (<c>socket.request.max.bytes</c>), and producers bound their batches before compression.
    /// </summary>
    public const int DefaultMaximumDecompressedByteCount = 128 * 1024 * 1024;

    /// <summary>What most batches decompress to, as a multiple: room that is taken at once. A guess that is too low costs a copy.</summary>
    private const int UsualRatio = 4;

    /// <summary>The compressed form of <paramref name="source"/>.</summary>
    /// <exception cref="CodecUnavailableException">zstd, and the system has no libzstd.</exception>
    public static byte[] Compress(CompressionCodec codec, ReadOnlySpan<byte> source) => Compress(codec, source, reservedByteCount: 0);

    /// <summary>What <paramref name="source"/> decompresses to. Memory is allocated for what is decoded, never for what a header claims.</summary>
    /// <exception cref="InvalidRecordBatchException">The bytes are malformed, or there would be more than <paramref name="maximumByteCount"/>.</exception>
    /// <exception cref="CodecUnavailableException">zstd, and the system has no libzstd.</exception>
    public static byte[] Decompress(
        CompressionCodec codec,
        ReadOnlySpan<byte> source,
        int maximumByteCount = DefaultMaximumDecompressedByteCount)
    {
        using var output = new CodecBuffer(maximumByteCount);
        Decompress(codec, source, output);
        return output.ToArray();
    }

    /// <summary>As <see cref="Decompress(CompressionCodec, ReadOnlySpan{byte}, int)"/>, into an array of the shared pool, which the caller returns to it.</summary>
    /// <param name="codec">The codec.</param>
    /// <param name="source">What is decompressed.</param>
    /// <param name="maximumByteCount">The most bytes that there may be.</param>
    /// <param name="byteCount">How many bytes of the array are what was decompressed.</param>
    public static byte[] DecompressToPool(CompressionCodec codec, ReadOnlySpan<byte> source, int maximumByteCount, out int byteCount)
    {
        using var output = new CodecBuffer(maximumByteCount, (int)Math.Min(maximumByteCount, source.Length * (long)UsualRatio));
        Decompress(codec, source, output);
        byteCount = output.Count;
        return output.Detach();
    }

    private static void Decompress(CompressionCodec codec, ReadOnlySpan<byte> source, CodecBuffer output)
    {
        switch (codec)
        {
            case CompressionCodec.None:
                output.Append(source);
                break;
            case CompressionCodec.Gzip:
                Gzip.Decompress(source, output);
                break;
            case CompressionCodec.Snappy:
                Snappy.Decompress(source, output);
                break;
            case CompressionCodec.Lz4:
                Lz4Frame.Decompress(source, output);
                break;
            case CompressionCodec.Zstd:
                Zstd.Decompress(source, output);
                break;
            default:
                throw new InvalidRecordBatchException($"Compression codec {(int)codec} is unknown; known are 0 (none) to 4 (zstd).");
        }
    }

    /// <summary>As above, after <paramref name="reservedByteCount"/> zero bytes that the caller fills.</summary>
    internal static byte[] Compress(CompressionCodec codec, ReadOnlySpan<byte> source, int reservedByteCount)
    {
        using var output = new CodecBuffer(Array.MaxLength);
        output.Reserve(reservedByteCount).Clear();
        output.Advance(reservedByteCount);
        switch (codec)
        {
            case CompressionCodec.None:
                output.Append(source);
                break;
            case CompressionCodec.Gzip:
                Gzip.Compress(source, output);
                break;
            case CompressionCodec.Snappy:
                Snappy.Compress(source, output);
                break;
            case CompressionCodec.Lz4:
                Lz4Frame.Compress(source, output);
                break;
            case CompressionCodec.Zstd:
                Zstd.Compress(source, output);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(codec), codec, "Unknown compression codec.");
        }

        return output.ToArray();
    }
}
