using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>
/// One open connection that carries whole Kafka frames (size prefix included), in order, in both directions. One caller sends and one
/// receives at a time, at once with each other. <see cref="IAsyncDisposable.DisposeAsync"/> may be called at any time and ends both.
/// </summary>
public interface IKafkaTransport : IAsyncDisposable
{
    /// <summary>Sends one frame. Completes when the transport no longer needs the bytes, not when the broker has read them.</summary>
    /// <param name="frame">The frame. Its ownership passes to the transport with the call, also when the call fails.</param>
    /// <param name="cancellationToken">Ends the wait. The transport is unusable afterwards, since part of the frame may be sent.</param>
    /// <exception cref="KafkaConnectionException">The connection is broken.</exception>
    ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken);

    /// <summary>Receives the next frame. Its ownership passes to the caller.</summary>
    /// <param name="cancellationToken">Ends the wait. The transport is unusable afterwards, since part of a frame may be read.</param>
    /// <exception cref="KafkaConnectionException">The connection is closed or broken, or the frame is larger than allowed.</exception>
    ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken);
}
