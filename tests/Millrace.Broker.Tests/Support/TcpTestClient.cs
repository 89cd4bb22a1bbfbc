using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

/// <summary>Speaks to a broker over a real socket: whole messages, or any bytes.</summary>
internal sealed class TcpTestClient : IDisposable
{
    private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp);
    private int _correlationId;

    private TcpTestClient()
    {
    }

    public static async Task<TcpTestClient> ConnectAsync(IPEndPoint endPoint)
    {
        var client = new TcpTestClient();
        await client._socket.ConnectAsync(endPoint).WaitAsync(TestClient.Patience);
        client._socket.NoDelay = true;
        return client;
    }

    public async Task SendRawAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = await _socket.SendAsync(bytes).AsTask().WaitAsync(TestClient.Patience);
            bytes = bytes[count..];
        }
    }

    public async Task<TResponse> SendAsync<TRequest, TResponse>(TRequest request, short version)
        where TRequest : class, IRequest<TResponse>, new()
        where TResponse : class, IMessage, new()
    {
        await SendRawAsync(MessageCodec.WriteRequest(request, version, ++_correlationId, "tcp").Bytes);
        byte[] payload = await ReceiveAsync() ?? throw new IOException("The broker closed the connection.");
        Assert.True(
            MessageCodec.TryReadResponse(payload, TRequest.Api, version, out int correlationId, out TResponse? response, out string? error), error);
        Assert.Equal(_correlationId, correlationId);
        return response;
    }

    /// <summary>The payload of the next response; null once the broker has closed the connection.</summary>
    public async Task<byte[]?> ReceiveAsync()
    {
        byte[]? prefix = await ReceiveAsync(4);
        return prefix is null ? null : await ReceiveAsync(BinaryPrimitives.ReadInt32BigEndian(prefix));
    }

    /// <summary>Waits for the end of the connection; whatever still comes is dropped.</summary>
    public async Task WaitUntilClosedAsync()
    {
        while (await ReceiveAsync() is not null)
        {
        }
    }

    public void CloseSending() => _socket.Shutdown(SocketShutdown.Send);

    public void Dispose() => _socket.Dispose();

    private async Task<byte[]?> ReceiveAsync(int byteCount)
    {
        byte[] bytes = new byte[byteCount];
        for (int filled = 0; filled < byteCount;)
        {
            int count;
            try
            {
                count = await _socket.ReceiveAsync(bytes.AsMemory(filled)).AsTask().WaitAsync(TestClient.Patience);
            }
            catch (SocketException)
            {
                return null;
            }

            if (count == 0)
            {
                return null;
            }

            filled += count;
        }

        return bytes;
    }
}
