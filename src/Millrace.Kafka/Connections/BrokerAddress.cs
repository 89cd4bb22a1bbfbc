using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Millrace.Kafka;

/// <summary>Where a broker listens, as <c>host:port</c>. An IPv6 address stands in brackets: <c>[::1]:9092</c>.</summary>
/// <param name="Host">A host name or an IP address, without brackets.</param>
/// <param name="Port">A TCP port, 1 to 65535.</param>
public readonly record struct BrokerAddress(string Host, int Port)
{
    /// <summary>Kafka's usual port, taken where an address names none.</summary>
    public const int DefaultPort = 9092;

    /// <summary>Reads one <c>host:port</c>.</summary>
    /// <param name="text">The text; spaces around it are ignored. Without a port, <see cref="DefaultPort"/>.</param>
    /// <param name="address">The address, when the text is one.</param>
    /// <returns>Whether the text is an address.</returns>
    public static bool TryParse(string text, out BrokerAddress address)
    {
        ArgumentNullException.ThrowIfNull(text);
        address = default;
        string trimmed = text.Trim();
        int hostEnd = trimmed.StartsWith('[') ? trimmed.IndexOf(']') + 1 : trimmed.LastIndexOf(':');
        if (hostEnd == 0)
        {
            return false;
        }

        int port = DefaultPort;
        string host = hostEnd < 0 ? trimmed : trimmed[..hostEnd];
        if (hostEnd >= 0 && hostEnd < trimmed.Length)
        {
            bool isPort = trimmed[hostEnd] == ':'
                && int.TryParse(trimmed.AsSpan(hostEnd + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port)
                && port is > 0 and <= ushort.MaxValue;
            if (!isPort)
            {
                return false;
            }
        }

        bool isBracketed = host.StartsWith('[');
        host = isBracketed ? host[1..^1] : host;
        if (!(isBracketed ? IsIPv6(host) : IsName(host)))
        {
            return false;
        }

        address = new BrokerAddress(host, port);
        return true;
    }

    // A zone may follow: fe80::1%eth0.
    private static bool IsIPv6(string host) => IPAddress.TryParse(host, out IPAddress? address) && address.AddressFamily == AddressFamily.InterNetworkV6;

    /// <summary>
    /// What resolvers take: an underscore too, as names of containers have, and letters of any script. Digits alone are a port whose host was forgotten: as a host they would be an
    /// address of IPv4 (31094 is 0.0.121.118).
    /// </summary>
    private static bool IsName(string host) =>
        host.All(static letter => char.IsLetterOrDigit(letter) || letter is '.' or '-' or '_') && !host.All(char.IsAsciiDigit);

    /// <inheritdoc/>
    public override string ToString() => Host.Contains(':') ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}
