using System.Text.RegularExpressions;
using Millrace.Kafka.Protocol;
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

    // The end of the latest commit of each partition that has been committed, and of those before it.
    private readonly Dictionary<TopicPartition, Task> _commits = [];

    /// <summary>
    /// What a transaction is fenced with that commits this consumer's offsets (KIP-447): the membership of the latest join, bound to the records that were handed out so far. Take it
    /// anew for each transaction, after the poll whose records go into it; where those of several polls do, or where the next poll does not wait for the end of the transaction, right
    /// after the first of these polls. <see cref="KafkaProducer.SendOffsetsToTransactionAsync"/> then refuses offsets of partitions that were not this consumer's without a gap since that
    /// poll, also if they have come back. Generation -1 and no member id before the first join, and for a consumer whose partitions are assigned by hand.
    /// </summary>
    public ConsumerGroupMetadata GroupMetadata
    {
        get
        {
            lock (_gate)
            {
                return _member?.Current.Metadata.Of(this, _state.HandedOutAs) ?? ConsumerGroupMetadata.None(_settings);
            }
        }
    }

    /// <summary>
    /// Joins the group of <see cref="ConsumerOptions.GroupId"/>, and completes when the first assignment is in place and its
    /// <see cref="IRebalanceListener.OnAssignedAsync"/> is over. Later rebalances run in the background. A later call completes when the group knows of the topics, and what came with
    /// them is in place; at once where they are those that it has.
    /// </summary>
    /// <param name="topics">The topics. Calling again changes them.</param>
    /// <param name="listener">Hears of partitions that come and go; null if nobody does.</param>
    /// <param name="cancellationToken">Ends the wait only; the consumer goes on joining.</param>
    /// <exception cref="InvalidOperationException">No group id, or partitions were assigned by hand.</exception>
    /// <exception cref="KafkaException">
    /// The group refuses the member: the members have no assignor in common (<see cref="Protocol.ErrorCode.InconsistentGroupProtocol"/>), the
    /// client may not use the group, and the like. Ends the wait only, as at <see cref="PollAsync"/>.
    /// </exception>
    /// <exception cref="KafkaInstanceFencedException">Another consumer has the same <see cref="ConsumerOptions.GroupInstanceId"/>. This one is over.</exception>
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

        string[] distinct = [.. topics.Distinct()];
        _namedTopics = distinct;
        return SubscribeAsync(member => member.Subscribe(distinct), listener, cancellationToken);
    }

    /// <summary>
    /// As <see cref="SubscribeAsync(IReadOnlyCollection{string}, IRebalanceListener?, CancellationToken)"/>, to all topics whose names match. A topic
    /// that is created or deleted later joins or leaves the subscription when the metadata is next refreshed
    /// (<see cref="KafkaClientOptions.MetadataMaxAge"/> at the latest). Internal topics (<c>__consumer_offsets</c>) never match.
    /// </summary>
    /// <param name="pattern">
    /// Looked for in the whole name: anchor it (<c>^orders\.</c>) to match its beginning. A name at which it takes longer than its <see cref="Regex.MatchTimeout"/> does not match, which is
    /// logged; it is tried again when the metadata is next refreshed.
    /// </param>
    /// <param name="listener">Hears of partitions that come and go; null if nobody does.</param>
    /// <param name="cancellationToken">Ends the wait only; the consumer goes on joining.</param>
    /// <exception cref="InvalidOperationException">No group id, or partitions were assigned by hand.</exception>
    /// <exception cref="KafkaException">The group refuses the member.</exception>
    public Task SubscribeAsync(Regex pattern, IRebalanceListener? listener = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(pattern);
        _namedTopics = [];
        return SubscribeAsync(
            member => member.Subscribe(new TopicPattern(pattern, _settings.GroupId!, _logger).Select),
            listener,
            cancellationToken);
    }

    private Task SubscribeAsync(Action<GroupMember> subscribe, IRebalanceListener? listener, CancellationToken cancellationToken)
    {
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
                _context, _settings, _metadata, _pool, _locator, _polls, new RebalanceCallbacks(OnAssignedAsync, OnRevokedAsync, OnLostAsync, OnLosing, OnInPlace, OnRefused));
            subscribe(_member);
            if (isFirst)
            {
                _memberLoop = RunMemberAsync(_member);
            }
        }

        return assigned.InContext().WaitAsync(cancellationToken);
    }

    /// <summary>
    /// Stores offsets with the group. Completes when the coordinator has them. Retries while that is safe; calls for one partition take turns, so that one that is tried again takes nothing
    /// back that a later one has stored. Within a membership the commit
    /// is fenced by the generation. During a rebalance, a commit of partitions that stay with this member (cooperative assignors, and the protocol of
    /// KIP-848) is tried again until the rebalance is over. With partitions that were assigned by hand there is no membership to be fenced by: the
    /// group must have no members then.
    /// A partition that has come after records were handed out, and so perhaps come back, takes no offset below the one that the group had committed by then, unless a seek went there:
    /// work on its earlier records that ends late does not take back what another member has committed.
    /// </summary>
    /// <param name="offsets">The next offset to read of each partition, with leader epoch and metadata where there are any.</param>
    /// <param name="cancellationToken">Ends the wait; the offsets may still be stored.</param>
    /// <exception cref="KafkaGroupFencedException">The partitions may belong to another member by now.</exception>
    /// <exception cref="KafkaTimeoutException">No answer within <see cref="KafkaClientOptions.ApiTimeout"/>, retries and the wait for its turn included.</exception>
    /// <exception cref="KafkaBrokerException">Refused, for instance <see cref="Protocol.ErrorCode.OffsetMetadataTooLarge"/>.</exception>
    /// <exception cref="InvalidOperationException">The consumer has no group.</exception>
    public Task CommitAsync(IReadOnlyCollection<TopicPartitionOffset> offsets, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(offsets);
        OffsetStore store = RequireGroup();
        ConsumerGroupMetadata member;
        long[] assignments;
        lock (_gate)
        {
            ThrowIfUnusable();
            member = CheckOwnership(offsets, long.MaxValue, out assignments);
        }

        return offsets.Count == 0 ? Task.CompletedTask : CommitInTurnAsync(store, [.. offsets], member, assignments, cancellationToken);
    }

    private async Task CommitInTurnAsync(
        OffsetStore store,
        IReadOnlyCollection<TopicPartitionOffset> offsets,
        ConsumerGroupMetadata member,
        long[] assignments,
        CancellationToken cancellationToken)
    {
        long start = _context.Time.GetTimestamp();

        // Who is next goes on within the call that ends this one.
        var ended = new TaskCompletionSource();
        Task before;
        lock (_gate)
        {
            before = Task.WhenAll(offsets.Select(offset => _commits.GetValueOrDefault(offset.TopicPartition, Task.CompletedTask)).Where(static commit => !commit.IsCompleted).Distinct());
            using (_context.LeaveCallersContext())
            {
                // With those before it: one that is cancelled while it waits for them lets nobody overtake them.
                Task turn = EndAsync(before, ended.Task);
                foreach (TopicPartitionOffset offset in offsets)
                {
                    _commits[offset.TopicPartition] = turn;
                }
            }
        }

        try
        {
            await before.InContext().WaitAsync(_context.Settings.ApiTimeout, _context.Time, cancellationToken);
            await CommitAndTellAsync(store, offsets, member, assignments, start, cancellationToken);
        }
        catch (TimeoutException)
        {
            throw new KafkaTimeoutException(
                $"OffsetCommit of group '{_settings.GroupId}' was not sent within {_context.Settings.ApiTimeout} ({nameof(KafkaClientOptions.ApiTimeout)}), since commits of the same partitions that " +
                "came before it had no end yet. It stores nothing.");
        }
        finally
        {
            ended.SetResult();
        }

        static async Task EndAsync(Task before, Task commit)
        {
            await before;
            await commit;
        }
    }

    private async Task CommitAsync(
        OffsetStore store,
        IReadOnlyCollection<TopicPartitionOffset> offsets,
        ConsumerGroupMetadata member,
        long[] assignments,
        long start,
        CancellationToken cancellationToken)
    {
        await CheckFloorsAsync(store, offsets, RestOfCall(), cancellationToken);
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                await store.CommitAsync(offsets, member, RestOfCall(), cancellationToken);
                return;
            }
            catch (KafkaGroupFencedException fenced)
            {
                // The generation is over, but the partitions may be this member's in the next one too. If they have been its all the time, nobody
                // else has worked on them, and the commit is as good as before. What the member is about to give up cannot wait for that.
                bool isKept = fenced.ErrorCode is ErrorCode.RebalanceInProgress or ErrorCode.IllegalGeneration or ErrorCode.StaleMemberEpoch
                    && AreKept(offsets, assignments)
                    && RestOfCall() > TimeSpan.Zero;
                if (!isKept)
                {
                    throw;
                }
            }

            await Task.Delay(_context.RetryBackoff.After(attempt), _context.Time, cancellationToken);
            long[] now;
            lock (_gate)
            {
                ThrowIfUnusable();
                member = CheckOwnership(offsets, long.MaxValue, out now);
            }

            if (!now.AsSpan().SequenceEqual(assignments))
            {
                throw Fenced("The partitions went and came back meanwhile");
            }
        }

        TimeSpan RestOfCall() => _context.Settings.ApiTimeout - _context.Time.GetElapsedTime(start);
    }

    /// <summary>The membership of now, for offsets in a transaction.</summary>
    /// <param name="offsets">The offsets.</param>
    /// <param name="handedOutAs">The latest assignment when their records were handed out.</param>
    /// <exception cref="KafkaGroupFencedException">The partitions were not this member's without a gap since then.</exception>
    internal ConsumerGroupMetadata RenewMembership(IReadOnlyCollection<TopicPartitionOffset> offsets, long handedOutAs)
    {
        lock (_gate)
        {
            return CheckOwnership(offsets, handedOutAs, out _);
        }
    }

    /// <summary>Fenced here already: under a newer generation the coordinator would take a commit of partitions that moved away. Under the lock.</summary>
    private ConsumerGroupMetadata CheckOwnership(IReadOnlyCollection<TopicPartitionOffset> offsets, long latestAssignment, out long[] assignments)
    {
        assignments = [];
        if (_member is null)
        {
            return ConsumerGroupMetadata.None(_settings);
        }

        assignments = new long[offsets.Count];
        int index = 0;
        foreach (TopicPartitionOffset offset in offsets)
        {
            if (_state.AssignmentOf(offset.TopicPartition) is not { } assignment)
            {
                throw Fenced($"{offset.TopicPartition} is not assigned to this member");
            }

            if (assignment > latestAssignment)
            {
                throw Fenced($"{offset.TopicPartition} has come to this member, or come back to it, after the records were handed out that are committed");
            }

            if (_state.Find(offset.TopicPartition)!.CommitFloor is { } floor && offset.Offset < floor)
            {
                throw Rewound(offset, floor);
            }

            assignments[index++] = assignment;
        }

        (ConsumerGroupMetadata member, bool isInForce) = _member.Current;
        return isInForce ? member : throw Fenced("The consumer is between two memberships");
    }

    /// <summary>A partition that came late, and whose position is still being looked up, may have been another member's meanwhile: what that one has committed counts.</summary>
    private async Task CheckFloorsAsync(OffsetStore store, IReadOnlyCollection<TopicPartitionOffset> offsets, TimeSpan timeout, CancellationToken cancellationToken)
    {
        TopicPartition[] unknown;
        lock (_gate)
        {
            unknown =
            [
                .. from offset in offsets
                   where _state.Find(offset.TopicPartition) is { CameLate: true, Source: PositionSource.Committed }
                   select offset.TopicPartition,
            ];
        }

        if (unknown.Length == 0)
        {
            return;
        }

        Dictionary<TopicPartition, TopicPartitionOffset> committed = await store.FetchAsync(unknown, timeout, cancellationToken);
        foreach (TopicPartitionOffset offset in offsets)
        {
            if (committed.TryGetValue(offset.TopicPartition, out TopicPartitionOffset? floor) && offset.Offset < floor.Offset)
            {
                throw Rewound(offset, floor.Offset);
            }
        }
    }

    private KafkaGroupFencedException Rewound(TopicPartitionOffset offset, Offset floor) => Fenced(
        $"{offset.TopicPartition} has come back to this member with {floor} committed, and {offset.Offset} would go behind that (seek there first if that is meant)");

    private KafkaGroupFencedException Fenced(string what) => new(
        $"{what} of group '{_settings.GroupId}', so nothing is committed. Stop working on partitions that were revoked.", ErrorCode.IllegalGeneration);

    private bool AreKept(IReadOnlyCollection<TopicPartitionOffset> offsets, long[] assignments)
    {
        lock (_gate)
        {
            return _member is not null && offsets.Zip(assignments).All(pair =>
                _state.Find(pair.First.TopicPartition) is { IsHeld: false } && _state.AssignmentOf(pair.First.TopicPartition) == pair.Second);
        }
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
        return await RequireGroup().FetchAsync(partitions, _context.Settings.ApiTimeout, cancellationToken);
    }

    private OffsetStore RequireGroup() => _offsets
        ?? throw new InvalidOperationException($"Commits need a group. Set {nameof(ConsumerOptions)}.{nameof(ConsumerOptions.GroupId)}.");

    private async Task RunMemberAsync(GroupMember member)
    {
        try
        {
            await _context.BeginAsync();
            await member.RunAsync(_stopMember.Token);
        }
        catch (KafkaInstanceFencedException failure)
        {
            // Told in the log by the member; every call from now on says so.
            Fail(failure);
        }
        catch (Exception failure)
        {
            LogMessages.GroupFailed(_logger, _settings.GroupId!, failure);
            Fail(failure);
        }
    }

    /// <summary>The subscription is in place: what came with it is, or it changed nothing, so that this is all there is to hear.</summary>
    /// <param name="isSo">Asked once more: a subscription of this moment, which waits for the same signal, may not be.</param>
    private void OnInPlace(Func<bool> isSo)
    {
        lock (_gate)
        {
            if (isSo())
            {
                _assigned.TrySetResult();
            }
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
        lock (_gate)
        {
            listener = _listener;
            _refusal = null;
            _state.Add(partitions.Select(partition => new TopicPartitionOffset(partition, new Offset(-1))), isHeld: true);
        }

        _fetcher.Wake();
        if (listener is not null)
        {
            await CallAsync(() => listener.OnAssignedAsync(partitions, cancellationToken));
        }

        lock (_gate)
        {
            _state.Release(partitions);
        }

        TellRebalance();
        Pulse();
        _fetcher.Wake();
    }

    private async ValueTask OnRevokedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        IRebalanceListener? listener;
        lock (_gate)
        {
            // Nothing more is handed out, but the partitions still count as assigned: the callback commits.
            _state.Hold(partitions);
            listener = _listener;
        }

        // What waits of them makes room for the others, which may wait for nothing else.
        _fetcher.Wake();
        if (listener is not null)
        {
            await CallAsync(() => listener.OnRevokedAsync(partitions, cancellationToken));
        }

        Drop(partitions);
    }

    /// <summary>What is gone is not handed out and not committed any more, though a call that runs holds up the one that tells of it.</summary>
    private void OnLosing(IReadOnlyCollection<TopicPartition> partitions)
    {
        lock (_gate)
        {
            _state.Lose(partitions);
        }

        _fetcher.Wake();
    }

    private async ValueTask OnLostAsync(IReadOnlyCollection<TopicPartition> partitions)
    {
        IRebalanceListener? listener;
        lock (_gate)
        {
            listener = _listener;
        }

        Drop(partitions);
        if (listener is not null)
        {
            await CallAsync(() => listener.OnLostAsync(partitions, _stop.Token));
        }
    }

    private void Drop(IReadOnlyCollection<TopicPartition> partitions)
    {
        lock (_gate)
        {
            _state.Remove(partitions);
        }

        _fetcher.Wake();
    }

    private async ValueTask CallAsync(Func<ValueTask> callback)
    {
        try
        {
            await callback();
        }
        catch (Exception failure)
        {
            lock (_gate)
            {
                _callbackFailure = failure;
            }

            Pulse();
            LogMessages.RebalanceCallbackFailed(_logger, _settings.GroupId!, failure);
        }
    }
}
