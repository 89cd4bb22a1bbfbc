using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>Syncing: begin under the lock, work without it, end under it again.</content>
public sealed partial class PartitionLog
{
    /// <summary>What the next start may take for synced.</summary>
    internal Offset RecoveryPoint => _keptRecoveryPoint ?? SyncedOffset;

    /// <summary>Whether the partition waits for a flusher.</summary>
    internal bool IsSyncQueued
    {
        get
        {
            lock (_writerLock)
            {
                return _commit.IsQueued;
            }
        }
    }

    /// <summary>Wants what is in the log now to be on the disk.</summary>
    public void WantSync()
    {
        CommitEffects effects;
        lock (_writerLock)
        {
            effects = _isClosed ? CommitEffects.None : _commit.SyncWanted();
        }

        Run(effects);
    }

    /// <summary>Begins a sync of everything that is in the log now. Null if the partition is offline, closed, or syncing already.</summary>
    internal SyncWork? BeginSync()
    {
        lock (_writerLock)
        {
            if (!IsOnline || _isClosed || _commit.IsRunning)
            {
                return null;
            }

            return StartSync();
        }
    }

    /// <summary>Ends a sync. With an error the partition goes offline: a second sync could succeed without having written anything.</summary>
    internal void EndSync(SyncWork work, Exception? error)
    {
        CommitEffects effects;
        lock (_writerLock)
        {
            _runningSync = null;
            if (error is not null)
            {
                effects = TakeOffline($"Syncing {_directory} to the disk failed: {error.Message} {Sentences.AfterDiskError}");
            }
            else if (!IsOnline)
            {
                effects = CommitEffects.None;
            }
            else
            {
                work.MarkSynced();
                effects = _commit.SyncSucceeded() | Publish();
                _syncedStableOffset = Offset.Max(_syncedStableOffset, _stableOffsetOfSync);
            }
        }

        Run(effects);
    }

    /// <summary>
    /// Refuses appends from here on and puts everything on the disk. False if the partition is offline, or goes offline by this.
    /// No other sync may be running.
    /// </summary>
    internal bool CloseCleanly()
    {
        SyncWork work;
        Exception? error;
        lock (_writerLock)
        {
            if (!IsOnline)
            {
                _isClosed = true;
                return false;
            }

            Invariant.Holds(!_commit.IsRunning, "the flushers are stopped before the log is closed");
            _isClosed = true;
            work = StartSync();
            error = work.TryAddLast(WriteLastSnapshot);
        }

        error ??= work.TryRun();
        EndSync(work, error);
        return IsOnline;
    }

    internal void Dispose()
    {
        lock (_segmentsLock)
        {
            lock (_writerLock)
            {
                _isClosed = true;
            }

            Release();
        }
    }

    private SyncWork StartSync()
    {
        _commit.SyncStarted();
        _unsyncedSince = null;
        _stableOffsetOfSync = _producers.FirstOpenTransactionOffset ?? LogEndOffset;
        return _runningSync = new SyncWork(_files.Storage, _directory, _segments);
    }
}
