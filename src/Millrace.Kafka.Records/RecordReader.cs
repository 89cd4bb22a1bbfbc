namespace Millrace.Kafka.Records;

/// <summary>A part of the records' bytes, or null.</summary>
internal readonly record struct ByteRange(int Start, int Length)
{
    public static readonly ByteRange Null = new(0, -1);

    public bool IsNull => Length < 0;

    /// <summary>The range in bytes that begin there.</summary>
    public ByteRange After(int start) => this with { Start = Start - start };

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

    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private int _position;
    private int _recordStart;
    private int _bodyStart;
    private int _recordEnd;
    private int _recordIndex = -1;
    private int _headersLeft;
    private int _lastOffsetDelta = -1;
    private string? _fault;
    private long? _faultValue;
    private int _faultPosition;

    /// <summary>Where the current record begins, its length included.</summary>
    public readonly int RecordStart => _recordStart;

    /// <summary>Where the part of it begins that depends on nothing else in the batch: the length of its key.</summary>
    public readonly int BodyStart => _bodyStart;

    public readonly int RecordEnd => _recordEnd;

    /// <summary>Whether the bytes can hold the number of records that the batch claims; asked before that number is used as a size.</summary>
    public bool HasPlausibleCount() =>
        header.RecordCount <= _bytes.Length / MinimumRecordByteCount || Fail("a record count that the bytes cannot hold", header.RecordCount);

    /// <summary>Reads the next record up to its headers, which must be read before the one after it. False at the end and after a fault.</summary>
    public bool TryReadNext(out RecordLayout layout)
    {
        layout = default;
        if (!TryFinishRecord())
        {
            return false;
        }

        _recordIndex++;
        if (_recordIndex == header.RecordCount)
        {
            return _position < _bytes.Length && Fail("bytes after the last record", _bytes.Length - _position);
        }

        _recordEnd = _bytes.Length;
        int start = _position;
        int byteCount = ReadVarint("record length");
        if (_fault is null && (byteCount < MinimumRecordByteCount - 1 || byteCount > _bytes.Length - _position))
        {
            _position = start;
            Fail("a record length that its bytes contradict", byteCount);
        }

        if (_fault is not null)
        {
            return false;
        }

        _recordStart = start;
        _recordEnd = _position + byteCount;
        _position++; // attributes: none are defined
        long timestampDelta = ReadVarlong("timestamp delta");
        int offsetDelta = ReadOffsetDelta();
        _bodyStart = _position;
        ByteRange key = ReadNullableBytes("key length");
        ByteRange value = ReadNullableBytes("value length");
        int headerCount = ReadHeaderCount();
        layout = new RecordLayout(timestampDelta, offsetDelta, key, value, headerCount);
        _headersLeft = headerCount;
        return _fault is null;
    }

    public bool TryReadHeader(out ByteRange key, out ByteRange value)
    {
        key = ReadNullableBytes("header key length");
        if (_fault is null && key.IsNull)
        {
            Fail("a header without key", -1);
        }

        value = ReadNullableBytes("header value length");
        _headersLeft--;
        return _fault is null;
    }

    public readonly void ThrowIfFaulty()
    {
        if (_fault is not null)
        {
            string number = _faultValue is null ? "not a number" : $"{_faultValue}";
            throw new InvalidRecordBatchException(
                $"The batch at offset {header.BaseOffset} has {_fault}: {number}, in record {Math.Max(_recordIndex, 0)} of {header.RecordCount}, at byte {_faultPosition} of the {_bytes.Length} bytes of its records.");
        }
    }

    private bool TryFinishRecord()
    {
        if (_fault is null && _recordIndex >= 0 && (_position != _recordEnd || _headersLeft > 0))
        {
            Fail("a record that does not fill its length", _recordEnd - _position);
        }

        return _fault is null;
    }

    private int ReadOffsetDelta()
    {
        int offsetDelta = ReadVarint("offset delta");
        if (_fault is null && (offsetDelta <= _lastOffsetDelta || offsetDelta > header.LastOffsetDelta))
        {
            Fail("an offset delta that does not rise or leaves the batch", offsetDelta);
        }

        _lastOffsetDelta = offsetDelta;
        return offsetDelta;
    }

    private int ReadHeaderCount()
    {
        int count = ReadVarint("header count");
        if (_fault is null && (count < 0 || count > (_recordEnd - _position) / MinimumHeaderByteCount))
        {
            Fail("a header count that the record cannot hold", count);
        }

        return _fault is null ? count : 0;
    }

    private ByteRange ReadNullableBytes(string field)
    {
        int length = ReadVarint(field);
        if (_fault is not null || length == -1)
        {
            return ByteRange.Null;
        }

        if (length < 0 || length > _recordEnd - _position)
        {
            Fail($"a {field} outside its record", length);
            return ByteRange.Null;
        }

        var range = new ByteRange(_position, length);
        _position += length;
        return range;
    }

    private int ReadVarint(string field)
    {
        if (_fault is not null)
        {
            return 0;
        }

        if (!Varint.TryReadZigzag(_bytes[_position.._recordEnd], out int value, out int byteCount))
        {
            Fail($"an unreadable {field}", value: null);
            return 0;
        }

        _position += byteCount;
        return value;
    }

    private long ReadVarlong(string field)
    {
        if (_fault is not null)
        {
            return 0;
        }

        if (!Varint.TryReadZigzag(_bytes[_position.._recordEnd], out long value, out int byteCount))
        {
            Fail($"an unreadable {field}", value: null);
            return 0;
        }

        _position += byteCount;
        return value;
    }

    /// <summary>Keeps the first fault; always false.</summary>
    private bool Fail(string what, long? value)
    {
        if (_fault is null)
        {
            _fault = what;
            _faultValue = value;
            _faultPosition = _position;
        }

        return false;
    }
}
