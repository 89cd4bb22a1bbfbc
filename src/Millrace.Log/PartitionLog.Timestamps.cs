using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A record and its time.</summary>
public readonly record struct TimestampedOffset(Offset Offset, long Timestamp);

/// <content>
/// Lookup by time. The time indexes say in which segment to look and from where on; what is read of the log is at most two of their
/// intervals, unless times go back in it.
/// </content>
public sealed partial class PartitionLog
{
    /// <summary>
    /// The first record at or after a time, in milliseconds since 1970, below <paramref name="upTo"/>; null if there is none, or the
    /// partition is offline.
    /// </summary>
    public TimestampedOffset? OffsetAtTimestamp(long timestamp, Offset upTo) =>
        Search(upTo, (segments, start, end) => FindFirstAt(segments, timestamp, start, end));

    /// <summary>
    /// The record with the latest time below <paramref name="upTo"/>, the first one if several have it; null if there is none, or the
    /// partition is offline.
    /// </summary>
    public TimestampedOffset? OffsetOfMaximumTimestamp(Offset upTo) => Search(upTo, FindLatest);

    private TimestampedOffset? Search(Offset upTo, Func<LogSegment[], Offset, Offset, TimestampedOffset?> search)
    {
        int generation = Volatile.Read(ref _generation);
        if (!IsOnline)
        {
            return null;
        }

        Offset end = Offset.Min(upTo, LogEndOffset);
        while (true)
        {
            LogSegment[] segments = Volatile.Read(ref _segments);
            if (generation != Volatile.Read(ref _generation))
            {
                return null;
            }

            try
            {
                return search(segments, LogStartOffset, end);
            }
            catch (IOException exception)
            {
                ReadFailed(exception, segments);
                return null;
            }
            catch (ObjectDisposedException)
            {
                if (!HaveChangedSince(segments))
                {
                    // Closed meanwhile: there is nothing to find.
                    return null;
                }
            }
        }
    }

    private TimestampedOffset? FindFirstAt(LogSegment[] segments, long timestamp, Offset start, Offset end)
    {
        for (int number = FindSegmentNumber(segments, start); number < segments.Length && segments[number].BaseOffset < end; number++)
        {
            LogSegment segment = segments[number];
            bool isComplete = number < segments.Length - 1;
            if (!HasRightTimes(segment, isComplete))
            {
                return null;
            }

            if (isComplete && !(segment.TimeIndex.Last?.Timestamp >= timestamp))
            {
                continue;
            }

            if (!segment.TimeIndex.FoundAround(timestamp).TrueForAll(entry => IsRight(segment, entry)))
            {
                return null;
            }

            int position = Math.Max(segment.PositionBefore(timestamp), segment.PositionBefore(start));
            TimestampedOffset? found = null;
            VisitBatches(segment, position, start, end, (header, batchPosition) =>
            {
                found = header.MaxTimestamp < timestamp
                    ? null
                    : FirstRecord(segment, header, batchPosition, record => record.Timestamp >= timestamp && record.Offset >= start);
                return found is null;
            });
            if (found is not null)
            {
                return found;
            }
        }

        return null;
    }

    private TimestampedOffset? FindLatest(LogSegment[] segments, Offset start, Offset end)
    {
        LogSegment? segment = null;
        IndexedTimestamp latest = default;
        for (int number = FindSegmentNumber(segments, start); number < segments.Length && segments[number].BaseOffset < end; number++)
        {
            LogSegment candidate = segments[number];
            if (!HasRightTimes(candidate, isComplete: number < segments.Length - 1))
            {
                return null;
            }

            bool isWhole = number < segments.Length - 1 && candidate.BaseOffset >= start && segments[number + 1].BaseOffset <= end;
            IndexedTimestamp? latestOfIt = isWhole ? candidate.TimeIndex.Last : FindLatest(candidate, start, end);
            if (!IsOnline)
            {
                return null;
            }

            if (latestOfIt is { } found && (segment is null || found.Timestamp > latest.Timestamp))
            {
                (segment, latest) = (candidate, found);
            }
        }

        return segment is null ? null : RecordOf(segment, latest, start);
    }

    /// <summary>The latest time between two offsets of a segment.</summary>
    private IndexedTimestamp? FindLatest(LogSegment segment, Offset start, Offset end)
    {
        // What the indexes know of the time up to the last indexed batch, unless it is from before the start; the rest is looked at.
        IndexedPosition? indexed = segment.Index.FindAtOrBefore(end + -1);
        IndexedTimestamp? latest = indexed is { } entry ? segment.TimeIndex.FindAtOrBefore(entry.LastOffset) : null;
        int position = indexed?.Position ?? 0;
        if (latest is { } entryOfIndex && !IsRight(segment, entryOfIndex))
        {
            return null;
        }

        if (start > segment.BaseOffset && (latest is null || RecordOf(segment, latest.Value, start) is null))
        {
            latest = null;
            position = segment.PositionBefore(start);
        }

        VisitBatches(segment, position, start, end, (header, batchPosition) =>
        {
            long? timestamp = header.BaseOffset < start ? LatestRecordTime(segment, header, batchPosition, start) : header.MaxTimestamp;
            if (latest is null || timestamp > latest.Value.Timestamp)
            {
                latest = timestamp is null ? latest : new IndexedTimestamp(timestamp.Value, header.LastOffset);
            }

            return true;
        });
        return latest;
    }

