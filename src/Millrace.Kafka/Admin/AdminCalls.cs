using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// How admin calls reach brokers: finds the one that a request belongs to, and tries again with a fresh picture of the cluster while
/// <see cref="KafkaClientOptions.ApiTimeout"/> lasts. Topics are looked up without being created.
/// </summary>
internal sealed class AdminCalls(ClientContext context, ConnectionPool pool, MetadataCache metadata)
{
    /// <summary>The first version of FindCoordinator that takes several keys.</summary>
    private const short FirstBatchedVersion = 4;

    /// <summary>The first version of FindCoordinator that knows transactional ids.</summary>
    private const short FirstTypedVersion = 1;

    public enum CoordinatorType : sbyte
    {
        Group = 0,
        Transaction = 1,
    }

    public int RequestTimeoutMilliseconds => (int)Math.Min(context.Settings.RequestTimeout.TotalMilliseconds, int.MaxValue);

    /// <summary>Tries until each item has succeeded, has failed for good, or the time is up; each has its result.</summary>
    public async Task<IReadOnlyDictionary<TKey, AdminResult<TValue>>> EachAsync<TKey, TValue>(
        ApiKey api,
        IEnumerable<TKey> items,
        Func<AdminRound<TKey, TValue>, CancellationToken, Task> attempt,
        CancellationToken cancellationToken)
        where TKey : notnull
    {
        using var deadline = new CancellationTokenSource(context.Settings.ApiTimeout, context.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        var results = new Dictionary<TKey, AdminResult<TValue>>();
        var failures = new Dictionary<TKey, KafkaException>();
        TKey[] open = [.. items.Distinct()];
        for (int number = 1; open.Length > 0; number++)
        {
            var round = new AdminRound<TKey, TValue>(api, open, number);
            bool isOver = false;
            try
            {
                await attempt(round, linked.Token);
                round.FailRest(open, new KafkaProtocolException($"No broker answered {api} for some of its items."));
            }
            catch (KafkaException failure) when (failure is not KafkaClosedException)
            {
                round.FailRest(open, failure);
            }
            catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
            {
                isOver = true;
            }

            foreach ((TKey key, AdminResult<TValue> result) in round.Finished)
            {
                results[key] = result;
            }

            foreach ((TKey key, KafkaException failure) in round.Retriable)
            {
                failures[key] = failure;
            }

            open = [.. open.Where(key => !results.ContainsKey(key))];
            isOver = isOver || (open.Length > 0 && !await PauseAsync(number, deadline.Token, cancellationToken));
            if (isOver)
            {
                foreach (TKey key in open)
                {
                    results[key] = new AdminResult<TValue>(TimedOut(api, $" of {AdminRound<TKey, TValue>.Name(key)}", failures.GetValueOrDefault(key)));
                }

                break;
            }
        }

        return results;
    }

    /// <summary>As <see cref="EachAsync"/>, where there is nothing to answer but success.</summary>
    public async Task<IReadOnlyDictionary<TKey, AdminResult>> EachDoneAsync<TKey>(
        ApiKey api,
        IEnumerable<TKey> items,
        Func<AdminRound<TKey, bool>, CancellationToken, Task> attempt,
        CancellationToken cancellationToken)
        where TKey : notnull =>
        (await EachAsync(api, items, attempt, cancellationToken)).ToDictionary(pair => pair.Key, AdminResult (pair) => pair.Value);

    /// <summary>Tries until an attempt succeeds, fails for good, or the time is up. Who cancels has the last failure in the exception.</summary>
    public async Task<T> OneAsync<T>(ApiKey api, Func<CancellationToken, Task<T>> attempt, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(context.Settings.ApiTimeout, context.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        KafkaException? lastFailure = null;
        try
        {
            for (int number = 1; ; number++)
            {
                try
                {
                    return await attempt(linked.Token);
                }
                catch (KafkaException failure) when (AdminErrors.IsWorthARetry(failure))
                {
                    lastFailure = failure;
                }

                if (!await PauseAsync(number, deadline.Token, cancellationToken))
                {
                    throw TimedOut(api, "", lastFailure);
                }
            }
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw TimedOut(api, "", lastFailure);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested && lastFailure is not null)
        {
            throw new OperationCanceledException($"{api} was cancelled before it succeeded. {lastFailure.Message}", lastFailure, cancellationToken);
        }
    }

    /// <summary>Asks every broker once; each has its answer or its failure.</summary>
    public async Task<ClusterListing<TItem>> EveryBrokerAsync<TItem>(
        ApiKey api, Func<BrokerConnection, CancellationToken, Task<IEnumerable<TItem>>> ask, CancellationToken cancellationToken)
    {
        int[] brokerIds = await BrokerIdsAsync(api, cancellationToken);
        IReadOnlyDictionary<int, AdminResult<IEnumerable<TItem>>> answers = await EachAsync<int, IEnumerable<TItem>>(
            api, brokerIds, (round, token) => AskBrokersAsync(round, ask, token), cancellationToken);
        return new ClusterListing<TItem>(
            [.. answers.Where(answer => answer.Value.IsSuccess).OrderBy(answer => answer.Key).SelectMany(answer => answer.Value.Value)],
            answers.Where(answer => !answer.Value.IsSuccess).ToDictionary(answer => answer.Key, answer => answer.Value.Failure!));
    }

    public async Task<int[]> BrokerIdsAsync(ApiKey api, CancellationToken cancellationToken) =>
        await OneAsync(api, async token => (int[])[.. (await metadata.QueryAsync([], createTopics: false, token)).Brokers.Select(broker => broker.NodeId).Order()], cancellationToken);

    /// <summary>Asks the brokers that a round names by their ids, side by side.</summary>
    public async Task AskBrokersAsync<TValue>(
        AdminRound<int, TValue> round, Func<BrokerConnection, CancellationToken, Task<TValue>> ask, CancellationToken cancellationToken)
    {
        MetadataResponse cluster = await metadata.QueryAsync([], createTopics: false, cancellationToken);
        await Task.WhenAll(round.Open.Select(async brokerId =>
        {
            try
            {
                BrokerConnection broker = await BrokerAsync(brokerId, cluster, cancellationToken);
                round.Succeed(brokerId, await ask(broker, cancellationToken));
            }
            catch (KafkaException failure) when (failure is not KafkaClosedException)
            {
                round.Fail(brokerId, failure);
            }
        }));
    }

    /// <summary>The controller. On KRaft clusters a broker stands for it, and passes requests on.</summary>
    public async Task<BrokerConnection> ControllerAsync(CancellationToken cancellationToken)
    {
        MetadataResponse cluster = await metadata.QueryAsync([], createTopics: false, cancellationToken);
        return cluster.Brokers.Exists(broker => broker.NodeId == cluster.ControllerId)
            ? await BrokerAsync(cluster.ControllerId, cluster, cancellationToken)
            : throw new KafkaBrokerException("The cluster has no controller at the moment, as the answer to Metadata says.", ErrorCode.NotController);
    }

    /// <summary>A broker by its id.</summary>
    /// <exception cref="KafkaException">It is not there.</exception>
    public async Task<BrokerConnection> BrokerAsync(int brokerId, CancellationToken cancellationToken) =>
        await BrokerAsync(brokerId, await metadata.QueryAsync([], createTopics: false, cancellationToken), cancellationToken);

    /// <summary>Any broker that can be reached.</summary>
    /// <exception cref="KafkaAuthenticationException">A broker refused the login; or none could be reached, and one of them is not trusted or does not trust the client.</exception>
    /// <exception cref="KafkaConnectionException">None could be reached.</exception>
    public async Task<BrokerConnection> AnyAsync(CancellationToken cancellationToken)
    {
        KafkaException? lastFailure = null;
        KafkaAuthenticationException? refusal = null;
        foreach (BrokerAddress address in metadata.Candidates())
        {
            try
            {
                return await pool.GetAsync(address, ConnectionPurpose.General, cancellationToken);
            }
            catch (KafkaException failure) when (failure is not KafkaClosedException)
            {
                // A password that one broker refuses is not tried on the others; a broker whose certificate is bad does not stand for the others.
                if (failure is KafkaAuthenticationException { ErrorCode: ErrorCode.SaslAuthenticationFailed })
                {
                    throw;
                }

                lastFailure = failure;
                refusal ??= failure as KafkaAuthenticationException;
            }
        }

        throw refusal ?? (KafkaException)new KafkaConnectionException($"No broker could be reached. {lastFailure?.Message}", lastFailure);
    }

    public Task<TResponse> SendAsync<TRequest, TResponse>(
        BrokerConnection broker, TRequest request, CancellationToken cancellationToken, short lowestVersion = 0)
        where TRequest : class, IRequest<TResponse>
        where TResponse : class, IMessage, new() =>
        broker.SendAsync<TRequest, TResponse>(
            request, context.Settings.RequestTimeout, cancellationToken, broker.VersionOf(TRequest.Api, lowestVersion));

    /// <summary>
    /// Asks the leader of each partition, all leaders side by side. A partition that exists and has no leader is tried again, one that no
    /// broker knows only for a moment.
    /// </summary>
    public async Task AskLeadersAsync<TValue>(
        AdminRound<TopicPartition, TValue> round,
        Func<AdminRound<TopicPartition, TValue>, BrokerConnection, IReadOnlyList<(TopicPartition Partition, int LeaderEpoch)>, CancellationToken, Task> ask,
        CancellationToken cancellationToken)
    {
        ClusterView view = metadata.View;
        bool isFresh = false;
        if (round.Number > 1 || round.Open.Any(partition => !view.TryGetLeader(partition, out _, out _)))
        {
            string[] topics = [.. round.Open.Select(partition => partition.Topic).Distinct()];
            view = ClusterView.Empty.Merge(await metadata.QueryAsync(topics, createTopics: false, cancellationToken));
            isFresh = true;
            if (round.Number > 1)
            {
                metadata.RequestRefresh();
            }
        }

        var byLeader = new Dictionary<BrokerAddress, List<(TopicPartition Partition, int LeaderEpoch)>>();
        foreach (TopicPartition partition in round.Open)
        {
            if (view.TryGetLeader(partition, out BrokerDescription? leader, out int epoch))
            {
                // Epochs count where answers are compared (KIP-320); a picture that is this call's alone is compared with none.
                Group(byLeader, leader.Address, (partition, isFresh ? -1 : epoch));
            }
            else
            {
                round.Fail(partition, NoLeader(view, partition));
            }
        }

        await AskEachAsync(round, byLeader, static target => target.Partition, ask, cancellationToken);
    }

    /// <summary>Asks the coordinator of each group or transactional id, all coordinators side by side.</summary>
    public async Task AskCoordinatorsAsync<TValue>(
        AdminRound<string, TValue> round,
        CoordinatorType type,
        Func<AdminRound<string, TValue>, BrokerConnection, IReadOnlyList<string>, CancellationToken, Task> ask,
        CancellationToken cancellationToken)
    {
        var byCoordinator = new Dictionary<BrokerAddress, List<string>>();
        foreach ((string key, BrokerAddress address) in await FindCoordinatorsAsync(round, type, cancellationToken))
        {
            Group(byCoordinator, address, key);
        }

        await AskEachAsync(round, byCoordinator, static key => key, ask, cancellationToken);
    }

    /// <summary>The coordinator of one group.</summary>
    public async Task<BrokerConnection> CoordinatorAsync(string groupId, CancellationToken cancellationToken)
    {
        var round = new AdminRound<string, BrokerAddress>(ApiKey.FindCoordinator, [groupId], number: 1);
        Dictionary<string, BrokerAddress> found = await FindCoordinatorsAsync(round, CoordinatorType.Group, cancellationToken);
        if (found.TryGetValue(groupId, out BrokerAddress address))
        {
            return await pool.GetAsync(address, ConnectionPurpose.General, cancellationToken);
        }

        throw round.Retriable.GetValueOrDefault(groupId) ?? round.Finished[groupId].Failure!;
    }

    private async Task<BrokerConnection> BrokerAsync(int brokerId, MetadataResponse cluster, CancellationToken cancellationToken)
    {
        MetadataBroker broker = cluster.Brokers.Find(candidate => candidate.NodeId == brokerId)
            ?? throw new KafkaBrokerException(
                $"Broker {brokerId} is not among those that are up ({string.Join(", ", cluster.Brokers.Select(known => known.NodeId).Order())}).",
                ErrorCode.BrokerNotAvailable);
        return await pool.GetAsync(new BrokerAddress(broker.Host, broker.Port), ConnectionPurpose.General, cancellationToken);
    }

    private async Task AskEachAsync<TKey, TValue, TTarget>(
        AdminRound<TKey, TValue> round,
        Dictionary<BrokerAddress, List<TTarget>> byBroker,
        Func<TTarget, TKey> keyOf,
        Func<AdminRound<TKey, TValue>, BrokerConnection, IReadOnlyList<TTarget>, CancellationToken, Task> ask,
        CancellationToken cancellationToken)
        where TKey : notnull =>
        await Task.WhenAll(byBroker.Select(async pair =>
        {
            try
            {
                BrokerConnection broker = await pool.GetAsync(pair.Key, ConnectionPurpose.General, cancellationToken);
                await ask(round, broker, pair.Value, cancellationToken);
                round.FailLeftOut(pair.Value.Select(keyOf), pair.Key);
            }
            catch (KafkaException failure) when (failure is not KafkaClosedException)
            {
                round.FailRest(pair.Value.Select(keyOf), failure);
            }
        }));

    /// <summary>Where the coordinators are; those that no broker can tell fail in the round.</summary>
    private async Task<Dictionary<string, BrokerAddress>> FindCoordinatorsAsync<TValue>(
        AdminRound<string, TValue> round, CoordinatorType type, CancellationToken cancellationToken)
    {
        var found = new Dictionary<string, BrokerAddress>();
        BrokerConnection broker = await AnyAsync(cancellationToken);
        short version = broker.VersionOf(FindCoordinatorRequest.Api, type == CoordinatorType.Group ? (short)0 : FirstTypedVersion);
        if (version >= FirstBatchedVersion)
        {
            var request = new FindCoordinatorRequest { KeyType = (sbyte)type, CoordinatorKeys = [.. round.Open] };
            FindCoordinatorResponse response = await broker.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(
                request, context.Settings.RequestTimeout, cancellationToken, version);
            response.Coordinators.ForEach(Add);
            return found;
        }

        foreach (string key in round.Open)
        {
            FindCoordinatorResponse response = await broker.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(
                new FindCoordinatorRequest { Key = key, KeyType = (sbyte)type }, context.Settings.RequestTimeout, cancellationToken, version);
            Add(new Coordinator { Key = key, Host = response.Host, Port = response.Port, ErrorCode = response.ErrorCode, ErrorMessage = response.ErrorMessage });
        }

        return found;

        void Add(Coordinator coordinator)
        {
            if (!round.FailOn(coordinator.ErrorCode, coordinator.Key, coordinator.ErrorMessage, broker, ApiKey.FindCoordinator))
            {
                found[coordinator.Key] = new BrokerAddress(coordinator.Host, coordinator.Port);
            }
        }
    }

    private static void Group<TTarget>(Dictionary<BrokerAddress, List<TTarget>> byBroker, BrokerAddress address, TTarget target)
    {
        if (!byBroker.TryGetValue(address, out List<TTarget>? targets))
        {
            byBroker.Add(address, targets = []);
        }

        targets.Add(target);
    }

    private static KafkaBrokerException NoLeader(ClusterView view, TopicPartition partition)
    {
        bool isKnown = view.Topics.TryGetValue(partition.Topic, out TopicDescription? topic);
        ErrorCode error = !isKnown ? ErrorCode.UnknownTopicOrPartition
            : topic!.ErrorCode is not (ErrorCode.None or ErrorCode.LeaderNotAvailable) ? topic.ErrorCode
            : view.TryGetPartition(partition, out _) ? ErrorCode.LeaderNotAvailable
            : ErrorCode.UnknownTopicOrPartition;
        return new KafkaBrokerException($"No leader of {partition} can be asked. {KafkaErrors.Describe(error)}", error);
    }

    /// <summary>Waits before the next attempt; false where the time is up before it.</summary>
    private async Task<bool> PauseAsync(int failureCount, CancellationToken deadline, CancellationToken cancellationToken)
    {
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(deadline, cancellationToken);
        try
        {
            await Task.Delay(context.RetryBackoff.After(failureCount), context.Time, linked.Token);
            return true;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private KafkaTimeoutException TimedOut(ApiKey api, string item, KafkaException? lastFailure) => new(
        $"{api}{item} did not succeed within {context.Settings.ApiTimeout} ({nameof(KafkaClientOptions.ApiTimeout)}). "
        + (lastFailure?.Message ?? "No broker has answered; a change may have been made all the same."),
        lastFailure?.ErrorCode ?? ErrorCode.None,
        lastFailure);
}
