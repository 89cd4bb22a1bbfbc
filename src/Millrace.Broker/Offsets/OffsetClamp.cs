using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// Sets back what was committed beyond the end of a log. After an unclean stop the log may have lost its last records, which were not acknowledged with
/// acks=all and yet were read. Left as it is, the committed offset would make the group skip the records that take their place.
/// </summary>
internal static class OffsetClamp
{
    /// <summary>
    /// Looks at every committed offset, before any client is served. What it sets back is on the disk when this completes: a second crash, after new records have
    /// filled the gap, would otherwise find the old offset within the log again.
    /// </summary>
    public static async Task RunAsync(GroupCoordinator coordinator, TopicCatalog topics, TimeProvider time, ILogger logger)
    {
        foreach (string groupId in coordinator.Offsets.Groups.Order(StringComparer.Ordinal))
        {
            List<KeyValuePair<TopicPartition, CommittedOffset>> clamped = [];
            foreach ((TopicPartition partition, CommittedOffset committed) in coordinator.Offsets.All(groupId))
            {
                // A partition that is missing or offline says nothing about its end.
                if (topics.Find(partition) is { IsOnline: true } log && committed.Offset > log.LogEndOffset)
                {
                    clamped.Add(new(partition, SetBack(groupId, partition, committed, log.LogEndOffset, time, logger)));
                }
            }

            if (clamped.Count > 0)
            {
                await coordinator.SetBackAsync(groupId, clamped);
            }
        }
    }

    public static CommittedOffset SetBack(
        string groupId, TopicPartition partition, CommittedOffset committed, Offset end, TimeProvider time, ILogger logger)
    {
        LogMessages.CommittedOffsetClamped(logger, groupId, partition, committed.Offset.Value, end.Value);
        return committed with
        {
            Offset = end,
            LeaderEpoch = CommittedOffset.UnknownLeaderEpoch,
            CommitTimestamp = time.GetUtcNow().ToUnixTimeMilliseconds(),
        };
    }
}
