using Millrace.Kafka.Records;

namespace Millrace.Cli.Doctor;

/// <summary>Replicas: how many there are, how many are in sync, and who may lead. None of it is asked of a single node.</summary>
internal static class ReplicaRules
{
    private static readonly string[] s_internalTopics = ["__consumer_offsets", "__transaction_state"];

    public static IEnumerable<Finding> Offline(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (TopicSnapshot topic in cluster.Topics)
        {
            PartitionSnapshot[] offline = [.. topic.Partitions.Where(partition => partition.IsOffline)];
            if (offline.Length > 0)
            {
                yield return new Finding(
                    Severity.Error,
                    "offline-partitions",
                    topic.Name,
                    $"{Text.Counted(offline.Length, "partition")} of {topic.Name} {Text.Have(offline.Length)} no leader: {Text.Some(offline.Select(partition => partition.Partition).ToArray())} "
                    + $"(replicas on {Text.Brokers(offline.SelectMany(partition => partition.Replicas).Distinct().Order().ToArray())}).",
                    "They can neither be written nor read.",
                    "Start the brokers that hold them. Only where those are lost for good, and records may be lost with them: "
                    + remedies.Kafka("kafka-leader-election", $"--election-type unclean --topic {topic.Name} --partition {offline[0].Partition}"));
            }
        }
    }

    public static IEnumerable<Finding> UnderMinimum(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (TopicSnapshot topic in cluster.Topics)
        {
            long minimum = topic.Number("min.insync.replicas") ?? 1;
            PartitionSnapshot[] below = [.. topic.Partitions.Where(partition => !partition.IsOffline && partition.InSyncReplicas.Count < minimum)];
            if (below.Length > 0)
            {
                yield return new Finding(
                    Severity.Error,
                    "under-min-isr",
                    topic.Name,
                    $"{Text.Counted(below.Length, "partition")} of {topic.Name} {Text.Have(below.Length)} fewer replicas in sync than min.insync.replicas={minimum}: "
                    + $"{Text.Some(below.Select(partition => partition.Partition).ToArray())}.",
                    "Producers with acks=all are refused (NOT_ENOUGH_REPLICAS) until a replica has caught up.",
                    MissingReplicas(below, remedies, "under-min-isr-partitions"));
            }
        }
    }

    public static IEnumerable<Finding> UnderReplicated(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (TopicSnapshot topic in cluster.Topics)
        {
            PartitionSnapshot[] behind = [.. topic.Partitions.Where(partition => !partition.IsOffline && partition.InSyncReplicas.Count < partition.Replicas.Count)];
            if (behind.Length > 0)
            {
                yield return new Finding(
                    Severity.Warning,
                    "under-replicated",
                    topic.Name,
                    $"{Text.Counted(behind.Length, "partition")} of {topic.Name} {Text.Have(behind.Length)} a replica that is not in sync: {Text.Some(behind.Select(partition => partition.Partition).ToArray())}.",
                    "There are fewer copies than the topic asks for; the next failure may stop writes or lose records.",
                    MissingReplicas(behind, remedies, "under-replicated-partitions"));
            }
        }
    }

    public static IEnumerable<Finding> ReplicationFactor(ClusterSnapshot cluster, RemedyContext remedies)
    {
        if (cluster.IsSingleNode)
        {
            yield break;
        }

        foreach (TopicSnapshot topic in cluster.UserTopics.Where(topic => topic.ReplicationFactor < DoctorRules.WantedReplicas))
        {
            yield return new Finding(
                topic.ReplicationFactor <= 1 ? Severity.Error : Severity.Warning,
                "replication-factor",
                topic.Name,
                $"{topic.Name} has a partition with {Text.Counted(topic.ReplicationFactor, "replica")}.",
                topic.ReplicationFactor <= 1
                    ? "When that broker is down the partition is, and when its disk is lost the records are."
                    : "While one broker is down for maintenance, the failure of the other stops the partition or loses records.",
                remedies.Reassign());
        }
    }

    public static IEnumerable<Finding> MinInSyncReplicas(ClusterSnapshot cluster, RemedyContext remedies)
    {
        if (cluster.IsSingleNode)
        {
            yield break;
        }

        foreach (TopicSnapshot topic in cluster.UserTopics)
        {
            if (topic.Number("min.insync.replicas") is not { } minimum)
            {
                continue;
            }

            if (minimum < DoctorRules.WantedInSyncReplicas)
            {
                string remedy = remedies.SetTopic(topic.Name, $"min.insync.replicas={DoctorRules.WantedInSyncReplicas}");
                yield return new Finding(
                    Severity.Error,
                    "min-insync-replicas",
                    topic.Name,
                    $"min.insync.replicas of {topic.Name} is {minimum}.",
                    "When the other replicas have fallen behind, acks=all acknowledges a record that only the leader has: its failure then loses the record.",
                    topic.ReplicationFactor >= DoctorRules.WantedReplicas ? remedy : $"First three replicas ({remedies.Reassign()}), then {remedy}");
            }
            else if (topic.ReplicationFactor > 0 && minimum >= topic.ReplicationFactor)
            {
                yield return new Finding(
                    Severity.Warning,
                    "min-insync-replicas",
                    topic.Name,
                    $"min.insync.replicas of {topic.Name} is {minimum}, and it has {Text.Counted(topic.ReplicationFactor, "replica")}.",
                    "A single broker that is restarted stops every write with acks=all.",
                    topic.ReplicationFactor >= DoctorRules.WantedReplicas
                        ? remedies.SetTopic(topic.Name, $"min.insync.replicas={topic.ReplicationFactor - 1}")
                        : remedies.Reassign());
            }
        }
    }

