using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>What is read of the log.</content>
internal sealed partial class PartitionRecovery
{
    /// <summary>
    /// Whether nothing in the names and lengths of the files speaks against what a clean stop has left: a log that ends at its recovery
    /// point. The first append looks at the last batches.
    /// </summary>
    private bool EndsAtRecoveryPoint() =>
        _segments is [SegmentFile first, ..] && _segments[^1] is { } last
        && last.BaseOffset <= _recoveryPoint && (last.BaseOffset == _recoveryPoint) == (last.Length == 0)
        && !(first.BaseOffset > _logStart) && !(_recoveryPoint < _logStart);

    private void Scan(bool isTrusted)
    {
        _plan = Plan(isTrusted, readsAll: _epochsOnDisk is null || _segments is [{ } first, ..] && first.BaseOffset > _logStart);
        _checkedFrom = FromOf(_plan.FirstCheckedSegment);
        _scan = new LogScan(_settings, _recoveryPoint, _plan, _snapshots.IsReadable);
        _scan.Run(_segments);
        if (_epochsOnDisk is { } epochs && epochs.Current < _scan.HighestEpoch)
        {
            Found(RecoveryCondition.EpochsBehindBatches, $"{FileNames.LeaderEpochs} lacks epochs of the batches and is made anew from them.");
            _highestEpochOnDisk = epochs.Current;
            _epochsOnDisk = null;
            Scan(isTrusted);
        }
    }

    /// <summary>
    /// After a clean stop nothing is read; else the segment that holds the recovery point and what comes after it. Earlier ones are where
    /// indexes or the snapshot to begin with are missing.
    /// </summary>
    private ScanPlan Plan(bool isTrusted, bool readsAll)
    {
        // A segment that begins at the recovery point is younger than the sync that moved that there: the indexes of the one before it were
        // not complete then.
        int firstAlwaysRead = isTrusted ? _segments.Count : Math.Max(_segments.FindLastIndex(segment => segment.BaseOffset < _recoveryPoint), 0);
        int firstChecked = firstAlwaysRead;
        if (FirstSuspect is { } suspect)
        {
            firstChecked = Math.Min(firstChecked, Math.Max(_segments.FindLastIndex(segment => segment.BaseOffset <= suspect), 0));
        }

        int firstWithoutIndexes = _segments.FindIndex(segment => !_indexes.IsPlausible(segment.BaseOffset));
        int first = readsAll ? 0 : firstWithoutIndexes < 0 ? firstChecked : Math.Min(firstChecked, firstWithoutIndexes);
        while (true)
        {
            Offset from = FromOf(first);
            ProducerStates? producers = ReadSnapshot(first, from);
            if (producers is not null || first == 0 || from <= _segments[0].BaseOffset)
            {
                return new ScanPlan
                {
                    FirstSegment = first,
                    FirstCheckedSegment = firstChecked,
                    FirstAlwaysReadSegment = firstAlwaysRead,
                    SparseBelow = _checkpoints.SparseBelow,
                    From = from,
                    Producers = producers ?? new ProducerStates(_settings.MaximumProducerCount),
                    Epoch = first == 0 ? -1 : _epochsOnDisk?.Before(from) ?? -1,
                };
            }

            first--;
        }
    }

    /// <summary>
    /// The producers before a segment; null where that is not known. What a snapshot within the compacted part says of transactions is not true
    /// any more: the marker that ended one may be gone, with all of its records.
    /// </summary>
    private ProducerStates? ReadSnapshot(int number, Offset from)
    {
        bool isCompacted = from < _checkpoints.SparseBelow;
        if (isCompacted && number > 0)
        {
            return null;
        }

        ProducerStates? producers = _snapshots.TryRead(from, isWanted: _segments.Count > 0 && from > _segments[0].BaseOffset);
        if (isCompacted)
        {
            // Those that have records left begin anew with them.
            producers?.ForgetTransactions();
        }

        return producers;
    }

    /// <summary>Where the log ends before a segment, as far as the names say.</summary>
    private Offset FromOf(int number)
    {
        bool beginsRightly = _segments.Count > 0 && !(_segments[0].BaseOffset > _logStart);
        return number > 0 && number == _segments.Count ? _recoveryPoint!.Value
            : number > 0 || beginsRightly ? _segments[number].BaseOffset
            : _logStart ?? Offset.Zero;
    }
}
