using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What a start reads of a log, and what it knows of the part before that.</summary>
internal sealed record ScanPlan
{
    /// <summary>The number of the first segment whose batches are looked at; the number of segments, if none are.</summary>
    public required int FirstSegment { get; init; }

    /// <summary>The number of the first segment whose checksums are looked at: the one that holds the recovery point, or an earlier one in which a read has failed.</summary>
    public required int FirstCheckedSegment { get; init; }

    /// <summary>The number of the first segment that the next start reads as well, whatever it finds, if this one does not come to its end.</summary>
    public required int FirstAlwaysReadSegment { get; init; }

    /// <summary>Below it offsets may be missing: the log is compacted there.</summary>
    public required Offset SparseBelow { get; init; }

    /// <summary>Where the log ends before the first of these segments.</summary>
    public required Offset From { get; init; }

    /// <summary>The producers as they stand there.</summary>
    public required ProducerStates Producers { get; init; }

    /// <summary>The epoch of the batch before that; -1 where it is not known.</summary>
    public required int Epoch { get; init; }
}
