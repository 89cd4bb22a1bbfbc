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
            int idle = group.Members.Count(member => member.Assignment.Count == 0 && member.Topics.Count > 0);
            string[] topics = [.. group.Members.SelectMany(member => member.Topics).Distinct().Order(StringComparer.Ordinal)];
            TopicSnapshot[] known = [.. topics.Select(cluster.Topic).OfType<TopicSnapshot>()];
            if (idle == 0 || known.Length == 0)
            {
                continue;
            }

            TopicSnapshot widest = known.MaxBy(topic => topic.Partitions.Count)!;
            yield return new Finding(
                Severity.Warning,
                "partitions-for-workers",
                group.GroupId,
                $"{idle} of {Text.Counted(group.Members.Count, "member")} of group {group.GroupId} {Text.Have(idle)} no partition: "
                + $"{Text.Some(known.Select(topic => $"{topic.Name} has {topic.Partitions.Count}").ToArray())}.",
                "A partition is read by one member of a group: more members than partitions do not make it faster.",
                $"Run fewer members, or add partitions (keyed records then go to other partitions than before: wait until the group has no lag): "
                + remedies.Kafka("kafka-topics", $"--alter --topic {widest.Name} --partitions {group.Members.Count}"));
        }
    }
}
