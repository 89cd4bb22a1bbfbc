using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Shop;

/// <summary>An address as people write it: <c>127.0.0.1:5080</c>, <c>localhost:5080</c>, <c>[::1]:5080</c>.</summary>
internal sealed record HostPort(string Host, int Port)
{
    public static bool TryParse(string text, [NotNullWhen(true)] out HostPort? address)
    {
        address = null;
        int colon = text.LastIndexOf(':');
        if (colon < 1 || !int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int port)
            || port > ushort.MaxValue)
        {
            return false;
        }

        string host = text[..colon];
        bool isBracketed = host.StartsWith('[') && host.EndsWith(']');
        string bare = isBracketed ? host[1..^1] : host;
        // An IPv6 address without brackets is ambiguous: its last group could be the port.
        if (isBracketed != bare.Contains(':', StringComparison.Ordinal) || !IsAddress(bare))
        {
            return false;
        }

        address = new HostPort(string.Equals(bare, "localhost", StringComparison.OrdinalIgnoreCase) ? "127.0.0.1" : bare, port);
        return true;
    }

    public override string ToString() => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]:{Port}" : $"{Host}:{Port}";

    private static bool IsAddress(string host) =>
        string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase)
        || Uri.CheckHostName(host) is UriHostNameType.IPv4 or UriHostNameType.IPv6;
}
