using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>Compaction: what there is to do, and how compacted segments come into the log.</content>
public sealed partial class PartitionLog
{
    private long _sparseBelow;

    // Guarded by the writer lock. What was stable in the log when the last sync began, whether readers saw it already or not, so that the
    // markers it rests on are on the disk; and that of the sync that is running.
    private Offset _syncedStableOffset;
    private Offset _stableOffsetOfSync;

    /// <summary>Below it offsets may be missing, within batches, between them and between segments; at and above it none is.</summary>
    internal Offset SparseBelow
    {
        get => new(Volatile.Read(ref _sparseBelow));
        set => Volatile.Write(ref _sparseBelow, value.Value);
    }

    /// <summary>Everything below was compacted. Guarded by the directory's lock for checkpoints.</summary>
    internal Offset CleanedUpTo { get; set; }

    /// <summary>Why it cannot be compacted; null if it can, or nobody has tried.</summary>
    internal string? UncleanableReason { get; set; }

    /// <summary>
    /// What a compaction would work on now: whole segments that are on the disk, below the last stable offset as the disk has it, and old enough
    /// for min.compaction.lag.ms. Null if there is nothing to compact.
    /// </summary>
    /// <param name="now">By the broker's clock, in milliseconds since 1970.</param>
    internal CleaningPlan? PlanCleaning(long now)
    {
        TopicLogSettings settings = Settings;
        if (!settings.IsCompacted || !IsOnline)
        {
            return null;
        }

        LogSegment[] segments;
        int count = 0;
        lock (_writerLock)
        {
            segments = _segments;
            while (count < segments.Length - 1 && segments[count].IsCompleteAndSynced && segments[count + 1].BaseOffset <= _syncedStableOffset)
            {
                count++;
            }
        }

        Offset firstDirty = CleanedUpTo > LogEndOffset ? LogStartOffset : Offset.Max(CleanedUpTo, LogStartOffset);
        int firstDirtySegment = Array.FindIndex(segments, 0, count, segment => EndOf(segments, segment) > firstDirty);
        if (firstDirtySegment < 0)
        {
            return null;
        }

        count = CountOldEnough(segments, firstDirtySegment, count, settings.MinimumCompactionLagMilliseconds, now);
        if (count <= firstDirtySegment)
        {
            return null;
        }

        return new CleaningPlan
        {
            Sources = segments[..count],
            End = segments[count].BaseOffset,
            FirstDirty = firstDirty,
            CleanByteCount = segments[..firstDirtySegment].Sum(static segment => (long)segment.ByteCount),
            DirtyByteCount = segments[firstDirtySegment..count].Sum(static segment => (long)segment.ByteCount),
            IsOverdue = IsOverdue(segments[firstDirtySegment], settings.MaximumCompactionLagMilliseconds, now),
        };
    }

    /// <inheritdoc cref="PartitionCleaning.Run"/>
    internal CleaningOutcome Compact(CleaningPlan plan, CleaningLimits limits) => new PartitionCleaning(this, plan, limits).Run();

    /// <summary>Makes room for what a compaction keeps of segments; null if the log is closed or deleted.</summary>
    internal LogSegment? CreateCleaned(Offset baseOffset)
    {
        lock (_segmentsLock)
        {
            if (_isReleased)
            {
                return null;
            }

            return LogSegment.Create(_files, _directory, baseOffset, _settings.For(Settings), _owner.Now, FileNames.CleanedSuffix);
        }
    }

    /// <summary>
    /// Deletes what a compaction has written that did not come into the log. Where a start would still take it into the log, durably: by then that may have other segments there. If the disk
    /// refuses, the partition goes offline.
    /// </summary>
    internal void DiscardCleaned(LogSegment cleaned)
    {
        CommitEffects effects = CommitEffects.None;
        lock (_segmentsLock)
        {
            // One that is synced as a whole came into the log, which went offline by it: its files, under whichever names, are what the log comes back with.
            if (_isReleased || cleaned.IsCompleteAndSynced)
            {
                cleaned.Dispose();
            }
            else if (!cleaned.File.Name.EndsWith(FileNames.SwapSuffix, StringComparison.Ordinal) || TryDeleteSwap(cleaned))
            {
                _ = TryDelete(cleaned, keepsSnapshot: true);
            }
            else
            {
                cleaned.Dispose();
                lock (_writerLock)
                {
                    effects = TakeOffline($"A compacted segment in {_directory} could be put neither into the log nor away. {Sentences.AfterDiskError}");
                }
            }
        }

        Run(effects);
    }

    /// <summary>
    /// The log of a compacted segment, without its indexes. While the power could bring it back, these stay: a start that finds it alone takes the indexes of the segment in its place for its own.
    /// </summary>
    private bool TryDeleteSwap(LogSegment cleaned)
    {
        try
        {
            cleaned.File.Delete();
            _files.Storage.SyncDirectory(_directory);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogMessages.SegmentNotDeleted(_logger, TopicPartition, cleaned.BaseOffset, exception.Message);
            return false;
        }
    }

