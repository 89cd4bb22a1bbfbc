namespace Millrace.Kafka;

/// <summary>How a <see cref="KafkaClient"/> reaches the cluster. Checked and copied when the client is created.</summary>
public sealed class KafkaClientOptions
{
    /// <summary>
    /// Kafka: <c>bootstrap.servers</c>. One or more <c>host:port</c>, separated by commas; any one that answers is enough to learn the
    /// others. Default <c>localhost:9092</c>.
    /// </summary>
    public string BootstrapServers { get; set; } = "localhost:9092";

    /// <summary>Kafka: <c>client.id</c>. Appears in the broker's logs and quotas. Default <c>millrace</c>.</summary>
    public string ClientId { get; set; } = "millrace";

    /// <summary>
    /// Kafka: <c>request.timeout.ms</c>. How long one request may wait for its answer; then its connection is closed, since answers keep
    /// the order of requests. Default 30 s, as Kafka.
    /// </summary>
    public TimeSpan RequestTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Kafka: <c>default.api.timeout.ms</c>. How long one call of the client may take, retries included. Default 60 s, as Kafka.</summary>
    public TimeSpan ApiTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Kafka: <c>socket.connection.setup.timeout.ms</c>. How long opening a connection may take, TLS and authentication included; twice as long with each failure in
    /// a row, up to <see cref="ConnectTimeoutMax"/>, with a jitter of 20 % (KIP-601). Default 10 s, as Kafka.
    /// </summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Kafka: <c>socket.connection.setup.timeout.max.ms</c>. Default 30 s, as Kafka.</summary>
    public TimeSpan ConnectTimeoutMax { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Kafka: <c>connections.max.idle.ms</c>. A connection that nothing uses for so long is closed, before the broker does it (after 10 min) and loses a request that
    /// meets its closing. <see cref="Timeout.InfiniteTimeSpan"/> for never. Default 9 min, as Kafka.
    /// </summary>
    public TimeSpan MaxConnectionIdleTime { get; set; } = TimeSpan.FromMinutes(9);

    /// <summary>
    /// Kafka: <c>metadata.recovery.strategy</c> (KIP-899, KIP-1102). Whether the client begins again from <see cref="BootstrapServers"/> when none of the brokers
    /// that it knows answers. Default <see cref="Kafka.MetadataRecovery.Rebootstrap"/>, as Kafka since 4.0.
    /// </summary>
    public MetadataRecovery MetadataRecovery { get; set; } = MetadataRecovery.Rebootstrap;

    /// <summary>
    /// Kafka: <c>metadata.recovery.rebootstrap.trigger.ms</c>. After so long without an answer to a question for metadata, the brokers that were known are forgotten, so that
    /// the bootstrap servers are asked first (KIP-1102). Default 5 min, as Kafka.
    /// </summary>
    public TimeSpan RebootstrapTrigger { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Kafka: <c>reconnect.backoff.ms</c>. The pause before a second attempt to reach a broker; it doubles with each failure up to
    /// <see cref="ReconnectBackoffMax"/>, with a jitter of 20 %. Default 50 ms, as Kafka.
    /// </summary>
    public TimeSpan ReconnectBackoff { get; set; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Kafka: <c>reconnect.backoff.max.ms</c>. Default 1 s, as Kafka.</summary>
    public TimeSpan ReconnectBackoffMax { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Kafka: <c>retry.backoff.ms</c>. The pause before a request that failed with a retriable error is sent again; it doubles with each
    /// failure up to <see cref="RetryBackoffMax"/>, with a jitter of 20 % (KIP-580). Default 100 ms, as Kafka.
    /// </summary>
    public TimeSpan RetryBackoff { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Kafka: <c>retry.backoff.max.ms</c>. Default 1 s, as Kafka.</summary>
    public TimeSpan RetryBackoffMax { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Kafka: <c>metadata.max.age.ms</c>. How old the picture of the cluster may be before it is asked for again. Default 5 min, as Kafka.</summary>
    public TimeSpan MetadataMaxAge { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Kafka: <c>allow.auto.create.topics</c>. Whether asking for an unknown topic asks the broker to create it, if the broker's own
    /// settings allow that. Default true, as Kafka.
    /// </summary>
    public bool AllowAutoCreateTopics { get; set; } = true;

    /// <summary>
    /// The largest answer that is read, in bytes; a larger one closes the connection. Bounds what a broken or hostile peer can make the
    /// client allocate. A fetch asks for at most half of it. Default 100 MiB: twice <see cref="ConsumerOptions.FetchMaxByteCount"/>.
    /// </summary>
    public int MaxResponseByteCount { get; set; } = 100 * 1024 * 1024;

    /// <summary>
    /// How many requests may be outstanding on one connection before further ones wait. Connections that a producer sends records over have
    /// its own limit instead (<see cref="ProducerOptions.MaxInFlightRequests"/>). Default 64.
    /// </summary>
    public int MaxInFlightRequests { get; set; } = 64;

    /// <summary>TLS and authentication. Default: neither.</summary>
    public KafkaSecurityOptions Security { get; set; } = new();

    /// <summary>The connection seam. Default null: TCP.</summary>
    public IKafkaConnector? Connector { get; set; }

    /// <summary>The seed of everything that is left to chance (jitter, first broker, sticky partitions). Default null: a different one in every client.</summary>
    public int? RandomSeed { get; set; }

    /// <summary>Whether the client's own work runs in the synchronization context of its callers: for simulations, where that is the one thread there is.</summary>
    internal bool KeepsCallersContext { get; set; }
}
