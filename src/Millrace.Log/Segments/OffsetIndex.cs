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

    private const int CheckedByteCount = 4096;

    private readonly Offset _baseOffset;
    private readonly IndexFile _file;
    private readonly int _foundEntryCount;
    private readonly long _logByteCount;
    private bool _isChecked;

    /// <param name="file">Its file.</param>
    /// <param name="baseOffset">Of the segment.</param>
    /// <param name="entryCount">How many it has.</param>
    /// <param name="logByteCount">Of the segment, where the entries were taken as they were found: they are looked at before one is used. Null where they are known to be right.</param>
    public OffsetIndex(LazyFile file, Offset baseOffset, int entryCount, long? logByteCount = null)
    {
        _baseOffset = baseOffset;
        _file = new IndexFile(file, EntryByteCount, entryCount);
        _foundEntryCount = entryCount;
        _logByteCount = logByteCount ?? 0;
        _isChecked = logByteCount is null;
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
    /// <exception cref="DamagedIndexException">It cannot be true.</exception>
    public IndexedPosition? FindAtOrBefore(Offset offset) =>
        Read(Checked().FindFirstNotBefore(offset - _baseOffset, static (entry, target) => BinaryPrimitives.ReadInt32BigEndian(entry) <= target) - 1);

    /// <summary>The last batch in the index that begins at or before a position.</summary>
    /// <exception cref="DamagedIndexException">It cannot be true.</exception>
    public IndexedPosition? FindAtOrBeforePosition(int position) =>
        Read(Checked().FindFirstNotBefore(position, static (entry, target) => BinaryPrimitives.ReadInt32BigEndian(entry[4..]) <= target) - 1);

    /// <summary>The last batch in the index.</summary>
    /// <exception cref="DamagedIndexException">It cannot be true.</exception>
    public IndexedPosition? Last => Read(Checked().EntryCount - 1);

    public void SyncIfDirty() => _file.File.SyncIfDirty();

    public void Dispose() => _file.Dispose();

    /// <summary>Looks once whether what was found can be true: both columns rise, and no batch begins outside of the log.</summary>
    private IndexFile Checked()
    {
        if (!Volatile.Read(ref _isChecked))
        {
            Check();
            Volatile.Write(ref _isChecked, true);
        }

        return _file;
    }

    private void Check()
    {
        Span<byte> entries = stackalloc byte[CheckedByteCount];
        int lastOffset = -1;
        int lastPosition = 0;
        for (int number = 0; number < _foundEntryCount;)
        {
            int count = _file.Read(entries[..(Math.Min(CheckedByteCount / EntryByteCount, _foundEntryCount - number) * EntryByteCount)], number);
            for (int place = 0; place < count; place++)
            {
                int offset = BinaryPrimitives.ReadInt32BigEndian(entries[(place * EntryByteCount)..]);
                int position = BinaryPrimitives.ReadInt32BigEndian(entries[(place * EntryByteCount + 4)..]);
                if (offset <= lastOffset || position <= lastPosition || position >= _logByteCount)
                {
                    throw new DamagedIndexException(File.Path, number + place, _baseOffset);
                }

                (lastOffset, lastPosition) = (offset, position);
            }

            number = count > 0 ? number + count : throw new DamagedIndexException(File.Path, number, _baseOffset);
        }
    }

    private IndexedPosition? Read(int number)
    {
        Span<byte> entry = stackalloc byte[EntryByteCount];
        return _file.TryRead(number, entry)
            ? new IndexedPosition(_baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry), BinaryPrimitives.ReadInt32BigEndian(entry[4..]))
            : null;
    }
}
