using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>The broker's end of a TCP connection inside of TLS. Nothing goes from a file to the socket past the process: it has to be encrypted on the way.</summary>
internal sealed class TlsTransport : TcpTransport
{
    private readonly TlsServer _tls;
    private readonly SslStream _stream;

    public TlsTransport(Socket socket, TlsServer tls, ConnectionIdentity identity, int maxPayloadByteCount, TimeProvider time)
        : base(socket, identity, maxPayloadByteCount, time)
    {
        _tls = tls;
        _stream = new SslStream(new NetworkStream(socket, ownsSocket: false));
    }

    public override async ValueTask<string?> OpenAsync(CancellationToken cancellationToken)
    {
        string? fault = null;
        try
        {
            await _stream.AuthenticateAsServerAsync(_tls.CreateOptions(verdict => fault = verdict), cancellationToken);
            Touch();
            return null;
        }
        catch (Exception failure) when (IsGone(failure) || failure is AuthenticationException)
        {
            return $"its TLS handshake failed, {fault ?? Innermost(failure)}";
        }
    }

    public override async ValueTask<bool> SendAsync(ResponseFrame response, bool isMoreToFollow = false)
    {
        Invariant.Holds(response.Detached.Count == 0, "a response that is to be encrypted is in memory as a whole");
        BeginSending();
        try
        {
            await _stream.WriteAsync(response.Buffer.Bytes);
            Touch();
            return true;
        }
        catch (Exception gone) when (IsGone(gone) || gone is InvalidOperationException)
        {
            return false;
        }
        finally
        {
            EndSending();
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
        catch (Exception gone) when (IsGone(gone) || gone is InvalidOperationException or AuthenticationException)
        {
            // The client is gone, or the handshake never ended.
        }
    }

    public override void Dispose()
    {
        base.Dispose();
        _stream.Dispose();
    }

    protected override ValueTask<int> ReadAsync(Memory<byte> target, CancellationToken cancellationToken) => _stream.ReadAsync(target, cancellationToken);

    private static string Innermost(Exception failure)
    {
        Exception innermost = failure;
        while (innermost.InnerException is { } inner)
        {
            innermost = inner;
        }

        return innermost.Message.TrimEnd('.');
    }
}
