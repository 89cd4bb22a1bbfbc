using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// One compaction of a partition: reads the part that was never compacted for the newest offset of each key, then writes all segments up to its
/// end anew without what is superseded, several small ones into one, and has the log take them over. May be stopped or crash anywhere.
/// </summary>
internal sealed class PartitionCleaning
{
    private readonly PartitionLog _log;
    private readonly CleaningPlan _plan;
    private readonly CleaningLimits _limits;
    private readonly ProducerStates _states = new(int.MaxValue);
    private long _readByteCount;
    private long _writtenByteCount;

    public PartitionCleaning(PartitionLog log, CleaningPlan plan, CleaningLimits limits)
    {
        _log = log;
        _plan = plan;
        _limits = limits;
    }

    /// <exception cref="UncleanableException">A batch is damaged or cannot be decompressed, or its keys have no room.</exception>
    /// <exception cref="IOException">The disk refused.</exception>
    public CleaningOutcome Run()
    {
        try
        {
            return new CleaningOutcome(TryRun(), _readByteCount, _writtenByteCount);
        }
        catch (ObjectDisposedException)
        {
            // A segment has left the log meanwhile, or the log is closed.
            return new CleaningOutcome(IsComplete: false, _readByteCount, _writtenByteCount);
        }
        catch (Exception exception) when (exception is InvalidRecordBatchException or CodecUnavailableException)
        {
            throw new UncleanableException(exception.Message, exception);
        }
    }

    private bool TryRun()
    {
        IReadOnlyList<AbortedTransaction>? transactions = _log.AbortedTransactions(_log.LogStartOffset, _plan.End);
        if (transactions is null)
        {
            return false;
        }

        var aborted = new AbortedBatches(transactions);
        if (ReadKeys(aborted, out Offset end) is not { } keys)
        {
            return false;
        }

        // What comes after the end may get lost with the power, and then these are the newest again.
        if ((_log.LastBatches(_plan.End) ?? ReadLastBatches()) is not { } lastBatches)
        {
            return false;
        }

        var compactor = new BatchCompactor(keys, end, aborted, [_log.LastBatches(), lastBatches], _limits.Now, _log.Settings.DeleteRetentionMilliseconds);

        // Before the first segment with a gap can be in the log.
        _log.AllowGaps(end, _plan.End);
        foreach (IReadOnlyList<LogSegment> group in Group(end))
        {
            if (!TryCompact(group, compactor))
            {
                return false;
            }
        }

        _log.SetCleanedUpTo(end);
        return true;
    }

    /// <summary>
    /// The newest offset of each key from the first offset on that was never compacted; null if stopped. Where not all keys have room, it ends
    /// earlier, before the first batch whose keys have none.
    /// </summary>
    private KeyOffsets? ReadKeys(AbortedBatches aborted, out Offset end)
    {
        end = _plan.FirstDirty;
        var keys = new KeyOffsets(_plan.End - _plan.FirstDirty, _limits.KeyMemoryByteCount, _limits.LoadFactor);
        foreach (LogSegment segment in _plan.Sources.Where((_, number) => EndOf(number) > _plan.FirstDirty))
        {
            using BatchWalker walker = Walk(segment);
            while (Next(segment, walker))
            {
                RecordBatchHeader header = walker.Header;
                if (header.LastOffset < _plan.FirstDirty)
                {
                    continue;
                }

                if (keys.Count + (long)header.RecordCount > keys.Capacity)
                {
                    return end > _plan.FirstDirty ? keys : throw new UncleanableException(
                        $"A batch has {header.RecordCount} records, and the memory for keys has room for {keys.Capacity} (log.cleaner.dedupe.buffer.size).");
                }

                if (!header.IsControl && !aborted.Contains(header))
                {
                    RecordBatchCompaction.VisitKeys(walker.Batch.Span, (offset, key) => keys.Put(key, offset));
                }

                end = header.NextOffset;
            }

            if (_limits.IsStopped())
            {
                return null;
            }
        }

        return keys;
    }

