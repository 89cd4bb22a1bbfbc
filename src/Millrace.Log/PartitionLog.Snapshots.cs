using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>
/// Snapshots of the producers: one at the first offset of each segment but the first, and one at the end of the log at a clean stop.
/// </content>
public sealed partial class PartitionLog
{
    // Guarded by the writer lock. The newest snapshot, and the one among them that lies at no segment's first offset and so goes with the
    // next: that of the last clean stop.
    private Offset? _newestSnapshot;
    private Offset? _straySnapshot;

    /// <summary>
    /// Writes down the producers as they stand before an offset, the end of the log. Returns the file, which has to be synced; null if the
    /// disk has it already.
    /// </summary>
    private LazyFile? WriteSnapshot(Offset offset)
    {
        if (_newestSnapshot == offset)
        {
            _straySnapshot = null;
            return null;
        }

        LazyFile file = _files.Create(_directory, FileNames.Segment(offset, FileNames.SnapshotSuffix));
        try
        {
            file.Write(_producers.WriteSnapshot(), 0);
            if (_straySnapshot is { } stray && stray != offset)
            {
                // Should it come back after a crash, the next start deletes it.
                _files.Storage.DeleteFile($"{_directory}/{FileNames.Segment(stray, FileNames.SnapshotSuffix)}");
            }
        }
        catch
        {
            file.Dispose();
            throw;
        }

        _straySnapshot = null;
        _newestSnapshot = offset;
        return file;
    }

    /// <summary>The producers as they stood before a segment; null if that is not known.</summary>
    private ProducerStates? ReadSnapshot(Offset segmentBaseOffset)
    {
        lock (_segmentsLock)
        {
            string path = $"{_directory}/{FileNames.Segment(segmentBaseOffset, FileNames.SnapshotSuffix)}";
            if (_isReleased || !_files.Storage.FileExists(path))
            {
                return null;
            }

            using IStorageFile file = _files.Storage.Open(path, StorageOpenMode.Existing);
            byte[] bytes = new byte[file.Length];
            file.Read(bytes, 0);
            return ProducerStates.TryReadSnapshot(bytes, _settings.MaximumProducerCount, out ProducerStates? states) ? states : null;
        }
    }

    /// <summary>
    /// Puts the snapshot at the first offset of a segment on the disk, if it has one. If the disk refuses, the partition goes offline: a second sync could succeed without having
    /// written anything. The lock of the segments is held.
    /// </summary>
    private bool TrySyncSnapshot(Offset segmentBaseOffset, ref CommitEffects effects)
    {
        try
        {
            string path = $"{_directory}/{FileNames.Segment(segmentBaseOffset, FileNames.SnapshotSuffix)}";
            if (_files.Storage.FileExists(path))
            {
                using IStorageFile file = _files.Storage.Open(path, StorageOpenMode.Existing);
                file.SyncData();
                _files.Storage.SyncDirectory(_directory);
            }

            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            lock (_writerLock)
            {
                effects |= TakeOffline($"Syncing a snapshot in {_directory} to the disk failed: {exception.Message} {Sentences.AfterDiskError}");
            }

            return false;
        }
    }

    /// <summary>Deletes the snapshot of a segment that has left the log, unless there is none newer.</summary>
    private void DeleteSnapshot(Offset segmentBaseOffset)
    {
        bool isNewest;
        lock (_writerLock)
        {
            isNewest = _newestSnapshot == segmentBaseOffset;
        }

        if (!isNewest)
        {
            _files.Storage.DeleteFile($"{_directory}/{FileNames.Segment(segmentBaseOffset, FileNames.SnapshotSuffix)}");
        }
    }

    /// <summary>The snapshot that a clean stop leaves; null if none is needed.</summary>
    private LazyFile? WriteLastSnapshot()
    {
        // Before the first record there are no producers, and where the last segment is empty, it has a snapshot from when it was made.
        bool isWanted = _segments[^1].ByteCount > 0;
        return isWanted ? WriteSnapshot(_commit.LogEndOffset) : null;
    }
}
