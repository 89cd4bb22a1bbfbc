using System.Buffers.Binary;
using System.Collections.Concurrent;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;

namespace Millrace.Messaging.Tests;

/// <summary>One answer of the broker on its way to the application.</summary>
/// <param name="Api">What was asked.</param>
/// <param name="Version">In which version.</param>
/// <param name="Frame">The answer, which may be changed in place.</param>
internal sealed record Answer(ApiKey Api, short Version, FrameBuffer Frame)
{
    /// <summary>Writes an error code so many bytes after the response header.</summary>
    public void SetError(ErrorCode error, int offset) => SetErrorAt(error, FrameBuffer.SizePrefixByteCount + offset);

    /// <summary>Writes an error code so many bytes before the end.</summary>
    public void SetErrorFromEnd(ErrorCode error, int offset) => SetErrorAt(error, Frame.Bytes.Length - offset);

    private void SetErrorAt(ErrorCode error, int position) => BinaryPrimitives.WriteInt16BigEndian(Frame.Bytes.Span[position..], (short)error);
}

/// <summary>Stands between an application and its broker: answers pass through a test's hands, one at a time on each connection.</summary>
internal static class InterceptedLog
{
    /// <summary>To be called after the log was chosen.</summary>
    /// <param name="millrace">The application.</param>
    /// <param name="onAnswer">What becomes of an answer; where it throws, the connection breaks.</param>
    /// <param name="refuse">Why a new connection is refused; null where it is not.</param>
    /// <param name="onRequest">Sees what is asked.</param>
    public static void Intercept(
        this MillraceBuilder millrace, Func<Answer, Task> onAnswer, Func<BrokerAddress, Exception?>? refuse = null, Action<ReadOnlyMemory<byte>>? onRequest = null)
    {
        LogConnector inner = millrace.LogConnector!;
        millrace.WithoutLog().UseLog(async (services, cancellationToken) =>
        {
            LogConnection connection = await inner(services, cancellationToken);
            connection.Client.Connector = new Connector(connection.Client.Connector!, onAnswer, refuse, onRequest);
            return connection;
        });
    }

    private sealed class Connector(
        IKafkaConnector inner, Func<Answer, Task> onAnswer, Func<BrokerAddress, Exception?>? refuse, Action<ReadOnlyMemory<byte>>? onRequest) : IKafkaConnector
    {
        public async ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken) =>
            refuse?.Invoke(address) is { } refusal ? throw refusal : new Transport(await inner.ConnectAsync(address, cancellationToken), onAnswer, onRequest);
    }

    private sealed class Transport(IKafkaTransport inner, Func<Answer, Task> onAnswer, Action<ReadOnlyMemory<byte>>? onRequest) : IKafkaTransport
    {
        private readonly ConcurrentDictionary<int, (ApiKey Api, short Version)> _asked = new();

        public ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            // Every request begins with API key, version and correlation id; every response with the correlation id.
            ReadOnlySpan<byte> request = frame.Payload.Span;
            _asked[BinaryPrimitives.ReadInt32BigEndian(request[4..])] =
                ((ApiKey)BinaryPrimitives.ReadInt16BigEndian(request), BinaryPrimitives.ReadInt16BigEndian(request[2..]));
            onRequest?.Invoke(frame.Payload);
            return inner.SendAsync(frame, cancellationToken);
        }

        public async ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken)
        {
            FrameBuffer frame = await inner.ReceiveAsync(cancellationToken);
            if (_asked.TryRemove(BinaryPrimitives.ReadInt32BigEndian(frame.Payload.Span), out (ApiKey Api, short Version) asked))
                await onAnswer(new Answer(asked.Api, asked.Version, frame));
            return frame;
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
