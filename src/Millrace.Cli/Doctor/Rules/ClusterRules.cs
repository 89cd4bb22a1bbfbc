using Millrace.Kafka;

namespace Millrace.Cli.Doctor;

/// <summary>Brokers, their settings and their disks.</summary>
internal static class ClusterRules
{
    /// <summary>A broker that is fuller cannot take over what another one had.</summary>
    private const double WantedFreeShare = 0.15;

    public static IEnumerable<Finding> SingleNode(ClusterSnapshot cluster, RemedyContext remedies)
    {
        if (!cluster.IsSingleNode)
        {
            yield break;
        }

        bool isOnDisk = cluster.UserTopics.Any() && cluster.UserTopics.All(topic => topic.Setting("flush.messages") == "1");
        string disk = isOnDisk
            ? "An acknowledgement with acks=all means that the record is on this node's disk (flush.messages=1): it survives a crash and a power failure, and not the loss of the disk."
            : "On Millrace's own broker an acknowledgement with acks=all means that the record is on this node's disk: it survives a crash and a power failure, and not the loss of the disk. "
                + "On Apache Kafka it means this node's memory, and a power failure can take what was acknowledged last (flush.messages is not 1 for every topic).";
        yield return new Finding(
            Severity.Warning,
            "single-node",
            "cluster",
            "The cluster is one node, so that each record has one copy.",
            $"{disk} While the node is down, nothing can be read or written. The rules on replicas, leaders and racks are not asked of it.",
            "Back the data directory up, or run on three brokers: replication is what Apache Kafka adds, and nothing in the application changes.");
    }

    public static IEnumerable<Finding> BrokerCount(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (int brokerId in cluster.FencedBrokerIds)
        {
            yield return new Finding(
                Severity.Error,
                "broker-count",
                $"broker {brokerId}",
                $"Broker {brokerId} is registered with the controller and is not up.",
                "Its replicas fall behind, and the next failure may take partitions offline.",
                $"Start it and read its log; if it is gone for good, move its partitions away and remove it: {remedies.Kafka("kafka-cluster unregister", $"--id {brokerId}")}");
        }

        if (!cluster.IsSingleNode && cluster.Brokers.Count < DoctorRules.WantedReplicas)
        {
            yield return new Finding(
                Severity.Warning,
                "broker-count",
                "cluster",
                $"{cluster.Brokers.Count} brokers are up.",
                "Three replicas need three brokers: with two, either one failure stops writes (min.insync.replicas=2) or acks=all waits for one copy only (1).",
                "Add a broker, then give topics their third replica.");
        }
    }

    public static IEnumerable<Finding> BrokerDefaults(ClusterSnapshot cluster, RemedyContext remedies)
    {
        if (cluster.IsSingleNode)
        {
            yield break;
        }

        (string Setting, long Wanted, bool IsDynamic)[] defaults =
        [
            ("default.replication.factor", DoctorRules.WantedReplicas, false),
            ("min.insync.replicas", DoctorRules.WantedInSyncReplicas, true),
        ];
        foreach ((string setting, long wanted, bool isDynamic) in defaults)
        {
            int[] lower = [.. cluster.Brokers.Where(broker => long.TryParse(broker.Setting(setting), out long value) && value < wanted).Select(broker => broker.Id)];
            if (lower.Length > 0)
            {
                yield return new Finding(
                    Severity.Warning,
                    "broker-defaults",
                    Text.Brokers(lower),
                    $"{setting} is below {wanted} on {Text.Brokers(lower)}.",
                    "A topic whose creator does not say otherwise gets this value, and with it less safety than the others.",
                    isDynamic
                        ? remedies.SetAllBrokers($"{setting}={wanted}")
                        : $"Set {setting}={wanted} in server.properties of each broker, and restart them one after the other.");
            }
        }
    }

    public static IEnumerable<Finding> Disks(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (BrokerSnapshot broker in cluster.Brokers)
        {
            foreach (LogDirDescription directory in broker.Directories ?? [])
            {
                if (directory.Failure is not null)
                {
                    yield return new Finding(
                        Severity.Error,
                        "disks",
                        $"broker {broker.Id}",
                        $"{directory.Path} of broker {broker.Id} cannot be used. {directory.Failure.Message}",
                        "The replicas in it are gone until the disk is replaced; others have to take over.",
                        $"Look at the broker's log, replace the disk, and restart broker {broker.Id}: it copies its replicas from the leaders.");
                }
                else if (directory is { TotalByteCount: > 0 and var total, UsableByteCount: { } usable } && usable < total * WantedFreeShare)
                {
                    yield return new Finding(
                        usable < total * WantedFreeShare / 3 ? Severity.Error : Severity.Warning,
                        "disks",
                        $"broker {broker.Id}",
                        $"{directory.Path} of broker {broker.Id} has {Text.Bytes(usable)} free of {Text.Bytes(total)} ({(double)usable / total:P0}).",
                        "A broker whose disk is full stops, and with it every partition that it leads; there is no room for what another broker's failure brings.",
                        $"Lower retention.ms or retention.bytes of the largest topics ({remedies.Kafka("kafka-log-dirs", $"--describe --broker-list {broker.Id}")}), "
                        + "enlarge the volume, or move partitions away.");
                }
            }
        }
    }

    public static IEnumerable<Finding> Reassignments(ClusterSnapshot cluster, RemedyContext remedies)
    {
        if (cluster.Reassignments.Count > 0)
        {
            yield return new Finding(
                Severity.Note,
                "reassignments",
                "cluster",
                $"{Text.Counted(cluster.Reassignments.Count, "partition")} {Text.Are(cluster.Reassignments.Count)} on the way to other brokers: {Text.Some(cluster.Reassignments)}.",
                "Copying takes disk and network, and replica counts are above what they will be.",
                remedies.Kafka("kafka-reassign-partitions", "--list"));
        }
    }

    public static IEnumerable<Finding> AutoCreate(ClusterSnapshot cluster, RemedyContext remedies)
    {
        int[] brokers = [.. cluster.Brokers.Where(broker => broker.Setting("auto.create.topics.enable") == "true").Select(broker => broker.Id)];
        if (brokers.Length > 0)
        {
            yield return new Finding(
                Severity.Warning,
                "auto-create-topics",
                Text.Brokers(brokers),
                $"auto.create.topics.enable is true on {Text.Brokers(brokers)}.",
                "A name that is misspelt, or asked for before its topic is deployed, makes a topic with the broker's defaults; records go there, and nobody reads them.",
                "Set auto.create.topics.enable=false in server.properties of each broker and restart them one after the other "
                + "(millrace serve --set auto.create.topics.enable=false); create topics by kafka-topics.sh or at deployment.");
        }
    }

    public static IEnumerable<Finding> Gaps(ClusterSnapshot cluster, RemedyContext remedies) =>
        cluster.Gaps.Select(gap => new Finding(
            Severity.Note,
            "gaps",
            "doctor",
            gap,
            "What depends on it was not checked.",
            "Give the doctor's user the right to describe the cluster, its topics, groups and their settings, and look whether the broker is new enough."));
}
