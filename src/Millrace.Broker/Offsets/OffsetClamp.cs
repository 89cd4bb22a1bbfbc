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
    public static Task RunAsync(GroupCoordinator coordinator, TopicCatalog topics, TimeProvider time, ILogger logger) =>
        RunAsync(coordinator, topics, only: null, time, logger);

    /// <param name="only">The one partition that may have lost records; null: any may.</param>
    public static async Task RunAsync(GroupCoordinator coordinator, TopicCatalog topics, TopicPartition? only, TimeProvider time, ILogger logger)
    {
        foreach (string groupId in coordinator.Offsets.Groups)
        {
            List<KeyValuePair<TopicPartition, CommittedOffset>> clamped = [];
            foreach ((TopicPartition partition, CommittedOffset committed) in coordinator.Offsets.All(groupId))
            {
                // A partition that is missing or offline says nothing about its end.
                if ((only is null || only == partition) && topics.Find(partition) is { IsOnline: true } log && committed.Offset > log.LogEndOffset)
                {
                    LogMessages.CommittedOffsetClamped(logger, groupId, partition, committed.Offset.Value, log.LogEndOffset.Value);
                    clamped.Add(new(partition, committed with
                    {
                        Offset = log.LogEndOffset,
                        LeaderEpoch = CommittedOffset.UnknownLeaderEpoch,
                        CommitTimestamp = time.GetUtcNow().ToUnixTimeMilliseconds(),
                    }));
                }
            }

            if (clamped.Count > 0)
            {
                await coordinator.SetBackAsync(groupId, clamped);
            }
        }
    }
}
