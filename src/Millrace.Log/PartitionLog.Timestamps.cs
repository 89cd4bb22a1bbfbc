using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A record and its time.</summary>
public readonly record struct TimestampedOffset(Offset Offset, long Timestamp);

/// <content>
/// Lookup by time: there is no time index, so that these look at the header of every batch until they have found one. They cost a read
/// of the whole log in the worst case.
/// </content>
public sealed partial class PartitionLog
{
    /// <summary>The first record at or after a time, in milliseconds since 1970, below <paramref name="upTo"/>; null if there is none, or the partition is offline.</summary>
    public TimestampedOffset? OffsetAtTimestamp(long timestamp, Offset upTo)
    {
        TimestampedOffset? found = null;
        VisitBatches(upTo, (segment, header, position) =>
        {
            found = header.MaxTimestamp < timestamp ? null : FirstRecordAt(segment, header, position, record => record.Timestamp >= timestamp);
            return found is null;
        });
        return found;
    }

    /// <summary>The record with the latest time below <paramref name="upTo"/>, the first one if several have it; null if there is none.</summary>
    public TimestampedOffset? OffsetOfMaximumTimestamp(Offset upTo)
    {
        LogSegment? latestSegment = null;
        RecordBatchHeader latest = default;
        long latestPosition = 0;
        VisitBatches(upTo, (segment, header, position) =>
        {
            if (latestSegment is null || header.MaxTimestamp > latest.MaxTimestamp)
            {
                (latestSegment, latest, latestPosition) = (segment, header, position);
            }

            return true;
        });
        return latestSegment is null
            ? null
            : FirstRecordAt(latestSegment, latest, latestPosition, record => record.Timestamp >= latest.MaxTimestamp);
    }

    /// <summary>Shows every batch that ends at or before <paramref name="upTo"/>, until the visitor has enough and says false.</summary>
    private void VisitBatches(Offset upTo, Func<LogSegment, RecordBatchHeader, long, bool> visit)
    {
        if (!IsOnline)
        {
            return;
        }

        upTo = Offset.Min(upTo, LogEndOffset);
        try
        {
            foreach (LogSegment segment in Volatile.Read(ref _segments))
            {
                using BatchWalker walker = WalkHeaders(segment, segment.BaseOffset, segment.ByteCount);
                Offset next = segment.BaseOffset;
                while (walker.MoveNext())
                {
                    next = walker.Header.NextOffset;
                    if (walker.Header.NextOffset > upTo || !visit(segment, walker.Header, walker.Position))
                    {
                        return;
                    }
                }

                if (walker.Verdict != BatchVerdict.Valid)
                {
                    Damaged(segment, walker.Position, next, walker.Verdict);
                    return;
                }
            }
        }
        catch (IOException exception)
        {
            Offline($"Reading from {_directory} failed: {exception.Message} {Sentences.AfterDiskError}");
        }
        catch (ObjectDisposedException)
        {
            // Closed meanwhile: there is nothing to find.
        }
    }

    private static TimestampedOffset? FirstRecordAt(LogSegment segment, in RecordBatchHeader header, long position, Predicate<Record> predicate)
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
