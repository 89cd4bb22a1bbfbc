using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>The files that say how far logs are compacted.</content>
public sealed partial class LogDirectory
{
    /// <summary>
    /// Writes down that offsets below may be missing in a log, before any is: a start would take a gap for damage. Kafka's own file of
    /// cleaned offsets cannot say it, since it says that a compaction is over.
    /// </summary>
    /// <exception cref="IOException">The disk refused.</exception>
    /// <param name="end">Where the last segment ends that is going to be compacted.</param>
    internal void AllowGaps(PartitionLog log, Offset below, Offset end)
    {
        lock (_checkpointLock)
        {
            ObjectDisposedException.ThrowIf(_isReleased, this);
            if (!_writtenRecoveryPoints.TryGetValue(log.TopicPartition, out Offset point) || point < end)
            {
                // The journal may still have pieces of the segments as they are now. A start writes none back that lies below the recovery point.
                WriteRecoveryPointsOrThrow();
            }

            if (below > log.SparseBelow)
            {
                WriteOffsets(FileNames.SparseOffsets, other => other == log ? below : other.SparseBelow);
                log.SparseBelow = below;
            }
        }
    }

    /// <summary>Writes down that a log is compacted up to an offset.</summary>
    /// <exception cref="IOException">The disk refused.</exception>
    internal void SetCleanedUpTo(PartitionLog log, Offset offset)
    {
        lock (_checkpointLock)
        {
            ObjectDisposedException.ThrowIf(_isReleased, this);
            log.CleanedUpTo = offset;
            WriteOffsets(FileNames.CleanedOffsets, static other => other.CleanedUpTo);
        }
    }

    /// <summary>Writes both without the lines of partitions that are not there any more; nothing, where nothing was ever compacted.</summary>
    internal void RewriteCleaningOffsets()
    {
        lock (_checkpointLock)
        {
            ObjectDisposedException.ThrowIf(_isReleased, this);
            foreach ((string name, Func<PartitionLog, Offset> offsetOf) in CleaningFiles)
            {
                if (_storage.FileExists($"{Path}/{name}"))
                {
                    WriteOffsets(name, offsetOf);
                }
            }
        }
    }

    private static readonly (string Name, Func<PartitionLog, Offset> OffsetOf)[] CleaningFiles =
    [
        (FileNames.SparseOffsets, static log => log.SparseBelow),
        (FileNames.CleanedOffsets, static log => log.CleanedUpTo),
    ];

    private void WriteOffsets(string name, Func<PartitionLog, Offset> offsetOf)
    {
        List<KeyValuePair<TopicPartition, Offset>> offsets =
            [.. SortedPartitions().Select(log => KeyValuePair.Create(log.TopicPartition, offsetOf(log))).Where(static line => line.Value > Offset.Zero)];
        AtomicFile.Write(_storage, Path, name, OffsetCheckpoint.Format(offsets));
    }
}
