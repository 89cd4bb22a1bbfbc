namespace Millrace.Log;

/// <summary>Settings of the flushers.</summary>
public sealed class GroupCommitterOptions
{
    /// <summary>
    /// Threads that sync: one runs the rounds of the journal, each of the others works on one partition at a time. More than a few gain little on one disk. Default: 4.
    /// </summary>
    public int FlusherThreadCount { get; set; } = 4;

    /// <summary>
    /// How long a recovery point that moved may wait until it is written. The shorter, the less a start after a crash has to scan, and
    /// the sharper it tells damage from a torn tail. So often is looked, too, whether records wait for the disk longer than flush.ms. Default: 1 s.
    /// </summary>
    public TimeSpan RecoveryPointInterval { get; set; } = TimeSpan.FromSeconds(1);

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(FlusherThreadCount, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(FlusherThreadCount, 64);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(RecoveryPointInterval, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(RecoveryPointInterval, TimeSpan.FromDays(24));
    }
}

/// <summary>
/// The threads behind <see cref="GroupCommit"/> and <see cref="CommitJournal"/>: they take what is to be synced from a queue, write the recovery points now and then, and try to bring back
/// partitions that went offline. One a directory. Dispose it before the directory is closed.
/// </summary>
/// <remarks>
/// Who appends may sync as well. A disk that takes a quarter of a millisecond is waited for about as long as it takes to wake a flusher and to be woken by it; so, as long as nobody else
/// waits and the disk is quick, the thread that has appended does it. It does one round; what has come meanwhile is a flusher's.
/// </remarks>
public sealed class GroupCommitter : IAsyncDisposable, ICommitter
{
    /// <summary>How often a flusher looks for more before it sleeps: as often as the runtime's own semaphores do. To wake a thread takes longer than most of what is waited for here.</summary>
    private const int SpinCount = 140;

    /// <summary>A disk whose last sync took longer is waited for by flushers alone: to wake one adds little to that, and whoever has appended can go on with something else.</summary>
    private static readonly TimeSpan QuickSync = TimeSpan.FromMilliseconds(1);

    private readonly LogDirectory _directory;

    // Guards the queue and what follows; flushers without work wait on it. A partition is in the queue as often as it asks, which is once until a sync of it begins.
    private readonly object _gate = new();
    private readonly CommitQueue _queue;
    private bool _isStopping;
    private int _idleThreadCount;
    private bool _isSpinning;
    private bool _hasNews;
    private bool _isDiskQuick;

    // The flushers, and whoever does something in their place.
    private int _runningThreadCount;

    private readonly TimeProvider _time;
    private readonly ITimer _timer;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public GroupCommitter(LogDirectory directory, GroupCommitterOptions options, TimeProvider time)
    {
        options.Validate();
        _directory = directory;
        _time = time;

        // All but one: a round must not wait for what nobody waits for.
        _queue = new CommitQueue(directory, Math.Max(options.FlusherThreadCount - 1, 1));
        _runningThreadCount = options.FlusherThreadCount;
        directory.Attach(this);
        for (int number = 0; number < options.FlusherThreadCount; number++)
        {
            new Thread(Work) { IsBackground = true, Name = $"Millrace flusher {number}" }.Start();
        }

        _timer = time.CreateTimer(_ => KeepHouse(), null, options.RecoveryPointInterval, options.RecoveryPointInterval);
    }

    /// <summary>
    /// Wants everything that is in the log now to be on the disk. Appends with <see cref="AppendDurability.Disk"/> ask by themselves.
    /// </summary>
    public void Request(PartitionLog log) => log.WantSync();

    /// <summary>Syncs what is queued and ends the threads.</summary>
    public async ValueTask DisposeAsync()
    {
        _directory.Detach();
        await _timer.DisposeAsync();
        lock (_gate)
        {
            _isStopping = true;
            Monitor.PulseAll(_gate);
        }

        await _stopped.Task;
    }

