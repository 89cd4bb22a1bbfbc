using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>What <see cref="KafkaSecurityOptions"/> said when the client was created, checked. No records: those would print what they hold.</summary>
internal sealed class SecuritySettings
{
    private SecuritySettings(TlsSettings? tls, SaslSettings? sasl)
    {
        Tls = tls;
        Sasl = sasl;
    }

    /// <summary>Null where the client speaks without TLS.</summary>
    public TlsSettings? Tls { get; }

    /// <summary>Null where the client does not log in.</summary>
    public SaslSettings? Sasl { get; }

    public static SecuritySettings From(KafkaSecurityOptions options, bool hasConnector)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (!Enum.IsDefined(options.Protocol))
        {
            throw new ArgumentException($"{nameof(options.Protocol)} is {options.Protocol}, which is none of Kafka's security protocols.", nameof(options));
        }

        bool usesTls = options.Protocol is SecurityProtocol.Ssl or SecurityProtocol.SaslSsl;
        if (usesTls && hasConnector)
        {
            throw new ArgumentException(
                $"{nameof(KafkaClientOptions.Connector)} is set and {nameof(options.Protocol)} is {options.Protocol}: TLS is spoken by the connector for TCP only. " +
                $"Leave one of them out, or let the connector encrypt by itself and set {nameof(options.Protocol)} to {SecurityProtocol.Plaintext} or {SecurityProtocol.SaslPlaintext}.",
                nameof(options));
        }

        if (!usesTls && UsedTlsOption(options) is { } option)
        {
            throw new ArgumentException(
                $"{option} is set and {nameof(options.Protocol)} is {options.Protocol}, which has no TLS. Set {nameof(options.Protocol)} to {SecurityProtocol.Ssl} or {SecurityProtocol.SaslSsl}.", nameof(options));
        }

        return new SecuritySettings(usesTls ? TlsSettings.From(options) : null, SaslSettings.From(options));
    }

    private static string? UsedTlsOption(KafkaSecurityOptions options) =>
        options.TrustedCertificatesFile is not null ? nameof(options.TrustedCertificatesFile)
        : options.TrustedCertificates is not null ? nameof(options.TrustedCertificates)
        : options.CertificateFile is not null ? nameof(options.CertificateFile)
        : options.Certificate is not null ? nameof(options.Certificate)
        : null;
}

/// <summary>How the client logs in.</summary>
internal sealed class SaslSettings
{
    private SaslSettings(SaslMechanism mechanism, string username, string password, Func<CancellationToken, ValueTask<OAuthBearerToken>>? tokenProvider)
    {
        Mechanism = mechanism;
        Username = username;
        Password = password;
        TokenProvider = tokenProvider;
    }

    public SaslMechanism Mechanism { get; }

    public string MechanismName => Mechanism switch
    {
        SaslMechanism.Plain => "PLAIN",
        SaslMechanism.ScramSha256 => ScramHash.Sha256.Mechanism,
        SaslMechanism.ScramSha512 => ScramHash.Sha512.Mechanism,
        _ => "OAUTHBEARER",
    };

    public string Username { get; }

    public string Password { get; }

    public Func<CancellationToken, ValueTask<OAuthBearerToken>>? TokenProvider { get; }

    /// <summary>Null where the protocol has no SASL.</summary>
    public static SaslSettings? From(KafkaSecurityOptions options)
    {
        if (options.Protocol is SecurityProtocol.Plaintext or SecurityProtocol.Ssl)
        {
            bool isUsed = options.Mechanism is not null || options.Username is not null || options.Password is not null || options.TokenProvider is not null;
            return isUsed
                ? throw new ArgumentException(
                    $"A mechanism, a user, a password or a token provider is set and {nameof(options.Protocol)} is {options.Protocol}, which has no SASL. " +
                    $"Set {nameof(options.Protocol)} to {SecurityProtocol.SaslSsl} (or, where nobody else reads the network, {SecurityProtocol.SaslPlaintext}).",
                    nameof(options))
                : null;
        }

        if (options.Mechanism is not { } mechanism || !Enum.IsDefined(mechanism))
        {
            throw new ArgumentException(
                $"{nameof(options.Protocol)} is {options.Protocol} and {nameof(options.Mechanism)} is not set. Set it to what the broker offers: {string.Join(", ", Enum.GetNames<SaslMechanism>())}.",
                nameof(options));
        }

        if (mechanism == SaslMechanism.OAuthBearer)
        {
            return options.TokenProvider is not null
                ? new SaslSettings(mechanism, "", "", options.TokenProvider)
                : throw new ArgumentException($"{nameof(options.Mechanism)} is {mechanism} and {nameof(options.TokenProvider)} is not set: who gets the tokens?", nameof(options));
        }

        Check(options.Username, nameof(options.Username), mechanism);
        Check(options.Password, nameof(options.Password), mechanism);
        return new SaslSettings(mechanism, options.Username!, options.Password!, null);
    }

    private static void Check(string? text, string option, SaslMechanism mechanism)
    {
        string? fault = text is null ? "is not set" : text.Contains('\0', StringComparison.Ordinal) ? "holds a NUL character" : SaslText.Fault(text);
        if (fault is not null)
        {
            throw new ArgumentException($"{option} {fault}; {mechanism} needs both {nameof(KafkaSecurityOptions.Username)} and {nameof(KafkaSecurityOptions.Password)}.", option);
        }
    }
}
