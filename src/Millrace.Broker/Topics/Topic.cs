using Millrace.Log;

namespace Millrace.Broker;

/// <summary>A topic with all its partitions. It changes only by being replaced, so whoever holds one sees all of it or nothing.</summary>
internal sealed class Topic
{
    public required string Name { get; init; }
    public required Guid Id { get; init; }

    /// <summary>By partition number. Null where the directory of a partition is missing, though others of the topic exist.</summary>
    public required IReadOnlyList<PartitionLog?> Partitions { get; init; }

    /// <summary>Whether it is not known yet if its creation was cut short, since a partition that would tell cannot be read. Nothing is written to it until it is.</summary>
    public bool IsUndecided { get; init; }

    public bool IsInternal => TopicName.IsInternal(Name);

    public PartitionLog? Find(int partition) =>
        partition >= 0 && partition < Partitions.Count ? Partitions[partition] : null;
}
