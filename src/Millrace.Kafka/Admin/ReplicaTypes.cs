using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Who may become leader in an election.</summary>
public enum ElectionType : sbyte
{
    /// <summary>The first of the partition's replicas, if it is in sync. Loses nothing.</summary>
    Preferred = 0,

    /// <summary>Any replica that is up, where none in sync is: records that it lacks are lost. From Kafka 2.4 on.</summary>
    Unclean = 1,
}

/// <summary>What an election has changed.</summary>
public enum ElectionOutcome
{
    /// <summary>The partition has a new leader.</summary>
    Elected,

    /// <summary>It has the leader that it should have, and keeps it.</summary>
    NotNeeded,
}

/// <summary>A partition on its way to other brokers.</summary>
/// <param name="Replicas">The brokers that hold it at the moment, old and new ones.</param>
/// <param name="AddingReplicas">Those that are new and still copy.</param>
/// <param name="RemovingReplicas">Those that will give it up.</param>
public sealed record PartitionReassignment(
    IReadOnlyList<int> Replicas, IReadOnlyList<int> AddingReplicas, IReadOnlyList<int> RemovingReplicas)
{
    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(PartitionReassignment), (nameof(Replicas), Replicas), (nameof(AddingReplicas), AddingReplicas), (nameof(RemovingReplicas), RemovingReplicas));
}

/// <summary>A copy of a partition on a broker.</summary>
/// <param name="TopicPartition">The partition.</param>
/// <param name="BrokerId">The broker that holds the copy.</param>
public readonly record struct TopicPartitionReplica(TopicPartition TopicPartition, int BrokerId)
{
    /// <inheritdoc/>
    public override string ToString() => $"{TopicPartition} on broker {BrokerId}";
}

/// <summary>A data directory of a broker.</summary>
/// <param name="Path">Where it lies on the broker.</param>
/// <param name="Failure">Why it cannot be used; null where it can.</param>
/// <param name="TotalByteCount">The size of its volume, from Kafka 3.3 on (KIP-827); null if unknown.</param>
/// <param name="UsableByteCount">What is free there; null if unknown.</param>
/// <param name="Replicas">The copies of partitions in it.</param>
public sealed record LogDirDescription(
    string Path,
    KafkaException? Failure,
    long? TotalByteCount,
    long? UsableByteCount,
    IReadOnlyDictionary<TopicPartition, LogDirReplica> Replicas)
{
    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(LogDirDescription), (nameof(Path), Path), (nameof(Failure), Failure), (nameof(TotalByteCount), TotalByteCount), (nameof(UsableByteCount), UsableByteCount), (nameof(Replicas), Replicas));
}

/// <summary>A copy of a partition in a data directory.</summary>
/// <param name="ByteCount">The size of its segments.</param>
/// <param name="OffsetLag">How many offsets it is behind: the high watermark of the copy in use, or of a copy that moves here the one that it replaces.</param>
/// <param name="IsFuture">Whether it is on its way here from another directory of the broker.</param>
public sealed record LogDirReplica(long ByteCount, long OffsetLag, bool IsFuture);
