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
    public static readonly ClusterView Empty = new(-1, new Dictionary<int, BrokerDescription>(), new Dictionary<string, TopicDescription>());

    public bool TryGetPartition(TopicPartition partition, [NotNullWhen(true)] out PartitionDescription? description)
    {
        description = null;
        if (!Topics.TryGetValue(partition.Topic, out TopicDescription? topic))
        {
            return false;
        }

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

    /// <summary>
    /// Takes over an answer. Topics that were not asked for keep what is known of them, and a leader never goes back to an older epoch:
    /// a broker that lags behind may answer (KIP-320).
    /// </summary>
    public ClusterView Merge(MetadataResponse response)
    {
        var topics = new Dictionary<string, TopicDescription>(Topics);
        foreach (MetadataTopic topic in response.Topics)
        {
            if (topic.Name is null)
            {
                continue;
            }

            TopicDescription described = Describe(topic);
            if (topics.TryGetValue(topic.Name, out TopicDescription? known) && known.TopicId == described.TopicId)
            {
                described = KeepNewerLeaders(described, known);
            }

            topics[topic.Name] = described;
        }

        return new ClusterView(response.ControllerId, response.Brokers.Select(Describe).ToDictionary(broker => broker.Id), topics);
    }

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
                    partition.Index, partition.LeaderId, partition.LeaderEpoch, partition.Replicas, partition.InSyncReplicas)),
        ]);

    private static TopicDescription KeepNewerLeaders(TopicDescription fresh, TopicDescription known)
    {
        var old = known.Partitions.ToDictionary(partition => partition.Partition);
        return fresh with
        {
            Partitions =
            [
                .. fresh.Partitions.Select(partition =>
                    old.TryGetValue(partition.Partition, out PartitionDescription? before) && before.LeaderEpoch > partition.LeaderEpoch
                        ? before
                        : partition),
            ],
        };
    }
}
