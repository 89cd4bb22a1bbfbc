using Microsoft.Extensions.Logging;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// Runs one endpoint: polls its consumer, feeds the scheduler, runs what the scheduler starts, and commits what it has
/// done. All decisions are the scheduler's; this shell does the waiting.
/// </summary>
/// <remarks>
/// <para>The scheduler, the flow of the consumer and the tokens are guarded by one lock, which is never held across an
/// await, a handler or a cancellation.</para>
/// <para>The poll gate keeps polling and rebalance callbacks apart. Without it, records that a poll has handed out could
/// be taken in after their partition was revoked and assigned again, ahead of the committed offset that the new
/// assignment starts from: the records between the two would be skipped.</para>
/// </remarks>
internal sealed partial class EndpointRunner : IRebalanceListener, IAsyncDisposable
{
    private static readonly TimeSpan s_errorPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_rebalancePause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_cancelledDrainTimeout = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_lastCommitTimeout = TimeSpan.FromSeconds(5);

    private readonly EndpointRun _endpoint;
    private readonly MessagingSettings _settings;
    private readonly IRecordPipeline _pipeline;
    private readonly RetryBackoff _backoff;
    private readonly Action _onChanged;
    private readonly Func<KafkaConsumer> _createConsumer;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    private readonly Lock _gate = new();
    private readonly EndpointScheduler _scheduler;
    private readonly Dictionary<Sequencer, Ownership> _ownerships = [];
    private readonly Dictionary<TopicPartition, Task> _openings = [];
    private readonly HashSet<Sequencer> _opening = [];
    private readonly long _started;
    private readonly ITimer _retryTimer;
    // What drains wait for: a stop and a revocation may drain at the same time. Null while none does.
    private TaskCompletionSource? _finished;
    private CancellationTokenSource? _poll;
    private int _callbacksWaiting;
    private bool _isTakingIn;
    private long _version;
    // Replaced where the polling loop finds it dead.
    private volatile KafkaConsumer _consumer;

    private readonly SemaphoreSlim _pollGate = new(1, 1);
    private readonly SemaphoreSlim _commitGate = new(1, 1);
    private readonly SemaphoreSlim _commitWanted = new(0, 1);
    private readonly CancellationTokenSource _stopping = new();
    private Task _polling = Task.CompletedTask;
    private Task _committing = Task.CompletedTask;
    private bool _isStopped;