    public static IEnumerable<Finding> UncleanElection(ClusterSnapshot cluster, RemedyContext remedies)
    {
        if (cluster.IsSingleNode)
        {
            yield break;
        }

        foreach (TopicSnapshot topic in cluster.Topics.Where(topic => topic.Setting("unclean.leader.election.enable") == "true"))
        {
            yield return new Finding(
                Severity.Error,
                "unclean-leader-election",
                topic.Name,
                $"unclean.leader.election.enable of {topic.Name} is true.",
                "When no replica in sync is left, one that lacks acknowledged records becomes leader, and they are gone without an error anywhere.",
                remedies.SetTopic(topic.Name, "unclean.leader.election.enable=false"));
        }
    }

    public static IEnumerable<Finding> InternalTopics(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (TopicSnapshot topic in cluster.Topics.Where(topic => s_internalTopics.Contains(topic.Name)))
        {
            if (!cluster.IsSingleNode && topic.ReplicationFactor < DoctorRules.WantedReplicas)
            {
                yield return new Finding(
                    Severity.Error,
                    "internal-topics",
                    topic.Name,
                    $"{topic.Name} has a partition with {Text.Counted(topic.ReplicationFactor, "replica")}.",
                    topic.Name == s_internalTopics[0]
                        ? "When that broker is lost, groups lose their positions: they read again from the start, or skip to the end."
                        : "When that broker is lost, transactions hang and their producers cannot go on.",
                    remedies.Reassign());
            }

            if (topic.Setting("cleanup.policy") is { } policy && !policy.Contains("compact", StringComparison.Ordinal))
            {
                yield return new Finding(
                    Severity.Error,
                    "internal-topics",
                    topic.Name,
                    $"cleanup.policy of {topic.Name} is {policy}.",
                    "It holds the last word of each key: when old segments are deleted, committed positions and open transactions are forgotten.",
                    remedies.SetTopic(topic.Name, "cleanup.policy=compact"));
            }
        }

        (string Topic, string Setting)[] atCreation =
            [("__consumer_offsets", "offsets.topic.replication.factor"), ("__transaction_state", "transaction.state.log.replication.factor")];
        foreach ((string name, string setting) in atCreation.Where(item => !cluster.IsSingleNode && cluster.Topic(item.Topic) is null))
        {
            int[] lower = [.. cluster.Brokers.Where(broker => int.TryParse(broker.Setting(setting), out int value) && value < DoctorRules.WantedReplicas).Select(broker => broker.Id)];
            if (lower.Length > 0)
            {
                yield return new Finding(
                    Severity.Warning,
                    "internal-topics",
                    name,
                    $"{setting} is below {DoctorRules.WantedReplicas} on {Text.Brokers(lower)}, and {name} is not made yet.",
                    "The topic will be made with so few replicas at its first use, and keeps them.",
                    $"Set {setting}={DoctorRules.WantedReplicas} in server.properties of each broker and restart them, before the first group or transaction.");
            }
        }
    }

    private static string MissingReplicas(IEnumerable<PartitionSnapshot> partitions, RemedyContext remedies, string option)
    {
        int[] missing = [.. partitions.SelectMany(partition => partition.Replicas.Except(partition.InSyncReplicas)).Distinct().Order()];
        return $"See that {Text.Brokers(missing)} {(missing.Length == 1 ? "is" : "are")} up and can follow (disk, network, log of the broker); "
            + $"watch it with {remedies.Kafka("kafka-topics", $"--describe --{option}")}";
    }

    /// <summary>Where the replicas of a partition are to be: those that it has, and the least loaded brokers of other racks beside them.</summary>
    public static Dictionary<TopicPartition, IReadOnlyList<int>> MoreReplicas(ClusterSnapshot cluster)
    {
        var plan = new Dictionary<TopicPartition, IReadOnlyList<int>>();
        int wanted = Math.Min(DoctorRules.WantedReplicas, cluster.Brokers.Count);
        var load = cluster.Brokers.ToDictionary(broker => broker.Id, broker => cluster.Topics.Sum(topic => topic.Partitions.Count(partition => partition.Replicas.Contains(broker.Id))));
        var racks = cluster.Brokers.ToDictionary(broker => broker.Id, broker => broker.Rack ?? "");
        foreach (TopicSnapshot topic in cluster.Topics)
        {
            foreach (PartitionSnapshot partition in topic.Partitions.Where(partition => partition.Replicas.Count < wanted))
            {
                List<int> replicas = [.. partition.Replicas];
                while (replicas.Count < wanted)
                {
                    HashSet<string> usedRacks = [.. replicas.Select(id => racks.GetValueOrDefault(id, ""))];
                    int next = cluster.Brokers.Select(broker => broker.Id).Except(replicas)
                        .OrderBy(id => usedRacks.Contains(racks[id])).ThenBy(id => load[id]).ThenBy(id => id).First();
                    replicas.Add(next);
                    load[next]++;
                }

                plan[new TopicPartition(topic.Name, partition.Partition)] = replicas;
            }
        }

        return plan;
    }
}
