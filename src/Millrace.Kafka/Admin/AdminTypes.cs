using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>A topic to create.</summary>
/// <param name="Name">1 to 249 characters: letters, digits, dot, underscore, hyphen.</param>
/// <param name="PartitionCount">Number of partitions; -1: the broker's default.</param>
/// <param name="ReplicationFactor">Copies of each partition; -1: the broker's default.</param>
public sealed record NewTopic(string Name, int PartitionCount = -1, short ReplicationFactor = -1)
{
    /// <summary>Settings of the topic by Kafka's names, such as <c>cleanup.policy</c>. Default none.</summary>
    public IReadOnlyDictionary<string, string> Configuration { get; init; } = new Dictionary<string, string>();
}

/// <summary>What became of one <see cref="NewTopic"/>.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="ErrorCode">The broker's answer.</param>
/// <param name="Message">What the broker says about an error, or null.</param>
public sealed record CreateTopicResult(string Topic, ErrorCode ErrorCode, string? Message)
{
    /// <summary>Whether this call created the topic.</summary>
    public bool Created => ErrorCode == ErrorCode.None;

    /// <summary>Whether the topic was there before.</summary>
    public bool AlreadyExisted => ErrorCode == ErrorCode.TopicAlreadyExists;
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
    IReadOnlyList<TopicDescription> Topics);

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
    IReadOnlyList<PartitionDescription> Partitions);

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
    IReadOnlyList<int> InSyncReplicas);

/// <summary>Which offset of a partition to look up.</summary>
public readonly record struct OffsetSpec
{
    private OffsetSpec(long timestamp) => Timestamp = timestamp;

    /// <summary>The first offset that the log still holds.</summary>
    public static OffsetSpec Earliest { get; } = new(-2);

    /// <summary>The offset that the next visible record gets: the high watermark.</summary>
    public static OffsetSpec Latest { get; } = new(-1);

    internal long Timestamp { get; }

    /// <summary>The first record with this time or a later one.</summary>
    /// <param name="time">The time, to the millisecond, 1970 or later.</param>
    public static OffsetSpec AtTime(DateTimeOffset time)
    {
        long timestamp = time.ToUnixTimeMilliseconds();
        ArgumentOutOfRangeException.ThrowIfNegative(timestamp, nameof(time));
        return new OffsetSpec(timestamp);
    }
}
