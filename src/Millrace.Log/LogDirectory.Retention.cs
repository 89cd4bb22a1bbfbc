using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>Retention over all partitions.</content>
public sealed partial class LogDirectory
{
    /// <summary>
    /// Deletes what the settings of the topics let go by age and size, and the files of what has left the logs before. The new starts are
    /// written down together, before the first file goes. Forgets producers that were silent for too long.
    /// </summary>
    internal void ApplyRetention()
    {
        long now = Now;
        List<KeyValuePair<PartitionLog, Offset>> starts = [];
        try
        {
            foreach (PartitionLog log in SortedPartitions())
            {
                log.ExpireProducers(now);
                if (TryFindStart(log, now) is { } start)
                {
                    starts.Add(KeyValuePair.Create(log, start));
                }
            }

            if (starts.Count > 0 && TryMoveLogStarts(starts))
            {
                foreach ((PartitionLog log, Offset start) in starts)
                {
                    LogMessages.RetentionMovedStart(_logger, log.TopicPartition, log.LogStartOffset, start);
                    log.ApplyLogStart(start);
                }
            }
        }
        finally
        {
            starts.ForEach(static start => start.Key.EndStartMove());
        }

        DeleteLeftovers();
    }

    /// <summary>Deletes the files whose delay is over, and what could not go when the start moved.</summary>
    internal void DeleteLeftovers()
    {
        foreach (PartitionLog log in SortedPartitions())
        {
            if (log.HasLeftovers)
            {
                log.ApplyLogStart(log.LogStartOffset);
                log.DeleteDiscardedFiles();
            }
        }
    }

    private Offset? TryFindStart(PartitionLog log, long now)
    {
        try
        {
            Offset start = log.RetentionStart(now);
            return start > log.LogStartOffset && log.TryPrepareStart(start) ? start : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            LogMessages.RetentionFailed(_logger, log.TopicPartition.ToString(), exception.Message);
            return null;
        }
    }

    private bool TryMoveLogStarts(List<KeyValuePair<PartitionLog, Offset>> starts)
    {
        try
        {
            MoveLogStarts(starts);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            LogMessages.RetentionFailed(_logger, Path, exception.Message);
            return false;
        }
    }
}
