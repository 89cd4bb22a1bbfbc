using System.Text;

namespace Millrace.Kafka;

/// <summary>OAUTHBEARER (RFC 7628, KIP-255): the token and its extensions, separated by 0x01.</summary>
internal sealed class OAuthBearerClient(OAuthBearerToken token) : SaslClient("OAUTHBEARER")
{
    private const char Separator = '\u0001';

    public override byte[] Begin()
    {
        var text = new StringBuilder("n,,").Append(Separator).Append("auth=Bearer ").Append(token.Value).Append(Separator);
        foreach ((string name, string value) in token.Extensions)
        {
            text.Append(name).Append('=').Append(value).Append(Separator);
        }

        return Encoding.UTF8.GetBytes(text.Append(Separator).ToString());
    }

    /// <summary>Nothing is the broker's agreement. Anything is its reason to refuse, which has to be acknowledged before the refusal itself comes.</summary>
    public override byte[]? Next(ReadOnlySpan<byte> challenge) => challenge.IsEmpty ? null : [(byte)Separator];
}
