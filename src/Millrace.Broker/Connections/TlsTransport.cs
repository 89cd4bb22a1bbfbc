using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>The broker's end of a TCP connection inside of TLS. Nothing goes from a file to the socket past the process: it has to be encrypted on the way.</summary>
internal sealed class TlsTransport : FrameTransport
{
    private readonly Socket _socket;
    private readonly TlsServer _tls;
    private readonly SslStream _stream;
    private readonly TimeProvider _time;
    private readonly FrameAssembler _assembler;
    private long _lastActivity;
    private volatile bool _isSending;

    public TlsTransport(Socket socket, TlsServer tls, ConnectionIdentity identity, int maxPayloadByteCount, TimeProvider time)
        : base(identity)
    {
        _socket = socket;
        _tls = tls;
        _stream = new SslStream(new NetworkStream(socket, ownsSocket: false));
        _time = time;
        _assembler = new FrameAssembler(maxPayloadByteCount);
        _lastActivity = time.GetTimestamp();
    }

    public override TimeSpan IdleTime => _time.GetElapsedTime(Volatile.Read(ref _lastActivity));

    public override bool IsSending => _isSending;

    /// <summary>Also whether a part of a record has come that is not yet readable: all of this is about to be.</summary>
    public override bool HasMore
    {
        get
        {
            try
            {
                return _assembler.IsMidFrame || _socket.Available > 0;
            }
            catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
            {
                return false;
            }
        }
    }

    public override void LimitFrames(int maxPayloadByteCount) => _assembler.MaxPayloadByteCount = maxPayloadByteCount;

    public override async ValueTask<string?> OpenAsync(CancellationToken cancellationToken)
    {
        string? fault = null;
        try
        {
            await _stream.AuthenticateAsServerAsync(_tls.CreateOptions(verdict => fault = verdict), cancellationToken);
            Touch();
            return null;
        }
        catch (Exception failure) when (failure is AuthenticationException or IOException or SocketException or ObjectDisposedException)
        {
            return $"its TLS handshake failed, {fault ?? Innermost(failure)}";
        }
    }

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
                byteCount = await _stream.ReadAsync(_assembler.ReceiveMemory(), cancellationToken);
            }
            catch (Exception gone) when (gone is IOException or SocketException or ObjectDisposedException)
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

    public override async ValueTask<bool> SendAsync(ResponseFrame response, bool isMoreToFollow = false)
    {
        Invariant.Holds(response.Detached.Count == 0, "a response that is to be encrypted is in memory as a whole");
        _isSending = true;
        try
        {
            await _stream.WriteAsync(response.Buffer.Bytes);
            Touch();
            return true;
        }
        catch (Exception gone) when (gone is IOException or SocketException or ObjectDisposedException or InvalidOperationException)
        {
            return false;
        }
        finally
        {
            _isSending = false;
            response.Release();
        }
    }

    /// <summary>Says goodbye: without it a client cannot tell an end from a cut, and TLS libraries call that an attack.</summary>
    public override async ValueTask CloseAsync()
    {
        try
        {
            await _stream.ShutdownAsync();
        }
        catch (Exception gone) when (gone is IOException or SocketException or ObjectDisposedException or InvalidOperationException or AuthenticationException)
        {
            // The client is gone, or the handshake never ended.
        }
    }

    public override void Abort()
    {
        try
        {
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
        _stream.Dispose();
        _assembler.Dispose();
    }

    private static string Innermost(Exception failure)
    {
        Exception innermost = failure;
        while (innermost.InnerException is { } inner)
        {
            innermost = inner;
        }

        return innermost.Message.TrimEnd('.');
    }

    private void Touch() => Volatile.Write(ref _lastActivity, _time.GetTimestamp());
}
