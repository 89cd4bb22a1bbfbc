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
    }
}

/// <summary>
/// The threads behind <see cref="GroupCommit"/> and <see cref="CommitJournal"/>: they take what is to be synced from a queue, write the recovery points now and then, and try to bring back
/// partitions that went offline. One a directory. Dispose it before the directory is closed.
/// </summary>
public sealed class GroupCommitter : IAsyncDisposable
{
    /// <summary>How often a flusher looks for more before it sleeps: as often as the runtime's own semaphores do. To wake a thread takes longer than most of what is waited for here.</summary>
    private const int SpinCount = 140;

    private readonly LogDirectory _directory;

    // Guards the queue and what follows; flushers without work wait on it. A partition is in the queue as often as it asks, which is once until a sync of it begins.
    private readonly object _gate = new();
    private readonly CommitQueue _queue;
    private bool _isStopping;
    private int _idleThreadCount;
    private bool _isSpinning;
    private bool _hasNews;
    private int _runningThreadCount;

    private readonly ITimer _timer;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public GroupCommitter(LogDirectory directory, GroupCommitterOptions options, TimeProvider time)
    {
        options.Validate();
        _directory = directory;

        // All but one: a round must not wait for what nobody waits for.
        _queue = new CommitQueue(directory, Math.Max(options.FlusherThreadCount - 1, 1));
        _runningThreadCount = options.FlusherThreadCount;
        directory.Attach(Queue);
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

    private void Queue(PartitionLog log)
    {
        lock (_gate)
        {
            // While a round runs nobody has to be woken: the thread that runs it takes the next one.
            if (_queue.Add(log))
            {
                Wake(1);
            }
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
            bool hasBegun = task.TryBegin();
            lock (_gate)
            {
                // One of them is this thread's, if it does nothing else.
                Wake(_queue.Begun(task, hasBegun) - (hasBegun ? 0 : 1));
            }

            if (hasBegun)
            {
                task.Run();
                task.End();
            }

            lock (_gate)
            {
                _queue.Ended(task);
            }
        }

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
