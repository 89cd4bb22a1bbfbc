using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;

namespace Millrace.Kafka;

/// <summary>The TLS handshake of a connection, and what its failures mean.</summary>
internal static class TlsHandshake
{
    private const string Mechanism = "TLS";

    /// <summary>Speaks TLS over a connected socket, which the stream owns if this succeeds, and the caller if it does not.</summary>
    /// <exception cref="KafkaAuthenticationException">One side does not accept the other.</exception>
    /// <exception cref="KafkaConnectionException">The connection ended.</exception>
    public static async ValueTask<SslStream> RunAsync(TlsSettings settings, Socket socket, BrokerAddress broker, CancellationToken cancellationToken)
    {
        string? fault = null;
        var stream = new SslStream(new NetworkStream(socket, ownsSocket: false));
        try
        {
            await stream.AuthenticateAsClientAsync(settings.CreateOptions(broker, verdict => fault = verdict), cancellationToken);
            return stream;
        }
        catch (Exception failure) when (failure is AuthenticationException or IOException or SocketException)
        {
            await stream.DisposeAsync();
            if (fault is not null)
            {
                throw new KafkaAuthenticationException($"{broker} is not trusted: {fault}", broker, Mechanism, innerException: failure);
            }

            throw failure is AuthenticationException || IsAlert(failure)
                ? HandshakeFailed(broker, failure)
                : new KafkaConnectionException(
                    $"{broker} closed the connection during the TLS handshake. Check that this port of it speaks TLS; if not, set {nameof(KafkaSecurityOptions.Protocol)} (security.protocol) without it.",
                    failure);
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    /// <summary>Whether the peer ended TLS itself, and not the network beneath it.</summary>
    public static bool IsAlert(Exception failure)
    {
        if (failure is not IOException)
        {
            return false;
        }

        // The library's own exception is not public. A network that breaks brings a SocketException, or none at all where the peer just closes.
        for (Exception? inner = failure.InnerException; inner is not null; inner = inner.InnerException)
        {
            if (inner is SocketException or ObjectDisposedException)
            {
                return false;
            }
        }

        return failure.InnerException is not null;
    }

    public static KafkaAuthenticationException RefusedByBroker(BrokerAddress broker, Exception failure) => new(
        $"{broker} ended TLS before its first answer: {Innermost(failure)}. If it wants a certificate of its clients (ssl.client.auth=required), set " +
        $"{nameof(KafkaSecurityOptions.CertificateFile)} to one that it trusts and that has not expired.",
        broker,
        Mechanism,
        innerException: failure);

    private static KafkaAuthenticationException HandshakeFailed(BrokerAddress broker, Exception failure) => new(
        $"The TLS handshake with {broker} failed: {Innermost(failure)}. Check that this port of it speaks TLS, and which versions (ssl.enabled.protocols); if it wants a " +
        $"certificate of its clients, set {nameof(KafkaSecurityOptions.CertificateFile)} to one that it trusts.",
        broker,
        Mechanism,
        innerException: failure);

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
