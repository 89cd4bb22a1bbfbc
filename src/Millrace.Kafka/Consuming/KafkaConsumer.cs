using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Reads records, as a member of a group (<see cref="SubscribeAsync"/>) or from partitions of the caller's choice (<see cref="Assign"/>).
/// Heartbeats, rebalances and fetching run in the background, whatever the application does. Members may be called from any thread;
/// poll from one place at a time. Nothing is committed by itself.
/// </summary>
public sealed partial class KafkaConsumer : IAsyncDisposable
{
    private readonly ClientContext _context;
    private readonly ConsumerSettings _settings;
    private readonly MetadataCache _metadata;
    private readonly ILogger _logger;
    private readonly ConnectionPool _pool;
    private readonly OffsetStore? _offsets;
    private readonly CoordinatorLocator? _locator;
    private readonly ConsumerState _state;
    private readonly ConsumerFetcher _fetcher;
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _stopMember = new();
    private readonly Action<IAsyncDisposable> _closed;
    private readonly Task _fetchLoop;
    private TaskCompletionSource _arrived = NewSignal();
    private TaskCompletionSource _assigned = NewSignal();
    private IRebalanceListener? _listener;
    private GroupMember? _member;
    private Task _memberLoop = Task.CompletedTask;
    private Exception? _failure;
    private Exception? _refusal;
    private Exception? _callbackFailure;
    private Task? _closing;

    internal KafkaConsumer(ClientContext context, ConsumerSettings settings, MetadataCache metadata, Action<IAsyncDisposable> closed)
    {
        _closed = closed;
        _context = context;
        _settings = settings;
        _metadata = metadata;
        _logger = context.Loggers.CreateLogger<KafkaConsumer>();
        _pool = new ConnectionPool(context);
        if (settings.GroupId is { } groupId)
        {
            _locator = new CoordinatorLocator(context, _pool, metadata, groupId);
            _offsets = new OffsetStore(context, _pool, _locator, groupId);
        }

        _state = new ConsumerState(settings, context.RetryBackoff);
        _fetcher = new ConsumerFetcher(context, settings, metadata, _pool, _offsets, _state, _gate, Pulse);
        _fetchLoop = RunFetcherAsync();
    }

    /// <summary>The partitions that are this consumer's now.</summary>
    public IReadOnlyCollection<TopicPartition> Assignment
    {
        get
        {
            lock (_gate)
            {
                return _state.Assignment;
            }
        }
    }

    /// <summary>
    /// The group metadata of the member's latest join, empty without one: group, generation (-1) and member id. Identifies the owner in logs.
    /// </summary>
    public ConsumerGroupMetadata GroupMetadata => _member?.Current ?? new ConsumerGroupMetadata(_settings.GroupId ?? "", -1, "");

    /// <summary>
    /// Joins the group of <see cref="ConsumerOptions.GroupId"/>, and completes when the first assignment is in place and its
    /// <see cref="IRebalanceListener.OnAssignedAsync"/> is over. Later rebalances run in the background.
    /// </summary>
    /// <param name="topics">The topics. Calling again changes them.</param>
    /// <param name="listener">Hears of partitions that come and go; null if nobody does.</param>
    /// <param name="cancellationToken">Ends the wait only; the consumer goes on joining.</param>
    /// <exception cref="InvalidOperationException">No group id, or partitions were assigned by hand.</exception>
    /// <exception cref="KafkaException">
    /// The group refuses the member: the members have no assignor in common (<see cref="Protocol.ErrorCode.InconsistentGroupProtocol"/>), the
    /// client may not use the group, and the like. Ends the wait only, as at <see cref="PollAsync"/>.
    /// </exception>
    /// <exception cref="KafkaClosedException">The consumer was closed meanwhile.</exception>
    public Task SubscribeAsync(
        IReadOnlyCollection<string> topics,
        IRebalanceListener? listener = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(topics);
        if (topics.Count == 0)
        {
            throw new ArgumentException("A subscription names at least one topic.", nameof(topics));
        }

        if (_locator is null)
        {
            throw new InvalidOperationException($"A subscription needs a group. Set {nameof(ConsumerOptions)}.{nameof(ConsumerOptions.GroupId)}.");
        }

        Task assigned;
        lock (_gate)
        {
            ThrowIfUnusable();
            if (_member is null && _state.Assignment.Count > 0)
            {
                throw new InvalidOperationException("Partitions were assigned by hand; a consumer does that or subscribes, not both.");
            }

            _listener = listener;

            // Who still waits for an earlier call goes on waiting, together with this one.
            _assigned = _assigned.Task.IsCompleted ? NewSignal() : _assigned;
            assigned = _assigned.Task;
            bool isFirst = _member is null;
            _member ??= new GroupMember(
                _context, _settings, _metadata, _pool, _locator, new RebalanceCallbacks(OnAssignedAsync, OnRevokedAsync, OnLostAsync, OnRefused));
            _member.Subscribe([.. topics.Distinct()]);
            if (isFirst)
            {
                _memberLoop = RunMemberAsync(_member);
            }
        }

        return assigned.WaitAsync(cancellationToken);
    }

