using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Writes and reads a group's committed offsets at its coordinator, with retries.</summary>
/// <param name="context">What the client shares.</param>
/// <param name="pool">The consumer's connections.</param>
/// <param name="locator">Where the coordinator is.</param>
/// <param name="groupId">The group.</param>
/// <param name="member">The membership at the moment, which a group of the protocol of KIP-848 wants to see where offsets are read, too.</param>
internal sealed class OffsetStore(
    ClientContext context, ConnectionPool pool, CoordinatorLocator locator, string groupId, Func<ConsumerGroupMetadata> member)
{
    /// <summary>The first version that Kafka, not ZooKeeper, answers; and the first that takes several groups.</summary>
    private const short FirstCommitVersion = 2;
    private const short FirstFetchVersion = 1;
    private const short FirstBatchedFetchVersion = 8;

    public Task CommitAsync(
        IReadOnlyCollection<TopicPartitionOffset> offsets,
        ConsumerGroupMetadata committer,
        TimeSpan timeout,
        CancellationToken cancellationToken)
    {
        var request = new OffsetCommitRequest
        {
            GroupId = groupId,
            GenerationId = committer.GenerationId,
            MemberId = committer.MemberId,
            GroupInstanceId = committer.GenerationId >= 0 ? committer.GroupInstanceId : null,
            Topics = [.. offsets.GroupBy(offset => offset.TopicPartition.Topic).Select(topic => new OffsetCommitTopic
            {
                Name = topic.Key,
                Partitions = [.. topic.Select(offset => new OffsetCommitPartition
                {
                    Index = offset.TopicPartition.Partition,
                    CommittedOffset = offset.Offset.Value,
                    CommittedLeaderEpoch = offset.LeaderEpoch,
                    CommittedMetadata = offset.Metadata ?? "",
                })],
            })],
        };
        return RetryAsync("OffsetCommit", async (connection, token) =>
        {
            OffsetCommitResponse response = await connection.SendAsync<OffsetCommitRequest, OffsetCommitResponse>(
                request, context.Settings.RequestTimeout, token, connection.VersionOf(OffsetCommitRequest.Api, FirstCommitVersion));
            HashSet<TopicPartition> unanswered = [.. offsets.Select(static offset => offset.TopicPartition)];
            foreach (OffsetCommitTopicResponse topic in response.Topics)
            {
                foreach (OffsetCommitPartitionResponse partition in topic.Partitions)
                {
                    var name = new TopicPartition(topic.Name, partition.Index);
                    ThrowOnCommitError(partition.ErrorCode, name, committer, connection.Address);
                    unanswered.Remove(name);
                }
            }

            return unanswered.Count == 0 ? true : throw LeftOut(connection.Address, unanswered.First(), "OffsetCommit");
        }, timeout, cancellationToken);
    }

    /// <summary>What the group has committed of a partition, or why that cannot be told.</summary>
    /// <param name="Offset">The commit; null where there is none.</param>
    /// <param name="Failure">The coordinator's error for this partition, or that its answer has no word of it.</param>
    public readonly record struct Committed(TopicPartitionOffset? Offset, KafkaException? Failure);

    /// <summary>The group's commits; partitions without one are absent.</summary>
    /// <exception cref="KafkaException">The coordinator cannot be reached in time, or refuses one of the partitions.</exception>
    public Task<Dictionary<TopicPartition, TopicPartitionOffset>> FetchAsync(
        IReadOnlyCollection<TopicPartition> partitions,
        TimeSpan timeout,
        CancellationToken cancellationToken)
    {
        List<OffsetFetchTopic> topics = Group(partitions);
        return RetryAsync("OffsetFetch", async (connection, token) =>
        {
            Dictionary<TopicPartition, Committed> answers = await AskAsync(connection, topics, token);
            return answers.Values.Select(answer => answer.Failure).FirstOrDefault(failure => failure is not null) is { } failure
                ? throw failure
                : answers.Where(answer => answer.Value.Offset is not null).ToDictionary(answer => answer.Key, answer => answer.Value.Offset!);
        }, timeout, cancellationToken);
    }

    /// <summary>The group's commits, each for itself: what is refused of one partition says nothing of the others. Each partition that is asked for is there.</summary>
    /// <exception cref="KafkaException">The coordinator cannot be reached in time, or refuses the group.</exception>
    public Task<Dictionary<TopicPartition, Committed>> FetchEachAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        List<OffsetFetchTopic> topics = Group(partitions);
        return RetryAsync("OffsetFetch", (connection, token) => AskAsync(connection, topics, token), context.Settings.ApiTimeout, cancellationToken);
    }

    private static List<OffsetFetchTopic> Group(IReadOnlyCollection<TopicPartition> partitions) =>
    [
        .. partitions.GroupBy(partition => partition.Topic).Select(topic => new OffsetFetchTopic
        {
            Name = topic.Key,
            Partitions = [.. topic.Select(partition => partition.Partition)],
        }),
    ];

    private async Task<Dictionary<TopicPartition, Committed>> AskAsync(BrokerConnection connection, List<OffsetFetchTopic> topics, CancellationToken cancellationToken)
    {
        short version = connection.VersionOf(OffsetFetchRequest.Api, FirstFetchVersion);
        ConsumerGroupMetadata reader = member();

        // Stable: offsets that a transaction under way may still move are waited for (KIP-447).
        var request = new OffsetFetchRequest
        {
            GroupId = groupId,
            Topics = topics,
            Groups = [new OffsetFetchGroup
            {
                GroupId = groupId,
                Topics = topics,
                MemberId = reader.GenerationId >= 0 ? reader.MemberId : null,
                MemberEpoch = reader.GenerationId,
            }],
            RequireStable = true,
        };
        OffsetFetchResponse response = await connection.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(
            request, context.Settings.RequestTimeout, cancellationToken, version);
        OffsetFetchGroupResponse? group = version >= FirstBatchedFetchVersion
            ? response.Groups.Find(candidate => candidate.GroupId == groupId)
            : new OffsetFetchGroupResponse { Topics = response.Topics, ErrorCode = response.ErrorCode };
        ErrorCode error = group?.ErrorCode ?? ErrorCode.UnknownServerError;
        if (error is ErrorCode.StaleMemberEpoch or ErrorCode.UnknownMemberId or ErrorCode.IllegalGeneration)
        {
            // The membership changed while the question was under way; it is asked again as the member that this one is then.
            throw new KafkaConnectionException($"{connection.Address} answered OffsetFetch of group '{groupId}': {KafkaErrors.Describe(error)}");
        }

        ThrowOnError(error, "OffsetFetch", $"group '{groupId}'", connection.Address);
        var found = new Dictionary<TopicPartition, Committed>();
        foreach (OffsetFetchTopicResponse topic in group!.Topics)
        {
            foreach (OffsetFetchPartitionResponse partition in topic.Partitions)
            {
                var name = new TopicPartition(topic.Name, partition.Index);
                if (partition.ErrorCode is ErrorCode.NotCoordinator or ErrorCode.CoordinatorNotAvailable or ErrorCode.CoordinatorLoadInProgress)
                {
                    // Of the whole answer: before version 2 it has no error of its own.
                    throw Failure(partition.ErrorCode, name);
                }

                found[name] = partition.ErrorCode != ErrorCode.None ? new Committed(null, Failure(partition.ErrorCode, name))
                    : partition.CommittedOffset < 0 ? default
                    : new Committed(new TopicPartitionOffset(name, new Offset(partition.CommittedOffset), partition.CommittedLeaderEpoch, partition.Metadata), null);
            }
        }

        // Not as if nothing were committed: the position would be reset, and records passed or read again.
        foreach (OffsetFetchTopic topic in topics)
        {
            foreach (int index in topic.Partitions)
            {
                var name = new TopicPartition(topic.Name, index);
                found.TryAdd(name, new Committed(null, LeftOut(connection.Address, name, "OffsetFetch")));
            }
        }

        return found;

        KafkaBrokerException Failure(ErrorCode code, TopicPartition name) =>
            new($"{connection.Address} answered OffsetFetch for {name} of group '{groupId}': {KafkaErrors.Describe(code)}", code);
    }

    private KafkaProtocolException LeftOut(BrokerAddress address, TopicPartition partition, string api) =>
        new($"{address} left {partition} of group '{groupId}' out of its answer to {api}.");

    private void ThrowOnCommitError(ErrorCode error, TopicPartition partition, ConsumerGroupMetadata member, BrokerAddress address)
    {
        bool isFenced = error is ErrorCode.IllegalGeneration or ErrorCode.UnknownMemberId or ErrorCode.FencedInstanceId
            or ErrorCode.RebalanceInProgress or ErrorCode.FencedMemberEpoch or ErrorCode.StaleMemberEpoch;
        if (isFenced)
        {
            throw new KafkaGroupFencedException(
                $"{address} refused the commit of {partition} by member '{member.MemberId}' of generation {member.GenerationId} in group '{groupId}': " +
                $"{KafkaErrors.Describe(error)} The partition may belong to another member by now; stop working on it.",
                error);
        }

        ThrowOnError(error, "OffsetCommit", $"{partition} of group '{groupId}'", address);
    }

    private static void ThrowOnError(ErrorCode error, string api, string what, BrokerAddress address)
    {
        if (error != ErrorCode.None)
        {
            throw new KafkaBrokerException($"{address} answered {api} for {what}: {KafkaErrors.Describe(error)}", error);
        }
    }

    private async Task<T> RetryAsync<T>(string api, Func<BrokerConnection, CancellationToken, Task<T>> call, TimeSpan timeout, CancellationToken cancellationToken)
    {
        // Where no time is left, one attempt is made that is given up at once.
        using var deadline = new CancellationTokenSource(timeout > TimeSpan.Zero ? timeout : TimeSpan.Zero, context.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        KafkaException? lastFailure = null;
        try
        {
            for (int failureCount = 1; ; failureCount++)
            {
                BrokerAddress? coordinator = null;
                try
                {
                    coordinator = await locator.GetAsync(linked.Token);
                    BrokerConnection connection = await pool.GetAsync(coordinator.Value, ConnectionPurpose.General, linked.Token);
                    return await call(connection, linked.Token);
                }
                catch (KafkaException failure) when (failure.IsTransient)
                {
                    lastFailure = failure;
                    bool isElsewhere = failure is KafkaConnectionException or KafkaTimeoutException
                        || failure.ErrorCode is ErrorCode.NotCoordinator or ErrorCode.CoordinatorNotAvailable;
                    if (isElsewhere && coordinator is { } address)
                    {
                        locator.Forget(address);
                    }
                }

                await Task.Delay(context.RetryBackoff.After(failureCount), context.Time, linked.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new KafkaTimeoutException(
                $"{api} of group '{groupId}' did not succeed within {context.Settings.ApiTimeout} ({nameof(KafkaClientOptions.ApiTimeout)}). {lastFailure?.Message}",
                lastFailure?.ErrorCode ?? ErrorCode.None,
                lastFailure);
        }
    }
}
