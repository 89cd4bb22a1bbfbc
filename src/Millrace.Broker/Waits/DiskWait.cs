using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Records that must be on the disk before somebody may be told of them.</summary>
/// <param name="LeaderEpoch">Of the partition when they were in it: a later epoch may have others at their offsets.</param>
internal readonly record struct AppendedRecords(PartitionLog Partition, Offset LastOffset, int LeaderEpoch)
{
    /// <summary>Records that are in the partition now.</summary>
    public AppendedRecords(PartitionLog partition, Offset lastOffset)
        : this(partition, lastOffset, partition.LeaderEpoch)
    {
    }

    /// <summary>The promise of acks=all holds for them.</summary>
    public bool AreOnDisk => Partition.IsOnDisk(LastOffset, LeaderEpoch);

    /// <summary>It does not hold yet, and may still come to hold.</summary>
    public bool AreOnTheirWay => !AreOnDisk && Partition.IsOnline && Partition.LeaderEpoch == LeaderEpoch;
}

/// <summary>Waits until each of some appends is on the disk, or its partition has gone offline and never will be.</summary>
internal sealed class DiskWait(IReadOnlyList<AppendedRecords> appended) : PartitionWait
{
    public override IReadOnlyList<TopicPartition> Partitions { get; } =
        [.. appended.Select(append => append.Partition.TopicPartition).Distinct()];

    public override bool EndsAtStop => false;

    public override bool IsSatisfied()
    {
        foreach (AppendedRecords append in appended)
        {
            if (append.AreOnTheirWay)
            {
                return false;
            }
        }

        return true;
    }
}
