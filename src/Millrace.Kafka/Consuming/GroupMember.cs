using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What the member tells the consumer, one call at a time.</summary>
internal sealed record RebalanceCallbacks(
    Func<IReadOnlyCollection<TopicPartition>, CancellationToken, ValueTask> AssignedAsync,
    Func<CancellationToken, ValueTask> RevokedAsync,
    Func<ValueTask> LostAsync,
    Action<Exception> Refused);

/// <summary>
/// A consumer's life in its group, by the classic protocol: join, sync, heartbeats until something changes, revoke, join again. Runs in
/// the background, whatever the application does.
/// </summary>
internal sealed class GroupMember(
    ClientContext context,
    ConsumerSettings settings,
    MetadataCache metadata,
    ConnectionPool pool,
    CoordinatorLocator locator,
    RebalanceCallbacks callbacks)
{
    private const string ProtocolType = "consumer";

    /// <summary>The coordinator itself waits so long for others; its answer comes a little later.</summary>
    private static readonly TimeSpan JoinGrace = TimeSpan.FromSeconds(5);

    private readonly ILogger _logger = context.Loggers.CreateLogger<GroupMember>();
    private readonly string _groupId = settings.GroupId!;
    private readonly Lock _gate = new();
    private IReadOnlyCollection<string> _topics = [];
    private TaskCompletionSource<string> _rejoin = NewSignal();
    private string _memberId = "";
    private ConsumerGroupMetadata _current = new(settings.GroupId!, -1, "");

    /// <summary>The current membership; generation -1 between memberships.</summary>
    public ConsumerGroupMetadata Current => Volatile.Read(ref _current);

    /// <summary>Sets the topics; a member joins again for them.</summary>
    public void Subscribe(IReadOnlyCollection<string> topics)
    {
        metadata.Track(topics);
        lock (_gate)
        {
            _topics = topics;
            _rejoin.TrySetResult("the subscription changed");
        }
    }

    /// <summary>
    /// Joins and lives until <paramref name="stop"/>, then revokes and leaves. A coordinator that refuses the member does not end it: the
    /// reason may go away without this member's doing, as when the others of a group leave that knew none of its assignors.
    /// </summary>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                GroupAssignment assignment = await JoinAsync(stop);
                await LiveAsync(assignment, stop);
                stop.ThrowIfCancellationRequested();
            }
        }
        catch (Exception) when (stop.IsCancellationRequested)
        {
            await LeaveAsync();
        }
    }

    private static TaskCompletionSource<string> NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void SetMembership(int generationId, string memberId) =>
        Volatile.Write(ref _current, new ConsumerGroupMetadata(_groupId, generationId, memberId));

    /// <summary>One membership, from the assignment to its end.</summary>
    private async Task LiveAsync(GroupAssignment assignment, CancellationToken stop)
    {
        TaskCompletionSource<string> rejoin;
        lock (_gate)
        {
            rejoin = _rejoin;
        }

        var lost = new CancellationTokenSource();
        using var heartbeatStop = new CancellationTokenSource();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop, lost.Token);
        Task<string?> heartbeats = HeartbeatAsync(assignment, rejoin, lost, heartbeatStop.Token);
        void CheckTopics()
        {
            if (assignment.LeaderTopics is { } seen && !seen.Matches(metadata.View))
            {
                rejoin.TrySetResult("the partitions of a topic changed");
            }
        }

        metadata.Changed += CheckTopics;
        try
        {
            CheckTopics();
            await callbacks.AssignedAsync(assignment.Partitions, over.Token);
            await ((Task)rejoin.Task).WaitAsync(over.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!lost.IsCancellationRequested)
            {
                LogMessages.GroupRejoining(
                    _logger, _groupId, _memberId, assignment.GenerationId, rejoin.Task.IsCompletedSuccessfully ? rejoin.Task.Result : "the consumer closes");
                using var deadline = new CancellationTokenSource(settings.RebalanceTimeout, context.Time);
                using var revoking = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, lost.Token);
                await callbacks.RevokedAsync(revoking.Token);
            }
            else
            {
                // Before the callback: nothing may be committed any more.
                SetMembership(-1, "");
                await ((Task)heartbeats).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                string reason = heartbeats.IsFaulted ? heartbeats.Exception.InnerException!.Message : heartbeats.Result ?? "";
                LogMessages.GroupMembershipLost(_logger, _groupId, assignment.MemberId, assignment.GenerationId, reason);
                await callbacks.LostAsync();
            }
        }
        finally
        {
            metadata.Changed -= CheckTopics;
            await heartbeatStop.CancelAsync();
            await ((Task)heartbeats).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            SetMembership(-1, "");
            lost.Dispose();
        }
    }

    /// <summary>
    /// Heartbeats until stopped or until the membership is lost; a rebalance does not end them, since the member stays one while it
    /// revokes. Returns why the membership was lost.
    /// </summary>
    private async Task<string?> HeartbeatAsync(
        GroupAssignment assignment,
        TaskCompletionSource<string> rejoin,
        CancellationTokenSource lost,
        CancellationToken stop)
    {
        string reason;
        try
        {
            reason = await HeartbeatUntilLostAsync(assignment, rejoin, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return null;
        }
        catch (Exception failure)
        {
            // Whatever it is: who sends no heartbeats is no member for long, and would read on beside the next owner of its partitions.
            reason = failure.Message;
        }

        await lost.CancelAsync();
        return reason;
    }

    private async Task<string> HeartbeatUntilLostAsync(GroupAssignment assignment, TaskCompletionSource<string> rejoin, CancellationToken stop)
    {
        long lastAnswer = context.Time.GetTimestamp();
        TimeSpan pause = settings.HeartbeatInterval;
        while (true)
        {
            await Task.Delay(pause, context.Time, stop);
            pause = settings.HeartbeatInterval;
            ErrorCode? answer = await TryHeartbeatAsync(assignment, stop);
            if (answer is ErrorCode.None or ErrorCode.RebalanceInProgress)
            {
                lastAnswer = context.Time.GetTimestamp();
                if (answer == ErrorCode.RebalanceInProgress)
                {
                    rejoin.TrySetResult("the group rebalances");
                }
            }
            else if (answer is { } error && !KafkaErrors.IsRetriable(error))
            {
                // A generation that is over leaves the member known: it keeps its id.
                _memberId = error is ErrorCode.UnknownMemberId or ErrorCode.FencedInstanceId ? "" : _memberId;
                return KafkaErrors.Describe(error);
            }
            else
            {
                pause = context.RetryBackoff.After(1);
            }

            if (context.Time.GetElapsedTime(lastAnswer) > settings.SessionTimeout)
            {
                return $"No heartbeat was answered for {settings.SessionTimeout} ({nameof(ConsumerOptions.SessionTimeout)}).";
            }

            if (assignment.LeaderTopics is { IsComplete: false })
            {
                metadata.RequestRefresh();
            }
        }
    }

    /// <summary>One heartbeat; null if it did not get through.</summary>
    private async Task<ErrorCode?> TryHeartbeatAsync(GroupAssignment assignment, CancellationToken cancellationToken)
    {
        BrokerAddress? coordinator = null;
        try
        {
            coordinator = await locator.GetAsync(cancellationToken);
            BrokerConnection connection = await pool.GetAsync(coordinator.Value, ConnectionPurpose.Group, cancellationToken);

            // An answer that takes as long as a session is as good as none.
            TimeSpan timeout = settings.SessionTimeout < context.Settings.RequestTimeout ? settings.SessionTimeout : context.Settings.RequestTimeout;
            HeartbeatResponse response = await connection.SendAsync<HeartbeatRequest, HeartbeatResponse>(
                new HeartbeatRequest { GroupId = _groupId, GenerationId = assignment.GenerationId, MemberId = assignment.MemberId },
                timeout,
                cancellationToken);
            if (response.ErrorCode is ErrorCode.NotCoordinator or ErrorCode.CoordinatorNotAvailable)
            {
                locator.Forget(coordinator.Value);
            }

            return response.ErrorCode;
        }
        catch (Exception failure) when (failure is not KafkaClosedException && !cancellationToken.IsCancellationRequested)
        {
            if (coordinator is { } address)
            {
                locator.Forget(address);
            }

            LogMessages.GroupStepRetried(_logger, _groupId, "a heartbeat", context.RetryBackoff.After(1), failure.Message);
            return null;
        }
    }

    /// <summary>Joins until it succeeds, and tells at each attempt what a retry alone does not mend.</summary>
    private async Task<GroupAssignment> JoinAsync(CancellationToken stop)
    {
        for (int failureCount = 0; ;)
        {
            stop.ThrowIfCancellationRequested();
            lock (_gate)
            {
                // Wishes from before this join are granted by it.
                if (_rejoin.Task.IsCompleted)
                {
                    _rejoin = NewSignal();
                }
            }

            BrokerAddress? coordinator = null;
            string step = "the search for the coordinator";
            Exception failure;
            try
            {
                coordinator = await locator.GetAsync(stop);
                BrokerConnection connection = await pool.GetAsync(coordinator.Value, ConnectionPurpose.Group, stop);
                step = "JoinGroup";
                JoinGroupResponse joined = await SendJoinAsync(connection, stop);
                ErrorCode error = joined.ErrorCode;
                if (error == ErrorCode.MemberIdRequired && _memberId.Length == 0)
                {
                    _memberId = joined.MemberId;
                    continue;
                }

                if (error == ErrorCode.None)
                {
                    _memberId = joined.MemberId;
                    step = "SyncGroup";
                    (error, GroupAssignment? assignment) = await SyncAsync(connection, joined, stop);
                    if (assignment is not null)
                    {
                        SetMembership(assignment.GenerationId, assignment.MemberId);
                        LogMessages.GroupJoined(
                            _logger, _groupId, _memberId, assignment.GenerationId, joined.ProtocolName ?? "", assignment.Partitions.Count);
                        return assignment;
                    }
                }

                failure = new KafkaBrokerException($"Group '{_groupId}' refused the member at {step}: {KafkaErrors.Describe(error)}", error);
            }
            catch (Exception caught) when (!stop.IsCancellationRequested)
            {
                failure = caught;
            }

            TimeSpan pause = context.RetryBackoff.After(++failureCount);
            LogMessages.GroupStepRetried(_logger, _groupId, step, pause, failure.Message);
            ActOnJoinFailure(failure, coordinator);
            await Task.Delay(pause, context.Time, stop);
        }
    }

    private void ActOnJoinFailure(Exception failure, BrokerAddress? coordinator)
    {
        switch (failure)
        {
            case KafkaBrokerException { ErrorCode: ErrorCode.UnknownMemberId }:
                _memberId = "";
                break;
            case KafkaBrokerException { ErrorCode: ErrorCode.IllegalGeneration or ErrorCode.RebalanceInProgress }:
                break;
            case KafkaException { IsTransient: true } transient:
                bool isElsewhere = transient.ErrorCode is ErrorCode.None or ErrorCode.NotCoordinator or ErrorCode.CoordinatorNotAvailable;
                if (isElsewhere && coordinator is { } address)
                {
                    locator.Forget(address);
                }

                break;
            default:
                callbacks.Refused(failure);
                break;
        }
    }

    private Task<JoinGroupResponse> SendJoinAsync(BrokerConnection connection, CancellationToken cancellationToken)
    {
        byte[] subscription = MessageCodec.WriteData(new ConsumerProtocolSubscription { Topics = [.. Topics()] }, version: 0);
        var request = new JoinGroupRequest
        {
            GroupId = _groupId,
            SessionTimeoutMilliseconds = (int)settings.SessionTimeout.TotalMilliseconds,
            RebalanceTimeoutMilliseconds = (int)settings.RebalanceTimeout.TotalMilliseconds,
            MemberId = _memberId,
            ProtocolType = ProtocolType,
            Protocols = [.. settings.Assignors.Select(assignor => new JoinGroupProtocol { Name = Assignors.NameOf(assignor), Metadata = subscription })],
        };
        TimeSpan timeout = settings.RebalanceTimeout + JoinGrace;
        return connection.SendAsync<JoinGroupRequest, JoinGroupResponse>(
            request, timeout > context.Settings.RequestTimeout ? timeout : context.Settings.RequestTimeout, cancellationToken);
    }

    private async Task<(ErrorCode Error, GroupAssignment? Assignment)> SyncAsync(
        BrokerConnection connection,
        JoinGroupResponse joined,
        CancellationToken cancellationToken)
    {
        var request = new SyncGroupRequest
        {
            GroupId = _groupId,
            GenerationId = joined.GenerationId,
            MemberId = joined.MemberId,
            ProtocolType = ProtocolType,
            ProtocolName = joined.ProtocolName,
        };
        LeaderTopics? leaderTopics = null;
        if (joined.Leader == joined.MemberId && !joined.SkipAssignment)
        {
            (request.Assignments, leaderTopics) = await AssignAsync(joined, cancellationToken);
        }

        TimeSpan timeout = settings.RebalanceTimeout + JoinGrace;
        SyncGroupResponse response = await connection.SendAsync<SyncGroupRequest, SyncGroupResponse>(
            request, timeout > context.Settings.RequestTimeout ? timeout : context.Settings.RequestTimeout, cancellationToken);
        if (response.ErrorCode != ErrorCode.None)
        {
            return (response.ErrorCode, null);
        }

        ConsumerProtocolAssignment? content = new();
        if (response.Assignment.Length > 0
            && !MessageCodec.TryReadData(response.Assignment, acceptNewer: true, out content, out string? fault))
        {
            throw new KafkaProtocolException($"The leader of group '{_groupId}' sent an assignment that cannot be read: {fault}");
        }

        List<TopicPartition> partitions =
            [.. content.AssignedPartitions.SelectMany(topic => topic.Partitions.Select(partition => new TopicPartition(topic.Topic, partition)))];
        metadata.Track(partitions.Select(partition => partition.Topic));
        return (ErrorCode.None, new GroupAssignment(joined.GenerationId, joined.MemberId, partitions, leaderTopics));
    }

    /// <summary>The leader's work: reads what the members want, and shares it out.</summary>
    private async Task<(List<SyncGroupAssignment> Assignments, LeaderTopics Topics)> AssignAsync(
        JoinGroupResponse joined,
        CancellationToken cancellationToken)
    {
        var subscriptions = new Dictionary<string, IReadOnlyCollection<string>>();
        foreach (JoinGroupMember member in joined.Members)
        {
            if (ConsumerProtocolSubscription.TryRead(member.Metadata, out ConsumerProtocolSubscription? subscription, out string? fault))
            {
                subscriptions[member.MemberId] = subscription.Topics;
            }
            else
            {
                LogMessages.SubscriptionUnreadable(_logger, _groupId, member.MemberId, fault);
                subscriptions[member.MemberId] = [];
            }
        }

        string[] topics = [.. subscriptions.Values.SelectMany(names => names).Distinct()];
        metadata.Track(topics);
        await RefreshForTopicsAsync(topics, cancellationToken);
        var counts = topics
            .Select(topic => (Topic: topic, Description: metadata.FindTopic(topic)))
            .Where(item => item.Description is not null)
            .ToDictionary(item => item.Topic, item => item.Description!.Partitions.Count);
        PartitionAssignor assignor = Assignors.ByName(joined.ProtocolName)
            ?? throw new KafkaProtocolException($"The coordinator of group '{_groupId}' chose the assignor '{joined.ProtocolName}', which this member did not offer.");
        List<SyncGroupAssignment> assignments = [.. Assignors.Assign(assignor, subscriptions, counts).Select(pair => new SyncGroupAssignment
        {
            MemberId = pair.Key,
            Assignment = MessageCodec.WriteData(
                new ConsumerProtocolAssignment
                {
                    AssignedPartitions = [.. pair.Value.GroupBy(partition => partition.Topic).Select(topic => new ConsumerProtocolTopicPartitions
                    {
                        Topic = topic.Key,
                        Partitions = [.. topic.Select(partition => partition.Partition)],
                    })],
                },
                version: 0),
        })];
        return (assignments, new LeaderTopics(topics.ToDictionary(topic => topic, topic => counts.GetValueOrDefault(topic))));
    }

    /// <summary>A topic that the broker is just creating is worth a short wait; otherwise a rebalance follows at once.</summary>
    private async Task RefreshForTopicsAsync(string[] topics, CancellationToken cancellationToken)
    {
        const int maxAttempts = 5;
        for (int attempt = 1; attempt <= maxAttempts; attempt++)
        {
            await metadata.RefreshAsync(cancellationToken);
            if (Array.TrueForAll(topics, topic => metadata.FindTopic(topic) is not null))
            {
                return;
            }

            await Task.Delay(context.RetryBackoff.After(attempt), context.Time, cancellationToken);
        }
    }

    private string[] Topics()
    {
        lock (_gate)
        {
            return [.. _topics];
        }
    }

    /// <summary>Tells the coordinator, so that others need not wait for the session to end. A failure is no harm.</summary>
    private async Task LeaveAsync()
    {
        if (_memberId.Length == 0)
        {
            return;
        }

        using var timeout = new CancellationTokenSource(settings.CloseTimeout, context.Time);
        try
        {
            BrokerAddress coordinator = await locator.GetAsync(timeout.Token);

            // Not the group's own connection: a join that nobody waits for any more may still hold it up.
            BrokerConnection connection = await pool.GetAsync(coordinator, ConnectionPurpose.General, timeout.Token);
            await connection.SendAsync<LeaveGroupRequest, LeaveGroupResponse>(
                new LeaveGroupRequest
                {
                    GroupId = _groupId,
                    MemberId = _memberId,
                    Members = [new LeavingMember { MemberId = _memberId, Reason = "the consumer was closed" }],
                },
                context.Settings.RequestTimeout,
                timeout.Token);
        }
        catch (Exception failure)
        {
            LogMessages.GroupStepRetried(_logger, _groupId, "leaving", TimeSpan.Zero, failure.Message);
        }
    }

    /// <summary>What one generation gave this member.</summary>
    private sealed record GroupAssignment(
        int GenerationId,
        string MemberId,
        IReadOnlyCollection<TopicPartition> Partitions,
        LeaderTopics? LeaderTopics);

    /// <summary>The partition counts that a leader's assignment was made from; 0 for a topic that did not exist.</summary>
    private sealed record LeaderTopics(IReadOnlyDictionary<string, int> PartitionCounts)
    {
        public bool IsComplete { get; } = PartitionCounts.Values.All(count => count > 0);

        public bool Matches(ClusterView view) => PartitionCounts.All(pair =>
            !view.Topics.TryGetValue(pair.Key, out TopicDescription? topic)
            || topic.Partitions.Count == pair.Value
            || topic.ErrorCode != ErrorCode.None);
    }
}
