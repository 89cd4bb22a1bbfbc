using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>What is written once the log is judged, and how the partition stands then.</content>
internal sealed partial class PartitionRecovery
{
    private void RecoverIndexes()
    {
        if (_segments.Count == 0)
        {
            Offset start = _logStart ?? Offset.Zero;
            LazyFile file = _files.Create(_directory, FileNames.Segment(start, FileNames.LogSuffix));
            _segments.Add(new SegmentFile(start, file, 0));
            _scan.AddEmptySegment(start);
            _hasChangedDirectory = true;
        }

        for (int number = 0; number < _segments.Count; number++)
        {
            if (_scan[number] is not { Index: { } content })
            {
                _indexes.Take(_segments[number]);
                continue;
            }

            if (number < _segments.Count - 1)
            {
                content.Complete();
            }

            // A segment that is looked at because a read failed in it is not: the next start does not know of that.
            _indexes.Rebuild(_segments[number], content, isReadByEveryStart: number >= _plan.FirstAlwaysReadSegment);
        }

        _hasChangedDirectory |= _indexes.HasNewFile;
    }

    /// <summary>
    /// Writes what lies at and beyond the recovery point once more, and syncs it, before anybody may read it. After a sync that failed the
    /// operating system may hold pages that it takes for written although the disk never got them; only writing them again makes them due.
    /// </summary>
    private void RewriteTail()
    {
        Offset from = _recoveryPoint ?? Offset.Zero;
        for (int number = Math.Min(_plan.FirstCheckedSegment, _segments.Count - 1); number < _segments.Count; number++)
        {
            SegmentFile segment = _segments[number];
            long tailPosition = _scan[number]!.TailPosition;
            Rewrite(segment.File, tailPosition);

            // The indexes from their start: those of a segment that is whole below the recovery point may not have been complete.
            Rewrite(segment.Index!.File, 0);
            Rewrite(segment.TimeIndex!.File, 0);
            Rewrite(segment.TransactionIndex!.File, 0);
            _hasChangedDirectory = true;
        }

        Invariant.Holds(_scan.EndOffset >= from, "recovery never ends below the recovery point");
    }

    private static void Rewrite(LazyFile file, long position)
    {
        TailCutter.Copy(file, position, file.Length, file, position);

        // Its length, too: an attempt before may have cut it, and the disk not have taken that.
        file.SetLength(file.Length);
        file.SyncData();
    }

    /// <summary>Makes the snapshot anew that this start has missed, so that the next one need not go back as far.</summary>
    private void RecoverSnapshots(bool isTrusted)
    {
        (Offset offset, byte[]? snapshot) = isTrusted
            ? (_scan.EndOffset, _snapshots.IsMissing(_scan.EndOffset) ? _scan.Producers.WriteSnapshot() : null)
            : (_checkedFrom, _scan.Snapshot);
        if (snapshot is not null && _snapshots.IsMissing(offset) && offset <= _scan.EndOffset)
        {
            _snapshots.Write(offset, snapshot);
            _hasChangedDirectory = true;
        }

        if (!isTrusted)
        {
            foreach ((Offset lost, byte[] content) in _scan.LostSnapshots)
            {
                _snapshots.Restore(lost, content);
            }

            _snapshots.Rewrite(_checkedFrom);
        }

        _hasChangedDirectory |= _snapshots.Tidy(_segments, _scan.EndOffset);
    }

    private RecoveredPartition Finish(bool isTrusted)
    {
        RecoverSnapshots(isTrusted);
        if (_hasChangedDirectory)
        {
            _storage.SyncDirectory(_directory);
        }

        LeaderEpochs epochs = JudgeEpochs(isTrusted, out bool areNew);
        if (areNew)
        {
            AtomicFile.Write(_storage, _directory, FileNames.LeaderEpochs, epochs.Format());
        }

        return new RecoveredPartition(_topicPartition, _topicId)
        {
            LogStartOffset = Offset.Max(_logStart ?? Offset.Zero, _segments[0].BaseOffset),
            SparseBelow = Offset.Min(_checkpoints.SparseBelow, _scan.EndOffset),
            CleanedUpTo = Offset.Min(_checkpoints.CleanedUpTo, _scan.EndOffset),
            LogEndOffset = _scan.EndOffset,
            Segments = [.. _segments.Select((segment, number) => segment.ToLogSegment(_settings, isComplete: number < _segments.Count - 1))],
            LeaderEpochs = epochs,
            Producers = _scan.Producers,
            NewestSnapshot = _snapshots.Newest,
            StraySnapshot = _snapshots.Stray,
        };
    }

    private int HighestEpoch => Math.Max(_epochsOnDisk?.Current ?? _highestEpochOnDisk, _scan.HighestEpoch);

    private LeaderEpochs JudgeEpochs(bool isTrusted, out bool areNew)
    {
        areNew = !isTrusted || _epochsOnDisk is null;

        // Above every epoch that was ever given out, also those whose records are gone.
        LeaderEpochs epochs = _epochsOnDisk ?? new LeaderEpochs(_scan.EpochStarts);
        return areNew ? epochs.Begin(HighestEpoch + 1, _scan.EndOffset) : epochs;
    }

    private RecoveredPartition Offline(string reason)
    {
        foreach (SegmentFile segment in _segments)
        {
            segment.Dispose();
        }

        return new RecoveredPartition(_topicPartition, _topicId)
        {
            LogStartOffset = _logStart ?? Offset.Zero,
            CheckpointedLogStart = _logStart ?? OffsetCheckpoint.Unknown,
            SparseBelow = _checkpoints.SparseBelow,
            CleanedUpTo = _checkpoints.CleanedUpTo,
            LogEndOffset = Offset.Max(_recoveryPoint ?? Offset.Zero, _logStart ?? Offset.Zero),
            RecoveryPoint = _recoveryPoint,
            LeaderEpochs = _epochsOnDisk ?? LeaderEpochs.First,
            Producers = new ProducerStates(_settings.MaximumProducerCount),
            OfflineReason = reason,
        };
    }
}
