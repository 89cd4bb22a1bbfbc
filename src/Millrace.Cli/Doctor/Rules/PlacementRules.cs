namespace Millrace.Cli.Doctor;

/// <summary>What fails together.</summary>
internal static class PlacementRules
{
    public static IEnumerable<Finding> Racks(ClusterSnapshot cluster, RemedyContext remedies)
    {
        if (cluster.IsSingleNode)
        {
            yield break;
        }

        int[] without = [.. cluster.Brokers.Where(broker => string.IsNullOrEmpty(broker.Rack)).Select(broker => broker.Id)];
        if (without.Length > 0)
        {
            yield return new Finding(
                Severity.Warning,
                "rack-awareness",
                Text.Brokers(without),
                without.Length == cluster.Brokers.Count ? "No broker says which rack or zone it stands in." : $"{Text.Brokers(without)} {Text.Have(without.Length)} no broker.rack, and others have.",
                "Kafka then spreads replicas without regard to what fails together: one rack, zone or power line can take all copies of a partition.",
                "Set broker.rack in server.properties of each broker to its rack or zone, and restart them one after the other; topics made before keep their placement until they are reassigned.");
        }

        var racks = cluster.Brokers.Where(broker => !string.IsNullOrEmpty(broker.Rack)).ToDictionary(broker => broker.Id, broker => broker.Rack!);
        if (racks.Values.Distinct().Count() < 2)
        {
            yield break;
        }

        foreach (TopicSnapshot topic in cluster.Topics)
        {
            int[] together =
            [
                .. topic.Partitions
                    .Where(partition => partition.Replicas.Count > 1 && partition.Replicas.All(racks.ContainsKey)
                        && partition.Replicas.Select(replica => racks[replica]).Distinct().Count() == 1)
                    .Select(partition => partition.Partition),
            ];
            if (together.Length > 0)
            {
                yield return new Finding(
                    Severity.Error,
                    "rack-awareness",
                    topic.Name,
                    $"All replicas of {Text.Counted(together.Length, "partition")} of {topic.Name} stand in one rack: {Text.Some(together)}.",
                    "When that rack fails, every copy is gone at once.",
                    remedies.Kafka(
                        "kafka-reassign-partitions",
                        $"--topics-to-move-json-file topics.json --broker-list {string.Join(',', cluster.Brokers.Select(broker => broker.Id))} --generate"));
            }
        }
    }

    public static IEnumerable<Finding> PageCache(ClusterSnapshot cluster, RemedyContext remedies)
    {
        TopicSnapshot[] cached = [.. cluster.UserTopics.Where(topic => topic.Setting("flush.messages") is { } messages && messages != "1")];
        if (cluster.IsSingleNode || cached.Length == 0)
        {
            yield break;
        }

        bool sharesHost = cluster.Brokers.Count > 1 && cluster.Brokers.Select(broker => broker.Host).Distinct(StringComparer.OrdinalIgnoreCase).Count() == 1;
        bool sharesRack = cluster.Brokers.All(broker => !string.IsNullOrEmpty(broker.Rack)) && cluster.Brokers.Select(broker => broker.Rack).Distinct().Count() == 1;
        bool isUnknown = cluster.Brokers.Any(broker => string.IsNullOrEmpty(broker.Rack));
        if (!sharesHost && !sharesRack && !isUnknown)
        {
            yield break;
        }

        string shared = sharesHost ? $"all brokers advertise one host, {cluster.Brokers[0].Host}"
            : sharesRack ? $"all brokers stand in one rack, {cluster.Brokers[0].Rack}"
            : "no racks are told, so that it is not known what the brokers share";
        yield return new Finding(
            sharesHost || sharesRack ? Severity.Warning : Severity.Note,
            "power-failure",
            "cluster",
            $"An acknowledgement with acks=all means that the record is in the memory of the replicas in sync, not on their disks (flush.messages of {Text.Counted(cached.Length, "topic")}), and {shared}.",
            "What fails together takes records that were acknowledged within the last seconds: replication stands in for the disk only where replicas fail apart.",
            "Spread the brokers over racks or zones with power of their own and set broker.rack. Where that is not to be had, for topics that must not lose: "
            + remedies.SetTopic(cached[0].Name, "flush.messages=1") + " (each write then waits for the disk).");
    }
}
