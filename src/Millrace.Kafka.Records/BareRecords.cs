using System.Buffers;

namespace Millrace.Kafka.Records;

/// <summary>The records of a batch without its header: where they lie, or decompressed into memory of the shared pool, to which they go back at the end.</summary>
internal readonly ref struct BareRecords
{
    private readonly byte[]? _pooled;

    private BareRecords(ReadOnlySpan<byte> bytes, byte[]? pooled)
    {
        Bytes = bytes;
        _pooled = pooled;
    }

    /// <summary>Valid until this is disposed.</summary>
    public ReadOnlySpan<byte> Bytes { get; }

    /// <exception cref="InvalidRecordBatchException">They cannot be decompressed, or to more than <paramref name="maximumByteCount"/>.</exception>
    /// <exception cref="CodecUnavailableException">They are compressed with a codec that the system does not have.</exception>
    public static BareRecords Open(
        ReadOnlySpan<byte> batch, in RecordBatchHeader header, int maximumByteCount = Compression.DefaultMaximumDecompressedByteCount)
    {
        ReadOnlySpan<byte> payload = batch[RecordBatchHeader.ByteCount..header.TotalByteCount];
        if (header.Codec == CompressionCodec.None || header.RecordCount == 0)
        {
            return new BareRecords(payload, pooled: null);
        }

        byte[] pooled = Compression.DecompressToPool(header.Codec, payload, maximumByteCount, out int byteCount);
        return new BareRecords(pooled.AsSpan(0, byteCount), pooled);
    }

    public void Dispose()
    {
        if (_pooled is not null)
        {
            ArrayPool<byte>.Shared.Return(_pooled);
        }
    }
}
