using Millrace.Kafka.Records;

namespace Millrace.Cli.Doctor;

/// <summary>Groups that are so far behind that the log's start comes near them.</summary>
internal static class RetentionRules
{
    /// <summary>When the next record of a group is older than this share of the retention time, the group is warned of.</summary>
    public const double AgedShare = 0.8;

    public static IEnumerable<Finding> Lag(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (GroupSnapshot group in cluster.Groups)
        {
            foreach (IGrouping<string, KeyValuePair<TopicPartition, long>> commits in group.Commits.GroupBy(commit => commit.Key.Topic))
            {
                if (cluster.Topic(commits.Key) is not { IsDeletedFrom: true } topic)
                {
                    continue;
                }

                (PartitionSnapshot Partition, long Position)[] known =
                [
                    .. commits.Select(commit => (Partition: topic.Partitions.FirstOrDefault(partition => partition.Partition == commit.Key.Partition), commit.Value))
                        .Where(item => item.Partition is { Offsets: not null }).Select(item => (item.Partition!, item.Value)),
                ];
                foreach (Finding finding in Judge(group, topic, known, remedies))
                {
                    yield return finding;
                }
            }
        }
    }

    private static IEnumerable<Finding> Judge(GroupSnapshot group, TopicSnapshot topic, (PartitionSnapshot Partition, long Position)[] commits, RemedyContext remedies)
    {
        (PartitionSnapshot Partition, long Position)[] lost = [.. commits.Where(item => item.Position < item.Partition.Offsets!.Value.Start)];
        if (lost.Length > 0)
        {
            long count = lost.Sum(item => item.Partition.Offsets!.Value.Start - item.Position);
            yield return new Finding(
                Severity.Error,
                "retention-against-lag",
                group.GroupId,
                $"Group {group.GroupId} has not read {Text.Counted(count, "record")} of {topic.Name} that are deleted by now (partitions {Text.Some(lost.Select(item => item.Partition.Partition).ToArray())}).",
                "They are gone for the group: it goes on at the start or at the end of the log, as its auto.offset.reset says.",
                $"Find out why the group is behind or stopped. {(KeepLonger(topic, remedies) is { } longer ? $"Keep records longer ({longer})" : "What deletes records here is no setting of the topic, perhaps somebody who asks for it")}; a group that is no more: "
                + remedies.Kafka("kafka-consumer-groups", $"--delete --group {group.GroupId}"));
        }

        (PartitionSnapshot Partition, long Position)[] near =
        [
            .. commits.Except(lost).Where(item => item.Position < item.Partition.Offsets!.Value.End && item.Partition.AgedBefore is { } aged && item.Position < aged),
        ];
        if (near.Length > 0)
        {
            long lag = near.Sum(item => item.Partition.Offsets!.Value.End - item.Position);
            TimeSpan? retention = topic.Number("retention.ms") is { } milliseconds and > 0 ? TimeSpan.FromMilliseconds(milliseconds) : null;
            yield return new Finding(
                Severity.Warning,
                "retention-against-lag",
                group.GroupId,
                $"Group {group.GroupId} is {Text.Counted(lag, "record")} behind in {topic.Name}, and its next record is older than {AgedShare:P0} of the retention"
                + $"{(retention is { } time ? $" of {Text.Duration(time)}" : "")} (partitions {Text.Some(near.Select(item => item.Partition.Partition).ToArray())}).",
                "What it does not read soon is deleted before it has read it.",
                $"Make the group faster or let it run, and keep records longer meanwhile: {KeepLonger(topic, remedies)}");
        }
    }

    /// <summary>Twice as much as now of whatever bounds the log; null where nothing does. A setting that bounds nothing stays so.</summary>
    private static string? KeepLonger(TopicSnapshot topic, RemedyContext remedies)
    {
        string[] longer =
        [
            .. from bound in ((string Name, long Default)[])[("retention.ms", (long)TimeSpan.FromDays(7).TotalMilliseconds), ("retention.bytes", -1)]
               let now = topic.Number(bound.Name) ?? bound.Default
               where now is >= 0 and <= long.MaxValue / 2
               select $"{bound.Name}={now * 2}",
        ];
        return longer.Length == 0 ? null : remedies.SetTopic(topic.Name, string.Join(',', longer));
    }
}
