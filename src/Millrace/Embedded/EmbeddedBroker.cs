using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Millrace.Broker;
using Millrace.Kafka;
using Millrace.Log;

namespace Millrace;

/// <summary>The broker that runs inside the application, from its start to its stop.</summary>
public sealed class EmbeddedBroker
{
    private readonly IOptions<EmbeddedOptions> _options;
    private readonly IOptions<MessagingOptions> _messaging;
    private readonly ILoggerFactory _loggers;
    private KafkaBroker? _broker;

    internal EmbeddedBroker(IOptions<EmbeddedOptions> options, IOptions<MessagingOptions> messaging, ILoggerFactory loggers)
    {
        _options = options;
        _messaging = messaging;
        _loggers = loggers;
    }

    /// <summary>Where other programs reach the broker; null before the host starts, and where it serves this process only.</summary>
    public IPEndPoint? ListenEndPoint => _broker?.ListenEndPoint;

    /// <summary>
    /// Ends the broker as a crash does: nothing is flushed, and the next start recovers. For tests of what a crash leaves:
    /// every acknowledged message.
    /// </summary>
    public void Abort() => _broker?.Abort();

    /// <summary>
    /// How a Kafka client in this process reaches the broker: through memory, wherever the broker listens. For programs that
    /// look at the log themselves.
    /// </summary>
    /// <returns>New options each time; set what else the client needs.</returns>
    /// <exception cref="InvalidOperationException">The host has not started.</exception>
    public KafkaClientOptions CreateClientOptions()
    {
        KafkaBroker broker = _broker ?? throw new InvalidOperationException("The embedded broker cannot be reached: the host has not started. Start it first (await host.StartAsync() or host.RunAsync()).");
        return new KafkaClientOptions { BootstrapServers = "embedded:9092", Connector = new EmbeddedConnector(broker) };
    }

    internal async Task<LogConnection> StartAsync(CancellationToken cancellationToken)
    {
        BrokerOptions options = ReadOptions(_options.Value);
        IStorage storage = _options.Value.Storage ?? new FileStorage();
        KafkaBroker broker = await KafkaBroker.StartAsync(options, storage, _messaging.Value.InfrastructureTime, _loggers, cancellationToken);
        _broker = broker;
        return new LogConnection(CreateClientOptions()) { IsEmbedded = true, StopAsync = broker.StopAsync };
    }

    private static BrokerOptions ReadOptions(EmbeddedOptions options)
    {
        List<string> problems = [];
        if (string.IsNullOrWhiteSpace(options.DataDirectory))
            problems.Add("DataDirectory is empty. Name a directory that this program may write to: millrace.UseEmbedded(options => options.DataDirectory = \"data\").");
        IPEndPoint? listen = null;
        if (options.Listen is { } text && !TryParse(text, out listen))
            problems.Add($"Listen is '{text}', which is no address and port. Write for example 127.0.0.1:9092 or [::1]:9092.");
        if (problems.Count > 0) throw new MillraceConfigurationException(problems);
        return new BrokerOptions { DataDirectory = Path.GetFullPath(options.DataDirectory), Listen = listen };
    }

    private static bool TryParse(string text, out IPEndPoint? endPoint)
    {
        // Without a port, IPEndPoint reads the address and takes port 0, which nobody means.
        bool hasPort = text.StartsWith('[') ? text.Contains("]:") : text.Count(c => c == ':') == 1;
        string numeric = text.StartsWith("localhost:", StringComparison.OrdinalIgnoreCase) ? "127.0.0.1" + text["localhost".Length..] : text;
        endPoint = null;
        return hasPort && IPEndPoint.TryParse(numeric, out endPoint);
    }
}
