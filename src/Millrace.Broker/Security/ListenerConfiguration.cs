using System.Net;

namespace Millrace.Broker;

/// <summary>The validated copy of <see cref="ListenerOptions"/>.</summary>
internal sealed record ListenerConfiguration(ListenerProtocol Protocol, IPEndPoint EndPoint, string? AdvertisedHost, int? AdvertisedPort)
{
    public bool HasTls => Protocol is ListenerProtocol.Ssl or ListenerProtocol.SaslSsl;

    public bool HasSasl => Protocol is ListenerProtocol.SaslPlaintext or ListenerProtocol.SaslSsl;

    /// <summary>As in Kafka's <c>listeners</c>.</summary>
    public override string ToString() => $"{ListeningAddress.Scheme(Protocol).ToUpperInvariant()}://{EndPoint}";
}

/// <summary>A listener with the address that it really has.</summary>
internal sealed record BoundListener(ListenerConfiguration Configuration, IPEndPoint EndPoint);
