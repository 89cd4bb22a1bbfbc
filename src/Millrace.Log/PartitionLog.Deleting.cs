using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>The start of the log, and what goes when it moves: records, segments, the whole partition.</content>
public sealed partial class PartitionLog
{
    // Held by who takes segments out of the log and touches their files, so that nobody does so when the partition is closed or deleted.
    // Taken before the writer lock.
    private readonly Lock _segmentsLock = new();

    // Guarded by the lock above. Segments that have left the log, in the order in which their files may go.
    private readonly Queue<DiscardedSegment> _discarded = new();
    private bool _isReleased;
    private long _logStartOffset;

    // Guarded by the writer lock: how many starts are prepared and may be written down, and are not applied yet.
    private int _movingStartCount;

    /// <summary>The first offset that may be read. Only rises.</summary>
    public Offset LogStartOffset => new(Volatile.Read(ref _logStartOffset));

    /// <summary>The log's start as it is written down: never behind the real one. Guarded by the directory's lock for checkpoints.</summary>
    internal Offset CheckpointedLogStart { get; set; }

    /// <summary>
    /// Deletes the records below an offset, or below the high watermark, if that is lower. On return the log's start is durable. Segments that
    /// lie below it as a whole leave the log; their files go after <c>file.delete.delay.ms</c>.
    /// </summary>
    public DeleteRecordsResult DeleteRecords(Offset before)
    {
        if (OfflineReason is { } reason)
        {
            return new DeleteRecordsResult.Failed(reason);
        }

        Offset start = Offset.Min(before, HighWatermark);
        if (start <= LogStartOffset)
        {
            return new DeleteRecordsResult.Deleted(LogStartOffset);
        }

        try
        {
            if (!TryPrepareStart(start))
            {
                return new DeleteRecordsResult.Failed(OfflineReason ?? $"The log of {TopicPartition} is closed, or ends below {start} since it was offline. Try again.");
            }

            try
            {
                _owner.MoveLogStarts([KeyValuePair.Create(this, start)]);
                ApplyLogStart(start);
            }
            finally
            {
                EndStartMove();
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return new DeleteRecordsResult.Failed($"The start of {TopicPartition} cannot be written down: {exception.Message} Mend the cause and try again.");
        }
        catch (ObjectDisposedException)
        {
            return new DeleteRecordsResult.Failed($"The log of {TopicPartition} is closed.");
        }

        return new DeleteRecordsResult.Deleted(LogStartOffset);
    }

    /// <summary>
    /// Makes ready for a start that is to be written down: what is known of the producers at the segment which is the first one then is on the disk, since the
    /// records that say it are given up. Where all records go, a new segment begins. False if the log is offline, or closed, or goes offline by this, or came back shorter since the start was
    /// chosen. If it is true, the log does not come back before <see cref="EndStartMove"/>: what comes back would be the log as it was before the start was written down, and might end below that.
    /// </summary>
    internal bool TryPrepareStart(Offset start)
    {
        CommitEffects effects = CommitEffects.None;
        bool isReady;
        lock (_segmentsLock)
        {
            Offset? unsynced;
            lock (_writerLock)
            {
                isReady = !_isReleased && !_isClosed && IsOnline && start <= _commit.LogEndOffset && (start < _commit.LogEndOffset || TryRoll(ref effects));
                LogSegment first = FindSegment(_segments, start);
                unsynced = isReady && !first.IsCompleteAndSynced ? first.BaseOffset : null;
            }

            if (unsynced is { } segmentBaseOffset)
            {
                isReady = TrySyncSnapshot(segmentBaseOffset, ref effects);
            }

            // Under the lock still: nobody brings it back before this is said.
            lock (_writerLock)
            {
                _movingStartCount += isReady ? 1 : 0;
            }
        }

        Run(effects);
        return isReady;
    }

    /// <summary>What <see cref="TryPrepareStart"/> has prepared is applied, or is not written down.</summary>
    internal void EndStartMove()
    {
        lock (_writerLock)
        {
            _movingStartCount--;
        }
    }

    /// <summary>Takes what lies below a start that is written down out of the log.</summary>
    internal void ApplyLogStart(Offset start)
    {
        CommitEffects effects = CommitEffects.None;
        lock (_segmentsLock)
        {
            if (_isReleased)
            {
                return;
            }

            LogSegment[] removed;
            lock (_writerLock)
            {
                Volatile.Write(ref _logStartOffset, Offset.Max(start, LogStartOffset).Value);
                removed = _segments[..CountRemovable()];
                Volatile.Write(ref _segments, _segments[removed.Length..]);
                effects |= Publish();
            }

            Discard(removed);
            TrimLeaderEpochs();
        }

        Run(effects);
    }

    /// <summary>
    /// Forgets the epochs whose records are below the log's start. That is written down by now: a file that knew less than the records would be taken for a damaged one. If
    /// it cannot be replaced, they stay until the start moves again.
    /// </summary>
    private void TrimLeaderEpochs()
    {
        LeaderEpochs trimmed = _leaderEpochs.StartAt(LogStartOffset);
        if (!IsOnline || ReferenceEquals(trimmed, _leaderEpochs))
        {
            return;
        }

        try
        {
            AtomicFile.Write(_files.Storage, _directory, FileNames.LeaderEpochs, trimmed.Format());
            Volatile.Write(ref _leaderEpochs, trimmed);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogMessages.LeaderEpochsNotTrimmed(_logger, TopicPartition, exception.Message);
        }
    }

    /// <summary>Deletes the files of segments that left the log long enough ago.</summary>
    internal void DeleteDiscardedFiles()
    {
        lock (_segmentsLock)
        {
            while (!_isReleased && _discarded.TryPeek(out DiscardedSegment next) && next.IsDue(_owner.Time))
            {
                _discarded.Dequeue();
                _ = TryDelete(next.Segment, next.KeepsSnapshot);
            }
        }
    }

    /// <summary>
    /// Ends the log of a partition that is deleted: for everybody who still has it, it is offline. Throws what the renaming throws, and
    /// then nothing has changed.
    /// </summary>
    internal void Retire(Action renameDirectory)
    {
        CommitEffects effects;
        lock (_segmentsLock)
        {
            lock (_writerLock)
            {
                // Under the lock: a read that does not find its file any more waits for it, and then the reason is there.
                renameDirectory();
                Interlocked.Exchange(ref _isOfflineReported, 1);
                effects = TakeOffline($"Partition {TopicPartition} was deleted.");
            }

            Release();
        }

        Run(effects);
    }

    /// <summary>Closes all files; nothing touches them from here on.</summary>
    private void Release()
    {
        _isReleased = true;
        CloseFiles();
    }

    private void CloseFiles()
    {
        foreach (LogSegment segment in Volatile.Read(ref _segments))
        {
            segment.Dispose();
        }

        foreach (DiscardedSegment discarded in _discarded)
        {
            discarded.Segment.Dispose();
        }
    }

    /// <summary>Where all records are deleted, the active segment goes as well.</summary>
    private bool TryRoll(ref CommitEffects effects)
    {
        if (_segments[^1].ByteCount == 0)
        {
            return true;
        }

        try
        {
            Roll(_commit.LogEndOffset, ref effects);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A file may be there that the next append knows nothing of.
            effects |= TakeOffline($"Writing to {_directory} failed: {exception.Message} {Sentences.AfterDiskError}");
            return false;
        }
    }

    /// <summary>The segments that lie below the start, but for those that a running sync may have.</summary>
    private int CountRemovable()
    {
        int count = 0;
        while (count + 1 < _segments.Length && _segments[count + 1].BaseOffset <= LogStartOffset
            && (_segments[count].IsCompleteAndSynced || !_commit.IsRunning))
        {
            count++;
        }

        return count;
    }

    private void Discard(IReadOnlyList<LogSegment> removed)
    {
        if (removed.Count > 0 && !TrySyncDirectory())
        {
            removed = [];
        }

        foreach (LogSegment segment in removed)
        {
            try
            {
                segment.MarkDeleted();
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // The log's start is written down, so that the next start takes it for what it is, whatever its name.
                LogMessages.SegmentNotDeleted(_logger, TopicPartition, segment.BaseOffset, exception.Message);
            }

            _discarded.Enqueue(new DiscardedSegment(segment, _owner.Time.GetTimestamp(), DeleteDelay, KeepsSnapshot: false));
        }

        DeleteDiscardedFiles();
    }

    /// <summary>
    /// Before a file gets another name: the power could keep that and lose the name of the segment which is the first one now. If it fails,
    /// the files stay as they are until the next start.
    /// </summary>
    private bool TrySyncDirectory()
    {
        try
        {
            _files.Storage.SyncDirectory(_directory);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogMessages.SegmentNotDeleted(_logger, TopicPartition, _segments[0].BaseOffset, exception.Message);
            return false;
        }
    }

    private bool TryDelete(LogSegment segment, bool keepsSnapshot)
    {
        try
        {
            segment.DeleteFiles();
            if (!keepsSnapshot)
            {
                DeleteSnapshot(segment.BaseOffset);
            }

            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogMessages.SegmentNotDeleted(_logger, TopicPartition, segment.BaseOffset, exception.Message);
            return false;
        }
    }

    private TimeSpan DeleteDelay => TimeSpan.FromMilliseconds(Math.Min(Settings.FileDeleteDelayMilliseconds, MaximumDeleteDelayMilliseconds));

    // What a TimeSpan can hold, and longer than any process lives.
    private const long MaximumDeleteDelayMilliseconds = 1L << 48;

    /// <param name="KeepsSnapshot">Whether another segment begins where it does.</param>
    private readonly record struct DiscardedSegment(LogSegment Segment, long DiscardedAt, TimeSpan Delay, bool KeepsSnapshot)
    {
        public bool IsDue(TimeProvider time) => time.GetElapsedTime(DiscardedAt) >= Delay;
    }
}
