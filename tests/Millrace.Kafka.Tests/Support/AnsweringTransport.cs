using System.Threading.Channels;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>A connection whose broker is the test: what it answers comes back in the order in which it is answered.</summary>
internal abstract class AnsweringTransport : IKafkaTransport
{
    private readonly Channel<FrameBuffer> _responses = Channel.CreateUnbounded<FrameBuffer>();

    public abstract ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken);

    public async ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await _responses.Reader.ReadAsync(cancellationToken);
        }
        catch (ChannelClosedException)
        {
            throw new KafkaConnectionException("The broker closed the connection.");
        }
    }

    public void Answer(IMessage response, ApiDefinition api, short version, int correlationId) =>
        _responses.Writer.TryWrite(MessageCodec.WriteResponse(response, api, version, correlationId));

    public void Close() => _responses.Writer.TryComplete();

    public virtual ValueTask DisposeAsync()
    {
        Close();
        return ValueTask.CompletedTask;
    }

    protected static ApiVersionsResponse AllVersions() => new()
    {
        ApiKeys = [.. KafkaApis.All.Select(api => new ApiVersionRange { Key = api.Key, MinVersion = api.MinVersion, MaxVersion = api.MaxVersion })],
    };

    protected void Answer(ApiDefinition api, RequestHeader header, IMessage response) => Answer(response, api, header.Version, header.CorrelationId);
}
