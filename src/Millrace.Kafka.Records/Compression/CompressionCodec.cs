namespace Millrace.Kafka.Records;

/// <summary>How the records of a batch are compressed: the lowest three bits of its attributes.</summary>
public enum CompressionCodec
{
    /// <summary>As the records are.</summary>
    None = 0,

    /// <summary>Deflate with its header and checksum (RFC 1952). Small, and slow to write.</summary>
    Gzip = 1,

    /// <summary>Fast, and compresses little.</summary>
    Snappy = 2,

    /// <summary>Fast, in the frame format of LZ4.</summary>
    Lz4 = 3,

    /// <summary>Small and fast (RFC 8878). Needs the system's libzstd, and brokers from Kafka 2.1 on.</summary>
    Zstd = 4,
}