    /// <summary>
    /// Takes a compacted segment, which is synced, into the log in place of others. False if these are not in the log any more, or it is
    /// closed or deleted, or goes offline by this.
    /// </summary>
    /// <remarks>
    /// <code>
    /// step                                                        found by a start                    what it does
    /// 1 .cleaned are written and synced                           .cleaned                            deletes them
    /// 2 indexes to .swap, sync; log to .swap, sync                .swap of indexes without a log's    deletes them
    /// 3 the old segments to .deleted, sync                        .swap of a log                      deletes the segments in its range,
    /// 4 indexes to their names, sync; log to its name, sync         "                                 then does step 4
    /// </code>
    /// A sync between two steps, since the power may keep a later change of names and lose an earlier one. Where the disk refuses step 3 or 4, the partition goes offline, and what
    /// brings it back does the rest: the next compaction would take the names that this one has left, and delete what they stand for.
    /// </remarks>
    internal bool TryReplace(IReadOnlyList<LogSegment> sources, LogSegment cleaned)
    {
        bool isFinished;
        CommitEffects effects = CommitEffects.None;
        lock (_segmentsLock)
        {
            if (_isReleased || !IsOnline || IndexOf(sources) is not (>= 0 and int first))
            {
                return false;
            }

            RenameInSteps(cleaned, FileNames.SwapSuffix);
            lock (_writerLock)
            {
                cleaned.StoredByteCount = cleaned.ByteCount;
                cleaned.SyncedByteCount = cleaned.ByteCount;
                cleaned.HasNewFile = false;
                cleaned.IsCompleteAndSynced = true;
                Volatile.Write(ref _segments, [.. _segments[..first], cleaned, .. _segments[(first + sources.Count)..]]);
            }

            isFinished = TryFinishReplacing(sources, cleaned, ref effects);
        }

        Run(effects);
        return isFinished;
    }

    /// <summary>Where these segments stand in the log, one after the other; -1 if they do not.</summary>
    private int IndexOf(IReadOnlyList<LogSegment> sources)
    {
        LogSegment[] segments = _segments;
        int first = Array.IndexOf(segments, sources[0]);
        return first >= 0 && segments.Skip(first).Take(sources.Count).SequenceEqual(sources) ? first : -1;
    }

    /// <summary>From the swap on the new segment is the log's, whatever the names are.</summary>
    private bool TryFinishReplacing(IReadOnlyList<LogSegment> sources, LogSegment cleaned, ref CommitEffects effects)
    {
        bool isFinished = false;
        try
        {
            foreach (LogSegment source in sources)
            {
                source.MarkDeleted();
            }

            _files.Storage.SyncDirectory(_directory);
            RenameInSteps(cleaned, suffix: "");
            isFinished = true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            lock (_writerLock)
            {
                effects = TakeOffline($"Renaming the files of a compacted segment in {_directory} failed: {exception.Message} {Sentences.AfterDiskError}");
            }
        }

        foreach (LogSegment source in sources)
        {
            _discarded.Enqueue(new DiscardedSegment(source, _owner.Time.GetTimestamp(), DeleteDelay, KeepsSnapshot: source.BaseOffset == cleaned.BaseOffset));
        }

        DeleteDiscardedFiles();
        return isFinished;
    }

    private void RenameInSteps(LogSegment segment, string suffix)
    {
        segment.RenameIndexes(suffix);
        _files.Storage.SyncDirectory(_directory);
        segment.RenameLog(suffix);
        _files.Storage.SyncDirectory(_directory);
    }

    internal void AllowGaps(Offset below, Offset end) => _owner.AllowGaps(this, below, end);

    internal void SetCleanedUpTo(Offset offset) => _owner.SetCleanedUpTo(this, offset);

    /// <summary>The newest batch of each producer that is remembered.</summary>
    internal IReadOnlyDictionary<long, LastBatch> LastBatches()
    {
        lock (_writerLock)
        {
            return _producers.LastBatches();
        }
    }

    /// <summary>The same before an offset at which a segment begins; null if no snapshot tells it.</summary>
    internal IReadOnlyDictionary<long, LastBatch>? LastBatches(Offset before) => ReadSnapshot(before)?.LastBatches();

    private static Offset EndOf(LogSegment[] segments, LogSegment segment) => segments[Array.IndexOf(segments, segment) + 1].BaseOffset;

    private static int CountOldEnough(LogSegment[] segments, int first, int count, long lag, long now)
    {
        int oldEnough = first;
        while (oldEnough < count && (lag == 0 || now - segments[oldEnough].LatestIndexedTimestamp >= lag))
        {
            oldEnough++;
        }

        return oldEnough;
    }

    private bool IsOverdue(LogSegment firstDirty, long lag, long now)
    {
        if (lag == long.MaxValue)
        {
            return false;
        }

        lock (_writerLock)
        {
            long first = firstDirty.ReadFirstTimestamp();
            return now - (first >= 0 ? first : firstDirty.CreatedAt) > lag;
        }
    }
}
