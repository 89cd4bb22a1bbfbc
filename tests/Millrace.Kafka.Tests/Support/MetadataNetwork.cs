using System.Collections.Concurrent;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>Brokers that answer questions for metadata as the test has told them, or are down.</summary>
internal sealed class MetadataNetwork : IKafkaConnector
{
    private readonly ConcurrentDictionary<BrokerAddress, MetadataResponse?> _answers = new();
    private readonly ConcurrentDictionary<BrokerAddress, Transport> _open = new();

    /// <summary>Who was asked, or could not be reached, in order.</summary>
    public List<BrokerAddress> Attempts { get; } = [];

    /// <summary>The questions that were answered, in order.</summary>
    public ConcurrentQueue<MetadataRequest> Questions { get; } = [];

    /// <summary>Why nobody can log in; null for those who can.</summary>
    public KafkaAuthenticationException? Refusal { get; set; }

    public void Answer(BrokerAddress broker, MetadataResponse response) => _answers[broker] = response;

    public void Down(BrokerAddress broker)
    {
        _answers[broker] = null;
        if (_open.TryRemove(broker, out Transport? transport))
        {
            transport.Close();
        }
    }

    public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        if (Refusal is { } refusal)
        {
            Attempts.Add(address);
            throw refusal;
        }

        if (!_answers.TryGetValue(address, out MetadataResponse? response) || response is null)
        {
            Attempts.Add(address);
            throw new KafkaConnectionException($"{address} is down.");
        }

        var transport = new Transport(this, address);
        _open[address] = transport;
        return new ValueTask<IKafkaTransport>(transport);
    }

    private sealed class Transport(MetadataNetwork network, BrokerAddress address) : AnsweringTransport
    {
        public override ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out int bodyStart, out string? error), error);
            IMessage response;
            ApiDefinition api;
            if (header.Key == ApiKey.ApiVersions)
            {
                (response, api) = (AllVersions(), ApiVersionsRequest.Api);
            }
            else
            {
                Assert.True(MessageCodec.TryReadRequest(frame.Payload[bodyStart..], header.Version, out MetadataRequest? request, out error), error);
                network.Questions.Enqueue(request);
                network.Attempts.Add(address);
                (response, api) = (Of(network._answers[address]!, request), MetadataRequest.Api);
            }

            Answer(api, header, response);
            return ValueTask.CompletedTask;
        }

        /// <summary>Of all that there is, what was asked for.</summary>
        private static MetadataResponse Of(MetadataResponse all, MetadataRequest request) => new()
        {
            ErrorCode = all.ErrorCode,
            Brokers = all.Brokers,
            ClusterId = all.ClusterId,
            ControllerId = all.ControllerId,
            Topics = [.. all.Topics.Where(topic => request.Topics?.Exists(asked => asked.Name == topic.Name) != false)],
        };
    }
}
