using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>The membership in a group: subscription, rebalances, commits.</content>
public sealed partial class KafkaConsumer
{
    private TaskCompletionSource _assigned = NewSignal();
    private IRebalanceListener? _listener;
    private GroupMember? _member;
    private Task _memberLoop = Task.CompletedTask;
    private Exception? _refusal;
    private Exception? _callbackFailure;

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

    private OffsetStore RequireGroup() => _offsets
        ?? throw new InvalidOperationException($"Commits need a group. Set {nameof(ConsumerOptions)}.{nameof(ConsumerOptions.GroupId)}.");

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
}
