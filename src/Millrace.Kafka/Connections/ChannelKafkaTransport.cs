using System.Threading.Channels;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>Frames through a pair of channels, for a broker in the same process. No byte is copied.</summary>
/// <param name="requests">Where frames go. Its completion is the end of the connection.</param>
/// <param name="responses">Where frames come from. Its completion is the end of the connection.</param>
/// <param name="owner">Disposed with the transport; null if there is nothing to dispose.</param>
public sealed class ChannelKafkaTransport(
    ChannelWriter<FrameBuffer> requests,
    ChannelReader<FrameBuffer> responses,
    IAsyncDisposable? owner = null) : IKafkaTransport
{
    /// <inheritdoc/>
    public async ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
    {
        try
        {
            if (!requests.TryWrite(frame))
            {
                await requests.WriteAsync(frame, cancellationToken);
            }
        }
        catch (ChannelClosedException closed)
        {
            frame.Release();
            throw new KafkaConnectionException("The embedded broker closed the connection.", closed);
        }
        catch (OperationCanceledException)
        {
            frame.Release();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken)
    {
        try
        {
            return responses.TryRead(out FrameBuffer? frame) ? frame : await responses.ReadAsync(cancellationToken);
        }
        catch (ChannelClosedException closed)
        {
            throw new KafkaConnectionException("The embedded broker closed the connection.", closed);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        requests.TryComplete();
        if (owner is not null)
        {
            await owner.DisposeAsync();
        }
    }
}
