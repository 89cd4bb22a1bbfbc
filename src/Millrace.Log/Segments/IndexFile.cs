namespace Millrace.Log;

/// <summary>Whether an entry lies before what is looked for. True for the first entries of an index, and false for all after them.</summary>
internal delegate bool IsBefore(ReadOnlySpan<byte> entry, long target);

/// <summary>
/// A file of entries of one size in ascending order. One writer; readers need no lock, since entries never change and the count is
/// published after the entry is written.
/// </summary>
internal sealed class IndexFile : IDisposable
{
    /// <summary>The last steps of a search look at one block of entries that is read at once.</summary>
    private const int BlockByteCount = 2048;

    private readonly LazyFile _file;
    private readonly int _entryByteCount;
    private int _entryCount;

    public IndexFile(LazyFile file, int entryByteCount, int entryCount)
    {
        _file = file;
        _entryByteCount = entryByteCount;
        _entryCount = entryCount;
    }

    public LazyFile File => _file;

    public int EntryCount => Volatile.Read(ref _entryCount);

    public void Append(ReadOnlySpan<byte> entry)
    {
        _file.Write(entry, (long)_entryCount * _entryByteCount);
        Volatile.Write(ref _entryCount, _entryCount + 1);
    }

    /// <summary>False if there is no such entry, or the file has lost it.</summary>
    public bool TryRead(int number, Span<byte> entry) =>
        number >= 0 && number < EntryCount && ReadEntries(entry[.._entryByteCount], number) == 1;

    /// <summary>Reads entries from one on; gives how many there are.</summary>
    public int Read(Span<byte> entries, int first) => ReadEntries(entries, first);

    /// <summary>The number of the first entry that is not before the target: <see cref="EntryCount"/> if all are.</summary>
    public int FindFirstNotBefore(long target, IsBefore isBefore)
    {
        Span<byte> block = stackalloc byte[BlockByteCount];
        int blockEntryCount = BlockByteCount / _entryByteCount;

        // Entries below 'low' are before the target; entries from 'high' on are not.
        int low = 0;
        int high = EntryCount;
        while (high - low > blockEntryCount)
        {
            int middle = low + (high - low) / 2;
            if (ReadEntries(block[.._entryByteCount], middle) != 1)
            {
                return 0;
            }

            if (isBefore(block[.._entryByteCount], target))
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        int count = ReadEntries(block[..((high - low) * _entryByteCount)], low);
        int found = 0;
        while (found < count && isBefore(block.Slice(found * _entryByteCount, _entryByteCount), target))
        {
            found++;
        }

        return low + found;
    }

    public void Dispose() => _file.Dispose();

    private int ReadEntries(Span<byte> bytes, int first) => _file.Read(bytes, (long)first * _entryByteCount) / _entryByteCount;
}