    public EndpointRunner(
        EndpointRun endpoint, MessagingSettings settings, IRecordPipeline pipeline, RetryBackoff backoff, Action onChanged, Func<KafkaConsumer> createConsumer, TimeProvider time,
        ILogger logger)
    {
        _endpoint = endpoint;
        _settings = settings;
        _pipeline = pipeline;
        _backoff = backoff;
        _onChanged = onChanged;
        _createConsumer = createConsumer;
        _consumer = createConsumer();
        _time = time;
        _logger = logger;
        _started = time.GetTimestamp();
        _scheduler = new EndpointScheduler(endpoint.MaxConcurrency, settings.MaxQueuedMessages, settings.MaxWindowMessages);
        _retryTimer = time.CreateTimer(static state => ((EndpointRunner)state!).OnRetryDue(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    private TimeSpan Now => _time.GetElapsedTime(_started);

    private bool CommitsBeforeHandling => _endpoint.Delivery == DeliveryMode.AtMostOnce;

    public IReadOnlyList<string> Topics => _endpoint.Topics;

    /// <summary>What the endpoint is doing at this moment.</summary>
    public EndpointSnapshot Look()
    {
        lock (_gate)
        {
            int ready = _scheduler.Sequencers.Count(sequencer => sequencer.HasReady);
            bool isDue = _scheduler.NextDue <= Now;
            return new EndpointSnapshot(
                _version,
                _scheduler.RunningCount + ready + _opening.Count + (_isTakingIn ? 1 : 0) + (isDue ? 1 : 0),
                _scheduler.Sequencers.Sum(sequencer => sequencer.DelayedCount),
                _scheduler.NextDue is { } due ? _time.GetUtcNow() + (due - Now) : null,
                _scheduler.Sequencers.ToDictionary(sequencer => sequencer.TopicPartition, sequencer => sequencer.Position));
        }
    }

    /// <summary>What the endpoint has committed.</summary>
    public Task<IReadOnlyDictionary<TopicPartition, TopicPartitionOffset>> CommittedAsync(
        IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken) => _consumer.CommittedAsync(partitions, cancellationToken);

    /// <summary>Starts joining the group and polling, in the background.</summary>
    public void Start()
    {
        // The loops outlive the call that starts them, and must not carry its activity into every message.
        using (ExecutionContext.SuppressFlow())
        {
            _polling = Task.Run(RunAsync);
            _committing = CommitsBeforeHandling ? Task.CompletedTask : Task.Run(CommitLoopAsync);
        }

        LogMessages.EndpointStarted(_logger, _endpoint.Name, string.Join(", ", _endpoint.Topics), _endpoint.MaxConcurrency);
    }

    /// <summary>
    /// Takes nothing more in, lets running handlers end (cancelled when the time for that is over), commits what is done
    /// and leaves the group.
    /// </summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (_isStopped) return;
        _isStopped = true;
        await _stopping.CancelAsync();
        await _polling;
        await _committing;

        List<Sequencer> leaving;
        lock (_gate) leaving = [.. _scheduler.Sequencers];
        await DrainAsync(leaving, cancelsAtOnce: false, cancellationToken);
        // The host's own time may be over; what is done is committed all the same, unless the log no longer answers.
        using (CancellationTokenSource deadline = new(s_lastCommitTimeout, _settings.InfrastructureTime)) await CommitAsync(leaving, deadline.Token);
        Release(leaving);
        await _consumer.DisposeAsync();
        LogMessages.EndpointStopped(_logger, _endpoint.Name);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync(new CancellationToken(canceled: true));
        await _retryTimer.DisposeAsync();
        // The gates are left to the collector, which is all that they need: a rebalance that outlasts the time to close may still wait at one.
        _stopping.Dispose();
    }

    public async ValueTask OnAssignedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        try
        {
            await EnterPollGateAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The consumer closes, or the membership is over: the partitions go before they came.
            return;
        }

        try
        {
            List<(Sequencer Sequencer, Ownership Ownership)> added = [];
            lock (_gate)
            {
                foreach (TopicPartition partition in partitions)
                {
                    if (_scheduler.TryGet(partition, out _)) continue;
                    Sequencer sequencer = _scheduler.Add(partition, isOpen: false);
                    Ownership ownership = new();
                    _ownerships.Add(sequencer, ownership);
                    _opening.Add(sequencer);
                    added.Add((sequencer, ownership));
                }

                _version++;
            }

            // Not awaited: the rebalance goes on while a partition is prepared, records are taken in up to the bound, and none
            // of them runs before its partition is open.
            foreach ((Sequencer sequencer, Ownership ownership) in added)
                _openings[sequencer.TopicPartition] = OpenAsync(sequencer, ownership, _openings.GetValueOrDefault(sequencer.TopicPartition, Task.CompletedTask));

            LogMessages.Assigned(_logger, _endpoint.Name, partitions.Count);
        }
        finally
        {
            _pollGate.Release();
        }
    }

    public async ValueTask OnRevokedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        // Not to be cancelled: a partition whose release is skipped would go on from a state that its next assignment knows nothing of.
        await EnterPollGateAsync(CancellationToken.None);
        try
        {
            List<Sequencer> leaving = Find(partitions);
            await DrainAsync(leaving, cancelsAtOnce: true, cancellationToken);
            await CommitAsync(leaving, cancellationToken);
            Release(leaving);
            LogMessages.Revoked(_logger, _endpoint.Name, partitions.Count);
        }
        finally
        {
            _pollGate.Release();
        }
    }