    /// <summary>The last batch of each producer before the end, where a crash has taken the snapshot that tells it; null if stopped.</summary>
    private IReadOnlyDictionary<long, LastBatch>? ReadLastBatches()
    {
        var states = new ProducerStates(int.MaxValue);
        foreach (LogSegment segment in _plan.Sources)
        {
            using BatchWalker walker = Walk(segment);
            while (Next(segment, walker))
            {
                states.Observe(walker.Header, walker.Batch.Span);
            }

            if (_limits.IsStopped())
            {
                return null;
            }
        }

        return states.LastBatches();
    }

    private Offset EndOf(int number) => number + 1 < _plan.Sources.Count ? _plan.Sources[number + 1].BaseOffset : _plan.End;

    /// <summary>Segments that go into one together.</summary>
    private IEnumerable<IReadOnlyList<LogSegment>> Group(Offset end)
    {
        int maximumByteCount = _log.Settings.SegmentByteCount;
        List<LogSegment> group = [];
        long byteCount = 0;
        for (int number = 0; number < _plan.Sources.Count && _plan.Sources[number].BaseOffset < end; number++)
        {
            LogSegment segment = _plan.Sources[number];
            bool fits = group.Count == 0
                || (byteCount + segment.ByteCount <= maximumByteCount && EndOf(number) - group[0].BaseOffset <= int.MaxValue);
            if (!fits)
            {
                yield return group;
                group = [];
                byteCount = 0;
            }

            group.Add(segment);
            byteCount += segment.ByteCount;
        }

        if (group.Count > 0)
        {
            yield return group;
        }
    }

    /// <summary>False if it was stopped, or the segments are not in the log any more.</summary>
    private bool TryCompact(IReadOnlyList<LogSegment> group, BatchCompactor compactor)
    {
        if (_log.CreateCleaned(group[0].BaseOffset) is not { } cleaned)
        {
            return false;
        }

        bool isReplaced = false;
        try
        {
            if (TryCopy(group, cleaned, compactor))
            {
                cleaned.File.SyncData();
                cleaned.SyncIndexes();
                isReplaced = _log.TryReplace(group, cleaned);
            }

            return isReplaced;
        }
        finally
        {
            if (!isReplaced)
            {
                _log.DiscardCleaned(cleaned);
            }
        }
    }

    private bool TryCopy(IReadOnlyList<LogSegment> group, LogSegment cleaned, BatchCompactor compactor)
    {
        int position = 0;
        foreach (LogSegment segment in group)
        {
            using BatchWalker walker = Walk(segment);
            while (Next(segment, walker))
            {
                if (_limits.IsStopped())
                {
                    return false;
                }

                if (compactor.Compact(walker.Header, walker.Batch) is { } batch)
                {
                    position = Write(cleaned, batch.Span, position);
                }
            }
        }

        cleaned.Complete();
        cleaned.Publish(position);
        return true;
    }

    private int Write(LogSegment cleaned, ReadOnlySpan<byte> batch, int position)
    {
        if (batch.Length > int.MaxValue - position)
        {
            throw new UncleanableException($"The compacted segment {cleaned.BaseOffset} would be larger than a segment can be.");
        }

        RecordBatchHeader header = RecordBatchHeader.Read(batch);
        cleaned.Write(batch, header, position);

        // As a scan of the new segment would have it.
        if (_states.Observe(header, batch) is { IsCommitted: false } ended)
        {
            cleaned.WriteAborted(ended.ToAborted());
        }

        _writtenByteCount += batch.Length;
        return position + batch.Length;
    }

    private BatchWalker Walk(LogSegment segment) =>
        new(segment.File, 0, segment.ByteCount, verifiesChecksums: true, _limits.BufferByteCount);

    private bool Next(LogSegment segment, BatchWalker walker)
    {
        if (walker.MoveNext())
        {
            _readByteCount += walker.Header.TotalByteCount;
            return true;
        }

        return walker.Verdict == BatchVerdict.Valid
            ? false
            : throw new UncleanableException($"{Sentences.Place(segment.BaseOffset, _log.TopicPartition, walker.Position)} {Sentences.Describe(walker.Verdict)}.");
    }
}
