using Millrace.Kafka;

namespace Millrace;

/// <summary>Runs the application on a Kafka cluster.</summary>
public static class KafkaBuilderExtensions
{
    /// <summary>
    /// Works on an Apache Kafka cluster from version 2.4 on, or on anything that speaks its protocol, in place of a log in this process.
    /// Every process that runs the same endpoints and sagas shares their work, partition by partition; what one leaves, another takes over.
    /// </summary>
    /// <param name="millrace">The builder.</param>
    /// <param name="bootstrapServers">One or more <c>host:port</c>, separated by commas: some of the cluster's brokers.</param>
    /// <param name="configure">Sets further options, when the host starts; null for the defaults.</param>
    /// <returns>The builder.</returns>
    /// <example><code>
    /// millrace.UseKafka("kafka-1:9092,kafka-2:9092", options =>
    /// {
    ///     options.ReplicationFactor = 3;
    ///     options.MinInSyncReplicas = 2;
    /// });
    /// </code></example>
    public static MillraceBuilder UseKafka(this MillraceBuilder millrace, string bootstrapServers, Action<KafkaOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(millrace);
        ArgumentException.ThrowIfNullOrWhiteSpace(bootstrapServers);
        return millrace.UseLog((_, _) =>
        {
            KafkaOptions options = new(new KafkaClientOptions { BootstrapServers = bootstrapServers, AllowAutoCreateTopics = false });
            configure?.Invoke(options);
            return Task.FromResult(options.Read());
        }, nameof(UseKafka));
    }
}
