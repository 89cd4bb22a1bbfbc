using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>A topic to create.</summary>
/// <param name="Name">1 to 249 characters: letters, digits, dot, underscore, hyphen.</param>
/// <param name="PartitionCount">Number of partitions; -1: the broker's default.</param>
/// <param name="ReplicationFactor">Copies of each partition; -1: the broker's default.</param>
public sealed record NewTopic(string Name, int PartitionCount = -1, short ReplicationFactor = -1)
{
    /// <summary>Settings of the topic by Kafka's names, such as <c>cleanup.policy</c>. Default none.</summary>
    public IReadOnlyDictionary<string, string> Configuration { get; init; } = new Dictionary<string, string>();

    /// <summary>
    /// The brokers of each partition, from partition 0 on, the preferred leader first. Default none: the controller chooses. Where it is given,
    /// <see cref="PartitionCount"/> and <see cref="ReplicationFactor"/> stay -1.
    /// </summary>
    public IReadOnlyList<IReadOnlyList<int>> ReplicaAssignments { get; init; } = [];
}

/// <summary>More partitions for a topic.</summary>
/// <param name="Topic">The topic.</param>
/// <param name="TotalCount">How many it is to have, those that it has included.</param>
public sealed record NewPartitions(string Topic, int TotalCount)
{
    /// <summary>The brokers of each added partition, the preferred leader first. Default none: the controller chooses.</summary>
    public IReadOnlyList<IReadOnlyList<int>> ReplicaAssignments { get; init; } = [];
}

/// <summary>
/// What became of one <see cref="NewTopic"/>. That the topic was there before is no failure: <see cref="AlreadyExisted"/> says so, and nothing of the topic has changed.
/// </summary>
public sealed record CreateTopicResult : AdminResult
{
    internal CreateTopicResult(string topic, KafkaException? failure, bool alreadyExisted)
        : base(failure) => (Topic, AlreadyExisted) = (topic, alreadyExisted);

    /// <summary>The topic's name.</summary>
    public string Topic { get; }

    /// <summary>Whether this call created the topic, or would have, where it only validates.</summary>
    public bool Created => IsSuccess && !AlreadyExisted;

    /// <summary>Whether the topic was there before.</summary>
    public bool AlreadyExisted { get; }

    /// <summary>The topic, and what became of it. Never throws.</summary>
    public override string ToString() => $"{Topic}: {(Failure is not null ? FailureText(Failure) : AlreadyExisted ? "Already existed" : "Created")}";
}

/// <summary>The cluster, as one broker sees it.</summary>
/// <param name="ClusterId">The cluster's id, or null from brokers that have none.</param>
/// <param name="ControllerId">The id of the controller; -1 if unknown.</param>
/// <param name="Brokers">The brokers that are up.</param>
/// <param name="Topics">The topics that were asked for, unknown ones with an error.</param>
public sealed record ClusterMetadata(
    string? ClusterId,
    int ControllerId,
    IReadOnlyList<BrokerDescription> Brokers,
    IReadOnlyList<TopicDescription> Topics)
{
    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(ClusterMetadata), (nameof(ClusterId), ClusterId), (nameof(ControllerId), ControllerId), (nameof(Brokers), Brokers), (nameof(Topics), Topics));
}

/// <summary>The cluster and its brokers.</summary>
/// <param name="ClusterId">The cluster's id, or null from brokers that have none.</param>
/// <param name="ControllerId">The id of the controller, or on KRaft clusters of a broker that stands for it; -1 if unknown.</param>
/// <param name="Brokers">The brokers that are up.</param>
/// <param name="FencedBrokers">Those that are registered and not up; empty where they were not asked for.</param>
public sealed record ClusterDescription(
    string? ClusterId,
    int ControllerId,
    IReadOnlyList<BrokerDescription> Brokers,
    IReadOnlyList<BrokerDescription> FencedBrokers)
{
    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(ClusterDescription), (nameof(ClusterId), ClusterId), (nameof(ControllerId), ControllerId), (nameof(Brokers), Brokers), (nameof(FencedBrokers), FencedBrokers));
}

/// <summary>A broker.</summary>
/// <param name="Id">Its node id.</param>
/// <param name="Address">The address that it advertises.</param>
/// <param name="Rack">Its rack or availability zone, or null.</param>
public sealed record BrokerDescription(int Id, BrokerAddress Address, string? Rack);

/// <summary>A topic.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TopicId">Its id; all zero from brokers without topic ids.</param>
/// <param name="ErrorCode">Why it cannot be described, such as <see cref="ErrorCode.UnknownTopicOrPartition"/>; otherwise none.</param>
/// <param name="IsInternal">Whether Kafka itself uses it.</param>
/// <param name="Partitions">Its partitions by number, ascending.</param>
public sealed record TopicDescription(
    string Name,
    Guid TopicId,
    ErrorCode ErrorCode,
    bool IsInternal,
    IReadOnlyList<PartitionDescription> Partitions)
{
    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(TopicDescription), (nameof(Name), Name), (nameof(TopicId), TopicId), (nameof(ErrorCode), ErrorCode), (nameof(IsInternal), IsInternal), (nameof(Partitions), Partitions));

    /// <summary>Marked by who looks the topic up in a <see cref="ClusterView"/>; null outside of one.</summary>
    internal TopicUse? Use { get; init; }
}

