using System.Runtime.InteropServices;
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

    private readonly CompressionCodec _codec;
    private readonly int _initialByteCount;
    private byte[] _buffer;
    private int _position = RecordBatchHeader.ByteCount;
    private long _baseTimestamp;
    private long _maxTimestamp;
    private bool _isBuilt;

    public RecordBatchBuilder(CompressionCodec codec = CompressionCodec.None, int initialByteCount = DefaultInitialByteCount)
    {
        if (codec is < CompressionCodec.None or > CompressionCodec.Zstd)
        {
            throw new ArgumentOutOfRangeException(nameof(codec), codec, "Unknown compression codec.");
        }

        _codec = codec;
        _initialByteCount = Math.Max(initialByteCount, RecordBatchHeader.ByteCount);
        _buffer = new byte[_initialByteCount];
    }

    public int RecordCount { get; private set; }

    /// <summary>The bytes of the batch if it were built now, before compression.</summary>
    public int EstimatedByteCount => _position;

    /// <summary>The bytes of a batch that there is memory for: those of batches that were compressed stay for the next one.</summary>
    public int CapacityByteCount => _buffer.Length;

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
        if (_isBuilt)
        {
            throw new InvalidOperationException("The batch is built. Call Reset before the next record.");
        }

        EnsureCapacity(EstimateRecordByteCount(key.Length, value.Length, headers));
        if (RecordCount == 0)
        {
            _baseTimestamp = timestamp;
            _maxTimestamp = timestamp;
        }

        // Wraps for timestamps more than 2^63 apart, and wraps back when it is read.
        long timestampDelta = unchecked(timestamp - _baseTimestamp);
        int offsetDelta = RecordCount;
        int headerCount = headers?.Count ?? 0;

        int byteCount = AttributesByteCount
            + Varint.ZigzagByteCount(timestampDelta)
            + Varint.ZigzagByteCount(offsetDelta)
            + LengthAndByteCount(key.Length, keyIsNull)
            + LengthAndByteCount(value.Length, valueIsNull)
            + Varint.ZigzagByteCount(headerCount)
            + HeadersByteCount(headers);

        _position += Varint.WriteZigzag(_buffer.AsSpan(_position), byteCount);
        _buffer[_position++] = 0;
        _position += Varint.WriteZigzag(_buffer.AsSpan(_position), timestampDelta);
        _position += Varint.WriteZigzag(_buffer.AsSpan(_position), offsetDelta);
        WriteBytes(key, keyIsNull);
        WriteBytes(value, valueIsNull);
        _position += Varint.WriteZigzag(_buffer.AsSpan(_position), headerCount);
        for (int i = 0; i < headerCount; i++)
        {
            WriteHeader(headers![i]);
        }

        _maxTimestamp = Math.Max(_maxTimestamp, timestamp);
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

        if (_isBuilt)
        {
            throw new InvalidOperationException("The batch is built already. Call Reset to start the next one.");
        }

        Memory<byte> batch = _codec == CompressionCodec.None ? HandOverBuffer() : CompressBuffer();
        var header = new RecordBatchHeader
        {
            BaseOffset = Offset.Zero,
            BatchLength = batch.Length - RecordBatchHeader.LengthPrefixByteCount,
            LeaderEpoch = UnknownLeaderEpoch,
            Magic = RecordBatchHeader.CurrentMagic,
            Checksum = 0,
            Attributes = RecordBatchHeader.AttributesFor(_codec, isTransactional, isControl),
            LastOffsetDelta = RecordCount - 1,
            BaseTimestamp = _baseTimestamp,
            MaxTimestamp = _maxTimestamp,
            Producer = producer,
            BaseSequence = producer.IsNone ? NoSequence : baseSequence,
            RecordCount = RecordCount,
        };
        header.Write(batch.Span);
        RecordBatch.Seal(batch.Span);
        _isBuilt = true;
        return batch;
    }

    /// <summary>Starts the next batch. What was appended and not built is dropped.</summary>
    public void Reset()
    {
        _isBuilt = false;
        RecordCount = 0;
        _position = RecordBatchHeader.ByteCount;
    }

    /// <summary>As <see cref="Reset()"/>, and uses the memory of an earlier batch for the next one: nobody else may use it any more.</summary>
    public void Reset(Memory<byte> spare)
    {
        Reset();
        if (MemoryMarshal.TryGetArray<byte>(spare, out ArraySegment<byte> segment) && segment.Array!.Length > _buffer.Length)
        {
            _buffer = segment.Array;
        }
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
        _position += Varint.WriteZigzag(_buffer.AsSpan(_position), keyByteCount);
        _position += Encoding.UTF8.GetBytes(header.Key, _buffer.AsSpan(_position));
        WriteBytes(header.Value.GetValueOrDefault().Span, header.Value is null);
    }

    private void WriteBytes(ReadOnlySpan<byte> bytes, bool isNull)
    {
        _position += Varint.WriteZigzag(_buffer.AsSpan(_position), isNull ? NullLength : bytes.Length);
        if (!isNull)
        {
            bytes.CopyTo(_buffer.AsSpan(_position));
            _position += bytes.Length;
        }
    }

    private void EnsureCapacity(long addedByteCount)
    {
        long needed = _position + addedByteCount;
        if (needed <= _buffer.Length)
        {
            return;
        }

        if (needed > Array.MaxLength)
        {
            throw new InvalidOperationException($"The batch would have {needed} bytes; an array holds {Array.MaxLength}.");
        }

        long doubled = Math.Max(_initialByteCount, _buffer.Length * 2L);
        Array.Resize(ref _buffer, (int)Math.Min(Array.MaxLength, Math.Max(needed, doubled)));
    }

    private Memory<byte> HandOverBuffer()
    {
        Memory<byte> batch = _buffer.AsMemory(0, _position);
        _buffer = []; // the caller's now; the next record gets a new one
        return batch;
    }

    private Memory<byte> CompressBuffer()
    {
        ReadOnlySpan<byte> records = _buffer.AsSpan(RecordBatchHeader.ByteCount, _position - RecordBatchHeader.ByteCount);
        return Compression.Compress(_codec, records, RecordBatchHeader.ByteCount);
    }
}