    /// <summary>
    /// Stores offsets with the group. Completes when the coordinator has them. Retries while that is safe. Within a membership the commit
    /// is fenced by the generation.
    /// </summary>
    /// <param name="offsets">The next offset to read of each partition.</param>
    /// <param name="cancellationToken">Ends the wait; the offsets may still be stored.</param>
    /// <exception cref="KafkaGroupFencedException">The partitions may belong to another member by now.</exception>
    /// <exception cref="KafkaTimeoutException">No answer within <see cref="KafkaClientOptions.ApiTimeout"/>, retries included.</exception>
    /// <exception cref="KafkaBrokerException">Refused, for instance <see cref="Protocol.ErrorCode.OffsetMetadataTooLarge"/>.</exception>
    /// <exception cref="InvalidOperationException">The consumer has no group.</exception>
    public Task CommitAsync(IReadOnlyCollection<TopicPartitionOffset> offsets, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(offsets);
        OffsetStore store = RequireGroup();
        ConsumerGroupMetadata member;
        lock (_gate)
        {
            ThrowIfUnusable();

            // Fenced here already: under a newer generation the coordinator would take a commit of partitions that moved away.
            member = GroupMetadata;
            TopicPartitionOffset? foreign = _member is null ? null : offsets.FirstOrDefault(offset => !_state.Contains(offset.TopicPartition));
            if (foreign is not null || (_member is not null && member.GenerationId < 0))
            {
                string what = foreign is null ? "The consumer is between two memberships" : $"{foreign.TopicPartition} is not assigned to this member";
                throw new KafkaGroupFencedException(
                    $"{what} of group '{_settings.GroupId}', so nothing is committed. Stop working on partitions that were revoked.",
                    Protocol.ErrorCode.IllegalGeneration);
            }
        }

        return offsets.Count == 0 ? Task.CompletedTask : store.CommitAsync(offsets, member, cancellationToken);
    }

    /// <summary>Looks up what the group has committed.</summary>
    /// <param name="partitions">Any partitions.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The commits; partitions without one are absent.</returns>
    /// <exception cref="KafkaException">The coordinator cannot be reached in time or refuses.</exception>
    /// <exception cref="InvalidOperationException">The consumer has no group.</exception>
    public async Task<IReadOnlyDictionary<TopicPartition, TopicPartitionOffset>> CommittedAsync(
        IReadOnlyCollection<TopicPartition> partitions,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        return await RequireGroup().FetchAsync(partitions, cancellationToken);
    }

    /// <summary>
    /// Calls <see cref="IRebalanceListener.OnRevokedAsync"/>, leaves the group so that others get the partitions at once, and closes. All
    /// that takes at most <see cref="ConsumerOptions.CloseTimeout"/>.
    /// </summary>
    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _closing ??= CloseAsync();
            return new ValueTask(_closing);
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private OffsetStore RequireGroup() => _offsets
        ?? throw new InvalidOperationException($"Commits need a group. Set {nameof(ConsumerOptions)}.{nameof(ConsumerOptions.GroupId)}.");

    private void ThrowIfUnusable()
    {
        ObjectDisposedException.ThrowIf(_stop.IsCancellationRequested, this);
        if (_failure is not null)
        {
            throw _failure;
        }
    }

    /// <summary>Wakes whoever polls.</summary>
    private void Pulse()
    {
        TaskCompletionSource arrived;
        lock (_gate)
        {
            arrived = _arrived;
            _arrived = NewSignal();
        }

        arrived.TrySetResult();
    }

