using System.Net;

namespace Millrace.Broker;

/// <summary>What a client is told to connect to: the same node for every partition, group and controller.</summary>
internal sealed class AdvertisedAddress(BrokerConfiguration configuration, IReadOnlyList<BoundListener> listeners)
{
    /// <summary>What an in-process client reads where no network is listened on. It is a name for logs; nothing connects to it.</summary>
    public const string InMemoryHost = "in-memory";

    private const int KafkaPort = 9092;

    public (string Host, int Port) For(ConnectionIdentity connection)
    {
        // A client is told where it came in: what listens elsewhere may speak in another way.
        BoundListener? listener = connection.Listener ?? (listeners.Count > 0 ? listeners[0] : null);
        return listener is null
            ? (configuration.AdvertisedHost ?? InMemoryHost, configuration.AdvertisedPort ?? KafkaPort)
            : (listener.Configuration.AdvertisedHost ?? HostFor(listener.EndPoint, connection), listener.Configuration.AdvertisedPort ?? listener.EndPoint.Port);
    }

    private static string HostFor(IPEndPoint listening, ConnectionIdentity connection)
    {
        bool isAnyAddress = listening.Address.Equals(IPAddress.Any) || listening.Address.Equals(IPAddress.IPv6Any);
        if (!isAnyAddress)
        {
            return listening.Address.ToString();
        }

        // The address by which this client reached us is one that it can reach again.
        IPAddress? reached = connection.LocalEndPoint?.Address;
        if (reached is null)
        {
            return "localhost";
        }

        return (reached.IsIPv4MappedToIPv6 ? reached.MapToIPv4() : reached).ToString();
    }
}
