using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Millrace.Kafka.Protocol;

namespace Millrace.LoadTest.Running;

/// <summary>A connection to a broker that does nothing that is not asked for: no threads, no buffers but one.</summary>
internal sealed class WireConnection : IDisposable
{
    private const int SizePrefixByteCount = 4;

    private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private byte[] _buffer = new byte[256 * 1024];
    private int _correlationId;

    public WireConnection(IPEndPoint endPoint) => _socket.Connect(endPoint);

    public TResponse Send<TRequest, TResponse>(TRequest request, short version)
        where TRequest : class, IRequest<TResponse>, new()
        where TResponse : class, IMessage, new()
    {
        SendFrame(Frame(request, version));
        ReadOnlyMemory<byte> payload = ReceiveFrame();
        return MessageCodec.TryReadResponse(payload, TRequest.Api, version, out _, out TResponse? response, out string? error)
            ? response
            : throw new InvalidDataException(error);
    }

    /// <summary>The bytes of a request, to be sent once or often.</summary>
    public byte[] Frame<TRequest>(TRequest request, short version)
        where TRequest : class, IRequest
    {
        FrameBuffer frame = MessageCodec.WriteRequest(request, version, ++_correlationId, "load");
        byte[] bytes = frame.Bytes.ToArray();
        frame.Release();
        return bytes;
    }

    public void SendFrame(ReadOnlySpan<byte> frame)
    {
        while (!frame.IsEmpty)
        {
            frame = frame[_socket.Send(frame)..];
        }
    }

    /// <summary>The payload of the next response, valid until the next call.</summary>
    public ReadOnlyMemory<byte> ReceiveFrame()
    {
        int byteCount = ReceiveSize();
        if (_buffer.Length < byteCount)
        {
            _buffer = new byte[byteCount];
        }

        Fill(_buffer.AsSpan(0, byteCount));
        return _buffer.AsMemory(0, byteCount);
    }

    /// <summary>Takes the next response and forgets it. Returns its size.</summary>
    public int DiscardFrame()
    {
        int byteCount = ReceiveSize();
        for (int rest = byteCount; rest > 0;)
        {
            rest -= Receive(_buffer.AsSpan(0, Math.Min(_buffer.Length, rest)));
        }

        return byteCount;
    }

    public void Dispose() => _socket.Dispose();

    private int ReceiveSize()
    {
        Span<byte> prefix = stackalloc byte[SizePrefixByteCount];
        Fill(prefix);
        return BinaryPrimitives.ReadInt32BigEndian(prefix);
    }

    private void Fill(Span<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[Receive(bytes)..];
        }
    }

    private int Receive(Span<byte> bytes)
    {
        int count = _socket.Receive(bytes);
        return count > 0 ? count : throw new IOException("The broker has closed the connection.");
    }
}
