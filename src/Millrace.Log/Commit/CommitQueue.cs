namespace Millrace.Log;

/// <summary>
/// What the flushers have to do, and in which order: a round of the journal for everything that waits, as long as no other one runs; syncs of single partitions; housekeeping; and what
/// nobody waits for. Holds no lock, does no I/O and knows no thread: whoever owns it calls it one at a time.
/// </summary>
/// <remarks>
/// <code>
/// Add --> waiting --TryTake--> round --Begun--> for files --TryTake--> sync of one partition
///            ^                   |
///            +------- later -----+         what comes while a round runs waits for its end, and is the next round together
/// </code>
/// </remarks>
/// <param name="maxIdleWorkCount">Things that nobody waits for which are done at a time.</param>
internal sealed class CommitQueue(LogDirectory directory, int maxIdleWorkCount)
{
    private readonly Queue<PartitionLog> _forFiles = new();
    private List<PartitionLog> _waiting = [];
    private List<PartitionLog> _taken = [];
    private bool _isRoundTaken;
    private int _idleWorkCount;
    private bool _isHousekeepingDue;

    /// <summary>Whether there is something to take now.</summary>
    public bool HasWork => (_waiting.Count > 0 && !_isRoundTaken) || _forFiles.Count > 0 || _isHousekeepingDue;

    /// <summary>Whether nobody waits, and nothing is being done for those who have waited.</summary>
    public bool IsIdle => _waiting.Count == 0 && !_isRoundTaken && _forFiles.Count == 0;

    /// <summary>Whether there is something to take, be it only what nobody waits for.</summary>
    public bool HasAnyWork => HasWork || directory.Journal.ToStoreCount > 0 || directory.Journal.WantsPreparation;

    /// <summary>A partition wants a sync. True if it can be taken now; else the end of the round that runs makes it so.</summary>
    public bool Add(PartitionLog log)
    {
        _waiting.Add(log);
        return !_isRoundTaken;
    }

    public void AddHousekeeping() => _isHousekeepingDue = true;

    /// <summary>The next thing to do; null if there is none.</summary>
    public CommitTask? TryTake()
    {
        if (_waiting.Count > 0 && !_isRoundTaken)
        {
            _isRoundTaken = true;
            (_waiting, _taken) = (_taken, _waiting);
            return new RoundTask(directory.Journal, _taken);
        }

        if (_forFiles.TryDequeue(out PartitionLog? log))
        {
            return new FilesTask(log, FilesReason.NotForJournal);
        }

        if (_isHousekeepingDue)
        {
            _isHousekeepingDue = false;
            return new HousekeepingTask(directory);
        }

        return _idleWorkCount < maxIdleWorkCount ? TryTakeIdleWork() : null;
    }

    /// <summary>A task was begun, or there was nothing to begin. Returns how many more can be taken because of it.</summary>
    public int Begun(CommitTask task)
    {
        if (task is not RoundTask round)
        {
            return 0;
        }

        round.ForFiles.ForEach(_forFiles.Enqueue);
        _waiting.InsertRange(0, round.Later);
        _taken.Clear();
        return round.ForFiles.Count + directory.Journal.ToStoreCount;
    }

    /// <summary>A task has ended, or there was nothing to begin. Housekeeping may be due by it.</summary>
    public void Ended(CommitTask task)
    {
        _isRoundTaken &= task is not RoundTask;
        _idleWorkCount -= task is FilesTask { Reason: FilesReason.Journaled } or PrepareTask ? 1 : 0;
        _isHousekeepingDue |= task is FilesTask { CompletesSegment: true };
    }

    private CommitTask? TryTakeIdleWork()
    {
        CommitTask? task = directory.Journal.TakeToStore() is { } log ? new FilesTask(log, FilesReason.Journaled)
            : directory.Journal.WantsPreparation ? new PrepareTask(directory.Journal)
            : null;
        _idleWorkCount += task is null ? 0 : 1;
        return task;
    }
}
