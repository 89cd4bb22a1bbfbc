using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>
/// A cluster of brokers that answer what a test tells them to, each API by a function of the node that was asked. Metadata follow from the
/// public members; every request is noted, and one in a version that its broker does not offer fails the test.
/// </summary>
internal sealed class AdminCluster : IKafkaConnector
{
    private readonly Dictionary<ApiKey, Func<int, RequestHeader, ReadOnlyMemory<byte>, IMessage?>> _handlers = [];
    private readonly List<(int Node, ApiKey Api, short Version)> _requests = [];
    private readonly ConcurrentBag<Connection> _connections = [];
    private readonly Lock _gate = new();

    public AdminCluster(int nodeCount = 3)
    {
        NodeIds = [.. Enumerable.Range(1, nodeCount)];
        On<MetadataRequest, MetadataResponse>((_, version, request) => Metadata(request, version));
    }

    public List<int> NodeIds { get; }

    public int ControllerId { get; set; } = 1;

    /// <summary>Nodes that refuse connections, and are in the metadata all the same.</summary>
    public HashSet<int> DownIds { get; } = [];

    /// <summary>Why nobody can log in at a node; null for those who can.</summary>
    public Func<int, KafkaAuthenticationException?> Refuse { get; set; } = static _ => null;

    /// <summary>What a node takes and never answers.</summary>
    public ConcurrentDictionary<(int Node, ApiKey Api), bool> Silent { get; } = [];

    /// <summary>The topics; each partition by its leader, 0 for none.</summary>
    public Dictionary<string, int[]> Leaders { get; } = [];

    /// <summary>What a node offers; null leaves an API out.</summary>
    public Func<int, ApiDefinition, (short Min, short Max)?> Versions { get; set; } = static (_, api) => (api.MinVersion, api.MaxVersion);

    public IReadOnlyList<(int Node, ApiKey Api, short Version)> Requests
    {
        get
        {
            lock (_gate)
            {
                return [.. _requests];
            }
        }
    }

    /// <summary>Sets the answer of an API; null closes the connection.</summary>
    public void On<TRequest, TResponse>(Func<int, short, TRequest, TResponse?> answer)
        where TRequest : class, IRequest<TResponse>, new()
        where TResponse : class, IMessage, new() =>
        _handlers[TRequest.Api.Key] = (node, header, body) =>
        {
            Assert.True(MessageCodec.TryReadRequest(body, header.Version, out TRequest? request, out string? error), error);
            return answer(node, header.Version, request);
        };

    public IEnumerable<int> Asked(ApiKey api) => Requests.Where(request => request.Api == api).Select(request => request.Node);

    public KafkaClient CreateClient(TimeProvider? time = null, Action<KafkaClientOptions>? configure = null)
    {
        var options = new KafkaClientOptions
        {
            BootstrapServers = "node-1:9001",
            Connector = this,
            RandomSeed = 1,
            RetryBackoff = TimeSpan.FromMilliseconds(1),
            RetryBackoffMax = TimeSpan.FromMilliseconds(2),
            ReconnectBackoff = TimeSpan.Zero,
            ReconnectBackoffMax = TimeSpan.FromMilliseconds(1),
        };
        configure?.Invoke(options);
        return new KafkaClient(options, time ?? TimeProvider.System, NullLoggerFactory.Instance);
    }

    public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        int node = address.Port - 9000;
        if (Refuse(node) is { } refusal)
        {
            throw refusal;
        }

        if (DownIds.Contains(node) || !NodeIds.Contains(node))
        {
            throw new KafkaConnectionException($"Node {node} is down.");
        }

        var connection = new Connection(this, node);
        _connections.Add(connection);
        return new ValueTask<IKafkaTransport>(connection);
    }

    /// <summary>Breaks all connections.</summary>
    public void CloseAll()
    {
        foreach (Connection connection in _connections)
        {
            connection.Close();
        }
    }

    public static (string Host, int Port) AddressOf(int node) => ($"node-{node}", 9000 + node);

    private MetadataResponse Metadata(MetadataRequest request, short version)
    {
        IEnumerable<string> names = request.Topics is null || (version == 0 && request.Topics.Count == 0)
            ? Leaders.Keys
            : request.Topics.Select(topic => topic.Name!);
        return new MetadataResponse
        {
            ClusterId = "scripted",
            ControllerId = ControllerId,
            Brokers = [.. NodeIds.Select(node => new MetadataBroker { NodeId = node, Host = $"node-{node}", Port = 9000 + node, Rack = $"rack-{node}" })],
            Topics =
            [
                .. names.Select(name => Leaders.TryGetValue(name, out int[]? leaders)
                    ? new MetadataTopic
                    {
                        Name = name,
                        Partitions =
                        [
                            .. leaders.Select((leader, index) => new MetadataPartition
                            {
                                Index = index,
                                LeaderId = leader == 0 ? -1 : leader,
                                LeaderEpoch = 1,
                                Replicas = [.. NodeIds],
                                InSyncReplicas = leader == 0 ? [] : [leader],
                                OfflineReplicas = [.. NodeIds.Where(DownIds.Contains)],
                            }),
                        ],
                    }
                    : new MetadataTopic { Name = name, ErrorCode = ErrorCode.UnknownTopicOrPartition }),
            ],
        };
    }

    private IMessage? Handle(int node, RequestHeader header, ReadOnlyMemory<byte> body)
    {
        if (header.Key == ApiKey.ApiVersions)
        {
            return new ApiVersionsResponse
            {
                ApiKeys =
                [
                    .. KafkaApis.All.Select(api => (api.Key, Range: Versions(node, api))).Where(api => api.Range is not null)
                        .Select(api => new ApiVersionRange { Key = api.Key, MinVersion = api.Range!.Value.Min, MaxVersion = api.Range.Value.Max }),
                ],
            };
        }

        lock (_gate)
        {
            _requests.Add((node, header.Key, header.Version));
        }

        (short Min, short Max)? offered = Versions(node, KafkaApis.Find(header.Key)!);
        Assert.True(offered is { } range && header.Version >= range.Min && header.Version <= range.Max, $"{header.Key} came in version {header.Version}, which node {node} does not offer.");
        return _handlers.TryGetValue(header.Key, out Func<int, RequestHeader, ReadOnlyMemory<byte>, IMessage?>? handler)
            ? handler(node, header, body)
            : throw new NotSupportedException($"The test has no answer to {header.Key}.");
    }

    private sealed class Connection(AdminCluster cluster, int node) : AnsweringTransport
    {
        public override ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out int bodyStart, out string? error), error);
            IMessage? response = cluster.DownIds.Contains(node) ? null : cluster.Handle(node, header, frame.Payload[bodyStart..]);
            if (response is null)
            {
                Close();
            }
            else if (!cluster.Silent.ContainsKey((node, header.Key)))
            {
                Answer(KafkaApis.Find(header.Key)!, header, response);
            }

            return ValueTask.CompletedTask;
        }
    }
}
