using System.Buffers.Binary;

namespace Millrace.Kafka.Records;

/// <summary>
/// The control record that ends a producer's transaction in a partition (KIP-98). A batch of its own holds it, written by the broker.
/// </summary>
/// <remarks>
/// <code>
/// key:    2 version 0, 2 type: 0 abort, 1 commit (types above these belong to Kafka's own quorum)
/// value:  2 version 0, 4 epoch of the coordinator
/// </code>
/// All numbers are big-endian. Newer versions may only add to the end, so they are read as version 0.
/// </remarks>
public readonly record struct EndTransactionMarker(bool IsCommit, int CoordinatorEpoch)
{
    private const int KeyByteCount = 4;
    private const int ValueByteCount = 6;
    private const int VersionByteCount = 2;
    private const short AbortType = 0;
    private const short CommitType = 1;
    private const int NoSequence = -1;
    private const int InitialByteCount = 128;

    /// <summary>A batch that holds the marker alone, with base offset 0, in the name of the producer whose transaction it ends.</summary>
    public Memory<byte> ToBatch(ProducerIdentity producer, long timestamp)
    {
        Span<byte> key = stackalloc byte[KeyByteCount];
        BinaryPrimitives.WriteInt16BigEndian(key, 0);
        BinaryPrimitives.WriteInt16BigEndian(key[VersionByteCount..], IsCommit ? CommitType : AbortType);
        Span<byte> value = stackalloc byte[ValueByteCount];
        BinaryPrimitives.WriteInt16BigEndian(value, 0);
        BinaryPrimitives.WriteInt32BigEndian(value[VersionByteCount..], CoordinatorEpoch);

        var builder = new RecordBatchBuilder(CompressionCodec.None, InitialByteCount);
        builder.Append(timestamp, key, keyIsNull: false, value, valueIsNull: false, headers: null);
        return builder.Build(producer, NoSequence, isTransactional: true, isControl: true);
    }

    /// <summary>
    /// Reads the marker in the batch at the start of <paramref name="bytes"/>. False where that is no control batch, is one of another
    /// type, or holds nothing any more because compaction took it out.
    /// </summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out EndTransactionMarker marker)
    {
        marker = default;
        if (bytes.Length < RecordBatchHeader.ByteCount)
        {
            return false;
        }

        RecordBatchHeader header = RecordBatchHeader.Read(bytes);
        if (!header.IsControl || header.Codec != CompressionCodec.None || header.BatchLength < RecordBatchHeader.MinimumBatchLength
            || header.BatchLength > bytes.Length - RecordBatchHeader.LengthPrefixByteCount)
        {
            return false;
        }

        ReadOnlySpan<byte> records = bytes[RecordBatchHeader.ByteCount..header.TotalByteCount];
        var reader = new RecordReader(records, header);
        return reader.TryReadNext(out RecordLayout layout)
            && TryRead(Slice(records, layout.Key), Slice(records, layout.Value), out marker);
    }

    private static bool TryRead(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, out EndTransactionMarker marker)
    {
        marker = default;
        if (key.Length < KeyByteCount || value.Length < ValueByteCount
            || BinaryPrimitives.ReadInt16BigEndian(key) < 0 || BinaryPrimitives.ReadInt16BigEndian(value) < 0)
        {
            return false;
        }

        short type = BinaryPrimitives.ReadInt16BigEndian(key[VersionByteCount..]);
        marker = new EndTransactionMarker(type == CommitType, BinaryPrimitives.ReadInt32BigEndian(value[VersionByteCount..]));
        return type is AbortType or CommitType;
    }

    private static ReadOnlySpan<byte> Slice(ReadOnlySpan<byte> records, ByteRange range) =>
        range.IsNull ? [] : records.Slice(range.Start, range.Length);
}
