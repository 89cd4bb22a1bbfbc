using System.Net.Sockets;

namespace Millrace.Broker;

/// <summary>The broker's end of a TCP connection: what it is that comes and goes, plain or encrypted, is for those below to say.</summary>
internal abstract class TcpTransport : FrameTransport
{
    private readonly TimeProvider _time;
    private readonly FrameAssembler _assembler;
    private long _lastActivity;
    private volatile bool _isSending;

    protected TcpTransport(Socket socket, ConnectionIdentity identity, int maxPayloadByteCount, TimeProvider time)
        : base(identity)
    {
        Socket = socket;
        _time = time;
        _assembler = new FrameAssembler(maxPayloadByteCount);
        _lastActivity = time.GetTimestamp();
    }

    public sealed override TimeSpan IdleTime => _time.GetElapsedTime(Volatile.Read(ref _lastActivity));

    public sealed override bool IsSending => _isSending;

    /// <summary>Of an encrypted connection also whether a part of a record has come that is not yet readable: all of this is about to be.</summary>
    public sealed override bool HasMore
    {
        get
        {
            try
            {
                return _assembler.IsMidFrame || Socket.Available > 0;
            }
            catch (Exception gone) when (IsGone(gone))
            {
                return false;
            }
        }
    }

    protected Socket Socket { get; }

    public sealed override void LimitFrames(int maxPayloadByteCount) => _assembler.MaxPayloadByteCount = maxPayloadByteCount;

    public sealed override async ValueTask<ReceivedFrame> ReceiveAsync(FrameAdmission admit, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (_assembler.WantedByteCount() is > 0 and int wanted)
            {
                if (!await admit(wanted, cancellationToken))
                {
                    return ReceivedFrame.End;
                }

                _assembler.Extend();
                continue;
            }

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
                byteCount = await ReadAsync(_assembler.ReceiveMemory(), cancellationToken);
            }
            catch (Exception gone) when (IsGone(gone))
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

    public sealed override void Abort()
    {
        try
        {
            // Linger zero: what is in the socket's buffers is dropped, as it is when a process dies.
            Socket.LingerState = new LingerOption(enable: true, seconds: 0);
        }
        catch (Exception gone) when (IsGone(gone))
        {
            return;
        }

        Socket.Dispose();
    }

    /// <summary>Only after the receive loop has ended: it gives back the memory of a frame in progress.</summary>
    public override void Dispose()
    {
        try
        {
            Socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception gone) when (IsGone(gone))
        {
            // The client closed first.
        }

        Socket.Dispose();
        _assembler.Dispose();
    }

    /// <summary>What the client has sent; 0 when it sends no more.</summary>
    protected abstract ValueTask<int> ReadAsync(Memory<byte> target, CancellationToken cancellationToken);

    /// <summary>Whether an exception says that the client is gone, or the connection was cut here.</summary>
    protected static bool IsGone(Exception exception) => exception is SocketException or IOException or ObjectDisposedException;

    protected void BeginSending() => _isSending = true;

    protected void EndSending() => _isSending = false;

    /// <summary>A byte has come or gone.</summary>
    protected void Touch() => Volatile.Write(ref _lastActivity, _time.GetTimestamp());
}
