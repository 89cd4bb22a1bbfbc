using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;

namespace Millrace.Simulation.Tests;

/// <summary>A process with clients of the broker, which may be killed, stopped for a while, or cut off from the network.</summary>
internal sealed class SimulatedProcess(SimulatedNetwork network, Random random, string name) : IKafkaConnector
{
    public SimulatedThread Thread { get; } = new(random);

    public string Name => name;

    public bool IsAlive { get; private set; } = true;

    /// <summary>Nothing of it runs before.</summary>
    public TimeSpan StoppedUntil { get; set; }

    /// <summary>Nothing gets from here to the broker, nor back.</summary>
    public bool IsCutOff { get; set; }

    public KafkaClient NewClient() => new(
        new KafkaClientOptions
        {
            BootstrapServers = "broker:9092",
            ClientId = name,
            RequestTimeout = TimeSpan.FromSeconds(4),
            ApiTimeout = TimeSpan.FromSeconds(15),
            ConnectTimeout = TimeSpan.FromSeconds(3),
            ConnectTimeoutMax = TimeSpan.FromSeconds(6),
            MetadataMaxAge = TimeSpan.FromSeconds(10 + random.Next(60)),
            Connector = this,
            RandomSeed = random.Next(),
            KeepsCallersContext = true,
        },
        network.Clock,
        NullLoggerFactory.Instance);

    public void Kill()
    {
        IsAlive = false;
        Thread.End();
        network.Clock.Forget(Thread);
        network.ProcessIsGone(this);
    }

    public async ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        await network.Clock.PauseAsync(TimeSpan.FromMilliseconds(1 + random.Next(3)));
        if (IsCutOff)
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, network.Clock, cancellationToken);
        }

        cancellationToken.ThrowIfCancellationRequested();
        return network.Connect(this) ?? throw new KafkaConnectionException("There is nobody at the other end.");
    }
}
