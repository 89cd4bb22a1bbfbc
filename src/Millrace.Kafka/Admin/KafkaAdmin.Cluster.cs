using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>Settings, leaders, replicas and data directories.</content>
public sealed partial class KafkaAdmin
{
    /// <summary>Describes all settings of topics, brokers or groups. Each broker is asked for its own.</summary>
    /// <param name="resources">What to describe.</param>
    /// <param name="includeSynonyms">Whether the values that stand behind each setting are told.</param>
    /// <param name="includeDocumentation">Whether each setting's meaning is told. From Kafka 2.6 on.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The settings of each resource by their names.</returns>
    public Task<IReadOnlyDictionary<ConfigResource, AdminResult<IReadOnlyDictionary<string, ConfigEntry>>>> DescribeConfigsAsync(
        IReadOnlyCollection<ConfigResource> resources,
        bool includeSynonyms = false,
        bool includeDocumentation = false,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(resources);
        return _calls.EachAsync<ConfigResource, IReadOnlyDictionary<string, ConfigEntry>>(
            ApiKey.DescribeConfigs,
            resources,
            (round, token) => ByBrokerAsync(round, static resource => resource.BrokerId, _calls.AnyAsync, DescribeAsync, token),
            cancellationToken);

        async Task DescribeAsync(
            AdminRound<ConfigResource, IReadOnlyDictionary<string, ConfigEntry>> round,
            BrokerConnection broker,
            IReadOnlyList<ConfigResource> targets,
            CancellationToken token)
        {
            var request = new DescribeConfigsRequest
            {
                IncludeSynonyms = includeSynonyms,
                IncludeDocumentation = includeDocumentation,
                Resources =
                [
                    .. targets.Select(target => new DescribeConfigsResource
                    {
                        ResourceType = (sbyte)target.Type, ResourceName = target.Name, ConfigurationKeys = null,
                    }),
                ],
            };
            DescribeConfigsResponse response = await _calls.SendAsync<DescribeConfigsRequest, DescribeConfigsResponse>(broker, request, token, lowestVersion: 1);
            foreach (DescribeConfigsResult result in response.Results)
            {
                var resource = new ConfigResource((ConfigResourceType)result.ResourceType, result.ResourceName);
                if (!round.FailOn(result.ErrorCode, resource, result.ErrorMessage, broker, ApiKey.DescribeConfigs))
                {
                    round.Succeed(resource, result.Configs.Select(Describe).ToDictionary(entry => entry.Name));
                }
            }
        }
    }

    /// <summary>Changes some settings of topics, brokers or groups, and leaves the others as they are (KIP-339).</summary>
    /// <param name="changes">What to change on which resource.</param>
    /// <param name="validateOnly">Whether everything is checked and nothing changed.</param>
    /// <param name="cancellationToken">Ends the wait; the changes may still be made.</param>
    public Task<IReadOnlyDictionary<ConfigResource, AdminResult>> AlterConfigsAsync(
        IReadOnlyDictionary<ConfigResource, IReadOnlyCollection<ConfigChange>> changes,
        bool validateOnly = false,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(changes);
        return _calls.EachDoneAsync<ConfigResource>(
            ApiKey.IncrementalAlterConfigs,
            changes.Keys,
            (round, token) => ByBrokerAsync(round, static resource => resource.BrokerId, _calls.ControllerAsync, AlterAsync, token),
            cancellationToken);

        async Task AlterAsync(
            AdminRound<ConfigResource, bool> round, BrokerConnection broker, IReadOnlyList<ConfigResource> targets, CancellationToken token)
        {
            var request = new IncrementalAlterConfigsRequest
            {
                ValidateOnly = validateOnly,
                Resources =
                [
                    .. targets.Select(target => new IncrementalAlterConfigsResource
                    {
                        ResourceType = (sbyte)target.Type,
                        ResourceName = target.Name,
                        Configs =
                        [
                            .. changes[target].Select(change => new IncrementalAlterableConfig
                            {
                                Name = change.Name, ConfigOperation = change.Operation, Value = change.Value,
                            }),
                        ],
                    }),
                ],
            };
            IncrementalAlterConfigsResponse response = await _calls.SendAsync<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>(
                broker, request, token);
            foreach (AlterConfigsResourceResponse result in response.Responses)
            {
                var resource = new ConfigResource((ConfigResourceType)result.ResourceType, result.ResourceName);
                Conclude(round, resource, result.ErrorCode, result.ErrorMessage, broker, ApiKey.IncrementalAlterConfigs);
            }
        }
    }

