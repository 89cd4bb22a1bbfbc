using Millrace.Kafka;

namespace Millrace.Cli.Doctor;

/// <summary>Groups and their members.</summary>
internal static class GroupRules
{
    public static IEnumerable<Finding> IdleMembers(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (GroupSnapshot group in cluster.Groups.Where(group => group.State == GroupState.Stable && group.Members.Count > 1))
        {
            // Members that tell nothing of their subscription speak a protocol of their own.
            GroupMemberDescription[] idle = [.. group.Members.Where(member => member.Assignment.Count == 0 && member.Topics.Count > 0)];
            string[] topics = [.. idle.SelectMany(member => member.Topics).Distinct().Order(StringComparer.Ordinal)];
            TopicSnapshot[] known = [.. topics.Select(cluster.Topic).OfType<TopicSnapshot>()];
            if (known.Length == 0)
            {
                continue;
            }

            TopicSnapshot widest = known.MaxBy(topic => topic.Partitions.Count)!;
            int readerCount = group.Members.Count(member => member.Topics.Contains(widest.Name));
            bool isCrowded = readerCount > widest.Partitions.Count;
            yield return new Finding(
                Severity.Warning,
                "partitions-for-workers",
                group.GroupId,
                $"{idle.Length} of {Text.Counted(group.Members.Count, "member")} of group {group.GroupId} {Text.Have(idle.Length)} no partition: "
                + $"{Text.Some(known.Select(topic => $"{topic.Name} has {topic.Partitions.Count}").ToArray())}.",
                isCrowded
                    ? "A partition is read by one member of a group: more members than partitions do not make it faster."
                    : "There are partitions enough, and the others read them all.",
                isCrowded
                    ? "Run fewer members, or add partitions (keyed records then go to other partitions than before: wait until the group has no lag): "
                        + remedies.Kafka("kafka-topics", $"--alter --topic {widest.Name} --partitions {readerCount}")
                    : "Look again when the group has come to rest; if they stay without, look at the assignor of the members (partition.assignment.strategy).");
        }
    }
}
