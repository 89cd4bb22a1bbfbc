using System.Buffers.Binary;
using System.Threading.Channels;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>The broker's end of an <see cref="InMemoryConnection"/>.</summary>
internal sealed class InMemoryTransport(InMemoryConnection connection, ConnectionIdentity identity, int maxPayloadByteCount) : FrameTransport(identity)
{
    public override bool HasMore => connection.ServerReader.TryPeek(out _);

    public override async ValueTask<ReceivedFrame> ReceiveAsync(FrameAdmission admit, CancellationToken cancellationToken)
    {
        // It is in memory already, and its client's until it is taken: the queue between them is short.
        if (!await connection.ServerReader.WaitToReadAsync(cancellationToken) || !connection.ServerReader.TryPeek(out FrameBuffer? next)
            || !await admit(next.Bytes.Length, cancellationToken) || !connection.ServerReader.TryRead(out FrameBuffer? frame))
        {
            return ReceivedFrame.End;
        }

        // The prefix is not needed here, and still checked: a client that gets it wrong would fail on its first socket.
        int payloadByteCount = frame.Bytes.Length - sizeof(int);
        if (payloadByteCount <= 0 || payloadByteCount > maxPayloadByteCount ||
            BinaryPrimitives.ReadInt32BigEndian(frame.Bytes.Span) != payloadByteCount)
        {
            frame.Release();
            return new ReceivedFrame(null, $"its frame of {payloadByteCount} bytes has another size in its prefix, or is above {maxPayloadByteCount}");
        }

        return new ReceivedFrame(frame, null);
    }

    public override async ValueTask<bool> SendAsync(ResponseFrame response, bool isMoreToFollow = false)
    {
        Invariant.Holds(response.Detached.Count == 0, "a response inside the process is in memory as a whole");
        FrameBuffer frame = response.Buffer;
        try
        {
            await connection.ServerWriter.WriteAsync(frame, connection.ClientClosed);
            return true;
        }
        catch (Exception gone) when (gone is ChannelClosedException or OperationCanceledException)
        {
            frame.Release();
            return false;
        }
    }

    public override void Abort() => connection.CloseFromServer();

    public override void Dispose() => connection.CloseFromServer();
}
