using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>A record and its time, or what is answered where there is none.</summary>
internal readonly record struct TimestampedOffset(long Timestamp, Offset Offset)
{
    /// <summary>Kafka's answer where no record is late enough.</summary>
    public static readonly TimestampedOffset None = new(-1, new Offset(-1));

    public bool IsNone => Offset.Value < 0;
}

/// <summary>
/// Finds records by time. There is no time index, so it reads the log from its start, a piece at a time; of each batch it looks at the header, and
/// decodes only the batch that holds the answer. Null: the partition went offline, or its log start moved on, meanwhile.
/// </summary>
internal static class TimestampSearch
{
    private const int PieceByteCount = 1024 * 1024;

    /// <summary>The first record at or after a time.</summary>
    public static TimestampedOffset? FirstAtOrAfter(PartitionLog partition, long timestamp, Offset upTo, CancellationToken cancellationToken)
    {
        TimestampedOffset? found = null;
        bool isWhole = Walk(partition, upTo, cancellationToken, (header, batch) =>
        {
            if (header.MaxTimestamp >= timestamp)
            {
                found = FirstInBatch(header, batch, timestamp);
            }

            return found is null;
        });
        return isWhole ? found ?? TimestampedOffset.None : null;
    }

    /// <summary>The first of the records with the largest time.</summary>
    public static TimestampedOffset? Largest(PartitionLog partition, Offset upTo, CancellationToken cancellationToken)
    {
        long largest = -1;
        bool isWhole = Walk(partition, upTo, cancellationToken, (header, _) =>
        {
            largest = Math.Max(largest, header.MaxTimestamp);
            return true;
        });
        if (!isWhole)
        {
            return null;
        }

        return largest < 0 ? TimestampedOffset.None : FirstAtOrAfter(partition, largest, upTo, cancellationToken);
    }

    /// <summary>Visits the batches below an offset until the visitor returns false; false itself if the log cannot be read.</summary>
    private static bool Walk(
        PartitionLog partition, Offset upTo, CancellationToken cancellationToken, Func<RecordBatchHeader, ReadOnlyMemory<byte>, bool> visit)
    {
        Offset next = partition.LogStartOffset;
        while (next < upTo)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (partition.Read(next, PieceByteCount, atLeastOneBatch: true, upTo) is not ReadResult.Data { Batches: var piece })
            {
                return false;
            }

            if (piece.IsEmpty)
            {
                return true;
            }

            while (!piece.IsEmpty)
            {
                RecordBatchHeader header = RecordBatchHeader.Read(piece.Span);
                if (!visit(header, piece[..header.TotalByteCount]))
                {
                    return true;
                }

                piece = piece[header.TotalByteCount..];
                next = header.NextOffset;
            }
        }

        return true;
    }

    private static TimestampedOffset? FirstInBatch(in RecordBatchHeader header, ReadOnlyMemory<byte> batch, long timestamp)
    {
        try
        {
            foreach (Record record in RecordBatchReader.Read(batch))
            {
                if (record.Timestamp >= timestamp)
                {
                    return new TimestampedOffset(record.Timestamp, record.Offset);
                }
            }

            // The header claims a time that none of the records has: on with the next batch.
            return null;
        }
        catch (Exception unreadable) when (unreadable is InvalidRecordBatchException or CodecUnavailableException)
        {
            // The whole batch is the best answer that there is: the client reads from its start on.
            return new TimestampedOffset(header.MaxTimestamp, header.BaseOffset);
        }
    }
}
