using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What the consumer's state wants done outside of its lock.</summary>
internal sealed class ConsumerEffects
{
    private List<FetchPlan>? _fetches;
    private List<ConsumerNotice>? _notices;
    private List<(TopicPartition Partition, LeaderIdAndEpoch Leader)>? _leaders;

    public IReadOnlyList<FetchPlan> Fetches => _fetches ?? (IReadOnlyList<FetchPlan>)[];

    /// <summary>What is worth a line in the log.</summary>
    public IReadOnlyList<ConsumerNotice> Notices => _notices ?? (IReadOnlyList<ConsumerNotice>)[];

    /// <summary>Leaders that brokers named in place of themselves (KIP-951).</summary>
    public IReadOnlyList<(TopicPartition Partition, LeaderIdAndEpoch Leader)> Leaders => _leaders ?? (IReadOnlyList<(TopicPartition, LeaderIdAndEpoch)>)[];

    public bool NeedsMetadata { get; set; }

    public bool NeedsPositions { get; set; }

    /// <summary>Positions that have to be compared with a new leader's log.</summary>
    public bool NeedsValidation { get; set; }

    public TimeSpan? WakeAt { get; private set; }

    public void WakeNoLaterThan(TimeSpan time) => WakeAt = WakeAt is { } earlier && earlier < time ? earlier : time;

    public void Start(FetchPlan plan) => (_fetches ??= []).Add(plan);

    public void Tell(ConsumerNotice notice) => (_notices ??= []).Add(notice);

    public void Learn(TopicPartition partition, LeaderIdAndEpoch leader) => (_leaders ??= []).Add((partition, leader));
}

/// <summary>Something that happened to a partition.</summary>
internal abstract record ConsumerNotice(TopicPartition Partition)
{
    public sealed record Refused(TopicPartition Partition, ErrorCode Error) : ConsumerNotice(Partition);

    public sealed record Truncated(TopicPartition Partition, Offset Position, Offset Divergence) : ConsumerNotice(Partition);

    public sealed record Recreated(TopicPartition Partition, Guid Before, Guid Now) : ConsumerNotice(Partition);

    public sealed record Redirected(TopicPartition Partition, int NodeId) : ConsumerNotice(Partition);
}
