using System.Runtime.CompilerServices;
using System.Text;

namespace Millrace.Kafka.Records;

/// <summary>
/// Where a reader is among the records of one batch, or of several whole batches that lie one behind another. A plain value that can be kept and
/// copied; the bytes are passed to each call and belong to somebody else.
/// </summary>
/// <remarks>
/// The bytes were checked before (<see cref="RecordBatch.Check"/>, <see cref="RecordBatchReader.ValidateRecords"/>), so that reading does not fail. Bytes that have
/// changed since then are noticed and thrown for; nothing outside of them is ever read.
/// </remarks>
public struct RecordCursor
{
    /// <summary>Where the parts of a record lie.</summary>
    internal struct Place
    {
        public long Offset;
        public long Timestamp;
        public int LeaderEpoch;
        public ByteRange Key;
        public ByteRange Value;
        public int HeadersStart;
        public int HeaderCount;
        public int End;
    }

    internal Place Current;

    private int _position;
    private int _recordsLeft;
    private bool _hasBatchesBehind;
    private bool _isLogAppendTime;
    private long _baseOffset;
    private long _timestamp;

    /// <summary>At the beginning of uncompressed whole batches.</summary>
    public static RecordCursor AtBatches() => new() { _hasBatchesBehind = true };

    /// <summary>At the beginning of the bare records of one batch, as they are after decompression.</summary>
    public static RecordCursor AtRecords(in RecordBatchHeader header)
    {
        var cursor = default(RecordCursor);
        cursor.Enter(header);
        return cursor;
    }

    /// <summary>Where the next record, or the header of its batch, begins.</summary>
    public readonly int Position => _position;

    /// <summary>The offset of the current record.</summary>
    public readonly Offset Offset => new(Current.Offset);

    /// <summary>The epoch of the leader that wrote the batch of the current record.</summary>
    public readonly int LeaderEpoch => Current.LeaderEpoch;

    /// <summary>The time of the current record, in milliseconds since 1970.</summary>
    public readonly long Timestamp => Current.Timestamp;

    /// <summary>Goes to the next record. False behind the last one.</summary>
    public bool TryMoveNext(ReadOnlySpan<byte> bytes)
    {
        while (_recordsLeft == 0)
        {
            if (!_hasBatchesBehind || _position >= bytes.Length)
            {
                return false;
            }

            Enter(RecordBatchHeader.Read(bytes[_position..]));
            _position += RecordBatchHeader.ByteCount;
        }

        _recordsLeft--;
        Read(bytes);
        return true;
    }

    /// <summary>Goes on so that the next record is the first with this offset or a later one, and counts what was passed.</summary>
    public int SkipTo(Offset offset, ReadOnlySpan<byte> bytes)
    {
        int skipped = 0;
        while (true)
        {
            RecordCursor before = this;
            if (!TryMoveNext(bytes))
            {
                return skipped;
            }

            if (Current.Offset >= offset.Value)
            {
                this = before;
                return skipped;
            }

            skipped++;
        }
    }

    /// <summary>The key of the current record as a slice of <paramref name="memory"/>, or null.</summary>
    /// <param name="memory">The bytes, or a part of them that holds the record.</param>
    /// <param name="start">Where that part begins.</param>
    public readonly ReadOnlyMemory<byte>? KeyOf(ReadOnlyMemory<byte> memory, int start = 0) => Current.Key.After(start).Of(memory);

    /// <summary>The value of the current record, as <see cref="KeyOf"/>.</summary>
    public readonly ReadOnlyMemory<byte>? ValueOf(ReadOnlyMemory<byte> memory, int start = 0) => Current.Value.After(start).Of(memory);

    /// <summary>The headers of the current record, their values as <see cref="KeyOf"/>.</summary>
    public readonly IReadOnlyList<RecordHeader> HeadersOf(ReadOnlyMemory<byte> memory, int start = 0)
    {
        if (Current.HeaderCount == 0)
        {
            return [];
        }

        ReadOnlySpan<byte> bytes = memory.Span[..(Current.End - start)];
        int position = Current.HeadersStart - start;
        var headers = new RecordHeader[Current.HeaderCount];
        for (int i = 0; i < headers.Length; i++)
        {
            ByteRange key = ReadBytes(bytes, ref position);

            // As Java does, bytes that are not UTF-8 become U+FFFD: a name that cannot be read must not hide the record.
            headers[i] = new RecordHeader(Encoding.UTF8.GetString(bytes.Slice(key.Start, key.Length)), ReadBytes(bytes, ref position).Of(memory));
        }

        return headers;
    }

    /// <summary>A length and so many bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ByteRange ReadBytes(ReadOnlySpan<byte> bytes, ref int position)
    {
        int length = ReadNumber(bytes, ref position);
        if (length < 0)
        {
            return ByteRange.Null;
        }

        var range = new ByteRange(position, length);
        position += length;
        return range;
    }

    private void Enter(in RecordBatchHeader header)
    {
        _recordsLeft = header.RecordCount;
        _baseOffset = header.BaseOffset.Value;
        _isLogAppendTime = header.IsLogAppendTime;
        _timestamp = header.TimestampOf(0);
        Current.LeaderEpoch = header.LeaderEpoch;
    }

    private void Read(ReadOnlySpan<byte> bytes)
    {
        int position = _position;
        int end = ReadNumber(bytes, ref position);
        end += position;
        Invariant.Holds((uint)end <= (uint)bytes.Length && end > position, "records stay as they were checked");
        bytes = bytes[..end];
        position++; // attributes: none are defined
        long timestampDelta = ReadLongNumber(bytes, ref position);
        Current.Timestamp = _isLogAppendTime ? _timestamp : unchecked(_timestamp + timestampDelta);
        Current.Offset = _baseOffset + ReadNumber(bytes, ref position);
        Current.Key = ReadBytes(bytes, ref position);
        Current.Value = ReadBytes(bytes, ref position);
        Current.HeaderCount = ReadNumber(bytes, ref position);
        Current.HeadersStart = position;
        Current.End = end;
        _position = end;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int ReadNumber(ReadOnlySpan<byte> bytes, ref int position)
    {
        if (!RecordScan.TryReadNumber(bytes, ref position, out int value))
        {
            ThrowChanged();
        }

        return value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long ReadLongNumber(ReadOnlySpan<byte> bytes, ref int position)
    {
        // One byte holds what lies within 32 ms of the first record.
        const byte moreFollow = 0x80;
        if ((uint)position < (uint)bytes.Length && bytes[position] < moreFollow)
        {
            uint encoded = bytes[position++];
            return (int)(encoded >> 1) ^ -(int)(encoded & 1);
        }

        return ReadLongNumberSlowly(bytes, ref position);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long ReadLongNumberSlowly(ReadOnlySpan<byte> bytes, ref int position)
    {
        if ((uint)position > (uint)bytes.Length || !Varint.TryReadZigzag(bytes[position..], out long value, out int byteCount))
        {
            ThrowChanged();
            return 0;
        }

        position += byteCount;
        return value;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ThrowChanged() => Invariant.Holds(false, "records stay as they were checked");
}
