using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>Syncs that the topic's settings ask for, whatever the producers do: flush.messages and flush.ms.</content>
public sealed partial class PartitionLog
{
    // Guarded by the writer lock. How far the last sync reaches that was asked for by count.
    private Offset _flushEnd;

    // When the first record came that no sync has begun to put on the disk; null: there is none, or nobody waits for time to pass. Written under the writer lock.
    private long? _unsyncedSince;

    /// <summary>Whether records wait in the page cache for longer than flush.ms.</summary>
    internal bool IsSyncOverdue
    {
        get
        {
            long milliseconds = Settings.FlushMilliseconds;
            if (milliseconds == long.MaxValue)
            {
                return false;
            }

            lock (_writerLock)
            {
                return _unsyncedSince is { } since && _owner.Time.GetElapsedTime(since).TotalMilliseconds >= milliseconds;
            }
        }
    }

    /// <summary>
    /// Whether an append that ends there is the one by which flush.messages records are not on the disk: it is for the disk, and so is everything before it. As Kafka
    /// does, which syncs in the append, the count begins anew then.
    /// </summary>
    private bool IsFlushDue(Offset nextOffset, TopicLogSettings settings)
    {
        if (settings.FlushMilliseconds != long.MaxValue)
        {
            _unsyncedSince ??= _owner.Time.GetTimestamp();
        }

        if (nextOffset - Offset.Max(_flushEnd, _commit.SyncedOffset) < settings.FlushRecordCount)
        {
            return false;
        }

        _flushEnd = nextOffset;
        return true;
    }

    /// <summary>Whether the answer to an attempt that was in the log already waits for a sync that was asked for by count.</summary>
    private bool IsFlushed(Offset lastOffset) => lastOffset < _flushEnd;
}
