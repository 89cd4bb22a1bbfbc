using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// Where to start looking for an offset. One writer; readers need no lock, since entries never change and the count is published
/// after the entry is written.
/// </summary>
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

    /// <summary>The last steps of a search look at one block of entries that is read at once.</summary>
    private const int BlockEntryCount = 64;

    private readonly LazyFile _file;
    private readonly int _maximumEntryCount;
    private int _entryCount;

    public OffsetIndex(LazyFile file, int entryCount, int maximumByteCount)
    {
        _file = file;
        _entryCount = entryCount;
        _maximumEntryCount = maximumByteCount / EntryByteCount;
    }

    public bool IsFull => _entryCount >= _maximumEntryCount;

    public int EntryCount => Volatile.Read(ref _entryCount);

    public static void WriteEntry(Span<byte> bytes, int relativeOffset, int position)
    {
        BinaryPrimitives.WriteInt32BigEndian(bytes, relativeOffset);
        BinaryPrimitives.WriteInt32BigEndian(bytes[4..], position);
    }

    public void Append(int relativeOffset, int position)
    {
        Invariant.Holds(!IsFull, "an index that is full is never appended to");
        Span<byte> entry = stackalloc byte[EntryByteCount];
        WriteEntry(entry, relativeOffset, position);
        _file.Write(entry, (long)_entryCount * EntryByteCount);
        Volatile.Write(ref _entryCount, _entryCount + 1);
    }

    /// <summary>A position at or before the batch that holds the offset: that of the last entry not beyond it, or zero.</summary>
    public int FindPosition(long relativeOffset)
    {
        Span<byte> block = stackalloc byte[BlockEntryCount * EntryByteCount];

        // Entries before 'low' are not beyond the target; entries from 'high' on are.
        int low = 0;
        int high = EntryCount;
        while (high - low > BlockEntryCount)
        {
            int middle = low + (high - low) / 2;
            if (ReadEntries(block[..EntryByteCount], middle) != 1)
            {
                return 0;
            }

            if (BinaryPrimitives.ReadInt32BigEndian(block) <= relativeOffset)
            {
                low = middle;
            }
            else
            {
                high = middle;
            }
        }

        int count = ReadEntries(block[..((high - low) * EntryByteCount)], low);
        int position = 0;
        for (int entry = 0; entry < count; entry++)
        {
            ReadOnlySpan<byte> bytes = block[(entry * EntryByteCount)..];
            if (BinaryPrimitives.ReadInt32BigEndian(bytes) > relativeOffset)
            {
                break;
            }

            position = BinaryPrimitives.ReadInt32BigEndian(bytes[4..]);
        }

        return position;
    }

    public void SyncData() => _file.SyncData();

    public void Dispose() => _file.Dispose();

    private int ReadEntries(Span<byte> bytes, int first) => _file.Read(bytes, (long)first * EntryByteCount) / EntryByteCount;
}
