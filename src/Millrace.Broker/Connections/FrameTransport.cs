using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>What a receive gave: a frame, which the receiver owns; or the end of the connection, with a fault if the sender broke the framing.</summary>
internal readonly record struct ReceivedFrame(FrameBuffer? Frame, string? Fault)
{
    public static readonly ReceivedFrame End = new(null, null);
}

/// <summary>
/// Asked before memory is taken for a frame, once for each piece of it, and completes when it may be; false: the connection ends. Until then nothing more is received.
/// </summary>
internal delegate ValueTask<bool> FrameAdmission(int byteCount, CancellationToken cancellationToken);

/// <summary>The broker's end of the connection seam: whole frames in, whole frames out. One receive and one send at a time.</summary>
internal abstract class FrameTransport(ConnectionIdentity identity) : IDisposable
{
    public ConnectionIdentity Identity { get; } = identity;

    /// <summary>Since when no byte has come or gone; nothing in memory, where nobody is idle.</summary>
    public virtual TimeSpan IdleTime => TimeSpan.Zero;

    /// <summary>Whether a response is stuck in a client that does not read.</summary>
    public virtual bool IsSending => false;

    /// <summary>Does what comes before the first frame. Null: it may be asked for; otherwise why the connection must end.</summary>
    public virtual ValueTask<string?> OpenAsync(CancellationToken cancellationToken) => default;

    /// <summary>Takes no larger frames than this from now on.</summary>
    public virtual void LimitFrames(int maxPayloadByteCount)
    {
    }

    /// <summary>The next frame. The end of the connection is a result, not an exception; <see cref="OperationCanceledException"/> only for <paramref name="cancellationToken"/>.</summary>
    /// <param name="admit">What it says yes to is the memory of the frame that comes next.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public abstract ValueTask<ReceivedFrame> ReceiveAsync(FrameAdmission admit, CancellationToken cancellationToken);

    /// <summary>Whether more has arrived than was taken.</summary>
    public abstract bool HasMore { get; }

    /// <summary>Sends a response, of which it takes ownership; false once the client is gone, or where a file no longer has what was promised of it.</summary>
    /// <param name="isMoreToFollow">
    /// Whether the next response is ready, so that this one may be held to be sent with it. Whoever says so sends another one, or calls <see cref="FlushAsync"/>.
    /// </param>
    public abstract ValueTask<bool> SendAsync(ResponseFrame response, bool isMoreToFollow = false);

    /// <summary>Sends what is held; false once the client is gone.</summary>
    public virtual ValueTask<bool> FlushAsync() => new(true);

    /// <summary>Says goodbye, where the transport has a word for it. Before <see cref="Dispose"/>.</summary>
    public virtual ValueTask CloseAsync() => default;

    /// <summary>Cuts the connection at once: pending receives and sends end.</summary>
    public abstract void Abort();

    /// <summary>Closes the connection; what was sent still arrives.</summary>
    public abstract void Dispose();
}
