using System.Net;

namespace Millrace.Broker;

/// <summary><c>listener.security.protocol.map</c>: how clients speak on a listener.</summary>
public enum ListenerProtocol
{
    /// <summary>Neither encrypted nor authenticated.</summary>
    Plaintext,

    /// <summary>TLS; with <see cref="BrokerTlsOptions.ClientAuthorityFile"/>, clients are authenticated by their certificates.</summary>
    Ssl,

    /// <summary>Clients log in by SASL, and nothing is encrypted.</summary>
    SaslPlaintext,

    /// <summary>Clients log in by SASL inside of TLS.</summary>
    SaslSsl,
}

/// <summary>One of <c>listeners</c>.</summary>
public sealed class ListenerOptions
{
    /// <summary>How clients speak there.</summary>
    public ListenerProtocol Protocol { get; set; }

    /// <summary>The address; port 0 takes a free one, which <see cref="KafkaBroker.Listeners"/> then tells.</summary>
    public IPEndPoint EndPoint { get; set; } = new(IPAddress.Loopback, 0);

    /// <summary><c>advertised.listeners</c>, the host: what clients of this listener are told to connect to. Null: the address that listens, or, where that is any address, the one that the client's connection reached.</summary>
    public string? AdvertisedHost { get; set; }

    /// <summary><c>advertised.listeners</c>, the port. Null: the port that listens.</summary>
    public int? AdvertisedPort { get; set; }
}

/// <summary>What the listeners with TLS show, and ask for. Files are read at the start.</summary>
public sealed class BrokerTlsOptions
{
    /// <summary><c>ssl.keystore.location</c>: the broker's certificate, those of its signers behind it: PEM, or PKCS #12 where the name ends in <c>.pfx</c> or <c>.p12</c>.</summary>
    public string? CertificateFile { get; set; }

    /// <summary>A PEM file with the key, where <see cref="CertificateFile"/> does not hold it.</summary>
    public string? KeyFile { get; set; }

    /// <summary><c>ssl.key.password</c>, or <c>ssl.keystore.password</c> of a PKCS #12 file.</summary>
    public string? KeyPassword { get; set; }

    /// <summary><c>ssl.truststore.location</c> with <c>ssl.client.auth=required</c>: a PEM file of the authorities one of which must have signed each client's certificate. Null: clients show none.</summary>
    public string? ClientAuthorityFile { get; set; }
}

/// <summary>A listener of a running broker.</summary>
/// <param name="Protocol">How clients speak there.</param>
/// <param name="EndPoint">The address, with the port that was really taken.</param>
public sealed record ListeningAddress(ListenerProtocol Protocol, IPEndPoint EndPoint)
{
    /// <summary><c>127.0.0.1:9092</c>, with <c>sasl_ssl://</c> and the like before it where it is not plaintext.</summary>
    public override string ToString() => Protocol == ListenerProtocol.Plaintext ? EndPoint.ToString() : $"{Scheme(Protocol)}://{EndPoint}";

    /// <summary>As in a list of listeners: <c>plaintext</c>, <c>ssl</c>, <c>sasl_plaintext</c>, <c>sasl_ssl</c>.</summary>
    public static string Scheme(ListenerProtocol protocol) => protocol switch
    {
        ListenerProtocol.Ssl => "ssl",
        ListenerProtocol.SaslPlaintext => "sasl_plaintext",
        ListenerProtocol.SaslSsl => "sasl_ssl",
        _ => "plaintext",
    };
}
