using System.Runtime.CompilerServices;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>
/// Coming back: a partition that went offline is recovered again from its files, in the running process, and goes on in a new leader epoch.
/// </content>
public sealed partial class PartitionLog
{
    // Guarded by the writer lock. A sync that began and has not ended; and the first offset of the segment in which a read failed, whose
    // bytes are looked at before the partition comes back.
    private bool _isSyncing;
    private Offset? _firstSuspect;

    // Rises when everything below is replaced, before the first of it is. A reader that finds it changed has seen parts of both.
    private int _generation;

    /// <summary>
    /// Whether the promise of <see cref="AppendDurability.Disk"/> holds for what was appended up to an offset. While it does not, it may do
    /// so later, unless the partition is offline, or is in a newer epoch already.
    /// </summary>
    /// <param name="lastOffset">Of the append.</param>
    /// <param name="leaderEpoch">Of its result. What a later epoch has at the same offset is something else.</param>
    public bool IsOnDisk(Offset lastOffset, int leaderEpoch)
    {
        while (true)
        {
            // The epochs are published before the offsets that belong to them.
            LeaderEpochs epochs = Volatile.Read(ref _leaderEpochs);
            Offset end = epochs.Current == leaderEpoch ? SyncedOffset : epochs.EndOf(leaderEpoch, SyncedOffset)?.EndOffset ?? Offset.Zero;
            if (ReferenceEquals(epochs, Volatile.Read(ref _leaderEpochs)))
            {
                return end > lastOffset;
            }
        }
    }

    /// <summary>Whether it is closed or deleted, and never comes back.</summary>
    internal bool IsGone
    {
        get
        {
            lock (_segmentsLock)
            {
                return _isReleased;
            }
        }
    }

    /// <summary>
    /// Tries to bring the partition back. True if it is online. False if the cause is still there, a sync that began before is still
    /// running, the log's start is being moved, or the log is closed.
    /// </summary>
    /// <param name="journal">What the journal has of partitions that are offline; null if that is nothing.</param>
    /// <param name="topicId">For one that was never read, in case that nothing is there but what an interrupted creation has left.</param>
    internal bool TryReopen(JournalReplay? journal, Guid topicId)
    {
        CommitEffects effects;
        bool isBack;
        lock (_segmentsLock)
        {
            Offset? firstSuspect;
            lock (_writerLock)
            {
                if (IsOnline || _isClosed || _isReleased || _isSyncing || _movingStartCount > 0)
                {
                    return IsOnline;
                }

                firstSuspect = _firstSuspect;
            }

            RecoveredPartition recovered = Recover(firstSuspect, journal, topicId);
            isBack = recovered.OfflineReason is null;
            lock (_writerLock)
            {
                effects = recovered.OfflineReason is { } reason ? StayOffline(reason) : Replace(recovered);
            }
        }

        Run(effects);
        if (isBack)
        {
            _owner.ReportReturn(this);
        }

        return IsOnline;
    }

    private RecoveredPartition Recover(Offset? firstSuspect, JournalReplay? journal, Guid topicId)
    {
        // Everybody is turned away by now; who is still reading keeps his file until he is through.
        CloseFiles();
        _discarded.Clear();
        var checkpoints = new PartitionCheckpoints
        {
            RecoveryPoint = RecoveryPoint == OffsetCheckpoint.Unknown ? null : RecoveryPoint,
            LogStart = CheckpointedLogStart == OffsetCheckpoint.Unknown ? null : CheckpointedLogStart,
            SparseBelow = SparseBelow,
            CleanedUpTo = CleanedUpTo,
        };
        var report = new RecoveryReport(wasCleanStop: false);
        var recovery = new PartitionRecovery(_settings.For(Settings), _files, report, TopicPartition, checkpoints)
        {
            FirstSuspect = firstSuspect,
            Journal = journal,
            IsCreated = HasBeenRead,
        };

        // Where it turns out only now that nothing is there but what an interrupted creation has left, it is finished: others have known since the start that the topic has this partition.
        RecoveredPartition recovered = recovery.Recover() ?? _owner.CreateAgain(TopicPartition, topicId, LeaderEpoch + 1);
        bool hasFailed = recovered.OfflineReason is not null;
        foreach (RecoveryFinding finding in report.Findings)
        {
            if (!hasFailed || finding.Action != RecoveryAction.StayOffline)
            {
                LogMessages.RecoveryWarning(_logger, finding.ToString());
            }
        }

        return recovered;
    }

    private CommitEffects StayOffline(string reason)
    {
        // Told once: an attempt that fails as the last one did says nothing new.
        bool isNews = reason != _offlineReason;
        Volatile.Write(ref _offlineReason, reason);
        _isOfflineReported = isNews ? 0 : 1;
        return isNews ? CommitEffects.Progressed : CommitEffects.None;
    }

    private CommitEffects Replace(RecoveredPartition recovered)
    {
        Volatile.Write(ref _generation, _generation + 1);
        Volatile.Write(ref _topicId, new StrongBox<Guid>(recovered.TopicId));
        _commit = new GroupCommit(recovered.LogEndOffset);
        _producers = recovered.Producers;
        _newestSnapshot = recovered.NewestSnapshot;
        _straySnapshot = recovered.StraySnapshot;
        _firstSuspect = null;
        _flushEnd = Offset.Zero;
        _unsyncedSince = null;
        _awaitsSettlement = _owner.IsReturnAwaited && _producers.FirstOpenTransactionOffset is not null;
        if (SparseBelow > recovered.LogEndOffset)
        {
            SparseBelow = recovered.LogEndOffset;
        }

        if (CheckpointedLogStart == OffsetCheckpoint.Unknown)
        {
            CheckpointedLogStart = recovered.LogStartOffset;
        }

        Volatile.Write(ref _logStartOffset, Offset.Max(recovered.LogStartOffset, LogStartOffset).Value);
        LogSegment[] segments = [.. recovered.Segments];
        Array.ForEach(segments, segment => segment.CreatedAt = _owner.Now);
        Volatile.Write(ref _leaderEpochs, recovered.LeaderEpochs);
        Volatile.Write(ref _segments, segments);
        Publish();
        _syncedStableOffset = LastStableOffset;
        _keptRecoveryPoint = null;
        _isOfflineReported = 0;
        Volatile.Write(ref _hasBeenRead, true);

        // Last: who finds the partition online finds all of the above.
        Volatile.Write(ref _offlineReason, null);
        LogMessages.PartitionOnlineAgain(_logger, TopicPartition, LogEndOffset, LeaderEpoch);
        return CommitEffects.Progressed;
    }
}
