using System.Threading.Channels;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>
/// Two brokers that answer every question but hold each produce request until the test answers it. The last partition is led by the
/// second broker, all others by the first.
/// </summary>
internal sealed class HoldingCluster(int partitionCount) : IKafkaConnector
{
    public const string Topic = "orders";

    /// <summary>The produce requests that each broker got, in the order of their arrival.</summary>
    public Channel<HeldRequest>[] Held { get; } = [Channel.CreateUnbounded<HeldRequest>(), Channel.CreateUnbounded<HeldRequest>()];

    /// <summary>What comes before the metadata that the brokers answer with; null where they answer properly.</summary>
    public Func<MetadataResponse, MetadataResponse>? OnMetadata { get; set; }

    /// <summary>Why nobody can connect to a broker; null for those that take everybody.</summary>
    public Func<BrokerAddress, KafkaException?>? OnConnect { get; set; }

    /// <summary>What the brokers answer who wants a producer id; null where everybody gets one.</summary>
    public Func<InitProducerIdResponse>? OnInitProducerId { get; set; }

    public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken) =>
        OnConnect?.Invoke(address) is { } failure ? throw failure : new(new Transport(this, address.Port - 1));

    private MetadataResponse Metadata()
    {
        var response = new MetadataResponse
        {
            ControllerId = 0,
            Brokers = [.. Enumerable.Range(0, Held.Length).Select(node => new MetadataBroker { NodeId = node, Host = "node", Port = node + 1 })],
            Topics =
            [
                new MetadataTopic
                {
                    Name = Topic,
                    Partitions = [.. Enumerable.Range(0, partitionCount).Select(partition => new MetadataPartition
                    {
                        Index = partition, LeaderId = partition == partitionCount - 1 ? 1 : 0,
                    })],
                },
            ],
        };
        return OnMetadata?.Invoke(response) ?? response;
    }

    internal sealed record HeldRequest(ProduceRequest Request, Action<ProduceResponse> Answer)
    {
        /// <summary>Acknowledges every batch.</summary>
        public void Acknowledge() => Answer(new ProduceResponse
        {
            Topics = [.. Request.Topics.Select(topic => new ProduceTopicResponse
            {
                Name = topic.Name,
                Partitions = [.. topic.Partitions.Select(partition => new ProducePartitionResponse { Index = partition.Index })],
            })],
        });
    }

    private sealed class Transport(HoldingCluster cluster, int node) : AnsweringTransport
    {
        public override ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out int bodyStart, out string? error), error);
            switch (header.Key)
            {
                case ApiKey.ApiVersions:
                    Answer(ApiVersionsRequest.Api, header, AllVersions());
                    break;
                case ApiKey.Metadata:
                    Answer(MetadataRequest.Api, header, cluster.Metadata());
                    break;
                case ApiKey.InitProducerId:
                    Answer(InitProducerIdRequest.Api, header, cluster.OnInitProducerId?.Invoke() ?? new InitProducerIdResponse { ProducerId = 1000, ProducerEpoch = 0 });
                    break;
                case ApiKey.Produce:
                    Assert.True(MessageCodec.TryReadRequest(frame.Payload[bodyStart..], header.Version, out ProduceRequest? request, out error), error);
                    cluster.Held[node].Writer.TryWrite(new HeldRequest(request, response =>
                    {
                        Answer(ProduceRequest.Api, header, response);
                        frame.Release();
                    }));
                    break;
                default:
                    throw new NotSupportedException(header.Key.ToString());
            }

            return ValueTask.CompletedTask;
        }
    }
}
