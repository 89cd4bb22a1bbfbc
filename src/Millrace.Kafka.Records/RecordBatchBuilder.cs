using System.Text;

namespace Millrace.Kafka.Records;

/// <summary>
/// Builds one record batch at a time. Not thread-safe.
/// </summary>
/// <remarks>
/// <code>
/// record:  length varint, counts what follows
///          attributes 1, unused
///          timestamp delta varlong, to the batch's base timestamp, which is that of its first record
///          offset delta varint
///          key length varint (-1: null), key
///          value length varint (-1: null), value
///          header count varint, then for each: key length varint, key, value length varint (-1: null), value
/// </code>
/// All varints are zigzag.
/// </remarks>
public sealed class RecordBatchBuilder
{
    public const int DefaultInitialByteCount = 4096;

    private const int NullLength = -1;
    private const int NoSequence = -1;
    private const int UnknownLeaderEpoch = -1;
    private const int AttributesByteCount = 1;

    private readonly CompressionCodec codec;
    private readonly int initialByteCount;
    private byte[] buffer;
    private int position = RecordBatchHeader.ByteCount;
    private long baseTimestamp;
    private long maxTimestamp;
    private bool isBuilt;

    public RecordBatchBuilder(CompressionCodec codec = CompressionCodec.None, int initialByteCount = DefaultInitialByteCount)
    {
        if (codec is < CompressionCodec.None or > CompressionCodec.Zstd)
        {
            throw new ArgumentOutOfRangeException(nameof(codec), codec, "Unknown compression codec.");
        }

        this.codec = codec;
        this.initialByteCount = Math.Max(initialByteCount, RecordBatchHeader.ByteCount);
        buffer = new byte[this.initialByteCount];
    }

    public int RecordCount { get; private set; }

    /// <summary>The bytes of the batch if it were built now, before compression.</summary>
    public int EstimatedByteCount => position;

    /// <summary>An upper bound of what a record adds to a batch, before compression.</summary>
    public static long EstimateRecordByteCount(int keyByteCount, int valueByteCount, IReadOnlyList<RecordHeader>? headers = null)
    {
        const int fixedByteCount = AttributesByteCount + Varint.MaximumByteCount64 + (5 * Varint.MaximumByteCount32);

        long byteCount = fixedByteCount + (long)keyByteCount + valueByteCount;
        for (int i = 0; i < (headers?.Count ?? 0); i++)
        {
            RecordHeader header = headers![i];
            byteCount += (2 * Varint.MaximumByteCount32) + Encoding.UTF8.GetByteCount(header.Key) + (header.Value?.Length ?? 0);
        }

        return byteCount;
    }

    /// <inheritdoc cref="Append(long, ReadOnlySpan{byte}, bool, ReadOnlySpan{byte}, bool, IReadOnlyList{RecordHeader})"/>
    public void Append(
        long timestamp,
        ReadOnlyMemory<byte>? key,
        ReadOnlyMemory<byte>? value,
        IReadOnlyList<RecordHeader>? headers = null) =>
        Append(timestamp, key.GetValueOrDefault().Span, key is null, value.GetValueOrDefault().Span, value is null, headers);

    /// <summary>Adds a record; its bytes are copied.</summary>
    /// <exception cref="InvalidOperationException">The batch is built, or would not fit into an array.</exception>
    public void Append(
        long timestamp,
        ReadOnlySpan<byte> key,
        bool keyIsNull,
        ReadOnlySpan<byte> value,
        bool valueIsNull,
        IReadOnlyList<RecordHeader>? headers)
    {
        if (isBuilt)
        {
            throw new InvalidOperationException("The batch is built. Call Reset before the next record.");
        }

        EnsureCapacity(EstimateRecordByteCount(key.Length, value.Length, headers));
        if (RecordCount == 0)
        {
            baseTimestamp = timestamp;
            maxTimestamp = timestamp;
        }

        // Wraps for timestamps more than 2^63 apart, and wraps back when it is read.
        long timestampDelta = unchecked(timestamp - baseTimestamp);
        int offsetDelta = RecordCount;
        int headerCount = headers?.Count ?? 0;

        int byteCount = AttributesByteCount
            + Varint.ZigzagByteCount(timestampDelta)
            + Varint.ZigzagByteCount(offsetDelta)
            + LengthAndByteCount(key.Length, keyIsNull)
            + LengthAndByteCount(value.Length, valueIsNull)
            + Varint.ZigzagByteCount(headerCount)
            + HeadersByteCount(headers);

        position += Varint.WriteZigzag(buffer.AsSpan(position), byteCount);
        buffer[position++] = 0;
        position += Varint.WriteZigzag(buffer.AsSpan(position), timestampDelta);
        position += Varint.WriteZigzag(buffer.AsSpan(position), offsetDelta);
        WriteBytes(key, keyIsNull);
        WriteBytes(value, valueIsNull);
        position += Varint.WriteZigzag(buffer.AsSpan(position), headerCount);
        for (int i = 0; i < headerCount; i++)
        {
            WriteHeader(headers![i]);
        }

        maxTimestamp = Math.Max(maxTimestamp, timestamp);
        RecordCount++;
    }