    /// <summary>The latest time of a batch that begins below <paramref name="start"/>.</summary>
    private static long? LatestRecordTime(LogSegment segment, in RecordBatchHeader header, int position, Offset start)
    {
        long? latest = null;
        FirstRecord(segment, header, position, record =>
        {
            latest = record.Offset >= start && !(record.Timestamp <= latest) ? record.Timestamp : latest;
            return false;
        });
        return latest;
    }

    /// <summary>
    /// Looks, before the latest time of a segment is relied on for the first time, whether the batches have it, and none a later one behind. What retention deletes by it is gone, and a search passes by what it
    /// does not say. False, and the partition is offline, if it is wrong.
    /// </summary>
    /// <param name="isComplete">Whether the segment gets no more appends. Of the active one only what a start has found is looked at, since the last entry may be a moment ahead of what readers see.</param>
    private bool HasRightTimes(LogSegment segment, bool isComplete)
    {
        if (segment.HasCheckedTimes)
        {
            return true;
        }

        if (!isComplete)
        {
            return segment.TimeIndex.LastFound is not { } found || IsRight(segment, found);
        }

        IndexedTimestamp? last = segment.TimeIndex.Last;
        bool isRight = true;
        VisitBatches(segment, last is { } entry ? segment.PositionBefore(entry.LastOffset) : 0, segment.BaseOffset, new Offset(long.MaxValue), (header, _) =>
        {
            isRight = header.MaxTimestamp <= (last?.Timestamp ?? -1);
            return isRight;
        });
        segment.HasCheckedTimes = isRight && IsOnline && (last is null || IsRight(segment, last.Value));
        return segment.HasCheckedTimes || WrongTimes(segment);
    }

    /// <summary>Whether an entry of the time index says what the batch says that it names. False, and the partition is offline, if not.</summary>
    private bool IsRight(LogSegment segment, IndexedTimestamp entry)
    {
        bool isRight = false;
        VisitBatches(segment, segment.PositionBefore(entry.LastOffset), entry.LastOffset, new Offset(long.MaxValue), (header, _) =>
        {
            isRight = header.BaseOffset <= entry.LastOffset && header.MaxTimestamp == entry.Timestamp;
            return false;
        });
        return isRight || WrongTimes(segment);
    }

    /// <summary>It comes back with the indexes made anew.</summary>
    private bool WrongTimes(LogSegment segment)
    {
        string name = FileNames.Segment(segment.BaseOffset, FileNames.TimeIndexSuffix);
        Offline($"{_directory}/{name} does not say what the batches of its segment say, and is made anew. The partition comes back by itself.", segment);
        return false;
    }

    private TimestampedOffset? RecordOf(LogSegment segment, IndexedTimestamp latest, Offset start)
    {
        TimestampedOffset? found = null;
        VisitBatches(segment, segment.PositionBefore(latest.LastOffset), start, latest.LastOffset + 1, (header, position) =>
        {
            if (header.LastOffset == latest.LastOffset)
            {
                found = FirstRecord(segment, header, position, record => record.Timestamp >= latest.Timestamp && record.Offset >= start);
            }

            return header.LastOffset < latest.LastOffset;
        });
        return found;
    }

    /// <summary>Shows the batches from a position on that reach beyond <paramref name="start"/> and end at or before <paramref name="end"/>, until the visitor has enough and says false.</summary>
    private void VisitBatches(LogSegment segment, int position, Offset start, Offset end, Func<RecordBatchHeader, int, bool> visit)
    {
        using BatchWalker walker = WalkHeaders(segment, position, segment.ByteCount);
        Offset next = segment.BaseOffset;
        while (walker.MoveNext())
        {
            next = walker.Header.NextOffset;
            if (next > end || (next > start && !visit(walker.Header, (int)walker.Position)))
            {
                return;
            }
        }

        if (walker.Verdict != BatchVerdict.Valid)
        {
            Damaged(segment, walker.Position, next, walker.Verdict);
        }
    }

    private static TimestampedOffset? FirstRecord(LogSegment segment, in RecordBatchHeader header, int position, Predicate<Record> predicate)
    {
        byte[] batch = new byte[header.TotalByteCount];
        segment.File.Read(batch, position);
        try
        {
            foreach (Record record in RecordBatchReader.Read(batch))
            {
                if (predicate(record))
                {
                    return new TimestampedOffset(record.Offset, record.Timestamp);
                }
            }

            return null;
        }
        catch (Exception exception) when (exception is InvalidRecordBatchException or CodecUnavailableException)
        {
            // Records that this machine cannot look into: the start of their batch is not after the one looked for.
            return new TimestampedOffset(header.BaseOffset, header.MaxTimestamp);
        }
    }
}
