using Millrace.Kafka;

namespace Millrace;

/// <summary>How an application works on a Kafka cluster.</summary>
public sealed class KafkaOptions
{
    internal KafkaOptions(KafkaClientOptions client) => Client = client;

    /// <summary>
    /// The client's own options: time-outs, security, the client id. Unlike elsewhere the client does not have topics created by using them,
    /// since the application creates its own, with the settings below.
    /// </summary>
    public KafkaClientOptions Client { get; }

    /// <summary>
    /// Kafka: <c>replication.factor</c>. How many brokers keep each partition of the topics that the application creates; topics that exist
    /// stay as they are. Default: -1, the brokers' <c>default.replication.factor</c>, which is 1 where nobody has set it: set 3, here or
    /// there, for what must survive a broker. Brokers before Kafka 2.4 have no default and need a number.
    /// </summary>
    public short ReplicationFactor { get; set; } = -1;

    /// <summary>
    /// Kafka: <c>min.insync.replicas</c>, of the topics that the application creates. How many copies a message has when it is acknowledged,
    /// at least: with a replication factor of 3, set 2. Default: null, the brokers' setting, which is 1 where nobody has set it.
    /// </summary>
    public int? MinInSyncReplicas { get; set; }

    /// <summary>
    /// How long the start of the host waits for a broker's first answer, so that application and cluster may be started in any order; then
    /// it fails with <see cref="LogUnavailableException"/>. Default: 1 minute. From 1 second.
    /// </summary>
    public TimeSpan StartTimeout { get; set; } = TimeSpan.FromMinutes(1);

    internal LogConnection Read()
    {
        List<string> problems = [];
        if (ReplicationFactor is not -1 and < 1)
            problems.Add($"ReplicationFactor is {ReplicationFactor}. It is a number of brokers from 1 on, or -1 for the brokers' default.");
        if (MinInSyncReplicas < 1)
            problems.Add($"MinInSyncReplicas is {MinInSyncReplicas}. It is a number of copies from 1 on, or null for the brokers' setting.");
        if (ReplicationFactor > 0 && MinInSyncReplicas > ReplicationFactor)
            problems.Add($"MinInSyncReplicas ({MinInSyncReplicas}) is above ReplicationFactor ({ReplicationFactor}): nothing could be written. Lower it.");
        if (StartTimeout < TimeSpan.FromSeconds(1)) problems.Add($"StartTimeout is {StartTimeout}. It goes from 1 second on.");
        problems.AddRange((Client.BootstrapServers ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Where(address => !BrokerAddress.TryParse(address, out _))
            .Select(address => $"BootstrapServers holds '{address}', which is not host:port. Write for example 'kafka-1:9092,kafka-2:9092', with commas between several."));
        if (problems.Count > 0) throw new MillraceConfigurationException(problems);
        return new LogConnection(Client)
        {
            ReplicationFactor = ReplicationFactor,
            TopicConfiguration = MinInSyncReplicas is { } count
                ? new Dictionary<string, string> { ["min.insync.replicas"] = count.ToString(System.Globalization.CultureInfo.InvariantCulture) }
                : [],
            StartTimeout = StartTimeout,
        };
    }
}
