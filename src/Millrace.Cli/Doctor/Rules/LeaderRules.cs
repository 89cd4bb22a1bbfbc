namespace Millrace.Cli.Doctor;

/// <summary>Who leads.</summary>
internal static class LeaderRules
{
    /// <summary>Kafka's leader.imbalance.per.broker.percentage: above it, the controller of a cluster with auto.leader.rebalance.enable moves leaders by itself.</summary>
    private const double AllowedImbalance = 0.10;

    /// <summary>A broker may lead so many times the average.</summary>
    private const double AllowedSkew = 1.5;

    /// <summary>Below so many partitions a broker, uneven numbers cannot be avoided.</summary>
    private const int MinPartitionsPerBroker = 4;

    public static IEnumerable<Finding> Preferred(ClusterSnapshot cluster, RemedyContext remedies)
    {
        PartitionSnapshot[] led = [.. cluster.Topics.SelectMany(topic => topic.Partitions).Where(partition => !partition.IsOffline)];
        int elsewhere = led.Count(partition => partition.Replicas.Count > 0 && partition.Replicas[0] != partition.LeaderId);
        if (led.Length > 0 && elsewhere > led.Length * AllowedImbalance)
        {
            yield return new Finding(
                Severity.Warning,
                "preferred-leaders",
                "cluster",
                $"{elsewhere} of {led.Length} partitions are not led by their preferred leader, the first of their replicas.",
                "After a restart the other brokers keep the work, and the one that came back has none.",
                remedies.Kafka("kafka-leader-election", "--election-type preferred --all-topic-partitions"));
        }
    }

    public static IEnumerable<Finding> Spread(ClusterSnapshot cluster, RemedyContext remedies)
    {
        int[] leaders = [.. cluster.UserTopics.SelectMany(topic => topic.Partitions).Where(partition => !partition.IsOffline).Select(partition => partition.LeaderId)];
        if (cluster.IsSingleNode || leaders.Length < cluster.Brokers.Count * MinPartitionsPerBroker)
        {
            yield break;
        }

        double average = (double)leaders.Length / cluster.Brokers.Count;
        foreach (BrokerSnapshot broker in cluster.Brokers)
        {
            int count = leaders.Count(leader => leader == broker.Id);
            if (count > average * AllowedSkew)
            {
                yield return new Finding(
                    Severity.Warning,
                    "leader-spread",
                    $"broker {broker.Id}",
                    $"Broker {broker.Id} leads {count} of {leaders.Length} partitions; evenly spread it would be {average:0.#}.",
                    "Producers and consumers work with leaders: this broker is the limit of the whole cluster, and its failure moves the most.",
                    "If preferred leaders are not the cause, spread the replicas: "
                    + remedies.Kafka(
                        "kafka-reassign-partitions",
                        $"--topics-to-move-json-file topics.json --broker-list {string.Join(',', cluster.Brokers.Select(candidate => candidate.Id))} --generate"));
            }
        }
    }
}
