using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Sets back what was committed of records that a partition has lost while it was offline, as <see cref="OffsetClamp"/> does at a start. Safe for several threads.</summary>
internal sealed class LostOffsets(GroupCoordinator coordinator, TimeProvider time, ILogger logger)
{
    private readonly Lock _lock = new();

    // What is on its way, or could not be written as the partition of the offsets topic was offline itself. Bounded by the offsets that groups have committed.
    private readonly Dictionary<(string GroupId, TopicPartition Partition), Owed> _owed = [];

    /// <summary>
    /// The partition is online again. What is set back stands in the log of offsets when this returns, before whatever groups commit of the records that take the place of
    /// the lost ones; but for groups whose own partition is offline: see <see cref="SetBack"/>.
    /// </summary>
    public void CameBack(PartitionLog log)
    {
        // Not its present end: there may be new records already.
        TopicPartition partition = log.TopicPartition;
        Offset end = log.LeaderEpochs[^1].StartOffset;
        coordinator.Pending.SetBack(partition, end);
        lock (_lock)
        {
            foreach (string groupId in coordinator.Offsets.Groups)
            {
                if (coordinator.Offsets.TryGet(groupId, partition, out CommittedOffset? committed) && committed.Offset > end)
                {
                    Owed? earlier = _owed.GetValueOrDefault((groupId, partition));
                    Offset least = earlier is not null && earlier.Committed == committed ? Offset.Min(earlier.End, end) : end;
                    _owed[(groupId, partition)] = new Owed(groupId, partition, committed, least);
                }
            }
        }

        SetBack();
    }

    /// <summary>Begins to set back whatever is still to be; called again once a partition of the offsets topic was read again.</summary>
    public void SetBack()
    {
        List<Owed> all;
        lock (_lock)
        {
            all = [.. _owed.Values.OrderBy(static owed => owed.GroupId, StringComparer.Ordinal).ThenBy(static owed => owed.Partition, TopicPartition.Order)];
        }

        all.ForEach(owed => _ = SetBackAsync(owed));
    }

    private async Task SetBackAsync(Owed owed)
    {
        if (!coordinator.Serves(owed.GroupId))
        {
            return;
        }

        bool isStale = coordinator.Offsets.TryGet(owed.GroupId, owed.Partition, out CommittedOffset? committed) && committed == owed.Committed;
        if (isStale && await coordinator.SetBackAsync(
            owed.GroupId, [new(owed.Partition, OffsetClamp.SetBack(owed.GroupId, owed.Partition, owed.Committed, owed.End, time, logger))]) != ErrorCode.None)
        {
            // When the partition of the offsets topic comes back, it is tried again.
            return;
        }

        lock (_lock)
        {
            if (_owed.GetValueOrDefault((owed.GroupId, owed.Partition)) == owed)
            {
                _owed.Remove((owed.GroupId, owed.Partition));
            }
        }
    }

    /// <param name="Committed">What is to be set back; the group may have committed something else since.</param>
    private sealed record Owed(string GroupId, TopicPartition Partition, CommittedOffset Committed, Offset End);
}
