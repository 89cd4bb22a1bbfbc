namespace Millrace.Log;

/// <summary>
/// What one sync has to put on the disk: every segment with bytes that are not there, in order, and the directory where one of them is
/// new. Made and marked under the partition's lock, run without it.
/// </summary>
internal sealed class SyncWork
{
    private readonly IStorage _storage;
    private readonly string _directory;
    private readonly List<Part> _parts = [];
    private readonly List<LazyFile> _snapshots = [];
    private bool _syncsDirectory;
    private bool _isLast;

    public SyncWork(IStorage storage, string directory, LogSegment[] segments)
    {
        _storage = storage;
        _directory = directory;

        // From the end: everything before a segment that was complete at an earlier sync is on the disk.
        for (int index = segments.Length - 1; index >= 0; index--)
        {
            LogSegment segment = segments[index];
            bool isComplete = index < segments.Length - 1;
            if (isComplete && segment.IsCompleteAndSynced)
            {
                break;
            }

            _parts.Insert(0, new Part(segment, segment.ByteCount, isComplete));

            // Taken now: a file that is made while this runs is for the next sync. If this one fails, the partition goes offline.
            _syncsDirectory |= segment.HasNewFile;
            segment.HasNewFile = false;
            if (segment.NewSnapshot is { } snapshot)
            {
                _snapshots.Add(snapshot);
                segment.NewSnapshot = null;
            }
        }
    }

    /// <summary>Whether a segment is among them that gets no more appends: the recovery point moves to a new segment.</summary>
    public bool CompletesSegment => _parts.Exists(static part => part.IsComplete);

    /// <summary>
    /// Makes this the last sync before a clean stop: the next start trusts the indexes of the last segment too, and begins with the
    /// snapshot that is made here. Returns what the disk answered.
    /// </summary>
    public Exception? TryAddLast(Func<LazyFile?> makeSnapshot)
    {
        _isLast = true;
        try
        {
            if (makeSnapshot() is { } snapshot)
            {
                _snapshots.Add(snapshot);
                _syncsDirectory = true;
            }

            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return exception;
        }
    }

    public void Run()
    {
        foreach (Part part in _parts)
        {
            if (part.ByteCount > part.Segment.StoredByteCount)
            {
                part.Segment.File.SyncData();
            }

            if (part.IsComplete || _isLast)
            {
                // The indexes of the active segment are not synced: recovery makes them anew from the recovery point's segment on.
                part.Segment.SyncIndexes();
            }
        }

        foreach (LazyFile snapshot in _snapshots)
        {
            snapshot.SyncData();
            snapshot.Dispose();
        }

        if (_syncsDirectory)
        {
            _storage.SyncDirectory(_directory);
        }
    }

    /// <summary>Runs; returns what the disk answered instead of throwing it.</summary>
    public Exception? TryRun()
    {
        try
        {
            Run();
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            // Disposed: the directory was let go as a crash would, in the middle of the sync.
            return exception;
        }
    }

    public void MarkSynced()
    {
        foreach (Part part in _parts)
        {
            part.Segment.StoredByteCount = part.ByteCount;
            part.Segment.SyncedByteCount = part.ByteCount;
            part.Segment.IsCompleteAndSynced = part.IsComplete;
        }
    }

    private readonly record struct Part(LogSegment Segment, int ByteCount, bool IsComplete);
}
