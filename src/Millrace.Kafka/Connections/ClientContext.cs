using Microsoft.Extensions.Logging;

namespace Millrace.Kafka;

/// <summary>What every part of one client shares.</summary>
internal sealed record ClientContext(
    ClientSettings Settings,
    IKafkaConnector Connector,
    TimeProvider Time,
    ILoggerFactory Loggers,
    Chance Chance)
{
    public Backoff RetryBackoff { get; } = new(Settings.RetryBackoff, Settings.RetryBackoffMax, Chance);

    public Backoff ReconnectBackoff { get; } = new(Settings.ReconnectBackoff, Settings.ReconnectBackoffMax, Chance);

    /// <summary>How long attempts to connect may take: longer with each failure in a row (KIP-601).</summary>
    public Backoff ConnectTimeout { get; } = new(Settings.ConnectTimeout, Settings.ConnectTimeoutMax, Chance);

    /// <summary>What connections log in with; null where they do not.</summary>
    public SaslLogin? Login { get; } = Settings.Security.Sasl is { } sasl ? new SaslLogin(sasl, Time) : null;

    public AuthenticationRefusals Refusals { get; } = new(Time, Chance);
}
