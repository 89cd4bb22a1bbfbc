using System.Net.Sockets;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>The broker's end of a TCP connection.</summary>
internal sealed class SocketTransport : FrameTransport
{
    private readonly Socket _socket;
    private readonly TimeProvider _time;
    private readonly FrameAssembler _assembler;
    private long _lastActivity;
    private volatile bool _isSending;

    public SocketTransport(Socket socket, ConnectionIdentity identity, int maxPayloadByteCount, TimeProvider time)
        : base(identity)
    {
        _socket = socket;
        _time = time;
        _assembler = new FrameAssembler(maxPayloadByteCount);
        _lastActivity = time.GetTimestamp();
    }

    /// <summary>Since when no byte has come or gone.</summary>
    public TimeSpan IdleTime => _time.GetElapsedTime(Volatile.Read(ref _lastActivity));

    /// <summary>Whether a response is stuck in a client that does not read.</summary>
    public bool IsSending => _isSending;

    public override async ValueTask<ReceivedFrame> ReceiveAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (_assembler.TryTake() is { } frame)
            {
                return new ReceivedFrame(frame, null);
            }

            if (_assembler.Fault is { } fault)
            {
                return new ReceivedFrame(null, fault);
            }

            int byteCount;
            try
            {
                byteCount = await _socket.ReceiveAsync(_assembler.ReceiveMemory(), SocketFlags.None, cancellationToken);
            }
            catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
            {
                return ReceivedFrame.End;
            }

            if (byteCount == 0)
            {
                return _assembler.IsMidFrame ? new ReceivedFrame(null, "it ended within a request") : ReceivedFrame.End;
            }

            _assembler.Received(byteCount);
            Touch();
        }
    }

    public override async ValueTask<bool> SendAsync(FrameBuffer frame)
    {
        _isSending = true;
        try
        {
            ReadOnlyMemory<byte> rest = frame.Bytes;
            while (!rest.IsEmpty)
            {
                int byteCount = await _socket.SendAsync(rest, SocketFlags.None, CancellationToken.None);
                rest = rest[byteCount..];
                Touch();
            }

            return true;
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            return false;
        }
        finally
        {
            _isSending = false;
            frame.Release();
        }
    }

    public override void Abort()
    {
        try
        {
            // Linger zero: what is in the socket's buffers is dropped, as it is when a process dies.
            _socket.LingerState = new LingerOption(enable: true, seconds: 0);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            return;
        }

        _socket.Dispose();
    }

    /// <summary>Only after the receive loop has ended: it gives back the memory of a frame in progress.</summary>
    public override void Dispose()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The client closed first.
        }

        _socket.Dispose();
        _assembler.Dispose();
    }

    private void Touch() => Volatile.Write(ref _lastActivity, _time.GetTimestamp());
}
