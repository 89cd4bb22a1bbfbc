using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Cli.Doctor;

/// <summary>Asks a cluster for everything that the rules look at. Changes nothing. What is refused becomes a gap, and the rest is read all the same.</summary>
internal sealed class ClusterReader(KafkaAdmin admin, TimeProvider time)
{
    /// <summary>Answers for so many at once stay well below what a client takes in one frame.</summary>
    private const int ChunkSize = 200;

    private const string ConsumerProtocol = "consumer";
    private const string OffsetsTopic = "__consumer_offsets";

    private readonly List<string> _gaps = [];

    /// <exception cref="KafkaException">The cluster does not answer at all.</exception>
    public async Task<ClusterSnapshot> ReadAsync(CancellationToken cancellationToken)
    {
        ClusterMetadata metadata = await admin.DescribeAsync(topics: null, cancellationToken);
        Dictionary<ConfigResource, IReadOnlyDictionary<string, string>> settings = await ReadSettingsAsync(metadata, cancellationToken);
        IReadOnlyDictionary<int, IReadOnlyList<LogDirDescription>> directories = await ReadDirectoriesAsync(cancellationToken);
        List<GroupSnapshot> groups = await ReadGroupsAsync(cancellationToken);
        TopicSnapshot[] topics =
        [
            .. metadata.Topics.Where(topic => topic.ErrorCode == Millrace.Kafka.Protocol.ErrorCode.None).Select(topic => new TopicSnapshot(
                topic.Name,
                topic.IsInternal || topic.Name == OffsetsTopic,
                [.. topic.Partitions.Select(partition => new PartitionSnapshot(partition.Partition, partition.LeaderId, partition.Replicas, partition.InSyncReplicas))],
                settings.GetValueOrDefault(ConfigResource.Topic(topic.Name)))),
        ];
        IReadOnlyList<TopicSnapshot> read = await ReadPartitionsAsync(topics, groups, cancellationToken);
        return new ClusterSnapshot
        {
            // Behind the partitions, since theirs are the times that it is compared with: what is being written is newer than the beginning.
            TakenAt = time.GetUtcNow(),
            ClusterId = metadata.ClusterId,
            Brokers =
            [
                .. metadata.Brokers.Select(broker => new BrokerSnapshot(
                    broker.Id, broker.Address.Host, broker.Rack, settings.GetValueOrDefault(ConfigResource.Broker(broker.Id)), directories.GetValueOrDefault(broker.Id))),
            ],
            FencedBrokerIds = await ReadFencedAsync(cancellationToken),
            Topics = read,
            Groups = groups,
            Reassignments = await ReadReassignmentsAsync(cancellationToken),
            Gaps = _gaps,
        };
    }

    private async Task<Dictionary<ConfigResource, IReadOnlyDictionary<string, string>>> ReadSettingsAsync(ClusterMetadata metadata, CancellationToken cancellationToken)
    {
        var settings = new Dictionary<ConfigResource, IReadOnlyDictionary<string, string>>();
        ConfigResource[] resources =
            [.. metadata.Brokers.Select(broker => ConfigResource.Broker(broker.Id)), .. metadata.Topics.Select(topic => ConfigResource.Topic(topic.Name))];
        foreach (ConfigResource[] chunk in resources.Chunk(ChunkSize))
        {
            foreach ((ConfigResource resource, AdminResult<IReadOnlyDictionary<string, ConfigEntry>> result) in await admin.DescribeConfigsAsync(chunk, cancellationToken: cancellationToken))
            {
                if (Has(result, $"The settings of {resource}"))
                {
                    settings[resource] = result.Value.Values.Where(entry => entry.Value is not null).ToDictionary(entry => entry.Name, entry => entry.Value!);
                }
            }
        }

        return settings;
    }

    private async Task<IReadOnlyDictionary<int, IReadOnlyList<LogDirDescription>>> ReadDirectoriesAsync(CancellationToken cancellationToken)
    {
        IReadOnlyDictionary<int, AdminResult<IReadOnlyList<LogDirDescription>>> answers = await admin.DescribeLogDirsAsync(cancellationToken: cancellationToken);
        return answers.Where(answer => Has(answer.Value, $"The disks of broker {answer.Key}")).ToDictionary(answer => answer.Key, answer => answer.Value.Value);
    }

    private async Task<IReadOnlyList<int>> ReadFencedAsync(CancellationToken cancellationToken)
    {
        try
        {
            return [.. (await admin.DescribeClusterAsync(includeFencedBrokers: true, cancellationToken)).FencedBrokers.Select(broker => broker.Id)];
        }
        catch (KafkaVersionException)
        {
            // Before Kafka 4.0 nobody lists them; a broker that is down shows in what it does not replicate.
            return [];
        }
        catch (KafkaException failure)
        {
            _gaps.Add($"Which brokers are fenced could not be read. {failure.Message}");
            return [];
        }
    }

    private async Task<IReadOnlyList<TopicPartition>> ReadReassignmentsAsync(CancellationToken cancellationToken)
    {
        try
        {
            return [.. (await admin.ListPartitionReassignmentsAsync(cancellationToken: cancellationToken)).Keys];
        }
        catch (KafkaException failure)
        {
            _gaps.Add($"What is on the move could not be read. {failure.Message}");
            return [];
        }
    }

