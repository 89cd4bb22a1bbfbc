using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Records that must be on the disk before somebody may be told of them.</summary>
internal readonly record struct AppendedRecords(PartitionLog Partition, Offset LastOffset)
{
    /// <summary>The promise of acks=all holds for them.</summary>
    public bool AreOnDisk => Partition.SyncedOffset > LastOffset;
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
            if (!append.AreOnDisk && append.Partition.IsOnline)
            {
                return false;
            }
        }

        return true;
    }
}
