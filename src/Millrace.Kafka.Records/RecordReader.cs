namespace Millrace.Kafka.Records;

/// <summary>A part of the records' bytes, or null.</summary>
internal readonly record struct ByteRange(int Start, int Length)
{
    public static readonly ByteRange Null = new(0, -1);

    public bool IsNull => Length < 0;

    public ReadOnlyMemory<byte>? Of(ReadOnlyMemory<byte> bytes)
    {
        // Not a conditional expression: its null would become a byte[] first, and then an empty memory.
        if (IsNull)
        {
            return null;
        }

        return bytes.Slice(Start, Length);
    }
}

/// <summary>Where the parts of a record lie. Its headers follow in the reader.</summary>
internal readonly record struct RecordLayout(long TimestampDelta, int OffsetDelta, ByteRange Key, ByteRange Value, int HeaderCount);

/// <summary>
/// Reads decompressed records one after the other; the layout is at <see cref="RecordBatchBuilder"/>. The first fault sticks:
/// every later read fails too, and <see cref="ThrowIfFaulty"/> tells what and where it was. Every length is compared with what
/// remains of its record before it is believed.
/// </summary>
internal ref struct RecordReader(ReadOnlySpan<byte> bytes, RecordBatchHeader header)
{
    /// <summary>Length, attributes, timestamp delta, offset delta, key length, value length, header count: a byte each.</summary>
    public const int MinimumRecordByteCount = 7;

    /// <summary>Key length and value length: a byte each.</summary>
    public const int MinimumHeaderByteCount = 2;

    private readonly ReadOnlySpan<byte> bytes = bytes;
    private int position;
    private int recordEnd;
    private int recordIndex = -1;
    private int headersLeft;
    private int lastOffsetDelta = -1;
    private string? fault;
    private long? faultValue;
    private int faultPosition;

    /// <summary>Whether the bytes can hold the number of records that the batch claims; asked before that number is used as a size.</summary>
    public bool HasPlausibleCount() =>
        header.RecordCount <= bytes.Length / MinimumRecordByteCount || Fail("a record count that the bytes cannot hold", header.RecordCount);

    /// <summary>Reads the next record up to its headers, which must be read before the one after it. False at the end and after a fault.</summary>
    public bool TryReadNext(out RecordLayout layout)
    {
        layout = default;
        if (!TryFinishRecord())
        {
            return false;
        }

        recordIndex++;
        if (recordIndex == header.RecordCount)
        {
            return position < bytes.Length && Fail("bytes after the last record", bytes.Length - position);
        }

        recordEnd = bytes.Length;
        int start = position;
        int byteCount = ReadVarint("record length");
        if (fault is null && (byteCount < MinimumRecordByteCount - 1 || byteCount > bytes.Length - position))
        {
            position = start;
            Fail("a record length that its bytes contradict", byteCount);
        }

        if (fault is not null)
        {
            return false;
        }

        recordEnd = position + byteCount;
        position++; // attributes: none are defined
        long timestampDelta = ReadVarlong("timestamp delta");
        int offsetDelta = ReadOffsetDelta();
        ByteRange key = ReadNullableBytes("key length");
        ByteRange value = ReadNullableBytes("value length");
        int headerCount = ReadHeaderCount();
        layout = new RecordLayout(timestampDelta, offsetDelta, key, value, headerCount);
        headersLeft = headerCount;
        return fault is null;
    }

    public bool TryReadHeader(out ByteRange key, out ByteRange value)
    {
        key = ReadNullableBytes("header key length");
        if (fault is null && key.IsNull)
        {
            Fail("a header without key", -1);
        }

        value = ReadNullableBytes("header value length");
        headersLeft--;
        return fault is null;
    }

    public readonly void ThrowIfFaulty()
    {
        if (fault is not null)
        {
            string number = faultValue is null ? "not a number" : $"{faultValue}";
            throw new InvalidRecordBatchException(
                $"The batch at offset {header.BaseOffset} has {fault}: {number}, in record {Math.Max(recordIndex, 0)} of {header.RecordCount}, at byte {faultPosition} of the {bytes.Length} bytes of its records.");
        }
    }

    private bool TryFinishRecord()
    {
        if (fault is null && recordIndex >= 0 && (position != recordEnd || headersLeft > 0))
        {
            Fail("a record that does not fill its length", recordEnd - position);
        }

        return fault is null;
    }

    private int ReadOffsetDelta()
    {
        int offsetDelta = ReadVarint("offset delta");
        if (fault is null && (offsetDelta <= lastOffsetDelta || offsetDelta > header.LastOffsetDelta))
        {
            Fail("an offset delta that does not rise or leaves the batch", offsetDelta);
        }

        lastOffsetDelta = offsetDelta;
        return offsetDelta;
    }

    private int ReadHeaderCount()
    {
        int count = ReadVarint("header count");
        if (fault is null && (count < 0 || count > (recordEnd - position) / MinimumHeaderByteCount))
        {
            Fail("a header count that the record cannot hold", count);
        }

        return fault is null ? count : 0;
    }

    private ByteRange ReadNullableBytes(string field)
    {
        int length = ReadVarint(field);
        if (fault is not null || length == -1)
        {
            return ByteRange.Null;
        }

        if (length < 0 || length > recordEnd - position)
        {
            Fail($"a {field} outside its record", length);
            return ByteRange.Null;
        }

        var range = new ByteRange(position, length);
        position += length;
        return range;
    }

    private int ReadVarint(string field)
    {
        if (fault is not null)
        {
            return 0;
        }

        if (!Varint.TryReadZigzag(bytes[position..recordEnd], out int value, out int byteCount))
        {
            Fail($"an unreadable {field}", value: null);
            return 0;
        }

        position += byteCount;
        return value;
    }

    private long ReadVarlong(string field)
    {
        if (fault is not null)
        {
            return 0;
        }

        if (!Varint.TryReadZigzag(bytes[position..recordEnd], out long value, out int byteCount))
        {
            Fail($"an unreadable {field}", value: null);
            return 0;
        }

        position += byteCount;
        return value;
    }

    /// <summary>Keeps the first fault; always false.</summary>
    private bool Fail(string what, long? value)
    {
        if (fault is null)
        {
            fault = what;
            faultValue = value;
            faultPosition = position;
        }

        return false;
    }
}