    /// <summary>Has the controller elect leaders anew.</summary>
    /// <param name="type">Who may become leader.</param>
    /// <param name="partitions">The partitions; null: all. Of all, those that need no election are left out of the answer.</param>
    /// <param name="cancellationToken">Ends the wait; leaders may still be elected.</param>
    /// <returns>What became of each partition.</returns>
    /// <exception cref="KafkaException">All partitions were meant, and the controller refuses or does not answer in time.</exception>
    public async Task<IReadOnlyDictionary<TopicPartition, AdminResult<ElectionOutcome>>> ElectLeadersAsync(
        ElectionType type, IReadOnlyCollection<TopicPartition>? partitions = null, CancellationToken cancellationToken = default)
    {
        if (partitions is not null)
        {
            return await _calls.EachAsync<TopicPartition, ElectionOutcome>(
                ApiKey.ElectLeaders, partitions, (round, token) => ElectAsync(round, type, isForAll: false, token), cancellationToken);
        }

        return await _calls.OneAsync(
            ApiKey.ElectLeaders,
            async token =>
            {
                var round = new AdminRound<TopicPartition, ElectionOutcome>(ApiKey.ElectLeaders, [], AdminRound<TopicPartition, ElectionOutcome>.UnknownTopicRounds);
                await ElectAsync(round, type, isForAll: true, token);
                return round.Retriable.Count == 0 ? round.Finished : throw round.Retriable.Values.First();
            },
            cancellationToken);
    }

