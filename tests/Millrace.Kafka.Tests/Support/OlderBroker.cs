using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>Makes a broker offer no features, as those before Kafka 4 do: transactions are then of version 1.</summary>
internal sealed class OlderBroker(IKafkaConnector inner) : IKafkaConnector
{
    public async ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken) =>
        new Transport(await inner.ConnectAsync(address, cancellationToken));

    private sealed class Transport(IKafkaTransport inner) : IKafkaTransport
    {
        private RequestHeader? _versionsRequest;

        public ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            if (MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out _, out _) && header.Key == ApiKey.ApiVersions)
            {
                _versionsRequest = header;
            }

            return inner.SendAsync(frame, cancellationToken);
        }

        public async ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken)
        {
            FrameBuffer frame = await inner.ReceiveAsync(cancellationToken);
            if (_versionsRequest is not { } request)
            {
                return frame;
            }

            _versionsRequest = null;
            if (!MessageCodec.TryReadResponse(frame.Payload, ApiVersionsRequest.Api, request.Version, out _, out ApiVersionsResponse? response, out _))
            {
                return frame;
            }

            response.FinalizedFeatures.Clear();
            frame.Release();
            return MessageCodec.WriteResponse(response, ApiVersionsRequest.Api, request.Version, request.CorrelationId);
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
