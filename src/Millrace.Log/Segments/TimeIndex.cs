using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The latest time up to a place in a segment.</summary>
/// <param name="LastOffset">Of the first batch that has it.</param>
internal readonly record struct IndexedTimestamp(long Timestamp, Offset LastOffset);

/// <summary>Where to start looking for a time: Kafka's <c>.timeindex</c>. Both columns rise from entry to entry.</summary>
/// <remarks>
/// <code>
/// offset size field           big-endian; one entry beside each of the offset index, and one when the segment is complete, if the
///                             latest time has risen since the last
///      0    8 timestamp       the latest of the segment so far
///      8    4 relative offset last offset of the first batch that has it, less the segment's base offset
/// </code>
/// </remarks>
internal sealed class TimeIndex : IDisposable
{
    public const int EntryByteCount = 12;

    private readonly Offset _baseOffset;
    private readonly IndexFile _file;
    private readonly int _foundEntryCount;

    /// <param name="file">Its file.</param>
    /// <param name="baseOffset">Of the segment.</param>
    /// <param name="entryCount">How many it has.</param>
    public TimeIndex(LazyFile file, Offset baseOffset, int entryCount)
    {
        _baseOffset = baseOffset;
        _file = new IndexFile(file, EntryByteCount, entryCount);
        _foundEntryCount = entryCount;
    }

    public LazyFile File => _file.File;

    public int EntryCount => _file.EntryCount;

    public static void WriteEntry(Span<byte> bytes, long timestamp, int relativeOffset)
    {
        BinaryPrimitives.WriteInt64BigEndian(bytes, timestamp);
        BinaryPrimitives.WriteInt32BigEndian(bytes[8..], relativeOffset);
    }

    public void Append(long timestamp, int relativeOffset)
    {
        Span<byte> entry = stackalloc byte[EntryByteCount];
        WriteEntry(entry, timestamp, relativeOffset);
        _file.Append(entry);
    }

    /// <summary>The first entry with this time or a later one: no batch before the last indexed one in front of it is as late.</summary>
    public IndexedTimestamp? FindAtOrAfter(long timestamp) => Read(FirstNotBefore(timestamp));

    /// <summary>The latest time that some batch has which does not go beyond the offset, as far as the index knows.</summary>
    public IndexedTimestamp? FindAtOrBefore(Offset offset) =>
        Read(_file.FindFirstNotBefore(offset - _baseOffset, static (entry, target) => BinaryPrimitives.ReadInt32BigEndian(entry[8..]) <= target) - 1);

    public IndexedTimestamp? Last => Read(_file.EntryCount - 1);

    /// <summary>The last of those that it had when it was opened.</summary>
    public IndexedTimestamp? LastFound => Read(_foundEntryCount - 1);

    /// <summary>
    /// What a search for a time relies on, of what it had when it was opened: the last entry before the time, and the first that is not. What was added since may be of a batch that is not shown
    /// to readers yet.
    /// </summary>
    public List<IndexedTimestamp> FoundAround(long timestamp)
    {
        int number = FirstNotBefore(timestamp);
        List<IndexedTimestamp> found = [];
        for (int candidate = number - 1; candidate <= number && candidate < _foundEntryCount; candidate++)
        {
            if (Read(candidate) is { } entry)
            {
                found.Add(entry);
            }
        }

        return found;
    }

    public void SyncIfDirty() => _file.File.SyncIfDirty();

    public void Dispose() => _file.Dispose();

    private int FirstNotBefore(long timestamp) =>
        _file.FindFirstNotBefore(timestamp, static (entry, target) => BinaryPrimitives.ReadInt64BigEndian(entry) < target);

    private IndexedTimestamp? Read(int number)
    {
        Span<byte> entry = stackalloc byte[EntryByteCount];
        return _file.TryRead(number, entry)
            ? new IndexedTimestamp(BinaryPrimitives.ReadInt64BigEndian(entry), _baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry[8..]))
            : null;
    }
}
