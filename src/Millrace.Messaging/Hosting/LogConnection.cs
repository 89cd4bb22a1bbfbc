using Millrace.Kafka;

namespace Millrace;

/// <summary>The log that an application works on: how to reach it, and what to stop when the application ends.</summary>
/// <param name="Client">How the client reaches the log.</param>
public sealed record LogConnection(KafkaClientOptions Client)
{
    /// <summary>
    /// Whether the log lives in this process alone, so that a command which nobody in the application handles is a mistake.
    /// Default: false.
    /// </summary>
    public bool IsEmbedded { get; init; }

    /// <summary>How long the start waits for the log's first answer; none comes while its brokers are still starting. Default: 1 minute.</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How many copies the brokers keep of the topics that the application creates. Default: -1, what the brokers are set to.</summary>
    public short ReplicationFactor { get; init; } = -1;

    /// <summary>Settings of the topics that the application creates, by Kafka's names. Default: none.</summary>
    public IReadOnlyDictionary<string, string> TopicConfiguration { get; init; } = new Dictionary<string, string>();

    /// <summary>Stops the log, after everything that uses it has ended. Default: nothing to stop.</summary>
    public Func<CancellationToken, Task> StopAsync { get; init; } = _ => Task.CompletedTask;
}

/// <summary>Brings the log up and says how to reach it. Called once, when the host starts, before anything else.</summary>
/// <param name="services">The host's services.</param>
/// <param name="cancellationToken">Cancelled when the host gives up starting.</param>
public delegate Task<LogConnection> LogConnector(IServiceProvider services, CancellationToken cancellationToken);
