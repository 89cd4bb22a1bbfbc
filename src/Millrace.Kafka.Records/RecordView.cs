using System.Runtime.CompilerServices;

namespace Millrace.Kafka.Records;

/// <summary>
/// A record where it lies: nothing is copied or allocated. Its parts are slices of memory that somebody else owns, and are valid for as long as
/// that owner says.
/// </summary>
public readonly ref struct RecordView
{
    private readonly ReadOnlyMemory<byte> _memory;
    private readonly ReadOnlySpan<byte> _bytes;
    private readonly RecordCursor.Place _place;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal RecordView(ReadOnlyMemory<byte> memory, ReadOnlySpan<byte> bytes, scoped ref RecordCursor.Place place)
    {
        _memory = memory;
        _bytes = bytes;
        _place = place;
    }

    /// <summary>Its position in the partition.</summary>
    public Offset Offset => new(_place.Offset);

    /// <summary>The epoch of the leader that wrote its batch; -1 if unknown. Goes into the commit (KIP-320).</summary>
    public int LeaderEpoch => _place.LeaderEpoch;

    /// <summary>The producer's time or the broker's, as the topic is set, in milliseconds since 1970. Whatever the producer wrote, so it may be negative.</summary>
    public long TimestampMilliseconds => _place.Timestamp;

    /// <summary>Whether there is a key: an absent one differs from an empty one.</summary>
    public bool HasKey => _place.Key.Length >= 0;

    /// <summary>The key; empty where there is none.</summary>
    public ReadOnlySpan<byte> Key => Slice(_place.Key);

    /// <summary>Whether there is a value. A record without one deletes its key in a compacted topic.</summary>
    public bool HasValue => _place.Value.Length >= 0;

    /// <summary>The value; empty where there is none.</summary>
    public ReadOnlySpan<byte> Value => Slice(_place.Value);

    /// <summary>The key as memory, for callers that wait; null where there is none. Valid as long as the span is.</summary>
    public ReadOnlyMemory<byte>? KeyMemory => _place.Key.Of(_memory);

    /// <summary>The value as memory, for callers that wait; null where there is none. Valid as long as the span is.</summary>
    public ReadOnlyMemory<byte>? ValueMemory => _place.Value.Of(_memory);

    /// <summary>The headers, in their order.</summary>
    public HeaderViews Headers => new(_bytes[_place.HeadersStart.._place.End], _place.HeaderCount);

    private ReadOnlySpan<byte> Slice(ByteRange range) => range.IsNull ? default : _bytes.Slice(range.Start, range.Length);
}

/// <summary>The headers of a record where they lie. Names may repeat.</summary>
public readonly ref struct HeaderViews
{
    private readonly ReadOnlySpan<byte> _bytes;

    internal HeaderViews(ReadOnlySpan<byte> bytes, int count)
    {
        _bytes = bytes;
        Count = count;
    }

    /// <summary>How many there are.</summary>
    public int Count { get; }

    /// <summary>The last header of this name, as Kafka's clients look one up.</summary>
    /// <param name="utf8Key">The name in UTF-8.</param>
    /// <param name="header">The header.</param>
    public bool TryGetLast(ReadOnlySpan<byte> utf8Key, out HeaderView header)
    {
        header = default;
        bool isFound = false;
        foreach (HeaderView candidate in this)
        {
            if (candidate.Key.SequenceEqual(utf8Key))
            {
                header = candidate;
                isFound = true;
            }
        }

        return isFound;
    }

    /// <summary>Walks the headers without allocating.</summary>
    public Enumerator GetEnumerator() => new(_bytes, Count);

    /// <summary>Walks headers.</summary>
    public ref struct Enumerator
    {
        private readonly ReadOnlySpan<byte> _bytes;
        private int _position;
        private int _left;

        internal Enumerator(ReadOnlySpan<byte> bytes, int count)
        {
            _bytes = bytes;
            _left = count;
        }

        /// <summary>The current header.</summary>
        public HeaderView Current { get; private set; }

        /// <summary>Goes to the next one.</summary>
        public bool MoveNext()
        {
            if (_left == 0)
            {
                return false;
            }

            _left--;
            ByteRange key = RecordCursor.ReadBytes(_bytes, ref _position);
            ByteRange value = RecordCursor.ReadBytes(_bytes, ref _position);
            Current = new HeaderView(_bytes.Slice(key.Start, key.Length), value.IsNull ? default : _bytes.Slice(value.Start, value.Length), !value.IsNull);
            return true;
        }
    }
}

/// <summary>A header where it lies.</summary>
public readonly ref struct HeaderView
{
    internal HeaderView(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool hasValue)
    {
        Key = key;
        Value = value;
        HasValue = hasValue;
    }

    /// <summary>Its name in UTF-8, as it was written.</summary>
    public ReadOnlySpan<byte> Key { get; }

    /// <summary>Its value; empty where there is none.</summary>
    public ReadOnlySpan<byte> Value { get; }

    /// <summary>Whether there is a value.</summary>
    public bool HasValue { get; }
}

/// <summary>Walks records where they lie, without allocating.</summary>
public ref struct RecordViewEnumerator
{
    private readonly ReadOnlyMemory<byte> _memory;
    private readonly ReadOnlySpan<byte> _bytes;
    private RecordCursor _cursor;

    /// <param name="memory">The bytes that <paramref name="cursor"/> walks.</param>
    /// <param name="cursor">Where to begin.</param>
    public RecordViewEnumerator(ReadOnlyMemory<byte> memory, RecordCursor cursor)
    {
        _memory = memory;
        _bytes = memory.Span;
        _cursor = cursor;
    }

    /// <summary>The current record.</summary>
    public RecordView Current
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(_memory, _bytes, ref _cursor.Current);
    }

    /// <summary>Goes to the next one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool MoveNext() => _cursor.TryMoveNext(_bytes);
}