    /// <summary>Moves partitions to other brokers, or calls moves off (KIP-455). Returns when the moves have begun, not when they are over.</summary>
    /// <param name="assignments">The brokers that each partition is to have, the preferred leader first; null calls off the move under way.</param>
    /// <param name="allowReplicationFactorChange">
    /// False: refuse to give a partition more or fewer replicas than it has (KIP-860). Needs Kafka 4.1.
    /// </param>
    /// <param name="cancellationToken">Ends the wait; the moves may still begin.</param>
    public Task<IReadOnlyDictionary<TopicPartition, AdminResult>> AlterPartitionReassignmentsAsync(
        IReadOnlyDictionary<TopicPartition, IReadOnlyList<int>?> assignments,
        bool allowReplicationFactorChange = true,
        CancellationToken cancellationToken = default)
    {
        const short firstVersionThatRefuses = 1;
        ArgumentNullException.ThrowIfNull(assignments);
        return _calls.EachDoneAsync<TopicPartition>(
            ApiKey.AlterPartitionReassignments,
            assignments.Keys,
            async (round, token) =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                var request = new AlterPartitionReassignmentsRequest
                {
                    TimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
                    AllowReplicationFactorChange = allowReplicationFactorChange,
                    Topics = ByTopic(round.Open, static partition => partition, (topic, items) => new ReassignableTopic
                    {
                        Name = topic,
                        Partitions =
                        [
                            .. items.Select(item => new ReassignablePartition
                            {
                                Index = item.Partition, Replicas = assignments[item] is { } brokerIds ? [.. brokerIds] : null,
                            }),
                        ],
                    }),
                };
                AlterPartitionReassignmentsResponse response =
                    await _calls.SendAsync<AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse>(
                        controller, request, token, allowReplicationFactorChange ? (short)0 : firstVersionThatRefuses);
                ThrowOn(response.ErrorCode, response.ErrorMessage, controller, ApiKey.AlterPartitionReassignments);
                foreach (ReassignableTopicResponse topic in response.Responses)
                {
                    foreach (ReassignablePartitionResponse partition in topic.Partitions)
                    {
                        Conclude(
                            round,
                            new TopicPartition(topic.Name, partition.Index),
                            partition.ErrorCode,
                            partition.ErrorMessage,
                            controller,
                            ApiKey.AlterPartitionReassignments);
                    }
                }
            },
            cancellationToken);
    }

    /// <summary>Lists the partitions that are on their way to other brokers.</summary>
    /// <param name="partitions">The partitions to look at; null: all.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">The controller does not answer in time, or refuses.</exception>
    public Task<IReadOnlyDictionary<TopicPartition, PartitionReassignment>> ListPartitionReassignmentsAsync(
        IReadOnlyCollection<TopicPartition>? partitions = null, CancellationToken cancellationToken = default) =>
        _calls.OneAsync<IReadOnlyDictionary<TopicPartition, PartitionReassignment>>(
            ApiKey.ListPartitionReassignments,
            async token =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                var request = new ListPartitionReassignmentsRequest
                {
                    TimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
                    Topics = partitions is null ? null : ByTopic(partitions, static partition => partition, (topic, items) => new ListPartitionReassignmentsTopics
                    {
                        Name = topic, PartitionIndexes = [.. items.Select(item => item.Partition)],
                    }),
                };
                ListPartitionReassignmentsResponse response =
                    await _calls.SendAsync<ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse>(controller, request, token);
                ThrowOn(response.ErrorCode, response.ErrorMessage, controller, ApiKey.ListPartitionReassignments);
                return response.Topics.SelectMany(topic => topic.Partitions.Select(partition => (Name: new TopicPartition(topic.Name, partition.Index), partition)))
                    .ToDictionary(
                        item => item.Name,
                        item => new PartitionReassignment(item.partition.Replicas, item.partition.AddingReplicas, item.partition.RemovingReplicas));
            },
            cancellationToken);

    /// <summary>Describes the data directories of brokers and the sizes of the partitions in them.</summary>
    /// <param name="brokerIds">The brokers; null: all that are up.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">All brokers were meant, and none tells which there are.</exception>
    public async Task<IReadOnlyDictionary<int, AdminResult<IReadOnlyList<LogDirDescription>>>> DescribeLogDirsAsync(
        IReadOnlyCollection<int>? brokerIds = null, CancellationToken cancellationToken = default)
    {
        IReadOnlyCollection<int> asked = brokerIds ?? await _calls.BrokerIdsAsync(ApiKey.DescribeLogDirs, cancellationToken);
        return await _calls.EachAsync<int, IReadOnlyList<LogDirDescription>>(
            ApiKey.DescribeLogDirs,
            asked,
            (round, token) => _calls.AskBrokersAsync(
                round,
                async (broker, brokerToken) =>
                {
                    DescribeLogDirsResponse response = await _calls.SendAsync<DescribeLogDirsRequest, DescribeLogDirsResponse>(
                        broker, new DescribeLogDirsRequest { Topics = null }, brokerToken);
                    ThrowOn(response.ErrorCode, message: null, broker, ApiKey.DescribeLogDirs);
                    return (IReadOnlyList<LogDirDescription>)[.. response.Results.Select(directory => Describe(directory, broker))];
                },
                token),
            cancellationToken);
    }

    /// <summary>Moves copies of partitions to other data directories of their brokers (KIP-113). Returns when the moves have begun, not when they are over.</summary>
    /// <param name="directories">The absolute path, on its broker, that each copy is to lie in.</param>
    /// <param name="cancellationToken">Ends the wait; the moves may still begin.</param>
    public Task<IReadOnlyDictionary<TopicPartitionReplica, AdminResult>> AlterReplicaLogDirsAsync(
        IReadOnlyDictionary<TopicPartitionReplica, string> directories, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(directories);
        return _calls.EachDoneAsync<TopicPartitionReplica>(
            ApiKey.AlterReplicaLogDirs,
            directories.Keys,
            (round, token) => ByBrokerAsync(round, static replica => replica.BrokerId, _calls.AnyAsync, MoveAsync, token),
            cancellationToken);

        async Task MoveAsync(
            AdminRound<TopicPartitionReplica, bool> round, BrokerConnection broker, IReadOnlyList<TopicPartitionReplica> targets, CancellationToken token)
        {
            var request = new AlterReplicaLogDirsRequest
            {
                Dirs =
                [
                    .. targets.GroupBy(target => directories[target]).Select(directory => new AlterReplicaLogDir
                    {
                        Path = directory.Key,
                        Topics = ByTopic(directory, static target => target.TopicPartition, (topic, items) => new AlterReplicaLogDirTopic
                        {
                            Name = topic, Partitions = [.. items.Select(item => item.TopicPartition.Partition)],
                        }),
                    }),
                ],
            };
            AlterReplicaLogDirsResponse response = await _calls.SendAsync<AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse>(broker, request, token);
            foreach (AlterReplicaLogDirTopicResult topic in response.Results)
            {
                foreach (AlterReplicaLogDirPartitionResult partition in topic.Partitions)
                {
                    var replica = new TopicPartitionReplica(new TopicPartition(topic.TopicName, partition.Index), targets[0].BrokerId);
                    Conclude(round, replica, partition.ErrorCode, message: null, broker, ApiKey.AlterReplicaLogDirs);
                }
            }
        }
    }

    private async Task ElectAsync(AdminRound<TopicPartition, ElectionOutcome> round, ElectionType type, bool isForAll, CancellationToken cancellationToken)
    {
        const short firstVersionWithTypes = 1;
        BrokerConnection controller = await _calls.ControllerAsync(cancellationToken);
        var request = new ElectLeadersRequest
        {
            ElectionType = (sbyte)type,
            TimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
            TopicPartitions = isForAll ? null : ByTopic(round.Open, static partition => partition, (topic, items) => new TopicPartitionNumbers
            {
                Topic = topic, Partitions = [.. items.Select(item => item.Partition)],
            }),
        };
        ElectLeadersResponse response = await _calls.SendAsync<ElectLeadersRequest, ElectLeadersResponse>(
            controller, request, cancellationToken, type == ElectionType.Preferred ? (short)0 : firstVersionWithTypes);
        ThrowOn(response.ErrorCode, message: null, controller, ApiKey.ElectLeaders);
        foreach (ReplicaElectionResult topic in response.ReplicaElectionResults)
        {
            foreach (PartitionElectionResult partition in topic.Partitions)
            {
                var name = new TopicPartition(topic.Topic, partition.Index);
                if (partition.ErrorCode == ErrorCode.ElectionNotNeeded)
                {
                    round.Succeed(name, ElectionOutcome.NotNeeded);
                }
                else if (!round.FailOn(partition.ErrorCode, name, partition.ErrorMessage, controller, ApiKey.ElectLeaders))
                {
                    round.Succeed(name, ElectionOutcome.Elected);
                }
            }
        }
    }

    /// <summary>Asks the broker that answers for each item, or the one that <paramref name="otherwise"/> gives, all side by side.</summary>
    private async Task ByBrokerAsync<TKey, TValue>(
        AdminRound<TKey, TValue> round,
        Func<TKey, int?> brokerOf,
        Func<CancellationToken, Task<BrokerConnection>> otherwise,
        Func<AdminRound<TKey, TValue>, BrokerConnection, IReadOnlyList<TKey>, CancellationToken, Task> ask,
        CancellationToken cancellationToken)
        where TKey : notnull =>
        await Task.WhenAll(round.Open.GroupBy(brokerOf).Select(async group =>
        {
            try
            {
                BrokerConnection broker = group.Key is { } brokerId
                    ? await _calls.BrokerAsync(brokerId, cancellationToken)
                    : await otherwise(cancellationToken);
                await ask(round, broker, [.. group], cancellationToken);
                round.FailLeftOut(group, broker.Address);
            }
            catch (KafkaException failure) when (failure is not KafkaClosedException)
            {
                round.FailRest(group, failure);
            }
        }));

    private static ConfigEntry Describe(DescribeConfigsResourceResult entry) =>
        new(entry.Name, entry.Value, (ConfigSource)Math.Max(entry.ConfigSource, (sbyte)0), entry.ReadOnly, entry.IsSensitive)
        {
            Synonyms = [.. entry.Synonyms.Select(synonym => new ConfigSynonym(synonym.Name, synonym.Value, (ConfigSource)synonym.Source))],
            Documentation = string.IsNullOrEmpty(entry.Documentation) ? null : entry.Documentation,
        };

    private static LogDirDescription Describe(DescribeLogDirsResult directory, BrokerConnection broker)
    {
        var replicas = new Dictionary<TopicPartition, LogDirReplica>();
        foreach (DescribeLogDirsTopic topic in directory.Topics)
        {
            foreach (DescribeLogDirsPartition partition in topic.Partitions)
            {
                replicas[new TopicPartition(topic.Name, partition.Index)] = new LogDirReplica(partition.PartitionSize, partition.OffsetLag, partition.IsFutureKey);
            }
        }

        return new LogDirDescription(
            directory.LogDir,
            directory.ErrorCode == ErrorCode.None ? null : AdminErrors.Of(directory.ErrorCode, $"{broker.Address} cannot use {directory.LogDir}", message: null),
            directory.TotalBytes >= 0 ? directory.TotalBytes : null,
            directory.UsableBytes >= 0 ? directory.UsableBytes : null,
            replicas);
    }
}
