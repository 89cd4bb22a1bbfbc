namespace Millrace.Kafka.Records;

/// <summary>Compresses and decompresses the records of a batch, each codec in the form that Kafka's Java client reads and writes.</summary>
public static class Compression
{
    /// <summary>
    /// The default bound on what a batch may decompress to. A request has at most 100 MiB
    /// (<c>socket.request.max.bytes</c>), and producers bound their batches before compression.
    /// </summary>
    public const int DefaultMaximumDecompressedByteCount = 128 * 1024 * 1024;

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

        return output.ToArray();
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
