using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// Which entries the indexes of a segment get. It follows from the batches alone, so that appends, recovery and compaction, which all ask
/// here, make the same files.
/// </summary>
internal sealed class IndexProgress
{
    private const long NoTimestamp = -1;

    private readonly Offset _baseOffset;
    private readonly int _intervalByteCount;
    private readonly int _maximumEntryCount;
    private int _entryCount;
    private int _lastIndexedPosition;
    private long _lastIndexedTimestamp = NoTimestamp;

    public IndexProgress(Offset baseOffset, LogSettings settings)
    {
        _baseOffset = baseOffset;
        _intervalByteCount = settings.IndexIntervalByteCount;
        _maximumEntryCount = settings.MaximumIndexByteCount / OffsetIndex.EntryByteCount;
    }

    /// <summary>Goes on behind what is in the indexes; the batches from the last indexed one on have to be observed again.</summary>
    public static IndexProgress Resume(Offset baseOffset, LogSettings settings, OffsetIndex index, TimeIndex timeIndex)
    {
        var progress = new IndexProgress(baseOffset, settings)
        {
            _entryCount = index.EntryCount,
            _lastIndexedPosition = index.Last?.Position ?? 0,
        };
        if (timeIndex.Last is { } last)
        {
            progress._lastIndexedTimestamp = last.Timestamp;
            progress.LatestTimestamp = last.Timestamp;
            progress.LatestRelativeOffset = (int)(last.LastOffset - baseOffset);
        }

        return progress;
    }

    /// <summary>Whether the offset index takes no more entries. The time index has at most one more than it.</summary>
    public bool IsFull => _entryCount >= _maximumEntryCount;

    /// <summary>The latest time so far; -1 where no batch has one.</summary>
    public long LatestTimestamp { get; private set; } = NoTimestamp;

    /// <summary>Last offset, less the base, of the first batch that has it.</summary>
    public int LatestRelativeOffset { get; private set; }

    /// <summary>Whether the time index is due an entry with the latest time, where the offset index gets one or the segment is complete.</summary>
    public bool IsTimeEntryDue => LatestTimestamp > _lastIndexedTimestamp;

    /// <summary>Takes note of the next batch. Says whether the offset index is due an entry for it, and gives its offset.</summary>
    public bool Observe(in RecordBatchHeader header, int position, out int relativeOffset)
    {
        relativeOffset = (int)(header.LastOffset - _baseOffset);
        if (header.MaxTimestamp > LatestTimestamp)
        {
            LatestTimestamp = header.MaxTimestamp;
            LatestRelativeOffset = relativeOffset;
        }

        return position - _lastIndexedPosition > _intervalByteCount && !IsFull;
    }

    /// <summary>The offset index has got its entry.</summary>
    public void Indexed(int position)
    {
        _entryCount++;
        _lastIndexedPosition = position;
    }

    /// <summary>The time index has got its entry.</summary>
    public void TimeIndexed() => _lastIndexedTimestamp = LatestTimestamp;
}