    /// <inheritdoc cref="Build(ProducerIdentity, int, bool, bool)"/>
    public Memory<byte> Build() => Build(ProducerIdentity.None, NoSequence);

    /// <summary>
    /// The finished batch: base offset 0, leader epoch -1, checksum set. It belongs to the caller; the builder does not touch it again.
    /// </summary>
    /// <exception cref="InvalidOperationException">There are no records, or the batch was built already.</exception>
    public Memory<byte> Build(ProducerIdentity producer, int baseSequence, bool isTransactional = false, bool isControl = false)
    {
        if (RecordCount == 0)
        {
            throw new InvalidOperationException("A batch holds at least one record.");
        }

        if (isBuilt)
        {
            throw new InvalidOperationException("The batch is built already. Call Reset to start the next one.");
        }

        Memory<byte> batch = codec == CompressionCodec.None ? HandOverBuffer() : CompressBuffer();
        var header = new RecordBatchHeader
        {
            BaseOffset = Offset.Zero,
            BatchLength = batch.Length - RecordBatchHeader.LengthPrefixByteCount,
            LeaderEpoch = UnknownLeaderEpoch,
            Magic = RecordBatchHeader.CurrentMagic,
            Checksum = 0,
            Attributes = RecordBatchHeader.AttributesFor(codec, isTransactional, isControl),
            LastOffsetDelta = RecordCount - 1,
            BaseTimestamp = baseTimestamp,
            MaxTimestamp = maxTimestamp,
            Producer = producer,
            BaseSequence = producer.IsNone ? NoSequence : baseSequence,
            RecordCount = RecordCount,
        };
        header.Write(batch.Span);
        RecordBatch.Seal(batch.Span);
        isBuilt = true;
        return batch;
    }

    /// <summary>Starts the next batch. What was appended and not built is dropped.</summary>
    public void Reset()
    {
        isBuilt = false;
        RecordCount = 0;
        position = RecordBatchHeader.ByteCount;
    }

    private static int LengthAndByteCount(int byteCount, bool isNull) =>
        isNull ? Varint.ZigzagByteCount(NullLength) : Varint.ZigzagByteCount(byteCount) + byteCount;

    private static int HeadersByteCount(IReadOnlyList<RecordHeader>? headers)
    {
        int byteCount = 0;
        for (int i = 0; i < (headers?.Count ?? 0); i++)
        {
            RecordHeader header = headers![i];
            byteCount += LengthAndByteCount(Encoding.UTF8.GetByteCount(header.Key), isNull: false);
            byteCount += LengthAndByteCount(header.Value?.Length ?? 0, header.Value is null);
        }

        return byteCount;
    }

    private void WriteHeader(RecordHeader header)
    {
        int keyByteCount = Encoding.UTF8.GetByteCount(header.Key);
        position += Varint.WriteZigzag(buffer.AsSpan(position), keyByteCount);
        position += Encoding.UTF8.GetBytes(header.Key, buffer.AsSpan(position));
        WriteBytes(header.Value.GetValueOrDefault().Span, header.Value is null);
    }

    private void WriteBytes(ReadOnlySpan<byte> bytes, bool isNull)
    {
        position += Varint.WriteZigzag(buffer.AsSpan(position), isNull ? NullLength : bytes.Length);
        if (!isNull)
        {
            bytes.CopyTo(buffer.AsSpan(position));
            position += bytes.Length;
        }
    }

    private void EnsureCapacity(long addedByteCount)
    {
        long needed = position + addedByteCount;
        if (needed <= buffer.Length)
        {
            return;
        }

        if (needed > Array.MaxLength)
        {
            throw new InvalidOperationException($"The batch would have {needed} bytes; an array holds {Array.MaxLength}.");
        }

        long doubled = Math.Max(initialByteCount, buffer.Length * 2L);
        Array.Resize(ref buffer, (int)Math.Min(Array.MaxLength, Math.Max(needed, doubled)));
    }

    private Memory<byte> HandOverBuffer()
    {
        Memory<byte> batch = buffer.AsMemory(0, position);
        buffer = []; // the caller's now; the next record gets a new one
        return batch;
    }

    private Memory<byte> CompressBuffer()
    {
        ReadOnlySpan<byte> records = buffer.AsSpan(RecordBatchHeader.ByteCount, position - RecordBatchHeader.ByteCount);
        return Compression.Compress(codec, records, RecordBatchHeader.ByteCount);
    }
}
