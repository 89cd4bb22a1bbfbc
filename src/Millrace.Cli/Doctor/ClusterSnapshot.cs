using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Cli.Doctor;

/// <summary>What the doctor knows of a cluster: everything that its rules look at, taken at one time. What could not be learned is null or absent, and named in <see cref="Gaps"/>.</summary>
internal sealed record ClusterSnapshot
{
    public required DateTimeOffset TakenAt { get; init; }

    public string? ClusterId { get; init; }

    public IReadOnlyList<BrokerSnapshot> Brokers { get; init; } = [];

    /// <summary>Registered, and not up.</summary>
    public IReadOnlyList<int> FencedBrokerIds { get; init; } = [];

    public IReadOnlyList<TopicSnapshot> Topics { get; init; } = [];

    public IReadOnlyList<GroupSnapshot> Groups { get; init; } = [];

    public IReadOnlyList<TopicPartition> Reassignments { get; init; } = [];

    /// <summary>The brokers' clocks against the one here, where they were probed.</summary>
    public IReadOnlyList<ClockReading>? Clocks { get; init; }

    /// <summary>The settings of the application's own producers.</summary>
    public IReadOnlyList<ProducerConfiguration> Producers { get; init; } = [];

    /// <summary>What could not be learned, and why.</summary>
    public IReadOnlyList<string> Gaps { get; init; } = [];

    public bool IsSingleNode => Brokers.Count + FencedBrokerIds.Count == 1;

    public IEnumerable<TopicSnapshot> UserTopics => Topics.Where(topic => !topic.IsInternal);

    public TopicSnapshot? Topic(string name) => Topics.FirstOrDefault(topic => topic.Name == name);
}

/// <param name="Id">Its node id.</param>
/// <param name="Host">The host that it advertises.</param>
/// <param name="Rack">Its rack, or null.</param>
/// <param name="Settings">Its settings by Kafka's names; null if unknown.</param>
/// <param name="Directories">Its data directories; null if unknown.</param>
internal sealed record BrokerSnapshot(
    int Id, string Host, string? Rack, IReadOnlyDictionary<string, string>? Settings = null, IReadOnlyList<LogDirDescription>? Directories = null)
{
    public string? Setting(string name) => Settings?.GetValueOrDefault(name);
}

/// <param name="Name">Its name.</param>
/// <param name="IsInternal">Whether Kafka itself uses it.</param>
/// <param name="Partitions">Its partitions.</param>
/// <param name="Settings">Its settings by Kafka's names; null if unknown.</param>
internal sealed record TopicSnapshot(
    string Name, bool IsInternal, IReadOnlyList<PartitionSnapshot> Partitions, IReadOnlyDictionary<string, string>? Settings = null)
{
    public int ReplicationFactor => Partitions.Count == 0 ? 0 : Partitions.Min(partition => partition.Replicas.Count);

    public string? Setting(string name) => Settings?.GetValueOrDefault(name);

    public long? Number(string name) => long.TryParse(Setting(name), out long value) ? value : null;

    public bool IsDeletedFrom => Setting("cleanup.policy")?.Contains("delete", StringComparison.Ordinal) ?? true;
}

internal sealed record PartitionSnapshot(int Partition, int LeaderId, IReadOnlyList<int> Replicas, IReadOnlyList<int> InSyncReplicas)
{
    /// <summary>The first offset of the log, and the one that comes next; null if unknown.</summary>
    public (long Start, long End)? Offsets { get; init; }

    /// <summary>The offset before which records are older than <see cref="RetentionRules.AgedShare"/> of the retention time; null if unknown or kept for ever.</summary>
    public long? AgedBefore { get; init; }

    /// <summary>The largest time of its records; null if unknown or empty.</summary>
    public DateTimeOffset? NewestRecord { get; init; }

    /// <summary>How many idempotent producers it remembers; null if unknown.</summary>
    public int? KnownProducerCount { get; init; }

    public bool IsOffline => LeaderId < 0;
}

/// <param name="GroupId">Its id.</param>
/// <param name="State">What it is doing.</param>
/// <param name="Members">Its members.</param>
/// <param name="Commits">The next offset that it will read of each partition.</param>
internal sealed record GroupSnapshot(
    string GroupId, GroupState State, IReadOnlyList<GroupMemberDescription> Members, IReadOnlyDictionary<TopicPartition, long> Commits);

/// <param name="BrokerId">The broker.</param>
/// <param name="Offset">How far its clock is ahead of the one here.</param>
/// <param name="Uncertainty">By how much that may be wrong: half of the round trip.</param>
internal sealed record ClockReading(int BrokerId, TimeSpan Offset, TimeSpan Uncertainty);

/// <param name="Source">Where the settings come from: a file, and the place in it.</param>
/// <param name="Settings">The settings by Kafka's names.</param>
internal sealed record ProducerConfiguration(string Source, IReadOnlyDictionary<string, string> Settings);
