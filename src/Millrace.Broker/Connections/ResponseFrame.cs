using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>A response as it is sent: its bytes, and the places among them at which records go that lie in files.</summary>
/// <param name="Buffer">Whoever has the response owns it.</param>
/// <param name="Detached">In rising order; empty for most. Valid until the request is released.</param>
internal readonly record struct ResponseFrame(FrameBuffer Buffer, IReadOnlyList<DetachedPart> Detached)
{
    public void Release() => Buffer.Release();
}
