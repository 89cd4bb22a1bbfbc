using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A partition as it stands after recovery: everything in it is on the disk.</summary>
internal sealed record RecoveredPartition(TopicPartition TopicPartition, Guid TopicId)
{
    public Offset LogStartOffset { get; init; }

    /// <summary>The log's start as it is to stay written down; null where that is <see cref="LogStartOffset"/>.</summary>
    public Offset? CheckpointedLogStart { get; init; }

    /// <summary>Below it offsets may be missing.</summary>
    public Offset SparseBelow { get; init; }

    /// <summary>Everything below was compacted.</summary>
    public Offset CleanedUpTo { get; init; }

    public Offset LogEndOffset { get; init; }

    /// <summary>
    /// Of a partition that stays offline: the recovery point as it was found, null where it is unknown. It is kept, so that the next start
    /// judges the same.
    /// </summary>
    public Offset? RecoveryPoint { get; init; }

    public IReadOnlyList<LogSegment> Segments { get; init; } = [];

    public LeaderEpochs LeaderEpochs { get; init; } = LeaderEpochs.First;

    public required ProducerStates Producers { get; init; }

    /// <summary>Where the newest snapshot lies that is known to be right; null where none is.</summary>
    public Offset? NewestSnapshot { get; init; }

    /// <summary>The snapshot that lies at no segment's first offset, and goes when the next is written.</summary>
    public Offset? StraySnapshot { get; init; }

    public string? OfflineReason { get; init; }
}
