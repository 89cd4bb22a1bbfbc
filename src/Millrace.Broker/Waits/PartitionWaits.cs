using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// Where requests wait for partitions to move, without a thread (Kafka calls it purgatory). The thin shell around <see cref="WaitRegistry"/>:
/// one lock, a timer per wait, and the order of steps that loses no wake-up.
/// </summary>
internal sealed class PartitionWaits(TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly WaitRegistry _registry = new();
    private bool _isStopping;

    internal int WatchedPartitionCount
    {
        get
        {
            lock (_lock)
            {
                return _registry.WatchedPartitionCount;
            }
        }
    }

    /// <param name="timeout"><see cref="Timeout.InfiniteTimeSpan"/>: as long as it takes.</param>
    public ValueTask<WaitOutcome> WaitAsync(PartitionWait wait, TimeSpan timeout, CancellationToken aborted)
    {
        if (wait.IsSatisfied())
        {
            return new ValueTask<WaitOutcome>(WaitOutcome.Satisfied);
        }

        if (timeout <= TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan)
        {
            return new ValueTask<WaitOutcome>(WaitOutcome.TimedOut);
        }

        lock (_lock)
        {
            if (_isStopping && wait.EndsAtStop)
            {
                return new ValueTask<WaitOutcome>(WaitOutcome.Stopping);
            }

            _registry.Add(wait);
        }

        // Look once more, now that we are registered. A record that landed after the first look and before the registration reported its
        // progress to a registry without us; nobody would wake us until the next record, which may never come.
        // A record that lands after the registration finds us there. So one of the two sees it, and if both do, the first one counts.
        if (wait.IsSatisfied())
        {
            wait.TryComplete(WaitOutcome.Satisfied);
        }

        return AwaitAsync(wait, timeout, aborted);
    }

    /// <summary>Wakes what waits for this partition and is satisfied now. Called after the partition has published its new state.</summary>
    public void Progressed(TopicPartition partition)
    {
        PartitionWait[] waits;
        lock (_lock)
        {
            waits = _registry.Watching(partition);
        }

        foreach (PartitionWait wait in waits)
        {
            if (!wait.IsCompleted && wait.IsSatisfied())
            {
                wait.TryComplete(WaitOutcome.Satisfied);
            }
        }
    }

    /// <summary>Wakes everything that does not have to finish, and lets nothing like it wait any more.</summary>
    public void Stop()
    {
        PartitionWait[] waits;
        lock (_lock)
        {
            _isStopping = true;
            waits = _registry.All();
        }

        foreach (PartitionWait wait in waits)
        {
            if (wait.EndsAtStop)
            {
                wait.TryComplete(WaitOutcome.Stopping);
            }
        }
    }

    private async ValueTask<WaitOutcome> AwaitAsync(PartitionWait wait, TimeSpan timeout, CancellationToken aborted)
    {
        try
        {
            using ITimer? deadline = timeout == Timeout.InfiniteTimeSpan ? null : time.CreateTimer(
                static state => ((PartitionWait)state!).TryComplete(WaitOutcome.TimedOut), wait, timeout, Timeout.InfiniteTimeSpan);
            using CancellationTokenRegistration abort = aborted.UnsafeRegister(
                static state => ((PartitionWait)state!).TryComplete(WaitOutcome.Aborted), wait);
            return await wait.Completion;
        }
        finally
        {
            lock (_lock)
            {
                _registry.Remove(wait);
            }
        }
    }
}
