using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>What goes by age and size: when a segment is closed, and where the log is to start.</content>
public sealed partial class PartitionLog
{
    /// <summary>As they are now; for tests.</summary>
    internal IReadOnlyList<LogSegment> SegmentsForTests => Volatile.Read(ref _segments);

    /// <summary>Whether there are segments below the log's start that could not go yet, or files whose delay is running.</summary>
    internal bool HasLeftovers
    {
        get
        {
            lock (_segmentsLock)
            {
                LogSegment[] segments = _segments;
                return _discarded.Count > 0 || (segments.Length > 1 && segments[1].BaseOffset <= LogStartOffset);
            }
        }
    }

    /// <summary>
    /// Where the log is to start by retention.ms and retention.bytes; its present start, if nothing is to go. A segment goes as a whole, and
    /// never one with records at or above the high watermark.
    /// </summary>
    /// <param name="now">By the broker's clock, in milliseconds since 1970.</param>
    /// <exception cref="IOException">The time index of a segment cannot be read.</exception>
    internal Offset RetentionStart(long now)
    {
        TopicLogSettings settings = Settings;
        if (!IsOnline || !settings.IsDeleted)
        {
            return LogStartOffset;
        }

        // The end before the segments, as for reads.
        Offset end = LogEndOffset;
        Offset mark = HighWatermark;
        LogSegment[] segments = Volatile.Read(ref _segments);
        Offset EndOf(int number) => number < segments.Length - 1 ? segments[number + 1].BaseOffset : end;
        int count;
        try
        {
            count = Math.Max(CountExpired(segments, settings.RetentionMilliseconds, now), CountExcess(segments, settings.RetentionByteCount));
        }
        catch (DamagedIndexException damage)
        {
            ReadFailed(damage, segments);
            return LogStartOffset;
        }

        while (count > 0 && EndOf(count - 1) > mark)
        {
            count--;
        }

        return count == 0 ? LogStartOffset : Offset.Max(EndOf(count - 1), LogStartOffset);
    }

    /// <summary>
    /// How many segments have no record within the retention time. A segment whose records have no times is as old as the next one whose have:
    /// when the file was written says nothing about records that were moved here.
    /// </summary>
    private int CountExpired(LogSegment[] segments, long retentionMilliseconds, long now)
    {
        int count = 0;
        for (int number = 0; number < segments.Length && retentionMilliseconds >= 0; number++)
        {
            if (!HasRightTimes(segments[number], isComplete: number < segments.Length - 1))
            {
                return 0;
            }

            long latest = segments[number].LatestIndexedTimestamp;
            if (number == segments.Length - 1 && (latest < 0 || now - latest > retentionMilliseconds))
            {
                latest = LatestTimestamp(segments[number]);
            }

            if (latest >= 0 && now - latest <= retentionMilliseconds)
            {
                break;
            }

            count = latest >= 0 ? number + 1 : count;
        }

        return count;
    }

    /// <summary>Of the active segment, whose last batches are not in its index.</summary>
    private long LatestTimestamp(LogSegment segment)
    {
        lock (_writerLock)
        {
            if (segment != _segments[^1] || segment.ByteCount == 0)
            {
                return segment.LatestIndexedTimestamp;
            }

            segment.BeginAppends(_commit.LogEndOffset);
            return segment.LatestTimestamp;
        }
    }

    /// <summary>How many segments may go so that what stays has the retention size at least. One that compaction has emptied goes with those around it; the last one stays where it is empty.</summary>
    private static int CountExcess(LogSegment[] segments, long retentionByteCount)
    {
        if (retentionByteCount < 0)
        {
            return 0;
        }

        long excess = segments.Sum(static segment => (long)segment.ByteCount) - retentionByteCount;
        int count = 0;
        while (count < segments.Length)
        {
            int byteCount = segments[count].ByteCount;
            bool isEmptyEnd = byteCount == 0 && count == segments.Length - 1;
            if (byteCount > excess || isEmptyEnd)
            {
                break;
            }

            excess -= byteCount;
            count++;
        }

        return count;
    }

    /// <summary>Whether the active segment is too old for another batch: by the times of the records, or, where they have none, by the clock.</summary>
    private bool IsAged(LogSegment active, List<RecordBatchHeader> headers)
    {
        TopicLogSettings settings = Settings;
        long longest = settings.LongestSegmentMilliseconds;
        if (longest == long.MaxValue || active.ByteCount == 0)
        {
            return false;
        }

        long first = active.ReadFirstTimestamp();
        long latest = -1;
        foreach (RecordBatchHeader header in headers)
        {
            latest = Math.Max(latest, header.MaxTimestamp);
        }

        long age = first >= 0 && latest >= 0 ? latest - first : _owner.Now - active.CreatedAt;
        return age > longest - Jitter(active.BaseOffset, Math.Min(settings.SegmentJitterMilliseconds, longest));
    }

    /// <summary>The same for a segment always, and evenly spread over the segments.</summary>
    private long Jitter(Offset baseOffset, long maximum)
    {
        if (maximum <= 0)
        {
            return 0;
        }

        byte[] name = Encoding.UTF8.GetBytes($"{TopicPartition}/{baseOffset}");
        return (long)((((ulong)Crc32C.Compute(name) << 32) | Crc32C.Compute([.. name, 1])) % (ulong)maximum);
    }
}
