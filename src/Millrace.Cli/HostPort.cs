using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;

namespace Millrace.Cli;

/// <summary>An address as people write it: <c>host:port</c>, <c>[ipv6]:port</c>.</summary>
internal sealed record HostPort(string Host, int Port)
{
    public static bool TryParse(string text, [NotNullWhen(true)] out HostPort? address)
    {
        address = null;
        int colon = text.LastIndexOf(':');
        if (colon < 1 || !int.TryParse(text.AsSpan(colon + 1), System.Globalization.NumberStyles.None, null, out int port)
            || port > ushort.MaxValue)
        {
            return false;
        }

        string host = text[..colon];
        bool isBracketed = host.StartsWith('[') && host.EndsWith(']');
        if (isBracketed)
        {
            host = host[1..^1];
        }

        // A bare IPv6 address is ambiguous: its last group could be the port.
        if (isBracketed != host.Contains(':', StringComparison.Ordinal) || Uri.CheckHostName(host) == UriHostNameType.Unknown)
        {
            return false;
        }

        address = new HostPort(host, port);
        return true;
    }

    /// <summary>What is wrong with the port of a text that is no address, to follow it in a sentence; empty where it is not the port.</summary>
    public static string PortFault(string text)
    {
        string port = text[(text.LastIndexOf(':') + 1)..];
        return port.Length < text.Length && port.Length > 0 && port.All(char.IsAsciiDigit) && (!int.TryParse(port, out int number) || number > ushort.MaxValue)
            ? $", since there is no port {port} (the largest is {ushort.MaxValue})"
            : "";
    }

    /// <summary>The host where it is a name: certificates are made out to names, and what they resolve to may change. Null for an address.</summary>
    public string? Name => IPAddress.TryParse(Host, out _) ? null : Host;

    /// <summary>The endpoint to bind: the address itself, or the first one that the name has here, IPv4 before IPv6.</summary>
    /// <exception cref="SocketException">The name has no address.</exception>
    public async Task<IPEndPoint> ResolveAsync(CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(Host, out IPAddress? literal))
        {
            return new IPEndPoint(literal, Port);
        }

        IPAddress[] addresses = await Dns.GetHostAddressesAsync(Host, cancellationToken);
        return addresses.Length == 0
            ? throw new SocketException((int)SocketError.HostNotFound)
            : new IPEndPoint(addresses.FirstOrDefault(address => address.AddressFamily == AddressFamily.InterNetwork) ?? addresses[0], Port);
    }

    public override string ToString() => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}
