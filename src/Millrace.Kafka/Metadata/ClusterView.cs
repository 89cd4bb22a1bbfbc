using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What is known of the cluster; never changes, but is replaced.</summary>
internal sealed record ClusterView(
    int ControllerId,
    IReadOnlyDictionary<int, BrokerDescription> Brokers,
    IReadOnlyDictionary<string, TopicDescription> Topics)
{
    /// <summary>The first version of Metadata whose leader epochs can be relied on; before Kafka 2.4 a broker may name an old one while replicas are moved.</summary>
    private const short FirstReliableEpochs = 9;

    /// <summary>
    /// Answers in a row with an older epoch after which it is believed, for a topic without an id (before Kafka 2.8): it was deleted and created anew. And answers in a row with
    /// the id of a topic that was replaced. One broker may lag behind, but brokers are asked in random order.
    /// </summary>
    private const int MaxOlderAnswers = 10;

    /// <summary>Ids that are remembered of a topic that was replaced again and again.</summary>
    private const int MaxFormerIds = 8;

    public static readonly ClusterView Empty = new(-1, new Dictionary<int, BrokerDescription>(), new Dictionary<string, TopicDescription>());

    /// <summary>The cluster's id, or null where no broker has named it.</summary>
    public string? ClusterId { get; init; }

    /// <summary>Where topics are noted that are not in the picture and whose leaders are looked for; null where nobody wants to know.</summary>
    public MissedTopics? Missed { get; init; }

    /// <summary>The ids that topics have, and had before.</summary>
    private IReadOnlyDictionary<string, TopicIds> Ids { get; init; } = new Dictionary<string, TopicIds>();

    /// <summary>How often in a row a partition was described with an older epoch than the one that is kept.</summary>
    private IReadOnlyDictionary<TopicPartition, int> OlderAnswers { get; init; } = new Dictionary<TopicPartition, int>();

    public bool TryGetPartition(TopicPartition partition, [NotNullWhen(true)] out PartitionDescription? description)
    {
        description = null;
        if (!Topics.TryGetValue(partition.Topic, out TopicDescription? topic))
        {
            Missed?.Add(partition.Topic);
            return false;
        }

        topic.Use?.Mark();

        // Numbered from 0 without gaps by every broker, but only the broker vouches for that.
        description = partition.Partition >= 0 && partition.Partition < topic.Partitions.Count
            && topic.Partitions[partition.Partition].Partition == partition.Partition
            ? topic.Partitions[partition.Partition]
            : topic.Partitions.FirstOrDefault(candidate => candidate.Partition == partition.Partition);
        return description is not null;
    }

    public bool TryGetLeader(TopicPartition partition, [NotNullWhen(true)] out BrokerDescription? leader, out int leaderEpoch)
    {
        leader = null;
        leaderEpoch = -1;
        if (!TryGetPartition(partition, out PartitionDescription? description))
        {
            return false;
        }

        leaderEpoch = description.LeaderEpoch;
        return Brokers.TryGetValue(description.LeaderId, out leader);
    }

    /// <summary>Why a partition cannot be asked for: it has no leader, or nobody knows of it.</summary>
    public KafkaBrokerException NoLeader(TopicPartition partition)
    {
        if (!Topics.TryGetValue(partition.Topic, out TopicDescription? topic))
        {
            return new($"Nothing is known of topic '{partition.Topic}' yet.", ErrorCode.LeaderNotAvailable);
        }

        if (topic.Partitions.Count == 0 && topic.ErrorCode != ErrorCode.None)
        {
            return new($"Topic '{partition.Topic}' cannot be used. {KafkaErrors.Describe(topic.ErrorCode)}", topic.ErrorCode);
        }

        return topic.Partitions.Count == 0 || topic.Partitions.Any(there => there.Partition == partition.Partition)
            ? new($"{partition} has no leader at the moment.", ErrorCode.LeaderNotAvailable)
            : new($"There is no partition {partition}: the topic has {topic.Partitions.Count}, counted from 0.", ErrorCode.UnknownTopicOrPartition);
    }

    /// <summary>
    /// Takes over an answer. Topics that were not asked for keep what is known of them, and a leader never goes back to an older epoch:
    /// a broker that lags behind may answer (KIP-320). A topic with another id, or of another cluster, is another topic; one that was replaced does not come back.
    /// </summary>
    /// <param name="response">The answer.</param>
    /// <param name="version">The version of Metadata that it came in.</param>
    public ClusterView Merge(MetadataResponse response, short version = FirstReliableEpochs)
    {
        if (ClusterId is not null && response.ClusterId is not null && ClusterId != response.ClusterId)
        {
            return (Empty with { Missed = Missed }).Merge(response, version);
        }

        var topics = new Dictionary<string, TopicDescription>(Topics);
        var olderAnswers = new Dictionary<TopicPartition, int>(OlderAnswers);
        var ids = new Dictionary<string, TopicIds>(Ids);
        foreach (MetadataTopic topic in response.Topics)
        {
            if (topic.Name is null)
            {
                continue;
            }

            TopicDescription described = Describe(topic);
            if (version < FirstReliableEpochs)
            {
                described = WithoutEpochs(described);
            }

            if (!IsOfNow(described, ids))
            {
                continue;
            }

            if (topics.TryGetValue(topic.Name, out TopicDescription? known) && known.TopicId == described.TopicId)
            {
                described = KeepNewerLeaders(described, known, olderAnswers);
            }

            topics[topic.Name] = described with { Use = known?.Use ?? new TopicUse() };
        }

        return new ClusterView(response.ControllerId, response.Brokers.Select(Describe).ToDictionary(broker => broker.Id), topics)
        {
            ClusterId = response.ClusterId ?? ClusterId,
            OlderAnswers = olderAnswers,
            Missed = Missed,
            Ids = ids,
        };
    }

    /// <summary>Takes over what a broker that is asked for the wrong partition says of its leader (KIP-951); null if it says nothing new.</summary>
    public ClusterView? WithLeader(TopicPartition partition, LeaderIdAndEpoch leader, IReadOnlyCollection<NodeEndpoint> endpoints)
    {
        if (!TryGetPartition(partition, out PartitionDescription? known) || leader.LeaderEpoch <= known.LeaderEpoch || leader.LeaderId < 0)
        {
            return null;
        }

        var brokers = new Dictionary<int, BrokerDescription>(Brokers);
        foreach (NodeEndpoint endpoint in endpoints)
        {
            brokers[endpoint.NodeId] = new BrokerDescription(endpoint.NodeId, new BrokerAddress(endpoint.Host, endpoint.Port), endpoint.Rack);
        }

        if (!brokers.ContainsKey(leader.LeaderId))
        {
            return null;
        }

        TopicDescription topic = Topics[partition.Topic];
        PartitionDescription changed = known with { LeaderId = leader.LeaderId, LeaderEpoch = leader.LeaderEpoch };
        return this with
        {
            Brokers = brokers,
            Topics = new Dictionary<string, TopicDescription>(Topics)
            {
                [partition.Topic] = topic with { Partitions = [.. topic.Partitions.Select(each => each.Partition == changed.Partition ? changed : each)] },
            },
        };
    }

    /// <summary>What is left when the brokers that were known are given up: topics, and who leads them, but nobody to ask (KIP-1102).</summary>
    public ClusterView WithoutBrokers() => this with { ControllerId = -1, Brokers = Empty.Brokers };

    /// <summary>Without the topics that are not among these.</summary>
    public ClusterView Only(IReadOnlySet<string> topics) => this with
    {
        Topics = Topics.Where(topic => topics.Contains(topic.Key)).ToDictionary(topic => topic.Key, topic => topic.Value),
        Ids = Ids.Where(topic => topics.Contains(topic.Key)).ToDictionary(topic => topic.Key, topic => topic.Value),
        OlderAnswers = OlderAnswers.Where(answer => topics.Contains(answer.Key.Topic)).ToDictionary(answer => answer.Key, answer => answer.Value),
    };

    /// <summary>Whether both tell the same of topics and their leaders.</summary>
    public bool HasSameLeaders(ClusterView other) =>
        Brokers.Count == other.Brokers.Count
        && Topics.Count == other.Topics.Count
        && Brokers.All(broker => other.Brokers.TryGetValue(broker.Key, out BrokerDescription? same) && same.Address == broker.Value.Address)
        && Topics.Values.All(topic => other.Topics.TryGetValue(topic.Name, out TopicDescription? same)
            && same.TopicId == topic.TopicId
            && same.ErrorCode == topic.ErrorCode
            && same.Partitions.Select(Leader).SequenceEqual(topic.Partitions.Select(Leader)));

    public static BrokerDescription Describe(MetadataBroker broker) =>
        new(broker.NodeId, new BrokerAddress(broker.Host, broker.Port), broker.Rack);

    public static TopicDescription Describe(MetadataTopic topic) => new(
        topic.Name ?? "",
        topic.TopicId,
        topic.ErrorCode,
        topic.IsInternal,
        [
            .. topic.Partitions
                .OrderBy(partition => partition.Index)
                .Select(partition => new PartitionDescription(
                    partition.Index, partition.LeaderId, partition.LeaderEpoch, partition.Replicas, partition.InSyncReplicas)
                {
                    OfflineReplicas = partition.OfflineReplicas,
                }),
        ]);

    private static (int Partition, int LeaderId, int LeaderEpoch) Leader(PartitionDescription partition) =>
        (partition.Partition, partition.LeaderId, partition.LeaderEpoch);

    /// <summary>Whether an answer is of the topic as it is now, and not of one that was replaced by it. An answer without an id says nothing of that.</summary>
    private static bool IsOfNow(TopicDescription topic, Dictionary<string, TopicIds> ids)
    {
        if (topic.TopicId == Guid.Empty)
        {
            return true;
        }

        if (!ids.TryGetValue(topic.Name, out TopicIds? known))
        {
            ids[topic.Name] = new TopicIds(topic.TopicId, [], FormerAnswerCount: 0);
        }
        else if (known.Now == topic.TopicId)
        {
            ids[topic.Name] = known with { FormerAnswerCount = 0 };
        }
        else if (known.Former.Contains(topic.TopicId) && known.FormerAnswerCount < MaxOlderAnswers)
        {
            ids[topic.Name] = known with { FormerAnswerCount = known.FormerAnswerCount + 1 };
            return false;
        }
        else
        {
            ids[topic.Name] = new TopicIds(topic.TopicId, [.. known.Former.Where(id => id != topic.TopicId).TakeLast(MaxFormerIds - 1), known.Now], FormerAnswerCount: 0);
        }

        return true;
    }

    private static TopicDescription WithoutEpochs(TopicDescription topic) =>
        topic with { Partitions = [.. topic.Partitions.Select(partition => partition with { LeaderEpoch = -1 })] };

    private static TopicDescription KeepNewerLeaders(TopicDescription fresh, TopicDescription known, Dictionary<TopicPartition, int> olderAnswers)
    {
        var old = known.Partitions.ToDictionary(partition => partition.Partition);
        return fresh with { Partitions = [.. fresh.Partitions.Select(Newer)] };

        PartitionDescription Newer(PartitionDescription partition)
        {
            var name = new TopicPartition(fresh.Name, partition.Partition);

            // Without an epoch nothing can be compared: a broker before Kafka 2.4, as while a cluster is upgraded or downgraded.
            bool isOlder = partition.LeaderEpoch >= 0 && old.TryGetValue(partition.Partition, out PartitionDescription? before)
                && before.LeaderEpoch > partition.LeaderEpoch;
            int count = isOlder ? olderAnswers.GetValueOrDefault(name) + 1 : 0;
            if (count == 0 || (fresh.TopicId == Guid.Empty && count > MaxOlderAnswers))
            {
                olderAnswers.Remove(name);
                return partition;
            }

            olderAnswers[name] = count;
            return old[partition.Partition];
        }
    }

    /// <summary>The ids of a topic.</summary>
    /// <param name="Now">The one that it has.</param>
    /// <param name="Former">Those that it had before, the oldest first.</param>
    /// <param name="FormerAnswerCount">How often in a row one of those was answered.</param>
    private sealed record TopicIds(Guid Now, Guid[] Former, int FormerAnswerCount);
}
