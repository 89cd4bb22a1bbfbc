using System.Threading.Channels;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// The client's end of a connection inside the process: the same frames that a socket carries, passed as reference-counted buffers.
/// A frame written to <see cref="Requests"/> belongs to the broker from then on, which patches the batches in it; a frame read from
/// <see cref="Responses"/> belongs to the reader. <see cref="Responses"/> completes when the broker closes the connection.
/// </summary>
public sealed class InMemoryConnection : IAsyncDisposable
{
    private readonly Channel<FrameBuffer> _requests;
    private readonly Channel<FrameBuffer> _responses;
    private readonly CancellationTokenSource _closed = new();

    internal InMemoryConnection(int maxQueuedFrames)
    {
        _requests = Channel.CreateBounded<FrameBuffer>(new BoundedChannelOptions(maxQueuedFrames) { SingleReader = true });
        _responses = Channel.CreateBounded<FrameBuffer>(new BoundedChannelOptions(maxQueuedFrames) { SingleWriter = true });
    }

    /// <summary>Takes ownership of each frame. Waits while the broker's bounded queue is full; fails with <see cref="ChannelClosedException"/> once the connection is closed.</summary>
    public ChannelWriter<FrameBuffer> Requests => _requests.Writer;

    /// <summary>Responses in the order of the requests; completes when the connection is closed.</summary>
    public ChannelReader<FrameBuffer> Responses => _responses.Reader;

    internal ChannelReader<FrameBuffer> ServerReader => _requests.Reader;
    internal ChannelWriter<FrameBuffer> ServerWriter => _responses.Writer;
    internal CancellationToken ClientClosed => _closed.Token;

    /// <summary>Closes the connection as a client that goes away does: what was not answered is never answered.</summary>
    public ValueTask DisposeAsync()
    {
        _requests.Writer.TryComplete();
        _closed.Cancel();
        return ValueTask.CompletedTask;
    }

    /// <summary>The broker's end closes.</summary>
    internal void CloseFromServer()
    {
        _requests.Writer.TryComplete();
        _responses.Writer.TryComplete();
    }
}
