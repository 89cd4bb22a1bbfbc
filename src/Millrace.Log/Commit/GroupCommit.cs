using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What the shell has to do after an input.</summary>
[Flags]
internal enum CommitEffects
{
    None = 0,

    /// <summary>Put the partition into the queue of the flushers.</summary>
    QueueSync = 1,

    /// <summary>The high watermark or the synced offset has moved, or the partition has failed: wake who waits.</summary>
    Progressed = 2,
}

/// <summary>
/// Decides what is visible, what is on the disk and when to sync. Holds no lock, does no I/O and knows no time: the partition calls it
/// under its writer lock.
/// </summary>
/// <remarks>
/// <code>
///            sync wanted             SyncStarted             SyncSucceeded
///   Idle ------------------> Queued -------------> Running ----------------> Idle, or Queued if a sync was wanted meanwhile
///                                                  Running -- SyncFailed --> Failed, for good
/// </code>
/// A sync covers what was appended before it started. What is appended while it runs waits for the next one, so that under load one
/// sync acknowledges many appends.
/// <para>
/// It goes to the partition's own files or to the journal that all partitions share. Both acknowledge; the recovery point follows the first only
/// (<see cref="StoredOffset"/>), since what lies beyond it in the files may be torn by a crash and written back from the journal.
/// </para>
/// </remarks>
internal sealed class GroupCommit
{
    private State _state = State.Idle;
    private bool _isWantedAgain;
    private bool _isStoreWanted;
    private bool _isStoring;

    // Where the first batch begins that must be on the disk before it may be seen, and the first such one beyond the running sync.
    private Offset? _firstUnsyncedDisk;
    private Offset? _firstUnsyncedDiskBeyondTarget;
    private Offset _target;

    /// <summary>Everything below <paramref name="end"/> is on the disk.</summary>
    public GroupCommit(Offset end)
    {
        LogEndOffset = end;
        SyncedOffset = end;
        StoredOffset = end;
        HighWatermark = end;
    }

    private enum State
    {
        Idle,
        Queued,
        Running,
        Failed,
    }

    public Offset LogEndOffset { get; private set; }

    /// <summary>Everything below is on the disk, in the partition's own files or in the journal.</summary>
    public Offset SyncedOffset { get; private set; }

    /// <summary>Everything below is on the disk in the partition's own files. Never beyond <see cref="SyncedOffset"/>.</summary>
    public Offset StoredOffset { get; private set; }

    /// <summary>Everything below may be read. Never beyond the first batch that waits for the disk.</summary>
    public Offset HighWatermark { get; private set; }

    public bool IsRunning => _state == State.Running;

    public bool IsQueued => _state == State.Queued;

    /// <summary>Whether the next sync has to go to the partition's own files.</summary>
    public bool IsStoreWanted => _isStoreWanted;

    public CommitEffects Appended(Offset baseOffset, Offset nextOffset, AppendDurability durability)
    {
        Invariant.Holds(baseOffset == LogEndOffset && nextOffset > baseOffset, "appends follow one another without a gap");
        LogEndOffset = nextOffset;
        CommitEffects effects = CommitEffects.None;
        if (durability == AppendDurability.Disk)
        {
            _firstUnsyncedDisk ??= baseOffset;
            if (_state == State.Running)
            {
                _firstUnsyncedDiskBeyondTarget ??= baseOffset;
            }

            effects = Want();
        }

        return effects | MoveHighWatermark();
    }

    /// <summary>Somebody wants what is in the log now to be on the disk.</summary>
    public CommitEffects SyncWanted() => SyncedOffset < LogEndOffset ? Want() : CommitEffects.None;

    /// <summary>Somebody wants what is in the log now to be on the disk in the partition's own files.</summary>
    public CommitEffects StoreWanted()
    {
        _isStoreWanted = StoredOffset < LogEndOffset;
        return _isStoreWanted ? Want() : CommitEffects.None;
    }

    /// <summary>Returns the offset up to which the sync has to reach.</summary>
    /// <param name="isStore">Whether it goes to the partition's own files; else to the journal.</param>
    public Offset SyncStarted(bool isStore = true)
    {
        Invariant.Holds(_state is State.Idle or State.Queued, "one sync of a partition runs at a time");
        _state = State.Running;
        _isStoring = isStore;
        _isStoreWanted &= !isStore;
        _target = LogEndOffset;
        _firstUnsyncedDiskBeyondTarget = null;
        return _target;
    }

    public CommitEffects SyncSucceeded()
    {
        Invariant.Holds(_state == State.Running, "a sync that ends has started");
        CommitEffects effects = SyncedOffset < _target ? CommitEffects.Progressed : CommitEffects.None;
        SyncedOffset = _target;
        StoredOffset = _isStoring ? _target : StoredOffset;
        _firstUnsyncedDisk = _firstUnsyncedDiskBeyondTarget;
        _firstUnsyncedDiskBeyondTarget = null;
        effects |= MoveHighWatermark();

        _state = State.Idle;
        if (_isWantedAgain)
        {
            _isWantedAgain = false;
            effects |= _isStoreWanted ? StoreWanted() : SyncWanted();
        }

        return effects;
    }

    /// <summary>The journal could not take what it was given: nothing is known to be on the disk by it, and the partition's own files have to do.</summary>
    public CommitEffects SyncGivenUp()
    {
        Invariant.Holds(_state == State.Running && !_isStoring, "it is the journal that gives up");
        _state = State.Idle;
        _isWantedAgain = false;
        return StoreWanted();
    }

    /// <summary>A write or a sync failed. What is on the disk is unknown from here on, so nothing moves any more.</summary>
    public CommitEffects Failed()
    {
        _state = State.Failed;
        return CommitEffects.Progressed;
    }

    private CommitEffects Want()
    {
        switch (_state)
        {
            case State.Idle:
                _state = State.Queued;
                return CommitEffects.QueueSync;
            case State.Running:
                _isWantedAgain = true;
                return CommitEffects.None;
            default:
                return CommitEffects.None;
        }
    }

    private CommitEffects MoveHighWatermark()
    {
        // A batch with acks=1 behind one with acks=all waits with it. Otherwise a consumer could read and commit a record that a power
        // loss then takes away, and that another record replaces.
        Offset mark = _firstUnsyncedDisk ?? LogEndOffset;
        if (mark <= HighWatermark || _state == State.Failed)
        {
            return CommitEffects.None;
        }

        HighWatermark = mark;
        return CommitEffects.Progressed;
    }
}
