using System.Net;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>The settings of a broker. Names and defaults follow Kafka's; each member says which property it is there.</summary>
public sealed class BrokerOptions
{
    /// <summary><c>log.dirs</c>: where everything is kept. One broker at a time may use a directory.</summary>
    public string DataDirectory { get; set; } = "";

    /// <summary><c>listeners</c>, a plaintext one: where clients connect; null for none. Port 0 takes a free port, which <c>KafkaBroker.ListenEndPoint</c> then tells.</summary>
    public IPEndPoint? Listen { get; set; }

    /// <summary><c>listeners</c>: further ones, with TLS and SASL. Without any, and without <see cref="Listen"/>, this process only is served.</summary>
    public IList<ListenerOptions> Listeners { get; } = [];

    /// <summary>What listeners with TLS show, and ask for.</summary>
    public BrokerTlsOptions Tls { get; } = new();

    /// <summary>The users who may log in on listeners with SASL: a file that <c>millrace user</c> writes. It is read at each login.</summary>
    public string? UsersFile { get; set; }

    /// <summary><c>sasl.enabled.mechanisms</c>. Default: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.</summary>
    public IList<string> SaslMechanisms { get; set; } = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

    /// <summary>How long a connection may take to show who is there, TLS and SASL together. Default 30 s, where Kafka waits for <c>connections.max.idle.ms</c>.</summary>
    public TimeSpan AuthenticationTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary><c>connection.failed.authentication.delay.ms</c>: how long the answer to a login that failed is held back. Default 100 ms.</summary>
    public TimeSpan FailedAuthenticationDelay { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary><c>connections.max.reauth.ms</c>: after so long a client has to log in again on its connection (KIP-368), or it is closed. Default zero: never.</summary>
    public TimeSpan MaxSessionLifetime { get; set; } = TimeSpan.Zero;

    /// <summary><c>advertised.listeners</c>, the host: what clients of <see cref="Listen"/> are told to connect to. Null: the address that listens, or, where that is any address, the one that the client's connection reached.</summary>
    public string? AdvertisedHost { get; set; }

    /// <summary><c>advertised.listeners</c>, the port. Null: the port that listens.</summary>
    public int? AdvertisedPort { get; set; }

    /// <summary><c>num.partitions</c>: how many partitions a topic gets when nobody says. Default 1.</summary>
    public int DefaultPartitionCount { get; set; } = 1;

    /// <summary><c>auto.create.topics.enable</c>: whether asking for the metadata of a topic creates it. Default true.</summary>
    public bool AutoCreateTopics { get; set; } = true;

    /// <summary>
    /// <c>offsets.topic.num.partitions</c>: partitions of <c>__consumer_offsets</c> when it is first made. Default 1, where Kafka has 50: those spread the groups
    /// over the brokers of a cluster. On one node, one partition lets one sync serve the commits of every group.
    /// </summary>
    public int OffsetsTopicPartitionCount { get; set; } = 1;

    /// <summary><c>offset.metadata.max.bytes</c>: the longest note that a client may attach to a committed offset; as in Kafka, counted in characters. Default 4096, at most 10,922.</summary>
    public int MaxOffsetMetadataLength { get; set; } = 4096;

    /// <summary>
    /// <c>group.initial.rebalance.delay.ms</c>: how long the first member of an empty group waits for others. Default zero, where Kafka has 3 s: a program that starts
    /// with its broker gets its first message at once, at the price of one more rebalance for each member that comes after.
    /// </summary>
    public TimeSpan GroupInitialRebalanceDelay { get; set; } = TimeSpan.Zero;

    /// <summary><c>group.min.session.timeout.ms</c>: a member that asks for less is refused. Default 6 s.</summary>
    public TimeSpan GroupMinSessionTimeout { get; set; } = TimeSpan.FromSeconds(6);

    /// <summary><c>group.max.session.timeout.ms</c>: a member that asks for more is refused. Default 30 minutes.</summary>
    public TimeSpan GroupMaxSessionTimeout { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary><c>group.max.size</c>: members of one group. Default: no limit.</summary>
    public int GroupMaxSize { get; set; } = int.MaxValue;

    /// <summary>
    /// <c>offsets.retention.minutes</c>: how long committed offsets are kept for nobody: from when the last member left the group, or, without members, from
    /// the last commit. Default 7 days, as in Kafka.
    /// </summary>
    public TimeSpan OffsetsRetention { get; set; } = TimeSpan.FromDays(7);

    /// <summary><c>offsets.retention.check.interval.ms</c>: how often it is looked for such offsets, and for empty groups that have none. Default 10 minutes.</summary>
    public TimeSpan OffsetsRetentionCheckInterval { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary><c>transaction.max.timeout.ms</c>: a producer that asks for more time for its transactions is refused. Default 15 minutes.</summary>
    public TimeSpan TransactionMaxTimeout { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary><c>transactional.id.expiration.ms</c>: a transactional id that nobody used for so long is forgotten. Default 7 days.</summary>
    public TimeSpan TransactionalIdExpiration { get; set; } = TimeSpan.FromDays(7);

    /// <summary>
    /// <c>producer.id.expiration.ms</c>: a producer that has written nothing to a partition for so long is forgotten in it, unless it has a transaction open there: what it sends next is a beginning.
    /// Looked for each <c>log.retention.check.interval.ms</c>. Default 1 day.
    /// </summary>
    public TimeSpan ProducerIdExpiration { get; set; } = TimeSpan.FromDays(1);

    /// <summary>
    /// <c>transaction.state.log.num.partitions</c>: partitions of <c>__transaction_state</c> when it is first made. Default 50: the decisions about transactions of different
    /// producers reach the disk side by side.
    /// </summary>
    public int TransactionStateTopicPartitionCount { get; set; } = 50;

    /// <summary><c>socket.request.max.bytes</c>: the largest request that is read. Default 100 MiB.</summary>
    public int MaxRequestByteCount { get; set; } = 100 * 1024 * 1024;

    /// <summary>
    /// <c>queued.max.request.bytes</c>: memory of the requests of all connections together, from when they begin to arrive until they are done; above it no connection is
    /// read from, but for one at a time. Default 512 MiB, where Kafka has no limit: a disk that is slow for a while must not cost the machine's memory.
    /// </summary>
    public long MaxQueuedRequestByteCount { get; set; } = 512L * 1024 * 1024;

    /// <summary><c>message.max.bytes</c>: the largest record batch that is accepted. Default 1 MiB and the 12 bytes before a batch's length, as in Kafka.</summary>
    public int MaxMessageByteCount { get; set; } = (1024 * 1024) + 12;

    /// <summary>
    /// What topics have that say nothing, by Kafka's <c>log.*</c> names; the largest batch is <see cref="MaxMessageByteCount"/>. Default: Kafka's.
    /// </summary>
    public TopicLogSettings TopicDefaults { get; set; } = TopicLogSettings.Default;

    /// <summary>
    /// What the two files of the commit journal take together at most, in which partitions share the syncs of <c>acks=all</c>; 0 for none. They are made when they are first wanted and grow under
    /// load. Default 128 MiB: room for some seconds of small records as fast as they come, after which the partitions are synced themselves.
    /// </summary>
    public long CommitJournalByteCount { get; set; } = 128L * 1024 * 1024;

    /// <summary><c>fetch.max.bytes</c>: the most that one fetch returns, whatever the client asks for. Default 55 MiB.</summary>
    public int MaxFetchByteCount { get; set; } = 55 * 1024 * 1024;

    /// <summary><c>max.connections</c>: network connections at one time; one more is closed as it comes. Default 10,000.</summary>
    public int MaxConnections { get; set; } = 10_000;

    /// <summary><c>max.connections.per.ip</c>. Default: no limit of its own.</summary>
    public int MaxConnectionsPerAddress { get; set; } = int.MaxValue;

    /// <summary><c>connections.max.idle.ms</c>: a connection on which nothing was read or written for so long is closed. Default 10 minutes.</summary>
    public TimeSpan MaxConnectionIdleTime { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>Requests of one connection that are worked on at a time; the next one waits unread. Default 32.</summary>
    public int MaxInFlightRequests { get; set; } = 32;

    /// <summary>Retention and compaction: <c>log.retention.check.interval.ms</c> and <c>log.cleaner.*</c>, with Kafka's defaults.</summary>
    public LogCleanerOptions Cleaner { get; } = new();

    /// <summary>Partitions on this broker, internal topics included: each costs open files. Default 10,000.</summary>
    public int MaxPartitionCount { get; set; } = 10_000;
}
