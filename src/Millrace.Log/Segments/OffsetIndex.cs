using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A batch that the index knows: its last offset, and where it begins.</summary>
internal readonly record struct IndexedPosition(Offset LastOffset, int Position);

/// <summary>Where to start looking for an offset: Kafka's <c>.index</c>.</summary>
/// <remarks>
/// <code>
/// offset size field           big-endian, one entry every index.interval.bytes of log
///      0    4 relative offset last offset of the batch, less the segment's base offset
///      4    4 position        where that batch begins in the log file
/// </code>
/// </remarks>
internal sealed class OffsetIndex : IDisposable
{
    public const int EntryByteCount = 8;

    private readonly Offset _baseOffset;
    private readonly IndexFile _file;

    public OffsetIndex(LazyFile file, Offset baseOffset, int entryCount)
    {
        _baseOffset = baseOffset;
        _file = new IndexFile(file, EntryByteCount, entryCount);
    }

    public LazyFile File => _file.File;

    public int EntryCount => _file.EntryCount;

    public static void WriteEntry(Span<byte> bytes, int relativeOffset, int position)
    {
        BinaryPrimitives.WriteInt32BigEndian(bytes, relativeOffset);
        BinaryPrimitives.WriteInt32BigEndian(bytes[4..], position);
    }

    public void Append(int relativeOffset, int position)
    {
        Span<byte> entry = stackalloc byte[EntryByteCount];
        WriteEntry(entry, relativeOffset, position);
        _file.Append(entry);
    }

    /// <summary>The last batch in the index that does not go beyond the offset; null if there is none, and the search starts at the segment's first byte.</summary>
    public IndexedPosition? FindAtOrBefore(Offset offset) =>
        Read(_file.FindFirstNotBefore(offset - _baseOffset, static (entry, target) => BinaryPrimitives.ReadInt32BigEndian(entry) <= target) - 1);

    /// <summary>The last batch in the index that begins at or before a position.</summary>
    public IndexedPosition? FindAtOrBeforePosition(int position) =>
        Read(_file.FindFirstNotBefore(position, static (entry, target) => BinaryPrimitives.ReadInt32BigEndian(entry[4..]) <= target) - 1);

    /// <summary>The last batch in the index.</summary>
    public IndexedPosition? Last => Read(_file.EntryCount - 1);

    public void SyncIfDirty() => _file.File.SyncIfDirty();

    public void Dispose() => _file.Dispose();

    private IndexedPosition? Read(int number)
    {
        Span<byte> entry = stackalloc byte[EntryByteCount];
        return _file.TryRead(number, entry)
            ? new IndexedPosition(_baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry), BinaryPrimitives.ReadInt32BigEndian(entry[4..]))
            : null;
    }
}
