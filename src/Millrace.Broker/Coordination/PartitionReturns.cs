using Microsoft.Extensions.Logging;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// What the coordinators do when a partition that was offline comes back, one partition after the other: what is kept in it is read again, and its transactions are settled.
/// Those that come back while the broker starts wait until it has.
/// </summary>
internal sealed class PartitionReturns : IThreadPoolWorkItem, IDisposable
{
    /// <summary>How long the disk has, when it did not let a creation be finished that was cut short, before that is tried again.</summary>
    public static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly LogDirectory _log;
    private readonly BrokerRuntime _runtime;
    private readonly ILogger _logger;
    private readonly ITimer _retry;

    // Guarded by the lock. A partition is in here at most once, so that their number bounds it.
    private readonly Queue<PartitionLog> _queue = new();
    private readonly List<PartitionLog> _retried = [];
    private Func<PartitionLog, Task>? _handle;
    private bool _isRunning;

    /// <summary>From here on nothing that comes back is missed.</summary>
    public PartitionReturns(LogDirectory log, BrokerRuntime runtime, TimeProvider time, ILogger logger)
    {
        _log = log;
        _runtime = runtime;
        _logger = logger;
        _retry = time.CreateTimer(static returns => ((PartitionReturns)returns!).Retry(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _log.CameBack += Add;
    }

    /// <summary>The coordinators are there.</summary>
    public void Begin(TopicCatalog topics, GroupCoordinator groups, TransactionCoordinator transactions)
    {
        lock (_lock)
        {
            _handle = async partition =>
            {
                foreach (PartitionLog served in Served(topics, partition))
                {
                    // In the order of a start: what was committed for groups in a transaction counts from the marker on that settles it.
                    if (served.TopicPartition.Topic == TopicName.ConsumerOffsets)
                    {
                        await groups.ReloadAsync(served);
                    }
                    else if (served.TopicPartition.Topic == TopicName.TransactionState)
                    {
                        await transactions.ReloadAsync(served);
                    }

                    transactions.Settle(served);
                    groups.ReportLost(served);
                }
            };
            RunIfNeeded();
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = RunAsync();

    public void Dispose()
    {
        _log.CameBack -= Add;
        _retry.Dispose();
    }

    private IReadOnlyList<PartitionLog> Served(TopicCatalog topics, PartitionLog partition)
    {
        try
        {
            return topics.Return(partition);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            LogMessages.TopicCreationNotFinished(_logger, failure, partition.TopicPartition.Topic, RetryDelay);
            lock (_lock)
            {
                _retried.Add(partition);
                _retry.Change(RetryDelay, Timeout.InfiniteTimeSpan);
            }

            return [];
        }
    }

    private void Retry()
    {
        lock (_lock)
        {
            _retried.ForEach(Add);
            _retried.Clear();
        }
    }

    private void Add(PartitionLog partition)
    {
        lock (_lock)
        {
            if (!_queue.Contains(partition))
            {
                _queue.Enqueue(partition);
                RunIfNeeded();
            }
        }
    }

    private void RunIfNeeded()
    {
        if (_handle is not null && !_isRunning && _queue.Count > 0)
        {
            // Not on the thread that brought it back: it has others to sync.
            _isRunning = true;
            _runtime.Queue(this);
        }
    }

    private async Task RunAsync()
    {
        while (TryTake() is { } partition)
        {
            try
            {
                await _handle!(partition);
            }
            catch (Exception bug)
            {
                // The others have their own fate.
                LogMessages.ReturnFailed(_logger, bug, partition.TopicPartition);
            }
        }
    }

    private PartitionLog? TryTake()
    {
        lock (_lock)
        {
            _isRunning = _queue.TryDequeue(out PartitionLog? next);
            return next;
        }
    }
}
