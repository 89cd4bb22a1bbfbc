using System.Diagnostics.CodeAnalysis;
using Millrace.Broker;

namespace Millrace.Cli;

/// <summary>An address with how clients speak there: <c>host:port</c>, <c>sasl_ssl://host:port</c>. Without a scheme it is plaintext.</summary>
internal sealed record ListenAddress(ListenerProtocol Protocol, HostPort Address)
{
    public static bool TryParse(string text, [NotNullWhen(true)] out ListenAddress? address)
    {
        address = null;
        int mark = text.IndexOf("://", StringComparison.Ordinal);
        ListenerProtocol protocol = ListenerProtocol.Plaintext;
        if (mark >= 0 && !TryParseScheme(text[..mark], out protocol))
        {
            return false;
        }

        if (!HostPort.TryParse(mark < 0 ? text : text[(mark + 3)..], out HostPort? where))
        {
            return false;
        }

        address = new ListenAddress(protocol, where);
        return true;
    }

    /// <summary>As it is typed.</summary>
    public override string ToString() => Protocol == ListenerProtocol.Plaintext ? Address.ToString() : $"{ListeningAddress.Scheme(Protocol)}://{Address}";

    private static bool TryParseScheme(string scheme, out ListenerProtocol protocol)
    {
        foreach (ListenerProtocol candidate in Enum.GetValues<ListenerProtocol>())
        {
            if (scheme.Equals(ListeningAddress.Scheme(candidate), StringComparison.OrdinalIgnoreCase))
            {
                protocol = candidate;
                return true;
            }
        }

        protocol = default;
        return false;
    }
}
