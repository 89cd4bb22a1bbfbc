using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

// Offsets that groups have committed of records that are gone since: of another topic, or of those that a partition has lost, which were not acknowledged with acks=all and yet
// were read.
internal sealed partial class GroupCoordinator
{
    /// <summary>
    /// What the group is told that it has committed. Never beyond what is left of the log as it was at the commit: the group would skip the records that take the place of
    /// the lost ones.
    /// </summary>
    public bool TryGetOffset(string groupId, TopicPartition partition, [NotNullWhen(true)] out CommittedOffset? offset)
    {
        if (!Offsets.TryGet(groupId, partition, out offset))
        {
            return false;
        }

        offset = _topics.Find(partition) is PartitionLog log ? offset.In(log) : offset;
        return offset is not null;
    }

    /// <summary>Tells whose offsets go back, as the log of the partition is shorter than it was.</summary>
    public void ReportLost(PartitionLog log)
    {
        foreach (string groupId in Offsets.Groups)
        {
            if (Offsets.TryGet(groupId, log.TopicPartition, out CommittedOffset? committed))
            {
                ReportLost(groupId, committed, log);
            }
        }
    }

    /// <summary>As the other, of every partition, after an unclean stop.</summary>
    public void ReportLost()
    {
        foreach (string groupId in Offsets.Groups)
        {
            foreach ((TopicPartition partition, CommittedOffset committed) in Offsets.All(groupId))
            {
                if (_topics.Find(partition) is { IsOnline: true } log)
                {
                    ReportLost(groupId, committed, log);
                }
            }
        }
    }

    private void ReportLost(string groupId, CommittedOffset committed, PartitionLog log)
    {
        // What an older epoch has set back was told when that began.
        if (committed.In(log)?.Offset is { } left && left < committed.Offset && left == log.LeaderEpochs[^1].StartOffset)
        {
            LogMessages.CommittedOffsetSetBack(_logger, groupId, log.TopicPartition, committed.Offset.Value, left.Value);
        }
    }
}
