using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>Frames over a socket, inside of TLS or not: four bytes of size, big-endian, then so many bytes.</summary>
internal sealed class TcpKafkaTransport(Socket socket, SslStream? tls, BrokerAddress address, int maxResponseByteCount) : IKafkaTransport
{
    // A frame's memory grows with what has arrived; the size that the peer claims buys at most this much in advance,
    // or as much as its largest frame so far really had.
    private const int FirstReadByteCount = 64 * 1024;

    private int _largestByteCount = FirstReadByteCount;
    private bool _hasReceived;

    public async ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
    {
        try
        {
            ReadOnlyMemory<byte> rest = frame.Bytes;
            if (tls is not null)
            {
                await tls.WriteAsync(rest, cancellationToken);
                return;
            }

            while (!rest.IsEmpty)
            {
                int sentByteCount = await socket.SendAsync(rest, SocketFlags.None, cancellationToken);
                rest = rest[sentByteCount..];
            }
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException or IOException)
        {
            throw Broken(failure);
        }
        finally
        {
            frame.Release();
        }
    }

    public async ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken)
    {
        FrameBuffer? frame = null;
        try
        {
            frame = FrameBuffer.Rent(FrameBuffer.SizePrefixByteCount);
            await FillAsync(frame.Bytes, cancellationToken);
            int payloadByteCount = BinaryPrimitives.ReadInt32BigEndian(frame.Bytes.Span);
            if (payloadByteCount < 0 || payloadByteCount > maxResponseByteCount)
            {
                throw new KafkaConnectionException(
                    $"{address} announced an answer of {payloadByteCount} bytes; at most {maxResponseByteCount} are read. If it is a Kafka " +
                    $"broker and not another service, raise {nameof(KafkaClientOptions.MaxResponseByteCount)}.");
            }

            int total = FrameBuffer.SizePrefixByteCount + payloadByteCount;
            int filled = FrameBuffer.SizePrefixByteCount;
            while (filled < total)
            {
                // Doubling: what is allocated is at most twice what has arrived.
                int target = (int)Math.Min(total, Math.Max(_largestByteCount, 2L * filled));
                frame.Resize(target);
                await FillAsync(frame.Bytes[filled..], cancellationToken);
                filled = target;
            }

            _largestByteCount = Math.Max(_largestByteCount, total);
            _hasReceived = true;
            FrameBuffer whole = frame;
            frame = null;
            return whole;
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException or IOException)
        {
            throw Broken(failure);
        }
        finally
        {
            frame?.Release();
        }
    }

    public ValueTask DisposeAsync()
    {
        // Not the stream first: it would wait for what is being written.
        socket.Dispose();
        return tls?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    private async ValueTask FillAsync(Memory<byte> target, CancellationToken cancellationToken)
    {
        while (!target.IsEmpty)
        {
            int readByteCount = tls is null
                ? await socket.ReceiveAsync(target, SocketFlags.None, cancellationToken)
                : await tls.ReadAsync(target, cancellationToken);
            if (readByteCount == 0)
            {
                throw new KafkaConnectionException($"{address} closed the connection.");
            }

            target = target[readByteCount..];
        }
    }

    /// <summary>With TLS 1.3 a broker says no to the client's certificate after the handshake: with an alert in place of its first answer.</summary>
    private KafkaException Broken(Exception failure) =>
        tls is not null && !_hasReceived && TlsHandshake.IsAlert(failure)
            ? TlsHandshake.RefusedByBroker(address, failure)
            : new KafkaConnectionException($"The connection to {address} broke: {failure.Message}", failure);
}
