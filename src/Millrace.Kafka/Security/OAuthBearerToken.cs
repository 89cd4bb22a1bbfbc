namespace Millrace.Kafka;

/// <summary>A token for OAUTHBEARER (RFC 7628, KIP-255).</summary>
public sealed class OAuthBearerToken
{
    /// <summary>Holds a token.</summary>
    /// <param name="value">The token as the issuer gave it; visible ASCII characters.</param>
    /// <param name="expiresAt">When it ends. Brokers end sessions with it, and the client authenticates anew before.</param>
    /// <param name="extensions">What else the broker is told (KIP-342): names of letters, values of printable ASCII. Default none.</param>
    /// <exception cref="ArgumentException">A part is not what the protocol can carry. The message does not show it.</exception>
    public OAuthBearerToken(string value, DateTimeOffset expiresAt, IReadOnlyDictionary<string, string>? extensions = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(value);
        if (value.Any(static character => character is <= ' ' or > '~'))
        {
            throw new ArgumentException("The token holds a character that is no visible ASCII character; it is not shown here. Pass the token as the issuer gave it, without 'Bearer'.", nameof(value));
        }

        foreach ((string name, string content) in extensions ?? new Dictionary<string, string>())
        {
            if (name.Length == 0 || name == "auth" || !name.All(char.IsAsciiLetter) || content.Any(static character => character is < ' ' or > '~'))
            {
                throw new ArgumentException($"The extension '{name}' cannot be sent: names consist of letters and are not 'auth', values of printable ASCII characters.", nameof(extensions));
            }
        }

        Value = value;
        ExpiresAt = expiresAt;
        Extensions = extensions is null ? [] : [.. extensions];
    }

    /// <summary>When it ends.</summary>
    public DateTimeOffset ExpiresAt { get; }

    internal string Value { get; }

    internal IReadOnlyList<KeyValuePair<string, string>> Extensions { get; }

    /// <summary>Says when it ends, and nothing of the token itself.</summary>
    public override string ToString() => $"OAuth token until {ExpiresAt:O}";
}
