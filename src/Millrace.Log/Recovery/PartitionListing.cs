using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The files of a partition as a start finds them, with their lengths: what can be known without opening any.</summary>
internal sealed class PartitionListing
{
    private readonly Dictionary<string, long> _byteCounts;

    public PartitionListing(IReadOnlyList<StorageEntry> entries)
    {
        Entries = entries;
        _byteCounts = entries.ToDictionary(static entry => entry.Name, static entry => entry.ByteCount, StringComparer.Ordinal);
    }

    public IReadOnlyList<StorageEntry> Entries { get; }

    public bool Has(string name) => _byteCounts.ContainsKey(name);

    /// <summary>The entries that an index has by its length; null if it is not there, or holds half an entry.</summary>
    public int? EntryCount(string name, int entryByteCount) =>
        _byteCounts.TryGetValue(name, out long byteCount) && byteCount % entryByteCount == 0 && byteCount / entryByteCount <= int.MaxValue
            ? (int)(byteCount / entryByteCount)
            : null;

    /// <summary>The offsets in the names that end so, in ascending order.</summary>
    public IEnumerable<(Offset Offset, StorageEntry Entry)> WithSuffix(string suffix)
    {
        foreach (StorageEntry entry in Entries)
        {
            if (FileNames.TryParseSegment(entry.Name, suffix, out Offset offset))
            {
                yield return (offset, entry);
            }
        }
    }
}