    private async Task<List<GroupSnapshot>> ReadGroupsAsync(CancellationToken cancellationToken)
    {
        ClusterListing<GroupListing> listing = await admin.ListGroupsAsync(cancellationToken: cancellationToken);
        foreach ((int brokerId, KafkaException failure) in listing.Failures)
        {
            _gaps.Add($"The groups that broker {brokerId} coordinates could not be read. {failure.Message}");
        }

        var groups = new List<GroupSnapshot>();
        string[] groupIds = [.. listing.Items.Where(group => group.ProtocolType is ConsumerProtocol or "").Select(group => group.GroupId)];
        foreach (string[] chunk in groupIds.Chunk(ChunkSize))
        {
            IReadOnlyDictionary<string, AdminResult<GroupDescription>> described = await admin.DescribeGroupsAsync(chunk, cancellationToken);
            IReadOnlyDictionary<string, AdminResult<GroupOffsets>> offsets = await admin.ListGroupOffsetsAsync(chunk, cancellationToken: cancellationToken);
            foreach (string groupId in chunk)
            {
                if (Has(described[groupId], $"Group {groupId}") && Has(offsets[groupId], $"The offsets of group {groupId}"))
                {
                    GroupDescription group = described[groupId].Value;
                    groups.Add(new GroupSnapshot(
                        groupId, group.State, group.Members, offsets[groupId].Value.Offsets.ToDictionary(pair => pair.Key, pair => pair.Value.Offset.Value)));
                }
            }
        }

        return groups;
    }

    private async Task<IReadOnlyList<TopicSnapshot>> ReadPartitionsAsync(
        TopicSnapshot[] topics, List<GroupSnapshot> groups, CancellationToken cancellationToken)
    {
        DateTimeOffset now = time.GetUtcNow();
        TopicPartition[] users =
        [
            .. topics.Where(topic => !topic.IsInternal)
                .SelectMany(topic => topic.Partitions.Where(partition => !partition.IsOffline).Select(partition => new TopicPartition(topic.Name, partition.Partition))),
        ];
        TopicPartition[] committed = [.. groups.SelectMany(group => group.Commits.Keys).Distinct().Intersect(users)];
        Dictionary<TopicPartition, ListedOffset> starts = await ListAsync(committed.ToDictionary(partition => partition, _ => OffsetSpec.Earliest), "Where logs begin", cancellationToken);
        Dictionary<TopicPartition, ListedOffset> ends = await ListAsync(committed.ToDictionary(partition => partition, _ => OffsetSpec.Latest), "Where logs end", cancellationToken);
        var retention = topics.Where(topic => topic is { IsDeletedFrom: true } && topic.Number("retention.ms") > 0)
            .ToDictionary(topic => topic.Name, topic => TimeSpan.FromMilliseconds(Math.Min(topic.Number("retention.ms")!.Value, TimeSpan.FromDays(36_500).TotalMilliseconds)));
        Dictionary<TopicPartition, ListedOffset> aged = await ListAsync(
            committed.Where(partition => retention.ContainsKey(partition.Topic) && now - retention[partition.Topic] > DateTimeOffset.UnixEpoch)
                .ToDictionary(partition => partition, partition => OffsetSpec.AtTime(now - (retention[partition.Topic] * RetentionRules.AgedShare))),
            "How old records are",
            cancellationToken);
        Dictionary<TopicPartition, ListedOffset> newest = await ListAsync(users.ToDictionary(partition => partition, _ => OffsetSpec.MaxTimestamp), "The newest records", cancellationToken);
        Dictionary<TopicPartition, int> producers = await CountProducersAsync(users, cancellationToken);
        return
        [
            .. topics.Select(topic => topic with
            {
                Partitions =
                [
                    .. topic.Partitions.Select(partition =>
                    {
                        var name = new TopicPartition(topic.Name, partition.Partition);
                        (long Start, long End)? offsets = starts.GetValueOrDefault(name)?.Offset is { } start && ends.GetValueOrDefault(name)?.Offset is { } end
                            ? (start.Value, end.Value)
                            : null;
                        return partition with
                        {
                            Offsets = offsets,
                            AgedBefore = aged.TryGetValue(name, out ListedOffset? young) ? young.Offset?.Value ?? offsets?.End : null,
                            NewestRecord = newest.GetValueOrDefault(name)?.Timestamp,
                            KnownProducerCount = producers.TryGetValue(name, out int count) ? count : null,
                        };
                    }),
                ],
            }),
        ];
    }

    private async Task<Dictionary<TopicPartition, ListedOffset>> ListAsync(
        Dictionary<TopicPartition, OffsetSpec> specs, string what, CancellationToken cancellationToken)
    {
        IReadOnlyDictionary<TopicPartition, AdminResult<ListedOffset>> found = await admin.ListOffsetsAsync(specs, cancellationToken: cancellationToken);
        Explain(found.Values, what);
        return found.Where(pair => pair.Value.IsSuccess).ToDictionary(pair => pair.Key, pair => pair.Value.Value);
    }

    private async Task<Dictionary<TopicPartition, int>> CountProducersAsync(TopicPartition[] partitions, CancellationToken cancellationToken)
    {
        IReadOnlyDictionary<TopicPartition, AdminResult<IReadOnlyList<ActiveProducer>>> described = await admin.DescribeProducersAsync(partitions, cancellationToken);
        Explain(described.Values, "Who writes");
        return described.Where(pair => pair.Value.IsSuccess).ToDictionary(pair => pair.Key, pair => pair.Value.Value.Count);
    }

    /// <summary>One gap for all partitions that failed: they mostly fail for one reason.</summary>
    private void Explain(IEnumerable<AdminResult> results, string what)
    {
        KafkaException[] failures = [.. results.Select(result => result.Failure).OfType<KafkaException>()];
        if (failures.Length > 0)
        {
            _gaps.Add($"{what} could not be read for {Text.Counted(failures.Length, "partition")}. {failures[0].Message}");
        }
    }

    private bool Has(AdminResult result, string what)
    {
        if (result.Failure is { } failure)
        {
            _gaps.Add($"{what} could not be read. {failure.Message}");
        }

        return result.IsSuccess;
    }
}
