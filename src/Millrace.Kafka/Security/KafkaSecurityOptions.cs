using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Millrace.Kafka;

/// <summary>How a <see cref="KafkaClient"/> shows who it is, and makes sure who the brokers are. Files are read once, when the client is created.</summary>
/// <remarks>Passwords, keys and tokens appear in no log, in no exception and in no <c>ToString</c>.</remarks>
public sealed class KafkaSecurityOptions
{
    /// <summary>Kafka: <c>security.protocol</c>. Default <see cref="SecurityProtocol.Plaintext"/>, as Kafka.</summary>
    public SecurityProtocol Protocol { get; set; } = SecurityProtocol.Plaintext;

    /// <summary>Kafka: <c>sasl.mechanism</c>. To be chosen where <see cref="Protocol"/> has SASL: Kafka's default, GSSAPI, is not offered. Default null.</summary>
    public SaslMechanism? Mechanism { get; set; }

    /// <summary>Kafka: <c>username</c> in <c>sasl.jaas.config</c>; librdkafka: <c>sasl.username</c>. For PLAIN and SCRAM. Default null.</summary>
    public string? Username { get; set; }

    /// <summary>Kafka: <c>password</c> in <c>sasl.jaas.config</c>; librdkafka: <c>sasl.password</c>. For PLAIN and SCRAM. Default null.</summary>
    public string? Password { get; set; }

    /// <summary>
    /// Kafka: <c>sasl.login.callback.handler.class</c>. Gets a token for OAUTHBEARER: when the client first connects, and again when four fifths of the last token's life
    /// are over and a connection needs one. One call at a time; the cancellation token ends it when nobody waits for a connection any more, and after 5 s where the last token
    /// still does. When it throws, or returns a token that has ended, connections go on with the last token, up to 10 s before its end, and the failure is a warning in the log.
    /// Without a token to go on with it is told as a <see cref="KafkaConnectionException"/>, which is transient: what waits for a connection waits on. It is asked again after
    /// 1 s, then 2 s, up to 10 s. Default null.
    /// </summary>
    public Func<CancellationToken, ValueTask<OAuthBearerToken>>? TokenProvider { get; set; }

    /// <summary>
    /// Kafka: <c>ssl.truststore.location</c> with <c>ssl.truststore.type=PEM</c>; librdkafka: <c>ssl.ca.location</c>. A PEM file of the authorities that sign brokers'
    /// certificates; then no others are trusted. Default null: those that the system trusts.
    /// </summary>
    public string? TrustedCertificatesFile { get; set; }

    /// <summary>Kafka: <c>ssl.truststore.certificates</c>. As <see cref="TrustedCertificatesFile"/>, the PEM text itself. Default null.</summary>
    public string? TrustedCertificates { get; set; }

    /// <summary>
    /// Kafka: <c>ssl.keystore.location</c>; librdkafka: <c>ssl.certificate.location</c>. The client's own certificate for mutual TLS: a PEM file (with its key in
    /// <see cref="KeyFile"/> or behind it), or a PFX (PKCS #12) file, told by its ending <c>.pfx</c> or <c>.p12</c>. Certificates behind the first one are those
    /// of its signers. Default null.
    /// </summary>
    public string? CertificateFile { get; set; }

    /// <summary>librdkafka: <c>ssl.key.location</c>. A PEM file with the key of <see cref="CertificateFile"/>. Default null.</summary>
    public string? KeyFile { get; set; }

    /// <summary>Kafka: <c>ssl.keystore.certificate.chain</c>. As <see cref="CertificateFile"/>, the PEM text itself; needs <see cref="Key"/>. Default null.</summary>
    public string? Certificate { get; set; }

    /// <summary>Kafka: <c>ssl.keystore.key</c>. The PEM text of the key of <see cref="Certificate"/>. Default null.</summary>
    public string? Key { get; set; }

    /// <summary>Kafka: <c>ssl.key.password</c>, or <c>ssl.keystore.password</c> for a PFX file. Default null.</summary>
    public string? KeyPassword { get; set; }

    /// <summary>
    /// Kafka: <c>ssl.endpoint.identification.algorithm</c> (<c>https</c>, or empty for false). Whether a broker's certificate must name the host that was connected
    /// to. Without it, who has any certificate of a trusted authority can pass for the broker. Default true, as Kafka.
    /// </summary>
    public bool ValidateServerName { get; set; } = true;

    /// <summary>Whether it is asked if a certificate was revoked, which Kafka's clients don't do unless Java is told to. Default <see cref="X509RevocationMode.NoCheck"/>.</summary>
    public X509RevocationMode RevocationMode { get; set; } = X509RevocationMode.NoCheck;

    /// <summary>Kafka: <c>ssl.enabled.protocols</c>. Default <see cref="SslProtocols.None"/>: those that the system holds safe, TLS 1.3 first.</summary>
    public SslProtocols EnabledProtocols { get; set; } = SslProtocols.None;
}
