using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Broker;
using Millrace.Log;

namespace Millrace.Kafka.Tests;

/// <summary>A broker in this process, in a directory of its own, that can be crashed and started again on the same port.</summary>
internal sealed class TestBroker : IKafkaConnector, IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-kafka-tests-").FullName;
    private readonly Action<BrokerOptions>? _configure;
    private readonly bool _isTcp;
    private KafkaBroker? _broker;
    private int _port;

    private TestBroker(bool isTcp, Action<BrokerOptions>? configure)
    {
        _isTcp = isTcp;
        _configure = configure;
    }

    public static async Task<TestBroker> StartAsync(bool isTcp = false, Action<BrokerOptions>? configure = null)
    {
        var broker = new TestBroker(isTcp, configure);
        await broker.StartAgainAsync();
        return broker;
    }

    public KafkaClient CreateClient(Action<KafkaClientOptions>? configure = null)
    {
        var options = new KafkaClientOptions
        {
            BootstrapServers = _isTcp ? $"127.0.0.1:{_port}" : "embedded:9092",
            Connector = _isTcp ? null : this,
            RandomSeed = 1,
        };
        configure?.Invoke(options);
        return new KafkaClient(options, TimeProvider.System, NullLoggerFactory.Instance);
    }

    public async Task StartAgainAsync()
    {
        var options = new BrokerOptions
        {
            DataDirectory = _directory,
            Listen = _isTcp ? new IPEndPoint(IPAddress.Loopback, _port) : null,
        };
        _configure?.Invoke(options);
        _broker = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, NullLoggerFactory.Instance, CancellationToken.None);
        _port = _broker.ListenEndPoint?.Port ?? 0;
    }

    public void Abort()
    {
        _broker!.Abort();
        _broker = null;
    }

    public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        try
        {
            InMemoryConnection connection = (_broker ?? throw new KafkaConnectionException("The broker is down.")).Connect();
            return new ValueTask<IKafkaTransport>(new ChannelKafkaTransport(connection.Requests, connection.Responses, connection));
        }
        catch (InvalidOperationException failure)
        {
            throw new KafkaConnectionException("The broker is down.", failure);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_broker is not null)
        {
            await _broker.DisposeAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }
}
