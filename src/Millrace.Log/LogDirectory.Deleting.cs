using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>Deleting partitions, and the file of log starts.</content>
public sealed partial class LogDirectory
{
    // Guarded by the creation lock.
    private readonly Random _random;

    // What partitions that are deleted were renamed to, while the disk has not let their deletion be finished. Guarded by the creation lock.
    private readonly List<string> _unfinishedDeletions = [];

    /// <summary>
    /// Deletes a partition and all its records. On return it stays deleted, whatever happens to the machine; for everybody who still holds its
    /// log, that is offline. False if it is not there. The settings of its topic stay.
    /// </summary>
    /// <exception cref="IOException">The disk refused. The partition is as it was; or it is gone, and the next start may find it again.</exception>
    public bool Delete(TopicPartition topicPartition) => Delete([topicPartition]) == 1;

    /// <summary>
    /// Deletes several partitions, with one sync for all of them; returns how many were there. Finishes the deletions as well that the disk has stopped before.
    /// </summary>
    /// <exception cref="IOException">
    /// The disk refused. Each partition is as it was; or it is gone, and the next start may find it again, unless a later call for whatever partitions, or for none, succeeds.
    /// </exception>
    public int Delete(IReadOnlyCollection<TopicPartition> topicPartitions)
    {
        lock (_creationLock)
        {
            ObjectDisposedException.ThrowIf(_isClosed, this);
            int count = 0;
            foreach (TopicPartition topicPartition in topicPartitions)
            {
                if (_partitions.TryGetValue(topicPartition, out PartitionLog? log))
                {
                    Retire(log);
                    count++;
                }
            }

            ForgetSettingsOfNone(topicPartitions.Select(static partition => partition.Topic));
            FinishDeletions();
            return count;
        }
    }

    /// <summary>Ends the log, and gives its directory a name that says so.</summary>
    private void Retire(PartitionLog log)
    {
        Span<byte> id = stackalloc byte[16];
        _random.NextBytes(id);
        string deleted = $"{Path}/{FileNames.DeletedPartition(log.TopicPartition, new Guid(id))}";
        log.Retire(() =>
        {
            _storage.Rename(PathOf(log.TopicPartition), deleted);
            _unfinishedDeletions.Add(deleted);
        });
        _partitions.TryRemove(log.TopicPartition, out _);
    }

    private void FinishDeletions()
    {
        if (_unfinishedDeletions.Count == 0)
        {
            return;
        }

        _storage.SyncDirectory(Path);

        // Without the lines of the partitions: one that is made under such a name begins anew. The renamed directories tell a start until then
        // that nothing is missing.
        WriteRecoveryPointsOrThrow();
        MoveLogStarts([]);
        RewriteCleaningOffsets();
        _unfinishedDeletions.ForEach(RemoveDeleted);
        _unfinishedDeletions.Clear();
    }

    /// <summary>Writes down where logs start from now on, durably, before anything below is deleted; and where all others start.</summary>
    /// <exception cref="IOException">The disk refused. What is written down is the old or the new.</exception>
    internal void MoveLogStarts(IReadOnlyList<KeyValuePair<PartitionLog, Offset>> starts)
    {
        lock (_checkpointLock)
        {
            ObjectDisposedException.ThrowIf(_isReleased, this);
            List<KeyValuePair<PartitionLog, Offset>> before = [.. starts.Select(static start => KeyValuePair.Create(start.Key, start.Key.CheckpointedLogStart))];
            foreach ((PartitionLog log, Offset start) in starts)
            {
                log.CheckpointedLogStart = Offset.Max(start, log.CheckpointedLogStart);
            }

            try
            {
                AtomicFile.Write(_storage, Path, FileNames.LogStartOffsets, Checkpoint(static log => log.CheckpointedLogStart));
            }
            catch
            {
                foreach ((PartitionLog log, Offset start) in before)
                {
                    log.CheckpointedLogStart = start;
                }

                throw;
            }
        }
    }

    /// <summary>The directory is out of the way by its name; what is left of it after a failure goes with the next start.</summary>
    private void RemoveDeleted(string path)
    {
        try
        {
            RemoveDirectory(_storage, path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogMessages.DeletedPartitionNotRemoved(_logger, path, exception.Message);
        }
    }

    /// <summary>Removes a directory and the files in it.</summary>
    internal static void RemoveDirectory(IStorage storage, string path)
    {
        foreach (StorageEntry entry in storage.List(path))
        {
            storage.DeleteFile($"{path}/{entry.Name}");
        }

        storage.DeleteDirectory(path);
    }
}
