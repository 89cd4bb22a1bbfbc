using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>Syncing: begin under the lock, work without it, end under it again.</content>
public sealed partial class PartitionLog
{
    /// <summary>What the next start may take for synced in the files, whatever the journal says.</summary>
    internal Offset RecoveryPoint => _keptRecoveryPoint ?? StoredOffset;

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

    /// <summary>Begins a sync in the files, if one is still waited for.</summary>
    internal SyncWork? BeginQueuedSync()
    {
        lock (_writerLock)
        {
            return IsOnline && !_isClosed && _commit.IsQueued ? StartSync() : null;
        }
    }

    /// <summary>
    /// Begins a sync of what the journal has and the files may lack. Null if there is nothing, or the partition cannot be synced now; then it is as soon as it can.
    /// </summary>
    internal SyncWork? BeginStore()
    {
        lock (_writerLock)
        {
            if (!IsOnline || _isClosed || _commit.StoredOffset >= _commit.SyncedOffset)
            {
                return null;
            }

            if (_commit.IsRunning)
            {
                // Queues nothing: the end of the sync that runs does.
                _commit.StoreWanted();
                return null;
            }

            return StartSync();
        }
    }

    /// <summary>
    /// Begins a sync by the journal, if one is waited for and the journal can do it: what is not on the disk is the end of a segment whose name, and whose predecessors, are in the files for good.
    /// </summary>
    /// <param name="maximumByteCount">More than this is synced in the files.</param>
    /// <param name="room">More than this does not fit now.</param>
    internal PieceOutcome TryBeginPiece(int maximumByteCount, int room, out PieceOfLog piece)
    {
        piece = default;
        lock (_writerLock)
        {
            if (!IsOnline || _isClosed || !_commit.IsQueued)
            {
                return PieceOutcome.NotWanted;
            }

            LogSegment active = _segments[^1];
            int byteCount = active.ByteCount - active.SyncedByteCount;
            if (_commit.IsStoreWanted || !IsTailOnly || byteCount <= 0 || byteCount > maximumByteCount)
            {
                return PieceOutcome.ForFiles;
            }

            if (byteCount > room)
            {
                return PieceOutcome.NoRoom;
            }

            // Both ends lie between batches, in the file as in the offsets: what is synced was the end of the log once, and what is in the log now is whole batches.
            Offset from = _commit.SyncedOffset;
            Offset end = _commit.SyncStarted(isStore: false);
            Invariant.Holds(from >= active.BaseOffset && from < end, "bytes of the active segment that are not on the disk are records that are not");
            _unsyncedSince = null;
            _isSyncing = true;
            piece = new PieceOfLog(this, active, active.SyncedByteCount, byteCount, from, end, LeaderEpoch, _generation);
            return PieceOutcome.Begun;
        }
    }

    /// <summary>The journal has the piece on the disk.</summary>
    internal void EndPiece(in PieceOfLog piece)
    {
        CommitEffects effects = CommitEffects.None;
        lock (_writerLock)
        {
            _isSyncing = false;
            if (IsOnline)
            {
                piece.Segment.SyncedByteCount = piece.Position + piece.ByteCount;
                effects = _commit.SyncSucceeded() | Publish();
            }
        }

        Run(effects);
    }

    /// <summary>The journal has failed: the files are synced instead.</summary>
    internal void GiveUpPiece()
    {
        CommitEffects effects = CommitEffects.None;
        lock (_writerLock)
        {
            _isSyncing = false;
            if (IsOnline)
            {
                effects = _commit.SyncGivenUp();
            }
        }

        Run(effects);
    }

    /// <summary>The bytes that were to go into the journal cannot be read.</summary>
    internal void FailPiece(Exception error)
    {
        CommitEffects effects;
        lock (_writerLock)
        {
            _isSyncing = false;
            effects = TakeOffline($"Reading back what was written to {_directory} failed: {error.Message} {Sentences.AfterDiskError}");
        }

        Run(effects);
    }

    /// <summary>Whether its own files may lack something that the journal has.</summary>
    internal bool Owes(in JournalDebt debt) =>
        !Volatile.Read(ref _isReleased) && debt.LogGeneration == Volatile.Read(ref _generation) && StoredOffset < debt.EndOffset;

    /// <summary>Ends a sync. With an error the partition goes offline: a second sync could succeed without having written anything.</summary>
    internal void EndSync(SyncWork work, Exception? error)
    {
        CommitEffects effects;
        lock (_writerLock)
        {
            _isSyncing = false;
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

    /// <summary>Whether what is not on the disk is the end of the active segment, whose name and predecessors are in the files for good.</summary>
    private bool IsTailOnly =>
        (_segments.Length == 1 || _segments[^2].IsCompleteAndSynced) && _segments[^1] is { HasNewFile: false, NewSnapshot: null };

    private SyncWork StartSync()
    {
        _commit.SyncStarted();
        _unsyncedSince = null;
        _stableOffsetOfSync = _producers.FirstOpenTransactionOffset ?? LogEndOffset;
        _isSyncing = true;
        return new SyncWork(_files.Storage, _directory, _segments);
    }
}
