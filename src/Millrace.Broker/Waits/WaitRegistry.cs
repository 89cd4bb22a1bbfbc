using System.Runtime.InteropServices;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>Which waits watch which partition. Synchronous and not thread-safe: <see cref="PartitionWaits"/> is its shell.</summary>
internal sealed class WaitRegistry
{
    private readonly Dictionary<TopicPartition, HashSet<PartitionWait>> _byPartition = [];

    /// <summary>Partitions that something waits for.</summary>
    public int WatchedPartitionCount => _byPartition.Count;

    public void Add(PartitionWait wait)
    {
        foreach (TopicPartition partition in wait.Partitions)
        {
            ref HashSet<PartitionWait>? waits = ref CollectionsMarshal.GetValueRefOrAddDefault(_byPartition, partition, out _);
            (waits ??= new HashSet<PartitionWait>(ReferenceEqualityComparer.Instance)).Add(wait);
        }
    }

    public void Remove(PartitionWait wait)
    {
        foreach (TopicPartition partition in wait.Partitions)
        {
            if (_byPartition.TryGetValue(partition, out HashSet<PartitionWait>? waits) && waits.Remove(wait) && waits.Count == 0)
            {
                _byPartition.Remove(partition);
            }
        }
    }

    /// <summary>The waits that watch a partition, as a copy: they are judged outside the lock.</summary>
    public PartitionWait[] Watching(TopicPartition partition) =>
        _byPartition.TryGetValue(partition, out HashSet<PartitionWait>? waits) ? [.. waits] : [];

    public PartitionWait[] All() => [.. _byPartition.Values.SelectMany(waits => waits).Distinct()];
}
