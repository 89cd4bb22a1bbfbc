using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What the checkpoint files of the directory say of a partition.</summary>
internal sealed record PartitionCheckpoints
{
    /// <summary>Everything below was on the disk; null where that is unknown.</summary>
    public required Offset? RecoveryPoint { get; init; }

    /// <summary>Everything below is deleted; null where that is unknown, and the first segment says it.</summary>
    public required Offset? LogStart { get; init; }

    /// <summary>Below it offsets may be missing.</summary>
    public required Offset SparseBelow { get; init; }

    /// <summary>Everything below was compacted.</summary>
    public required Offset CleanedUpTo { get; init; }
}
