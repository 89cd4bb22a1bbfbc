using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The snapshots of producers that a start finds: those it begins with, makes anew, and deletes.</summary>
internal sealed class SnapshotRecovery
{
    private readonly IStorage _storage;
    private readonly string _directory;
    private readonly int _maximumProducerCount;
    private readonly SortedSet<Offset> _offsets;
    private readonly Action<RecoveryCondition, string> _report;
    private readonly HashSet<Offset> _missing = [];
    private readonly HashSet<Offset> _unreadable = [];
    private Offset? _read;

    public SnapshotRecovery(
        IStorage storage, string directory, int maximumProducerCount, PartitionListing listing, Action<RecoveryCondition, string> report)
    {
        _storage = storage;
        _directory = directory;
        _maximumProducerCount = maximumProducerCount;
        _offsets = [.. listing.WithSuffix(FileNames.SnapshotSuffix).Select(static snapshot => snapshot.Offset)];
        _report = report;
    }

    /// <summary>The newest one that is known to be right.</summary>
    public Offset? Newest => _read;

    /// <summary>The newest one, if it lies at no segment's first offset.</summary>
    public Offset? Stray { get; private set; }

    /// <summary>The producers as they stand before an offset; null if there is no snapshot there that can be read.</summary>
    /// <param name="isWanted">Whether it has to be there.</param>
    public ProducerStates? TryRead(Offset offset, bool isWanted)
    {
        if (!_offsets.Contains(offset))
        {
            if (isWanted && _missing.Add(offset))
            {
                _report(RecoveryCondition.SnapshotMissing, $"'{Name(offset)}' is missing and is made anew from an older one and the batches.");
            }

            return null;
        }

        if (ProducerStates.TryReadSnapshot(Read(offset), _maximumProducerCount, out ProducerStates? producers))
        {
            _read = offset;
            return producers;
        }

        ReportUnreadable(offset);
        _missing.Add(offset);
        return null;
    }

    /// <summary>Whether there is a snapshot at an offset that can be read.</summary>
    public bool IsReadable(Offset offset) =>
        _offsets.Contains(offset) && ProducerStates.TryReadSnapshot(Read(offset), _maximumProducerCount, out _);

    /// <summary>Whether a snapshot was looked for at an offset and not found.</summary>
    public bool IsMissing(Offset offset) => _missing.Contains(offset);

    /// <summary>Makes a snapshot anew. The caller syncs the directory.</summary>
    public void Write(Offset offset, ReadOnlySpan<byte> content)
    {
        using IStorageFile file = _storage.Open(Path(offset), StorageOpenMode.Create);
        file.Write(content, 0);
        file.SyncData();
        _offsets.Add(offset);
        _missing.Remove(offset);
        _unreadable.Remove(offset);
        _read = offset > _read ? offset : _read ?? offset;
    }

    /// <summary>Makes one anew that is missing or cannot be read. The caller syncs the directory.</summary>
    public void Restore(Offset offset, ReadOnlySpan<byte> content)
    {
        if (_offsets.Contains(offset))
        {
            ReportUnreadable(offset);
        }
        else
        {
            _report(RecoveryCondition.SnapshotMissing, $"'{Name(offset)}' is missing and is made anew from an older one and the batches.");
        }

        Write(offset, content);
    }

    /// <summary>
    /// Writes those from an offset on once more and syncs them: they belong to segments that may not have been synced. For why see the
    /// tail of the log. Those that cannot be read go.
    /// </summary>
    public void Rewrite(Offset from)
    {
        foreach (Offset offset in _offsets.Where(offset => offset >= from).ToList())
        {
            byte[] content = Read(offset);
            if (ProducerStates.TryReadSnapshot(content, _maximumProducerCount, out _))
            {
                using IStorageFile file = _storage.Open(Path(offset), StorageOpenMode.Existing);
                file.Write(content, 0);
                file.SyncData();
            }
            else
            {
                ReportUnreadable(offset);
            }
        }
    }

    /// <summary>Deletes those that no log of these segments would have. True if there were any; the caller syncs the directory.</summary>
    public bool Tidy(IReadOnlyList<SegmentFile> segments, Offset logEndOffset)
    {
        Offset? newest = _offsets.Any(offset => offset <= logEndOffset) ? _offsets.Last(offset => offset <= logEndOffset) : null;
        bool hasChanged = _unreadable.Count > 0;
        foreach (Offset offset in _unreadable)
        {
            _storage.DeleteFile(Path(offset));
        }

        foreach (Offset offset in _offsets.ToList())
        {
            bool isAtSegment = segments.Any(segment => segment.BaseOffset == offset);
            bool isKept = offset <= logEndOffset && (isAtSegment || offset == newest);
            if (!isKept)
            {
                _report(RecoveryCondition.SnapshotStale, $"'{Name(offset)}' is of no use any more and is deleted.");
                _storage.DeleteFile(Path(offset));
                _offsets.Remove(offset);
                hasChanged = true;
            }
            else if (!isAtSegment)
            {
                Stray = offset;
            }
        }

        return hasChanged;
    }

    private void ReportUnreadable(Offset offset)
    {
        _report(RecoveryCondition.SnapshotUnreadable, $"'{Name(offset)}' is damaged and is deleted: an older one and the batches say the same.");
        _offsets.Remove(offset);
        _unreadable.Add(offset);
    }

    private static string Name(Offset offset) => FileNames.Segment(offset, FileNames.SnapshotSuffix);

    private string Path(Offset offset) => $"{_directory}/{Name(offset)}";

    private byte[] Read(Offset offset)
    {
        using IStorageFile file = _storage.Open(Path(offset), StorageOpenMode.Existing);
        byte[] bytes = new byte[file.Length];
        return bytes[..file.Read(bytes, 0)];
    }
}
