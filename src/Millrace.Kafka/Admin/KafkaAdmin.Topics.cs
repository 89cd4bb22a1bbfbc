using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>Topics, their partitions and their records.</content>
public sealed partial class KafkaAdmin
{
    /// <summary>Creates topics. A topic that exists already is no failure: its result says so.</summary>
    /// <param name="topics">The topics.</param>
    /// <param name="cancellationToken">Ends the wait; topics may still be created.</param>
    /// <returns>What became of each topic, by its name.</returns>
    public Task<IReadOnlyDictionary<string, CreateTopicResult>> CreateTopicsAsync(
        IReadOnlyCollection<NewTopic> topics,
        CancellationToken cancellationToken = default) => CreateTopicsAsync(topics, validateOnly: false, cancellationToken);

    /// <summary>Creates topics, or finds out whether they could be created.</summary>
    /// <param name="topics">The topics.</param>
    /// <param name="validateOnly">Whether the controller checks everything and creates nothing.</param>
    /// <param name="cancellationToken">Ends the wait; topics may still be created.</param>
    /// <returns>What became of each topic, by its name.</returns>
    public async Task<IReadOnlyDictionary<string, CreateTopicResult>> CreateTopicsAsync(
        IReadOnlyCollection<NewTopic> topics, bool validateOnly, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(topics);
        var byName = topics.ToDictionary(topic => topic.Name);
        IReadOnlyDictionary<string, AdminResult<bool>> alreadyExisted = await _calls.EachAsync<string, bool>(
            ApiKey.CreateTopics,
            byName.Keys,
            async (round, token) =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                var request = new CreateTopicsRequest
                {
                    TimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
                    ValidateOnly = validateOnly,
                    Topics = [.. round.Open.Select(name => ToCreatable(byName[name]))],
                };
                CreateTopicsResponse response = await _calls.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(controller, request, token);
                foreach (CreatableTopicResult result in response.Topics)
                {
                    if (result.ErrorCode is ErrorCode.None or ErrorCode.TopicAlreadyExists)
                    {
                        round.Succeed(result.Name, result.ErrorCode == ErrorCode.TopicAlreadyExists);
                    }
                    else
                    {
                        round.FailOn(result.ErrorCode, result.Name, result.ErrorMessage, controller, ApiKey.CreateTopics);
                    }
                }
            },
            cancellationToken);
        return alreadyExisted.ToDictionary(
            pair => pair.Key, pair => new CreateTopicResult(pair.Key, pair.Value.Failure, pair.Value.IsSuccess && pair.Value.Value));
    }

    /// <summary>Deletes topics by their names, with all of their records.</summary>
    /// <param name="topics">The topics.</param>
    /// <param name="cancellationToken">Ends the wait; topics may still be deleted.</param>
    /// <returns>What became of each topic; one that does not exist fails with <see cref="ErrorCode.UnknownTopicOrPartition"/>.</returns>
    public Task<IReadOnlyDictionary<string, AdminResult>> DeleteTopicsAsync(
        IReadOnlyCollection<string> topics, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(topics);
        return _calls.EachDoneAsync<string>(
            ApiKey.DeleteTopics,
            topics,
            async (round, token) =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                var request = new DeleteTopicsRequest
                {
                    TimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
                    TopicNames = [.. round.Open],
                    Topics = [.. round.Open.Select(topic => new DeleteTopicState { Name = topic })],
                };
                DeleteTopicsResponse response = await _calls.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(controller, request, token);
                foreach (DeletableTopicResult result in response.Responses)
                {
                    Conclude(round, result.Name ?? "", result.ErrorCode, result.ErrorMessage, controller, ApiKey.DeleteTopics);
                }
            },
            cancellationToken);
    }

    /// <summary>Deletes topics by their ids, so that none is deleted that has taken over the name. From Kafka 2.8 on.</summary>
    /// <param name="topicIds">The topics' ids.</param>
    /// <param name="cancellationToken">Ends the wait; topics may still be deleted.</param>
    /// <returns>What became of each topic, by its id; one that does not exist fails with <see cref="ErrorCode.UnknownTopicId"/>.</returns>
    public Task<IReadOnlyDictionary<Guid, AdminResult>> DeleteTopicsAsync(
        IReadOnlyCollection<Guid> topicIds, CancellationToken cancellationToken = default)
    {
        const short firstVersionWithIds = 6;
        ArgumentNullException.ThrowIfNull(topicIds);
        return _calls.EachDoneAsync<Guid>(
            ApiKey.DeleteTopics,
            topicIds,
            async (round, token) =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                var request = new DeleteTopicsRequest
                {
                    TimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
                    Topics = [.. round.Open.Select(id => new DeleteTopicState { TopicId = id })],
                };
                DeleteTopicsResponse response = await _calls.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(
                    controller, request, token, firstVersionWithIds);
                foreach (DeletableTopicResult result in response.Responses)
                {
                    Conclude(round, result.TopicId, result.ErrorCode, result.ErrorMessage, controller, ApiKey.DeleteTopics);
                }
            },
            cancellationToken);
    }

    /// <summary>Lists the topics, by name.</summary>
    /// <param name="includeInternal">Whether those that Kafka itself uses are listed too.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">No broker answers in time.</exception>
    public async Task<IReadOnlyList<TopicListing>> ListTopicsAsync(bool includeInternal = false, CancellationToken cancellationToken = default)
    {
        ClusterMetadata cluster = await DescribeAsync(topics: null, cancellationToken);
        return
        [
            .. cluster.Topics.Where(topic => includeInternal || !topic.IsInternal)
                .Select(topic => new TopicListing(topic.Name, topic.TopicId, topic.IsInternal)),
        ];
    }

    /// <summary>
    /// Describes topics one by one, with the replicas that may lead without loss where the cluster knows them (KIP-966). Brokers before
    /// Kafka 3.8 are asked for their metadata instead.
    /// </summary>
    /// <param name="topics">The topics.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<IReadOnlyDictionary<string, AdminResult<TopicDescription>>> DescribeTopicsAsync(
        IReadOnlyCollection<string> topics, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(topics);
        return _calls.EachAsync<string, TopicDescription>(
            ApiKey.DescribeTopicPartitions,
            topics,
            async (round, token) =>
            {
                BrokerConnection broker = await _calls.AnyAsync(token);
                IEnumerable<TopicDescription> described = broker.Offers(ApiKey.DescribeTopicPartitions)
                    ? await DescribePagesAsync(broker, round.Open, token)
                    : (await _metadata.QueryAsync(round.Open, createTopics: false, token)).Topics.Select(ClusterView.Describe);
                foreach (TopicDescription topic in described)
                {
                    if (topic.ErrorCode == ErrorCode.None)
                    {
                        round.Succeed(topic.Name, topic);
                    }
                    else
                    {
                        round.Fail(topic.Name, AdminErrors.Of(topic.ErrorCode, $"Topic '{topic.Name}' cannot be described", message: null));
                    }
                }
            },
            cancellationToken);
    }

    /// <summary>Gives topics more partitions. Keyed records that come later may go to other partitions than before.</summary>
    /// <param name="topics">The topics with the number that each is to have.</param>
    /// <param name="validateOnly">Whether the controller checks everything and changes nothing.</param>
    /// <param name="cancellationToken">Ends the wait; partitions may still be created.</param>
    public Task<IReadOnlyDictionary<string, AdminResult>> CreatePartitionsAsync(
        IReadOnlyCollection<NewPartitions> topics, bool validateOnly = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(topics);
        var byName = topics.ToDictionary(topic => topic.Topic);
        return _calls.EachDoneAsync<string>(
            ApiKey.CreatePartitions,
            byName.Keys,
            async (round, token) =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                var request = new CreatePartitionsRequest
                {
                    TimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
                    ValidateOnly = validateOnly,
                    Topics = [.. round.Open.Select(name => ToCreatable(byName[name]))],
                };
                CreatePartitionsResponse response = await _calls.SendAsync<CreatePartitionsRequest, CreatePartitionsResponse>(controller, request, token);
                foreach (CreatePartitionsTopicResult result in response.Results)
                {
                    Conclude(round, result.Name, result.ErrorCode, result.ErrorMessage, controller, ApiKey.CreatePartitions);
                }
            },
            cancellationToken);
    }

    /// <summary>Deletes the records before an offset of each partition.</summary>
    /// <param name="offsets">The first offset that each partition keeps; an offset of -1 deletes up to the high watermark.</param>
    /// <param name="cancellationToken">Ends the wait; records may still be deleted.</param>
    /// <returns>The first offset that each partition holds now.</returns>
    public Task<IReadOnlyDictionary<TopicPartition, AdminResult<Offset>>> DeleteRecordsAsync(
        IReadOnlyDictionary<TopicPartition, Offset> offsets, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(offsets);
        return _calls.EachAsync<TopicPartition, Offset>(
            ApiKey.DeleteRecords,
            offsets.Keys,
            (round, token) => _calls.AskLeadersAsync(round, DeleteAsync, token),
            cancellationToken);

        async Task DeleteAsync(
            AdminRound<TopicPartition, Offset> round,
            BrokerConnection leader,
            IReadOnlyList<(TopicPartition Partition, int LeaderEpoch)> targets,
            CancellationToken token)
        {
            var request = new DeleteRecordsRequest
            {
                TimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
                Topics = ByTopic(targets, static target => target.Partition, (topic, items) => new DeleteRecordsTopic
                {
                    Name = topic,
                    Partitions = [.. items.Select(item => new DeleteRecordsPartition { Index = item.Partition.Partition, Offset = offsets[item.Partition].Value })],
                }),
            };
            DeleteRecordsResponse response = await _calls.SendAsync<DeleteRecordsRequest, DeleteRecordsResponse>(leader, request, token);
            foreach (DeleteRecordsTopicResult topic in response.Topics)
            {
                foreach (DeleteRecordsPartitionResult partition in topic.Partitions)
                {
                    var name = new TopicPartition(topic.Name, partition.Index);
                    if (!round.FailOn(partition.ErrorCode, name, message: null, leader, ApiKey.DeleteRecords))
                    {
                        round.Succeed(name, new Offset(partition.LowWatermark));
                    }
                }
            }
        }
    }

    /// <summary>Looks up one offset of each partition.</summary>
    /// <param name="partitions">The partitions.</param>
    /// <param name="spec">Which offset: earliest, latest or by time.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The offsets; a partition is absent if no record is as late as the time asked for.</returns>
    /// <exception cref="KafkaException">A partition's leader does not answer in time, or refuses.</exception>
    public async Task<IReadOnlyDictionary<TopicPartition, Offset>> ListOffsetsAsync(
        IReadOnlyCollection<TopicPartition> partitions,
        OffsetSpec spec,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        IReadOnlyDictionary<TopicPartition, AdminResult<ListedOffset>> found = await ListOffsetsAsync(
            partitions.Distinct().ToDictionary(partition => partition, _ => spec), readCommitted: false, cancellationToken);
        found.ThrowIfAnyFailed();
        return found.Where(pair => pair.Value.Value.Offset is not null).ToDictionary(pair => pair.Key, pair => pair.Value.Value.Offset!.Value);
    }

    /// <summary>Looks up an offset of each partition, with its record's time and epoch.</summary>
    /// <param name="specs">Which offset of which partition.</param>
    /// <param name="readCommitted">
    /// Whether <see cref="OffsetSpec.Latest"/> is where a reader of committed records stands, the last stable offset, instead of the high watermark.
    /// </param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<IReadOnlyDictionary<TopicPartition, AdminResult<ListedOffset>>> ListOffsetsAsync(
        IReadOnlyDictionary<TopicPartition, OffsetSpec> specs, bool readCommitted = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(specs);
        return _calls.EachAsync<TopicPartition, ListedOffset>(
            ApiKey.ListOffsets,
            specs.Keys,
            (round, token) => _calls.AskLeadersAsync(round, ListAsync, token),
            cancellationToken);

        async Task ListAsync(
            AdminRound<TopicPartition, ListedOffset> round,
            BrokerConnection leader,
            IReadOnlyList<(TopicPartition Partition, int LeaderEpoch)> targets,
            CancellationToken token)
        {
            // By what they need: a broker that does not know one kind still answers for the others.
            foreach (IGrouping<short, (TopicPartition Partition, int LeaderEpoch)> group in targets.GroupBy(target => specs[target.Partition].LowestVersion))
            {
                try
                {
                    await ListOffsetsAsync(round, leader, [.. group], specs, readCommitted, group.Key, token);
                }
                catch (KafkaVersionException failure)
                {
                    round.FailRest(group.Select(target => target.Partition), failure);
                }
            }
        }
    }

    private async Task ListOffsetsAsync(
        AdminRound<TopicPartition, ListedOffset> round,
        BrokerConnection leader,
        IReadOnlyList<(TopicPartition Partition, int LeaderEpoch)> targets,
        IReadOnlyDictionary<TopicPartition, OffsetSpec> specs,
        bool readCommitted,
        short lowestVersion,
        CancellationToken cancellationToken)
    {
        const short firstVersionWithIsolation = 2;
        var request = new ListOffsetsRequest
        {
            IsolationLevel = readCommitted ? (sbyte)1 : (sbyte)0,
            TimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
            Topics = ByTopic(targets, static target => target.Partition, (topic, items) => new ListOffsetsTopic
            {
                Name = topic,
                Partitions =
                [
                    .. items.Select(item => new ListOffsetsPartition
                    {
                        Index = item.Partition.Partition, CurrentLeaderEpoch = item.LeaderEpoch, Timestamp = specs[item.Partition].Timestamp,
                    }),
                ],
            }),
        };
        short lowest = readCommitted ? Math.Max(lowestVersion, firstVersionWithIsolation) : lowestVersion;
        ListOffsetsResponse response = await _calls.SendAsync<ListOffsetsRequest, ListOffsetsResponse>(leader, request, cancellationToken, lowest);
        foreach (ListOffsetsTopicResponse topic in response.Topics)
        {
            foreach (ListOffsetsPartitionResponse partition in topic.Partitions)
            {
                var name = new TopicPartition(topic.Name, partition.Index);
                if (!round.FailOn(partition.ErrorCode, name, message: null, leader, ApiKey.ListOffsets))
                {
                    round.Succeed(name, new ListedOffset(
                        partition.Offset >= 0 ? new Offset(partition.Offset) : null,
                        partition.Timestamp >= 0 ? ConsumerRecord.ToTime(partition.Timestamp) : null,
                        partition.LeaderEpoch));
                }
            }
        }
    }

    private async Task<IEnumerable<TopicDescription>> DescribePagesAsync(
        BrokerConnection broker, IReadOnlyList<string> topics, CancellationToken cancellationToken)
    {
        var described = new Dictionary<string, TopicDescription>();
        Cursor? cursor = null;
        do
        {
            var request = new DescribeTopicPartitionsRequest
            {
                Topics = [.. topics.Order(StringComparer.Ordinal).Select(topic => new TopicRequest { Name = topic })],
                Cursor = cursor,
            };
            DescribeTopicPartitionsResponse response = await _calls.SendAsync<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse>(
                broker, request, cancellationToken);
            foreach (DescribedTopic topic in response.Topics)
            {
                // A topic may go on from page to page.
                TopicDescription page = Describe(topic);
                described[page.Name] = described.TryGetValue(page.Name, out TopicDescription? before)
                    ? page with { Partitions = [.. before.Partitions.UnionBy(page.Partitions, partition => partition.Partition)] }
                    : page;
            }

            bool goesOn = response.NextCursor is { } next
                && (cursor is null || (next.TopicName, next.PartitionIndex) != (cursor.TopicName, cursor.PartitionIndex));
            cursor = goesOn ? response.NextCursor : null;
        }
        while (cursor is not null);
        return described.Values;
    }

    private static TopicDescription Describe(DescribedTopic topic) => new(
        topic.Name ?? "",
        topic.TopicId,
        topic.ErrorCode,
        topic.IsInternal,
        [
            .. topic.Partitions.OrderBy(partition => partition.Index).Select(partition =>
                new PartitionDescription(partition.Index, partition.LeaderId, partition.LeaderEpoch, partition.Replicas, partition.InSyncReplicas)
                {
                    OfflineReplicas = partition.OfflineReplicas,
                    EligibleLeaderReplicas = partition.EligibleLeaderReplicas,
                    LastKnownEligibleLeaderReplicas = partition.LastKnownElr,
                }),
        ]);

    private static CreatableTopic ToCreatable(NewTopic topic) => new()
    {
        Name = topic.Name,
        PartitionCount = topic.PartitionCount,
        ReplicationFactor = topic.ReplicationFactor,
        Assignments =
        [
            .. topic.ReplicaAssignments.Select((brokerIds, partition) => new CreatableReplicaAssignment { PartitionIndex = partition, BrokerIds = [.. brokerIds] }),
        ],
        Configs = [.. topic.Configuration.Select(pair => new CreatableTopicConfig { Name = pair.Key, Value = pair.Value })],
    };

    private static CreatePartitionsTopic ToCreatable(NewPartitions topic) => new()
    {
        Name = topic.Topic,
        Count = topic.TotalCount,
        Assignments = topic.ReplicaAssignments.Count == 0
            ? null
            : [.. topic.ReplicaAssignments.Select(brokerIds => new CreatePartitionsAssignment { BrokerIds = [.. brokerIds] })],
    };

    /// <summary>An item with nothing to answer but an error.</summary>
    private static void Conclude<TKey>(
        AdminRound<TKey, bool> round, TKey key, ErrorCode error, string? message, BrokerConnection broker, ApiKey api)
        where TKey : notnull
    {
        if (!round.FailOn(error, key, message, broker, api))
        {
            round.Succeed(key, true);
        }
    }
}
