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

    /// <summary>Whether the indexes of a segment may be taken as they are: they are there, all of them, and hold whole entries.</summary>
    public bool IsPlausible(Offset baseOffset) =>
        _listing.EntryCount(FileNames.Segment(baseOffset, FileNames.IndexSuffix), OffsetIndex.EntryByteCount) is not null
        && _listing.EntryCount(FileNames.Segment(baseOffset, FileNames.TimeIndexSuffix), TimeIndex.EntryByteCount) is not null
        && _listing.EntryCount(FileNames.Segment(baseOffset, FileNames.TransactionIndexSuffix), TransactionIndex.EntryByteCount) is not null;

    public void Take(SegmentFile segment)
    {
        Offset baseOffset = segment.BaseOffset;
        (LazyFile file, int entryCount) = Take(baseOffset, FileNames.IndexSuffix, OffsetIndex.EntryByteCount);
        segment.Index = new OffsetIndex(file, baseOffset, entryCount, segment.Length);
        (file, entryCount) = Take(baseOffset, FileNames.TimeIndexSuffix, TimeIndex.EntryByteCount);
        segment.TimeIndex = new TimeIndex(file, baseOffset, entryCount);
        (file, entryCount) = Take(baseOffset, FileNames.TransactionIndexSuffix, TransactionIndex.EntryByteCount);
        segment.TransactionIndex = new TransactionIndex(file, entryCount);
    }

    /// <summary>
    /// Makes the indexes of a segment what its batches say. An interruption leaves them so that the next start comes here again: unless it does in any
    /// case, the offset index goes first, durably, and comes back last.
    /// </summary>
    /// <param name="isReadByEveryStart">Whether the next start reads the segment, whatever it finds of its indexes.</param>
    public void Rebuild(SegmentFile segment, IndexContent content, bool isReadByEveryStart)
    {
        Offset baseOffset = segment.BaseOffset;
        Wanted offsets = Compare(baseOffset, FileNames.IndexSuffix, content.Offsets);
        Wanted times = Compare(baseOffset, FileNames.TimeIndexSuffix, content.Times);
        Wanted transactions = Compare(baseOffset, FileNames.TransactionIndexSuffix, content.Transactions);
        if (!isReadByEveryStart && !(times.IsRight && transactions.IsRight))
        {
            offsets.File.Delete();
            _files.Storage.SyncDirectory(_directory);
            offsets = offsets with { File = _files.Existing(_directory, offsets.File.Name), IsRight = false };
        }

        bool isSynced = !isReadByEveryStart && !offsets.IsRight;
        segment.Progress = content.Progress;

        // What is made anew gets its name as a whole: a start after a killed process, or after a disk that neither synced nor deleted it, would see it whole, and leave it to the power.
        bool isAtomic = !isReadByEveryStart;
        segment.TransactionIndex = content.OpenTransactionIndex(Provide(transactions, isSynced, isAtomic));
        segment.TimeIndex = content.OpenTimeIndex(Provide(times, isSynced, isAtomic));
        if (isAtomic && !(times.IsRight && transactions.IsRight))
        {
            // Or the power could keep the name of the last one alone, by which a start takes the old ones for right.
            _files.Storage.SyncDirectory(_directory);
        }

        segment.Index = content.OpenOffsetIndex(Provide(offsets, isAtomic: isAtomic));
    }

    private (LazyFile File, int EntryCount) Take(Offset baseOffset, string suffix, int entryByteCount)
    {
        string name = FileNames.Segment(baseOffset, suffix);
        int entryCount = _listing.EntryCount(name, entryByteCount) ?? throw new InvalidOperationException($"'{name}' is not plausible.");
        return (_files.Existing(_directory, name), entryCount);
    }

    private Wanted Compare(Offset baseOffset, string suffix, byte[] content)
    {
        string name = FileNames.Segment(baseOffset, suffix);
        LazyFile file = _files.Existing(_directory, name);
        bool exists = _files.Storage.FileExists(file.Path);
        bool isRight = exists && HasContent(file, content);
        if (!isRight)
        {
            _report(exists ? RecoveryCondition.IndexStale : RecoveryCondition.IndexMissing, $"'{name}' is made anew.");
        }

        return new Wanted(file, content, isRight);
    }

    private LazyFile Provide(Wanted wanted, bool isSynced = false, bool isAtomic = false)
    {
        if (wanted.IsRight)
        {
            if (isSynced)
            {
                // A process that was killed may have written it and not synced it.
                wanted.File.SyncData();
            }

            return wanted.File;
        }

        string name = wanted.File.Name;
        bool exists = _files.Storage.FileExists(wanted.File.Path);
        wanted.File.Dispose();
        LazyFile file = _files.Create(_directory, isAtomic ? name + AtomicFile.TemporarySuffix : name);
        try
        {
            file.Write(wanted.Content, 0);
            file.SyncData();
            if (isAtomic)
            {
                file.Rename(name);
            }
        }
        catch
        {
            // The next attempt would find in memory what the disk may never get, and take it for right.
            file.Delete();
            throw;
        }

        HasNewFile |= isAtomic || !exists;
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

    /// <param name="IsRight">Whether the file is there and has the content.</param>
    private readonly record struct Wanted(LazyFile File, byte[] Content, bool IsRight);
}