    /// <summary>What went wrong in the background, and is told once.</summary>
    private Exception? TakeFailure()
    {
        if (_callbackFailure is { } callbackFailure)
        {
            _callbackFailure = null;
            return callbackFailure;
        }

        Exception? refusal = _refusal;
        _refusal = null;
        return refusal;
    }

    private async Task RunMemberAsync(GroupMember member)
    {
        try
        {
            await Task.Yield();
            await member.RunAsync(_stopMember.Token);
        }
        catch (Exception failure)
        {
            LogMessages.GroupFailed(_logger, _settings.GroupId!, failure);
            Fail(failure);
        }
    }

    /// <summary>A defect ended a loop: every call from now on fails.</summary>
    private void Fail(Exception failure)
    {
        lock (_gate)
        {
            _failure ??= failure;
        }

        EndWaitForAssignment(failure);
        Pulse();
    }

    /// <summary>The member was refused, and goes on trying.</summary>
    private void OnRefused(Exception failure)
    {
        lock (_gate)
        {
            _refusal = failure;
        }

        EndWaitForAssignment(failure);
        Pulse();
    }

    private void EndWaitForAssignment(Exception failure)
    {
        TaskCompletionSource assigned;
        lock (_gate)
        {
            assigned = _assigned;
        }

        if (assigned.TrySetException(failure))
        {
            // Observed here: a caller that stopped waiting does not come back for it.
            _ = assigned.Task.Exception;
        }
    }

    private async ValueTask OnAssignedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        IRebalanceListener? listener;
        TaskCompletionSource assigned;
        lock (_gate)
        {
            listener = _listener;
            assigned = _assigned;
            _refusal = null;
            _state.Assign(partitions.Select(partition => new TopicPartitionOffset(partition, new Offset(-1))), isHeld: true);
        }

        if (listener is not null)
        {
            await CallAsync(() => listener.OnAssignedAsync(partitions, cancellationToken));
        }

        lock (_gate)
        {
            _state.Release();
        }

        assigned.TrySetResult();
        Pulse();
        _fetcher.Wake();
    }

    private async ValueTask OnRevokedAsync(CancellationToken cancellationToken)
    {
        IReadOnlyCollection<TopicPartition> partitions;
        IRebalanceListener? listener;
        lock (_gate)
        {
            // Nothing more is handed out, but the partitions still count as assigned: the callback commits.
            _state.Hold();
            partitions = _state.Assignment;
            listener = _listener;
        }

        if (partitions.Count > 0 && listener is not null)
        {
            await CallAsync(() => listener.OnRevokedAsync(partitions, cancellationToken));
        }

        ClearAssignment();
    }

    private async ValueTask OnLostAsync()
    {
        IReadOnlyCollection<TopicPartition> partitions;
        IRebalanceListener? listener;
        lock (_gate)
        {
            partitions = _state.Assignment;
            listener = _listener;
        }

        ClearAssignment();
        if (partitions.Count > 0 && listener is not null)
        {
            await CallAsync(() => listener.OnLostAsync(partitions, _stop.Token));
        }
    }

    private void ClearAssignment()
    {
        lock (_gate)
        {
            _state.Assign([], isHeld: false);
        }
    }

    private async ValueTask CallAsync(Func<ValueTask> callback)
    {
        try
        {
            await callback();
        }
        catch (Exception failure)
        {
            LogMessages.RebalanceCallbackFailed(_logger, _settings.GroupId!, failure);
            lock (_gate)
            {
                _callbackFailure = failure;
            }

            Pulse();
        }
    }

    private async Task CloseAsync()
    {
        // Leaves the lock.
        await Task.Yield();
        await _stopMember.CancelAsync();
        await _memberLoop.WaitAsync(_settings.CloseTimeout, _context.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _stop.CancelAsync();
        await _fetchLoop;
        await _pool.DisposeAsync();
        _fetcher.Dispose();
        EndWaitForAssignment(new KafkaClosedException("The consumer was closed before it got its first assignment."));
        Pulse();
        _closed(this);
    }
}

/// <summary>Which membership a consumer holds.</summary>
/// <param name="GroupId">The group; empty without one.</param>
/// <param name="GenerationId">The generation of the latest join; -1 outside of one.</param>
/// <param name="MemberId">The member id; empty outside of a membership.</param>
public sealed record ConsumerGroupMetadata(string GroupId, int GenerationId, string MemberId);