    void ICommitter.Queue(ReadOnlySpan<PartitionLog> logs, bool mayBlock)
    {
        CommitTask? here = null;
        lock (_gate)
        {
            bool isForHere = mayBlock && _isDiskQuick && _queue.IsIdle && !_isStopping;
            bool canBeTaken = false;
            foreach (PartitionLog log in logs)
            {
                canBeTaken |= _queue.Add(log);
            }

            if (isForHere && _queue.TryTake() is { } task)
            {
                here = task;
                Interlocked.Increment(ref _runningThreadCount);
            }
            else if (canBeTaken)
            {
                // While a round runs nobody has to be woken: the thread that runs it takes the next one.
                Wake(1);
            }
        }

        if (here is not null)
        {
            // A round that the journal does not take leaves its partitions to be synced in their files.
            if (!Do(here) && TakeNow() is { } next)
            {
                Do(next);
            }

            lock (_gate)
            {
                Wake(_queue.HasAnyWork ? 1 : 0);
            }

            Leave();
        }
    }

    private void KeepHouse()
    {
        _directory.SyncOverdue();
        QueueHousekeeping();
    }

    private void QueueHousekeeping()
    {
        if (!_directory.NeedsHousekeeping)
        {
            return;
        }

        lock (_gate)
        {
            _queue.AddHousekeeping();
            Wake(1);
        }
    }

    private void Work()
    {
        while (Take() is { } task)
        {
            Do(task);
        }

        Leave();
    }

    private CommitTask? TakeNow()
    {
        lock (_gate)
        {
            return _queue.TryTake();
        }
    }

    /// <summary>False if there was nothing to be done.</summary>
    private bool Do(CommitTask task)
    {
        bool hasBegun = task.TryBegin();
        lock (_gate)
        {
            // One of them is this thread's, if it does nothing else.
            Wake(_queue.Begun(task) - (hasBegun ? 0 : 1));
        }

        long began = _time.GetTimestamp();
        if (hasBegun)
        {
            task.Run();
        }

        TimeSpan elapsed = _time.GetElapsedTime(began);
        if (hasBegun)
        {
            task.End();
        }

        lock (_gate)
        {
            _queue.Ended(task);
            _isDiskQuick = hasBegun && task.IsWaitedFor ? elapsed < QuickSync : _isDiskQuick;
        }

        return hasBegun;
    }

    /// <summary>A thread is done.</summary>
    private void Leave()
    {
        if (Interlocked.Decrement(ref _runningThreadCount) == 0)
        {
            _stopped.SetResult();
        }
    }

    /// <summary>Waits for something to do; null when the end has come.</summary>
    private CommitTask? Take()
    {
        bool hasSpun = false;
        while (true)
        {
            lock (_gate)
            {
                if (_isStopping && !_queue.HasWork)
                {
                    return null;
                }

                if (_queue.TryTake() is { } task)
                {
                    return task;
                }

                if (hasSpun || _isSpinning)
                {
                    _idleThreadCount++;
                    Monitor.Wait(_gate);
                    _idleThreadCount--;
                    hasSpun = false;
                    continue;
                }

                _isSpinning = true;
                _hasNews = false;
            }

            Spin();
            hasSpun = true;
        }
    }

    /// <summary>One flusher at a time looks for a while whether something comes. Who brings it need not wake anybody then.</summary>
    private void Spin()
    {
        var spinner = new SpinWait();
        while (spinner.Count < SpinCount && !Volatile.Read(ref _hasNews))
        {
            spinner.SpinOnce(sleep1Threshold: -1);
        }

        lock (_gate)
        {
            // What came until now is found by the look that follows; what comes from now on wakes somebody.
            _isSpinning = false;
        }
    }

    private void Wake(int count)
    {
        if (_isSpinning && !_hasNews && count > 0)
        {
            Volatile.Write(ref _hasNews, true);
            count--;
        }

        for (int number = Math.Min(count, _idleThreadCount); number > 0; number--)
        {
            Monitor.Pulse(_gate);
        }
    }
}