/// <summary>A partition.</summary>
/// <param name="Partition">Its number.</param>
/// <param name="LeaderId">The node that leads it; -1 if none does.</param>
/// <param name="LeaderEpoch">How often leadership changed; -1 if unknown.</param>
/// <param name="Replicas">The nodes that hold a copy, the preferred leader first.</param>
/// <param name="InSyncReplicas">Those whose copy is complete.</param>
public sealed record PartitionDescription(
    int Partition,
    int LeaderId,
    int LeaderEpoch,
    IReadOnlyList<int> Replicas,
    IReadOnlyList<int> InSyncReplicas)
{
    /// <summary>The nodes whose copy cannot be reached, or lies on a disk that failed. Empty from brokers before Kafka 1.0.</summary>
    public IReadOnlyList<int> OfflineReplicas { get; init; } = [];

    /// <summary>
    /// The replicas that may lead without loss although they are not in sync (KIP-966). Null where it was not asked for or the cluster does
    /// not know it: only <see cref="KafkaAdmin.DescribeTopicsAsync(IReadOnlyCollection{string}, CancellationToken)"/> asks, and Kafka 4.0 answers.
    /// </summary>
    public IReadOnlyList<int>? EligibleLeaderReplicas { get; init; }

    /// <summary>The last ones that could have led without loss, where no other is left. Null as <see cref="EligibleLeaderReplicas"/>.</summary>
    public IReadOnlyList<int>? LastKnownEligibleLeaderReplicas { get; init; }

    /// <summary>Whether nobody leads it: it can neither be written nor read.</summary>
    public bool IsOffline => LeaderId < 0;

    /// <summary>Whether a copy is behind or gone.</summary>
    public bool IsUnderReplicated => InSyncReplicas.Count < Replicas.Count;

    /// <summary>Whether the first of its replicas leads it, as the assignment means it to.</summary>
    public bool HasPreferredLeader => Replicas.Count > 0 && Replicas[0] == LeaderId;

    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(PartitionDescription), (nameof(Partition), Partition), (nameof(LeaderId), LeaderId), (nameof(LeaderEpoch), LeaderEpoch), (nameof(Replicas), Replicas), (nameof(InSyncReplicas), InSyncReplicas));
}

/// <summary>The name of a topic.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TopicId">Its id; all zero from brokers without topic ids.</param>
/// <param name="IsInternal">Whether Kafka itself uses it.</param>
public sealed record TopicListing(string Name, Guid TopicId, bool IsInternal);

/// <summary>Which offset of a partition to look up.</summary>
public readonly record struct OffsetSpec
{
    private OffsetSpec(long timestamp) => Timestamp = timestamp;

    /// <summary>The first offset that the log still holds.</summary>
    public static OffsetSpec Earliest { get; } = new(-2);

    /// <summary>The offset that the next visible record gets: the high watermark.</summary>
    public static OffsetSpec Latest { get; } = new(-1);

    /// <summary>The record with the largest timestamp (KIP-734). From Kafka 3.0 on.</summary>
    public static OffsetSpec MaxTimestamp { get; } = new(-3);

    /// <summary>The first offset on the leader's own disk, where older ones lie in tiered storage (KIP-405). From Kafka 3.5 on.</summary>
    public static OffsetSpec EarliestLocal { get; } = new(-4);

    /// <summary>The last offset that lies in tiered storage (KIP-1005). From Kafka 3.9 on.</summary>
    public static OffsetSpec LatestTiered { get; } = new(-5);

    /// <summary>The first offset that tiered storage does not hold yet (KIP-1023). From Kafka 4.2 on.</summary>
    public static OffsetSpec EarliestPendingUpload { get; } = new(-6);

    internal long Timestamp { get; }

    /// <summary>The first version of ListOffsets that knows what is asked for.</summary>
    internal short LowestVersion => Timestamp switch
    {
        -3 => 7,
        -4 => 8,
        -5 => 9,
        -6 => 11,
        _ => 1,
    };

    /// <summary>The first record with this time or a later one.</summary>
    /// <param name="time">The time, to the millisecond, 1970 or later.</param>
    public static OffsetSpec AtTime(DateTimeOffset time)
    {
        long timestamp = time.ToUnixTimeMilliseconds();
        ArgumentOutOfRangeException.ThrowIfNegative(timestamp, nameof(time));
        return new OffsetSpec(timestamp);
    }
}

/// <summary>What a leader answered for an <see cref="OffsetSpec"/>.</summary>
/// <param name="Offset">The offset; null where no record is as late as the time asked for, or none lies where it was asked for.</param>
/// <param name="Timestamp">The record's time, where a record was looked for.</param>
/// <param name="LeaderEpoch">The epoch in which the record was written; -1 if unknown.</param>
public sealed record ListedOffset(Offset? Offset, DateTimeOffset? Timestamp, int LeaderEpoch);
