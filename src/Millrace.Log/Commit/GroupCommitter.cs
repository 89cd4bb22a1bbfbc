using System.Collections.Concurrent;

namespace Millrace.Log;

/// <summary>Settings of the flushers.</summary>
public sealed class GroupCommitterOptions
{
    /// <summary>Threads that sync; each works on one partition at a time. More than a few gain little on one disk. Default: 4.</summary>
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
/// The threads behind <see cref="GroupCommit"/>: they take partitions that want a sync from a queue and sync them, write the recovery
/// points now and then, and try to bring back partitions that went offline. One a directory. Dispose it before the directory is closed.
/// </summary>
public sealed class GroupCommitter : IAsyncDisposable
{
    private readonly LogDirectory _directory;

    // A partition is in here at most once, and the housekeeping (null) too, so that the number of partitions bounds it.
    private readonly BlockingCollection<PartitionLog?> _queue = [];
    private readonly ITimer _timer;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _runningThreadCount;
    private int _isHousekeepingQueued;

    public GroupCommitter(LogDirectory directory, GroupCommitterOptions options, TimeProvider time)
    {
        options.Validate();
        _directory = directory;
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
        _queue.CompleteAdding();
        await _stopped.Task;
    }

    private void Queue(PartitionLog log)
    {
        try
        {
            _queue.Add(log);
        }
        catch (InvalidOperationException)
        {
            // Stopping: the close of the directory syncs the rest.
        }
    }

    private void KeepHouse()
    {
        _directory.SyncOverdue();
        QueueHousekeeping();
    }

    private void QueueHousekeeping()
    {
        if ((_directory.AreRecoveryPointsStale || _directory.HasDueReopening) && Interlocked.Exchange(ref _isHousekeepingQueued, 1) == 0)
        {
            Queue(null!);
        }
    }

    private void Work()
    {
        foreach (PartitionLog? log in _queue.GetConsumingEnumerable())
        {
            if (log is null)
            {
                // Before the points are collected: one that moves from here on queues them again.
                Volatile.Write(ref _isHousekeepingQueued, 0);
                _directory.WriteRecoveryPoints();
                _directory.ReopenDue();
            }
            else if (log.BeginSync() is { } work)
            {
                log.EndSync(work, work.TryRun());
                if (work.CompletesSegment)
                {
                    QueueHousekeeping();
                }
            }
        }

        if (Interlocked.Decrement(ref _runningThreadCount) == 0)
        {
            _stopped.SetResult();
        }
    }
}