    public async ValueTask OnLostAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        // Not to be cancelled: a partition whose release is skipped would go on from a state that its next assignment knows nothing of.
        await EnterPollGateAsync(CancellationToken.None);
        try
        {
            // Neither waited for nor committed: the partitions may have another owner by now.
            List<Sequencer> leaving = Find(partitions);
            lock (_gate) leaving.ForEach(sequencer => sequencer.Close());
            Release(leaving);
            LogMessages.Lost(_logger, _endpoint.Name, partitions.Count);
        }
        finally
        {
            _pollGate.Release();
        }
    }

    /// <summary>Prepares a partition until that succeeds, and then lets its records run. Never throws.</summary>
    private async Task OpenAsync(Sequencer sequencer, Ownership ownership, Task previous)
    {
        TopicPartition partition = sequencer.TopicPartition;
        // The partition may have been here before, and its preparation of then may still be ending.
        await previous;
        bool isOpen = false;
        for (int attempt = 1; !isOpen && !ownership.Leaving.IsCancellationRequested; attempt++)
        {
            try
            {
                await _pipeline.OnAssignedAsync(new AssignedPartition(partition, _consumer.GroupMetadata.MemberId, token => ConfirmAsync(partition, token)), ownership.Leaving);
                isOpen = true;
            }
#pragma warning disable CA1031 // Whatever fails, it is tried again: a partition that nobody opens is a partition that nobody handles.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                if (ownership.Leaving.IsCancellationRequested) break;
                // The group is about to share its partitions out anew: in a moment this one leaves, or is confirmed.
                bool isRebalancing = failure is KafkaGroupFencedException;
                TimeSpan delay = isRebalancing ? s_rebalancePause : _backoff.DelayAfter(attempt);
                if (isRebalancing) LogMessages.OpenWaits(_logger, _endpoint.Name, partition, failure.Message);
                else LogMessages.OpenFailed(_logger, failure, _endpoint.Name, partition, failure.Message, attempt, delay);
                await PauseAsync(delay, ownership.Leaving);
            }
        }

        List<Delivery> started = [];
        TaskCompletionSource? finished;
        bool hasLeft;
        lock (_gate)
        {
            _opening.Remove(sequencer);
            hasLeft = !IsHere(sequencer);
            if (isOpen) _scheduler.Open(sequencer);
            while (_scheduler.TryStart(out Delivery? delivery)) started.Add(delivery);
            finished = TakeFinished();
            _version++;
        }

        if (hasLeft) _pipeline.OnReleased(partition);
        finished?.SetResult();
        _onChanged();
        Launch(started);
    }

    private void Launch(List<Delivery> deliveries)
    {
        foreach (Delivery delivery in deliveries) _ = Task.Run(() => WorkAsync(delivery));
    }

    /// <summary>Holds one slot: handles a record, and then whatever is next.</summary>
    private async Task WorkAsync(Delivery? delivery)
    {
        try
        {
            while (delivery is not null) delivery = Finish(delivery, await HandleAsync(delivery));
        }
#pragma warning disable CA1031 // A worker's failure is a bug in Millrace, and must not pass unseen.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            LogMessages.WorkerFailed(_logger, failure, _endpoint.Name);
        }
    }

    private async Task<DeliveryOutcome> HandleAsync(Delivery delivery)
    {
        Ownership? ownership;
        ConsumerRecord? record;
        DeliveryProgress progress;
        lock (_gate)
        {
            ownership = _ownerships.GetValueOrDefault(delivery.Sequencer);
            (record, progress) = (delivery.Record, delivery.Progress);
        }

        // Its partition may have left between the start and here.
        if (ownership is null || ownership.Leaving.IsCancellationRequested) return DeliveryOutcome.Abandoned;
        try
        {
            return await _pipeline.HandleAsync(record!, progress, ownership);
        }
#pragma warning disable CA1031 // A record without an outcome would hold its slot and its key for ever.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            if (ownership.Leaving.IsCancellationRequested) return DeliveryOutcome.Abandoned;
            TimeSpan delay = _backoff.DelayAfter(progress.Attempt);
            LogMessages.AttemptWithoutOutcome(_logger, failure, _endpoint.Name, record!.TopicPartition, record.Offset.Value, failure.GetType(), delay);
            return CommitsBeforeHandling ? DeliveryOutcome.Completed : new DeliveryOutcome.RetryAfter(delay, progress.Failed(_time.GetUtcNow()));
        }
    }

    private Delivery? Finish(Delivery delivery, DeliveryOutcome outcome)
    {
        List<Delivery> started = [];
        TaskCompletionSource? finished;
        lock (_gate)
        {
            _scheduler.Finish(delivery, outcome, Now);
            UpdateFlow(delivery.Sequencer.TopicPartition);
            while (_scheduler.TryStart(out Delivery? next)) started.Add(next);
            if (outcome is DeliveryOutcome.RetryAfter) SetRetryTimer();
            if (outcome is DeliveryOutcome.Complete or DeliveryOutcome.DeadLetter
                && _commitWanted.CurrentCount == 0 && delivery.Sequencer.CommitDue() is not null) _commitWanted.Release();
            finished = TakeFinished();
            _version++;
        }

        finished?.SetResult();
        _onChanged();
        if (started.Count == 0) return null;
        Launch(started[1..]);
        return started[0];
    }

    // Under the lock: what to complete outside of it, so that every drain looks again.
    private TaskCompletionSource? TakeFinished()
    {
        TaskCompletionSource? finished = _finished;
        _finished = null;
        return finished;
    }

    private void OnRetryDue()
    {
        List<Delivery> started = [];
        lock (_gate)
        {
            _scheduler.Advance(Now);
            while (_scheduler.TryStart(out Delivery? delivery)) started.Add(delivery);
            SetRetryTimer();
            _version++;
        }

        Launch(started);
        _onChanged();
    }

    // Under the lock.
    private void SetRetryTimer()
    {
        if (_scheduler.NextDue is not { } due) return;
        TimeSpan delay = due - Now;
        _retryTimer.Change(delay > TimeSpan.Zero ? delay : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
    }

    // Under the lock, so that the consumer hears pause and resume in the order in which they were decided.
    private void UpdateFlow(TopicPartition partition)
    {
        switch (_scheduler.UpdateFlow(partition))
        {
            case FlowChange.Pause:
                LogMessages.Paused(_logger, _endpoint.Name, partition);
                _consumer.Pause([partition]);
                break;
            case FlowChange.Resume:
                LogMessages.Resumed(_logger, _endpoint.Name, partition);
                _consumer.Resume([partition]);
                break;
        }
    }

    private List<Sequencer> Find(IReadOnlyCollection<TopicPartition> partitions)
    {
        List<Sequencer> found = [];
        lock (_gate)
        {
            foreach (TopicPartition partition in partitions)
            {
                if (_scheduler.TryGet(partition, out Sequencer? sequencer)) found.Add(sequencer);
            }
        }

        return found;
    }

    // Under the lock. A partition that leaves while the endpoint stops is not the stop's any more, also if it comes back.
    private bool IsHere(Sequencer sequencer) => _scheduler.TryGet(sequencer.TopicPartition, out Sequencer? here) && here == sequencer;

    /// <summary>Starts nothing more, and lets what runs end: told to at once, or only when the time for it is over.</summary>
    private async Task DrainAsync(List<Sequencer> leaving, bool cancelsAtOnce, CancellationToken cancellationToken)
    {
        // At most once, what is queued is committed: it is handled now or never.
        if (CommitsBeforeHandling) await WaitAsync(() => leaving.TrueForAll(sequencer => sequencer.IncompleteCount == 0), _settings.DrainTimeout, cancellationToken);
        lock (_gate) leaving.ForEach(sequencer => sequencer.Close());

        bool HasEnded() => leaving.TrueForAll(sequencer => sequencer.RunningCount == 0 && !_opening.Contains(sequencer));
        List<Sequencer> opening;
        lock (_gate) opening = leaving.FindAll(_opening.Contains);
        Tell(opening, ownership => ownership.LeaveAsync());
        if (!cancelsAtOnce && await WaitAsync(HasEnded, _settings.DrainTimeout, cancellationToken)) return;
        Tell(leaving, ownership => ownership.LeaveAsync());
        if (!await WaitAsync(HasEnded, cancelsAtOnce ? _settings.DrainTimeout : s_cancelledDrainTimeout, cancelsAtOnce ? cancellationToken : CancellationToken.None))
            LogMessages.HandlersLeftRunning(_logger, _endpoint.Name, leaving.Sum(sequencer => sequencer.RunningCount));
    }

    private void Tell(List<Sequencer> sequencers, Func<Ownership, Task> tell)
    {
        List<Ownership> ownerships;
        lock (_gate) ownerships = [.. sequencers.Select(sequencer => _ownerships.GetValueOrDefault(sequencer)).OfType<Ownership>()];
        // Not awaited: handlers may go on inside the cancellation for as long as they like, and nobody waits for them here.
        foreach (Ownership ownership in ownerships) _ = ObserveAsync(tell(ownership));
    }

    private async Task ObserveAsync(Task cancellation)
    {
        try
        {
            await cancellation;
        }
        catch (AggregateException failure)
        {
            // What a handler registered on its token failed; the others are told all the same.
            LogMessages.CancellationFailed(_logger, failure, _endpoint.Name);
        }
    }

    /// <summary>Waits until a condition on the scheduler holds; false when the time for that is over first.</summary>
    private async Task<bool> WaitAsync(Func<bool> condition, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using CancellationTokenSource deadline = new(timeout, _settings.InfrastructureTime);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        while (true)
        {
            Task finished;
            lock (_gate)
            {
                if (condition()) return true;
                finished = (_finished ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            }

            try
            {
                await finished.WaitAsync(either.Token);
            }
            catch (OperationCanceledException)
            {
                lock (_gate) return condition();
            }
        }
    }

    /// <summary>Drops partitions: from here on neither their offsets nor their handlers' messages are written.</summary>
    private void Release(List<Sequencer> sequencers)
    {
        Tell(sequencers, ownership => ownership.GoAsync());
        List<Sequencer> released;
        lock (_gate)
        {
            released = sequencers.FindAll(IsHere);
            foreach (Sequencer sequencer in released)
            {
                _scheduler.Remove(sequencer.TopicPartition);
                _ownerships.Remove(sequencer);
            }

            // A preparation that ends after the release would leave what it has made: what is being prepared is released at its end.
            released.RemoveAll(_opening.Contains);
            _version++;
        }

        _onChanged();

        foreach (Sequencer sequencer in released) _pipeline.OnReleased(sequencer.TopicPartition);
    }

    private async Task PauseAsync(TimeSpan pause, CancellationToken cancellationToken)
    {
        try
        {
            await Task.Delay(pause, _settings.InfrastructureTime, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // The caller's loop sees the token.
        }
    }
}
