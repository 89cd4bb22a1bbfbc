using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Broker;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Tests;

/// <summary>
/// What a test runs against: a broker in this process, in a directory of its own, that can be crashed and started again on the same port;
/// or a namespace of the cluster that <see cref="TestCluster"/> names.
/// </summary>
internal sealed class TestBroker : IKafkaConnector, IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-kafka-tests-").FullName;
    private readonly Action<BrokerOptions>? _configure;
    private readonly bool _isTcp;
    private readonly NamespaceConnector? _namespace;
    private KafkaBroker? _broker;
    private int _port;

    private TestBroker(bool isTcp, Action<BrokerOptions>? configure, NamespaceConnector? @namespace)
    {
        _isTcp = isTcp;
        _configure = configure;
        _namespace = @namespace;
    }

    /// <summary>Whether the brokers are not this test's: it can neither crash nor configure them, and others may do both.</summary>
    public bool IsExternal => _namespace is not null;

    /// <summary>Where the broker is reached by a socket.</summary>
    public string Address => TestCluster.Address ?? $"127.0.0.1:{_port}";

    /// <summary>A session time-out that the broker takes; short where the broker is the test's own.</summary>
    public static TimeSpan SessionTimeout => TestCluster.IsExternal ? TestCluster.ShortestSession : TimeSpan.FromSeconds(2);

    /// <summary>How long a test waits for what must happen: on a cluster, leaders may be on the move meanwhile.</summary>
    public static TimeSpan Patience => TimeSpan.FromSeconds(TestCluster.IsExternal ? 180 : 60);

    public static async Task<TestBroker> StartAsync(bool isTcp = false, Action<BrokerOptions>? configure = null)
    {
        if (TestCluster.IsExternal)
        {
            BrokerOptions wished = new() { DataDirectory = "" };
            configure?.Invoke(wished);
            TestCluster cluster = await TestCluster.GetAsync();
            cluster.Require(CreateTopicsRequest.Api, lowest: 1);
            return new TestBroker(isTcp, configure, new NamespaceConnector(cluster, wished.DefaultPartitionCount));
        }

        var broker = new TestBroker(isTcp, configure, @namespace: null);
        await broker.StartAgainAsync();
        return broker;
    }

    /// <summary>Starts a broker of the test's own. Skips the test where it is to run against a cluster.</summary>
    /// <param name="why">What the test does to its broker.</param>
    /// <param name="isTcp">Whether clients reach it by a socket.</param>
    /// <param name="configure">Sets options of the broker.</param>
    public static Task<TestBroker> StartOwnAsync(string why, bool isTcp = false, Action<BrokerOptions>? configure = null)
    {
        Assert.SkipWhen(TestCluster.IsExternal, $"The test needs a broker of its own: {why}");
        return StartAsync(isTcp, configure);
    }

    public KafkaClient CreateClient(Action<KafkaClientOptions>? configure = null)
    {
        KafkaClientOptions options = CreateClientOptions();
        configure?.Invoke(options);
        return new KafkaClient(options, TimeProvider.System, NullLoggerFactory.Instance);
    }

    public KafkaClientOptions CreateClientOptions() => new()
    {
        BootstrapServers = _isTcp || IsExternal ? Address : "embedded:9092",
        Connector = _isTcp && !IsExternal ? null : this,
        RandomSeed = 1,
    };

    public async Task StartAgainAsync()
    {
        if (IsExternal)
        {
            return;
        }

        var options = new BrokerOptions
        {
            DataDirectory = _directory,
            Listen = _isTcp ? new IPEndPoint(IPAddress.Loopback, _port) : null,
        };
        _configure?.Invoke(options);
        _broker = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, NullLoggerFactory.Instance, CancellationToken.None);
        _port = _broker.ListenEndPoint?.Port ?? 0;
    }

    /// <summary>Whether the brokers offer an API in a version or a later one; this test's own broker offers all that is asked for.</summary>
    public bool Offers(ApiDefinition api, short lowest = 0) => _namespace is null || ClusterCalls.Common(_namespace.Cluster.Versions, api, lowest) is not null;

    /// <summary>Skips the test where they do not.</summary>
    public void Require(ApiDefinition api, short lowest = 0) => _namespace?.Cluster.Require(api, lowest);

    /// <summary>Ends the broker as a crash does. On a cluster nothing: it is for whoever runs it to have its brokers die.</summary>
    public void Abort()
    {
        _broker?.Abort();
        _broker = null;
    }

    public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        if (_namespace is not null)
        {
            // What a test that knows of its own broker only calls it.
            bool isAnyBroker = address.Host == "embedded";
            return _namespace.ConnectAsync(isAnyBroker && BrokerAddress.TryParse(TestCluster.Address!.Split(',')[0], out BrokerAddress first) ? first : address, cancellationToken);
        }

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

        if (_namespace is not null)
        {
            await _namespace.DisposeAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }
}
