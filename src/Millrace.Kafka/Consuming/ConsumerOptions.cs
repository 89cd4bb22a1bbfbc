namespace Millrace.Kafka;

/// <summary>Where a partition starts when nothing is committed, or when its position lies outside the log.</summary>
public enum AutoOffsetReset
{
    /// <summary>At the end: only what is written from now on.</summary>
    Latest,

    /// <summary>At the first record that the log still holds.</summary>
    Earliest,

    /// <summary>Nowhere: polling fails with <see cref="KafkaOffsetOutOfRangeException"/> until the application seeks.</summary>
    None,

    /// <summary>
    /// At the first record that is no older than <see cref="ConsumerOptions.AutoOffsetResetDuration"/>; at the end where there is none (KIP-1106, Kafka's <c>by_duration</c>).
    /// </summary>
    ByDuration,
}

/// <summary>Which records of transactions are handed out.</summary>
public enum IsolationLevel
{
    /// <summary>All, also those of open and aborted transactions.</summary>
    ReadUncommitted,

    /// <summary>
    /// Those of committed transactions and those outside of any. Reading goes up to the last stable offset: an open transaction holds back what was written after its beginning (KIP-98).
    /// </summary>
    ReadCommitted,
}

/// <summary>What a leader last said of the ends of a partition's log.</summary>
/// <param name="LogStart">The first offset that the log holds; -1 from brokers before Kafka 0.11.</param>
/// <param name="HighWatermark">The end of what is replicated.</param>
/// <param name="LastStable">The end of what no open transaction holds back; -1 where the broker does not tell.</param>
public sealed record PartitionWatermarks(Records.Offset LogStart, Records.Offset HighWatermark, Records.Offset LastStable);

/// <summary>How a <see cref="KafkaConsumer"/> joins, fetches and resets. Checked and copied when the consumer is created.</summary>
public sealed class ConsumerOptions
{
    /// <summary>
    /// Kafka: <c>group.id</c>. Needed by <see cref="KafkaConsumer.SubscribeAsync(IReadOnlyCollection{string}, IRebalanceListener?, CancellationToken)"/> and for commits. Default null: no group.
    /// </summary>
    public string? GroupId { get; set; }

    /// <summary>
    /// Kafka: <c>group.instance.id</c>. A name that this consumer keeps over restarts (KIP-345): a static member, whose partitions wait for it until
    /// its session ends, so that a restart moves nothing. It does not leave the group when it closes. At most 249 characters, and no two consumers of
    /// a group with the same one at a time: the earlier is fenced with <see cref="KafkaInstanceFencedException"/>. Default null: a member like any other.
    /// </summary>
    public string? GroupInstanceId { get; set; }

    /// <summary>
    /// Kafka: <c>group.protocol</c>. Default <see cref="GroupProtocol.Classic"/>, as Kafka.
    /// </summary>
    public GroupProtocol GroupProtocol { get; set; } = GroupProtocol.Classic;

    /// <summary>
    /// Kafka: <c>group.remote.assignor</c>. The coordinator's assignor to ask for with <see cref="GroupProtocol.Consumer"/>, <c>uniform</c> or
    /// <c>range</c>. Default null: the coordinator's choice, as Kafka.
    /// </summary>
    public string? GroupRemoteAssignor { get; set; }

    /// <summary>
    /// Kafka: <c>session.timeout.ms</c>. A member that the coordinator has not heard of for this long is dead, and its partitions move.
    /// With
    /// <see cref="GroupProtocol.Consumer"/> the coordinator's own setting decides, and this is how long the member itself waits for an answer before it
    /// takes its partitions for lost. Default 45 s, as Kafka.
    /// </summary>
    public TimeSpan SessionTimeout { get; set; } = TimeSpan.FromSeconds(45);

