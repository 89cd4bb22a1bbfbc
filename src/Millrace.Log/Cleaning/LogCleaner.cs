using Microsoft.Extensions.Logging;

namespace Millrace.Log;

/// <summary>
/// What looks after a data directory in the background: deletes what retention lets go, and its files when their delay is over; and compacts,
/// the log with the largest part first that was never compacted. One a directory. Dispose it before the directory is closed.
/// </summary>
public sealed class LogCleaner : IAsyncDisposable
{
    private readonly LogDirectory _directory;
    private readonly CleaningSettings _settings;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ITimer _retentionTimer;
    private readonly ITimer _tickTimer;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // A tick for each thread, whether it waits for it or not.
    private readonly SemaphoreSlim _ticks = new(0);
    private readonly int _threadCount;
    private int _runningThreadCount;
    private volatile bool _isStopping;

    // Held while the directory is looked after: a timer that fires meanwhile has nothing to add.
    private readonly Lock _housekeeping = new();

    // Guards the set of logs that are being compacted.
    private readonly Lock _choice = new();
    private readonly HashSet<PartitionLog> _beingCompacted = [];

    public LogCleaner(LogDirectory directory, LogCleanerOptions options, TimeProvider time, ILogger logger)
    {
        options.Validate();
        _directory = directory;
        _time = time;
        _logger = new QuietLogger(logger);
        _threadCount = options.IsEnabled ? options.ThreadCount : 0;
        _settings = new CleaningSettings(
            options.KeyMemoryByteCount / options.ThreadCount, options.KeyMemoryLoadFactor, options.BufferByteCount / options.ThreadCount);
        _runningThreadCount = _threadCount;
        for (int number = 0; number < _threadCount; number++)
        {
            new Thread(Work) { IsBackground = true, Name = $"Millrace cleaner {number}" }.Start();
        }

        _retentionTimer = time.CreateTimer(_ => Keep(directory.ApplyRetention), null, options.RetentionCheckInterval, options.RetentionCheckInterval);
        _tickTimer = time.CreateTimer(_ => Tick(), null, options.Backoff, options.Backoff);
    }

    /// <summary>Ends the threads. A compaction that is running ends at its next batch; what it has done stays.</summary>
    public async ValueTask DisposeAsync()
    {
        await _retentionTimer.DisposeAsync();
        await _tickTimer.DisposeAsync();
        _isStopping = true;
        if (_threadCount > 0)
        {
            _ticks.Release(_threadCount);
            await _stopped.Task;
        }
    }

    private void Tick()
    {
        Keep(_directory.DeleteLeftovers);
        if (_threadCount > 0 && _ticks.CurrentCount < _threadCount)
        {
            _ticks.Release(_threadCount);
        }
    }

    private void Keep(Action work)
    {
        if (_housekeeping.TryEnter())
        {
            try
            {
                work();
            }
            finally
            {
                _housekeeping.Exit();
            }
        }
    }

    private void Work()
    {
        while (!_isStopping)
        {
            if (!TryCompactOne())
            {
                _ticks.Wait();
            }
        }

        if (Interlocked.Decrement(ref _runningThreadCount) == 0)
        {
            _stopped.SetResult();
        }
    }

    /// <summary>False if there is nothing to compact, or what there was failed: then it waits for the next tick.</summary>
    private bool TryCompactOne()
    {
        if (Choose() is not { } chosen)
        {
            return false;
        }

        try
        {
            long started = _time.GetTimestamp();
            CleaningOutcome outcome = chosen.Log.Compact(chosen.Plan, _settings.ToLimits(_directory.Now, () => _isStopping));
            Diagnostics.Compacted(outcome);
            if (outcome.IsComplete)
            {
                LogMessages.Compacted(
                    _logger, chosen.Log.TopicPartition, outcome.ReadByteCount, outcome.WrittenByteCount, _time.GetElapsedTime(started).TotalMilliseconds);
            }

            return outcome.IsComplete;
        }
        catch (UncleanableException exception)
        {
            chosen.Log.UncleanableReason = exception.Message;
            Diagnostics.FoundUncleanable();
            LogMessages.Uncleanable(_logger, chosen.Log.TopicPartition, exception.Message);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            LogMessages.CompactionFailed(_logger, chosen.Log.TopicPartition, exception.Message);
            return false;
        }
        finally
        {
            lock (_choice)
            {
                _beingCompacted.Remove(chosen.Log);
            }
        }
    }

    private (PartitionLog Log, CleaningPlan Plan)? Choose()
    {
        lock (_choice)
        {
            (PartitionLog Log, CleaningPlan Plan)? dirtiest = null;
            foreach (PartitionLog log in _directory.Partitions)
            {
                if (log.UncleanableReason is not null || _beingCompacted.Contains(log) || Plan(log) is not { } plan)
                {
                    continue;
                }

                bool isDue = plan.IsOverdue || plan.DirtyRatio > log.Settings.MinimumCleanableDirtyRatio;
                if (isDue && !(dirtiest?.Plan.DirtyRatio >= plan.DirtyRatio))
                {
                    dirtiest = (log, plan);
                }
            }

            if (dirtiest is { } chosen)
            {
                _beingCompacted.Add(chosen.Log);
            }

            return dirtiest;
        }
    }

    private CleaningPlan? Plan(PartitionLog log)
    {
        try
        {
            return log.PlanCleaning(_directory.Now);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            LogMessages.CompactionFailed(_logger, log.TopicPartition, exception.Message);
            return null;
        }
    }

    private sealed record CleaningSettings(long KeyMemoryByteCount, double LoadFactor, int BufferByteCount)
    {
        public CleaningLimits ToLimits(long now, Func<bool> isStopped) => new(KeyMemoryByteCount, LoadFactor, BufferByteCount, now, isStopped);
    }
}
