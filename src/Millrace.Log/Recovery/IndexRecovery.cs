using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// The indexes of a partition at a start. Those of segments whose batches are looked at are compared with them and made anew where they
/// differ; those of the others, which were synced with their segment, are taken as they are.
/// </summary>
internal sealed class IndexRecovery
{
    private readonly OpenFiles _files;
    private readonly string _directory;
    private readonly PartitionListing _listing;
    private readonly Action<RecoveryCondition, string> _report;

    public IndexRecovery(OpenFiles files, string directory, PartitionListing listing, Action<RecoveryCondition, string> report)
    {
        _files = files;
        _directory = directory;
        _listing = listing;
        _report = report;
    }

    /// <summary>Whether a file was made whose name is not synced.</summary>
    public bool HasNewFile { get; private set; }

    /// <summary>Whether the indexes of a segment may be taken as they are: they are there, and hold whole entries.</summary>
    public bool IsPlausible(Offset baseOffset)
    {
        string transactions = FileNames.Segment(baseOffset, FileNames.TransactionIndexSuffix);
        return _listing.EntryCount(FileNames.Segment(baseOffset, FileNames.IndexSuffix), OffsetIndex.EntryByteCount) is not null
            && _listing.EntryCount(FileNames.Segment(baseOffset, FileNames.TimeIndexSuffix), TimeIndex.EntryByteCount) is not null
            && (!_listing.Has(transactions) || _listing.EntryCount(transactions, TransactionIndex.EntryByteCount) is not null);
    }

    public void Take(SegmentFile segment)
    {
        Offset baseOffset = segment.BaseOffset;
        (LazyFile file, int entryCount) = Take(baseOffset, FileNames.IndexSuffix, OffsetIndex.EntryByteCount);
        segment.Index = new OffsetIndex(file, baseOffset, entryCount);
        (file, entryCount) = Take(baseOffset, FileNames.TimeIndexSuffix, TimeIndex.EntryByteCount);
        segment.TimeIndex = new TimeIndex(file, baseOffset, entryCount);
        if (_listing.Has(FileNames.Segment(baseOffset, FileNames.TransactionIndexSuffix)))
        {
            (file, entryCount) = Take(baseOffset, FileNames.TransactionIndexSuffix, TransactionIndex.EntryByteCount);
            segment.TransactionIndex = new TransactionIndex(file, entryCount);
        }
    }

    public void Rebuild(SegmentFile segment, IndexContent content)
    {
        Offset baseOffset = segment.BaseOffset;
        segment.Progress = content.Progress;
        segment.Index = content.OpenOffsetIndex(Rebuild(FileNames.Segment(baseOffset, FileNames.IndexSuffix), content.Offsets));
        segment.TimeIndex = content.OpenTimeIndex(Rebuild(FileNames.Segment(baseOffset, FileNames.TimeIndexSuffix), content.Times));
        string transactions = FileNames.Segment(baseOffset, FileNames.TransactionIndexSuffix);
        if (content.TransactionEntryCount > 0 || _listing.Has(transactions))
        {
            segment.TransactionIndex = content.OpenTransactionIndex(Rebuild(transactions, content.Transactions));
        }
    }

    private (LazyFile File, int EntryCount) Take(Offset baseOffset, string suffix, int entryByteCount)
    {
        string name = FileNames.Segment(baseOffset, suffix);
        int entryCount = _listing.EntryCount(name, entryByteCount) ?? throw new InvalidOperationException($"'{name}' is not plausible.");
        return (_files.Existing(_directory, name), entryCount);
    }

    private LazyFile Rebuild(string name, byte[] content)
    {
        bool exists = _files.Storage.FileExists($"{_directory}/{name}");
        LazyFile file = exists ? _files.Existing(_directory, name) : _files.Create(_directory, name);
        if (exists && HasContent(file, content))
        {
            return file;
        }

        _report(exists ? RecoveryCondition.IndexStale : RecoveryCondition.IndexMissing, $"'{name}' is made anew.");
        file.SetLength(0);
        file.Write(content, 0);
        file.SyncData();
        HasNewFile |= !exists;
        return file;
    }

    private static bool HasContent(LazyFile file, byte[] content)
    {
        if (file.Length != content.Length)
        {
            return false;
        }

        byte[] found = new byte[content.Length];
        return file.Read(found, 0) == found.Length && found.AsSpan().SequenceEqual(content);
    }
}