    /// <summary>Kafka: <c>heartbeat.interval.ms</c>. At most a third of <see cref="SessionTimeout"/>. Default 3 s, as Kafka.</summary>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>
    /// Kafka: <c>max.poll.interval.ms</c>, in its role as rebalance time-out: how long a rebalance waits for this member, so how long
    /// <see cref="IRebalanceListener.OnRevokedAsync"/> may take. Default 5 min, as Kafka.
    /// </summary>
    public TimeSpan RebalanceTimeout { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Kafka: <c>max.poll.interval.ms</c>, in its role as bound on the time between two polls. Membership does not depend on how often the application
    /// polls: heartbeats and rebalances run in the background. But one that has taken records and does not come back for so long is stuck, and
    /// <see cref="PollTimeoutAction"/> follows. Noticed with the next heartbeat. Default 5 min, as Kafka.
    /// </summary>
    public TimeSpan MaxPollInterval { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// What follows when <see cref="MaxPollInterval"/> is exceeded. Default <see cref="PollTimeoutAction.Report"/>; Java's client leaves the group.
    /// </summary>
    public PollTimeoutAction PollTimeoutAction { get; set; } = PollTimeoutAction.Report;

    /// <summary>Kafka: <c>auto.offset.reset</c>. Default <see cref="AutoOffsetReset.Latest"/>, as Kafka.</summary>
    public AutoOffsetReset AutoOffsetReset { get; set; } = AutoOffsetReset.Latest;

    /// <summary>
    /// Kafka: <c>partition.assignment.strategy</c>, in order of preference; the group takes one that all members know.
    /// Members keep their partitions through a rebalance where <see cref="PartitionAssignor.CooperativeSticky"/> is the only one. To move a running
    /// group there, restart its members one by one with range and cooperative-sticky, as the default has it, and then with the latter alone.
    /// Default range, then cooperative-sticky, as Kafka.
    /// </summary>
    public IList<PartitionAssignor> Assignors { get; set; } = [PartitionAssignor.Range, PartitionAssignor.CooperativeSticky];

    /// <summary>Kafka: <c>fetch.min.bytes</c>. Bytes that a fetch waits for, up to <see cref="FetchMaxWait"/>. Default 1, as Kafka.</summary>
    public int FetchMinByteCount { get; set; } = 1;

    /// <summary>Kafka: <c>fetch.max.wait.ms</c>. Default 500 ms, as Kafka.</summary>
    public TimeSpan FetchMaxWait { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// Kafka: <c>fetch.max.bytes</c>. Bytes that one fetch asks for, as far as <see cref="PrefetchByteCount"/> leaves room; one batch that is larger comes all the same. No fetch takes more than
    /// its share of that room: with one broker half of it, with three brokers a sixth. Default 50 MiB, as Kafka.
    /// </summary>
    public int FetchMaxByteCount { get; set; } = 50 * 1024 * 1024;

    /// <summary>Kafka: <c>max.partition.fetch.bytes</c>. Bytes of one partition in one fetch. Default 1 MiB, as Kafka.</summary>
    public int PartitionFetchMaxByteCount { get; set; } = 1024 * 1024;

    /// <summary>
    /// Bytes, as they come from the broker, that are fetched ahead of the application, over all partitions: what waits and what fetches under way may bring never come to more, but
    /// for a single batch that is larger than what a fetch asked for. What is lent out (<see cref="ConsumerBatch"/>) no longer counts. Of paused partitions what waits is kept until others need the
    /// room. Default 32 MiB.
    /// </summary>
    public long PrefetchByteCount { get; set; } = 32L * 1024 * 1024;

    /// <summary>
    /// The largest size of one batch after decompression, in bytes; a larger one fails with <see cref="KafkaCorruptBatchException"/>.
    /// Bounds what a small, hostile batch can make the consumer allocate. Default 256 MiB.
    /// </summary>
    public int MaxDecompressedBatchByteCount { get; set; } = 256 * 1024 * 1024;

    /// <summary>How long disposal waits for the revoke callback and for leaving the group. Default 30 s.</summary>
    public TimeSpan CloseTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Kafka: <c>isolation.level</c>. Also decides which end <see cref="AutoOffsetReset.Latest"/> and <see cref="KafkaConsumer.EndOffsetsAsync"/> mean. Default
    /// <see cref="IsolationLevel.ReadUncommitted"/>, as Kafka.
    /// </summary>
    public IsolationLevel IsolationLevel { get; set; }

    /// <summary>
    /// Kafka: <c>client.rack</c>. The rack or availability zone that this consumer runs in. Where the brokers have a rack-aware replica selector
    /// (<c>replica.selector.class</c>), leaders then send it to an in-sync replica in its own rack (KIP-392). Default null: fetches from leaders.
    /// </summary>
    public string? ClientRack { get; set; }

    /// <summary>
    /// How old the first record may be with <see cref="AutoOffsetReset.ByDuration"/>, counted from when the position is looked up. Kafka writes it as <c>auto.offset.reset=by_duration:PT1H</c>
    /// (KIP-1106). Default null; needed with that reset, and allowed with no other.
    /// </summary>
    public TimeSpan? AutoOffsetResetDuration { get; set; }
}
