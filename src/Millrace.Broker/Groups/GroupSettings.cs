namespace Millrace.Broker;

/// <summary>What the group coordinator reads of the broker's options.</summary>
internal sealed record GroupSettings
{
    /// <summary>Kafka's bound on how long a JoinGroup of a new member may wait before the member is taken for gone.</summary>
    public static readonly TimeSpan NewMemberJoinTimeout = TimeSpan.FromMinutes(5);

    /// <summary>A join phase that nobody has joined is looked at again no sooner, even where members ask for no time at all.</summary>
    public static readonly TimeSpan ShortestJoinPhase = TimeSpan.FromSeconds(1);

    /// <summary>Members that were given an id and have not joined with it. Kafka has no bound here; without one, a client that never keeps its id fills the memory.</summary>
    public const int MaxPendingMembers = 10_000;

    /// <summary>Assignment strategies that a member offers. Clients have one to four; Kafka has no bound here, and each join is compared with what all members offer.</summary>
    public const int MaxProtocols = 100;

    /// <summary>So many characters fit into a record of the offsets topic, whatever they are.</summary>
    public const int LargestOffsetMetadataLength = short.MaxValue / 3;

    /// <summary>group.initial.rebalance.delay.ms</summary>
    public TimeSpan InitialRebalanceDelay { get; init; } = TimeSpan.Zero;

    /// <summary>group.min.session.timeout.ms</summary>
    public TimeSpan MinSessionTimeout { get; init; } = TimeSpan.FromSeconds(6);

    /// <summary>group.max.session.timeout.ms</summary>
    public TimeSpan MaxSessionTimeout { get; init; } = TimeSpan.FromMinutes(30);

    /// <summary>group.max.size</summary>
    public int MaxSize { get; init; } = int.MaxValue;

    /// <summary>offset.metadata.max.bytes; as in Kafka, counted in characters.</summary>
    public int MaxOffsetMetadataLength { get; init; } = 4096;

    /// <summary>offsets.retention.minutes</summary>
    public TimeSpan OffsetsRetention { get; init; } = TimeSpan.FromDays(7);

    /// <summary>offsets.retention.check.interval.ms</summary>
    public TimeSpan OffsetsRetentionCheckInterval { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>offsets.topic.num.partitions, for when the topic is created.</summary>
    public int OffsetsTopicPartitionCount { get; init; } = 1;
}
