using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A partition as it stands after recovery: everything in it is on the disk.</summary>
internal sealed record RecoveredPartition(TopicPartition TopicPartition, Guid TopicId)
{
    public Offset LogStartOffset { get; init; }

    /// <summary>The end of the log; of a partition that stays offline, its recovery point.</summary>
    public required Offset LogEndOffset { get; init; }

    public IReadOnlyList<LogSegment> Segments { get; init; } = [];

    public LeaderEpochs LeaderEpochs { get; init; } = LeaderEpochs.First;

    public required ProducerStates Producers { get; init; }

    public string? OfflineReason { get; init; }
}
