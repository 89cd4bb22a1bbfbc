namespace Millrace.Kafka;

/// <summary>How a client speaks to a listener. Kafka: <c>security.protocol</c>.</summary>
public enum SecurityProtocol
{
    /// <summary>Neither encrypted nor authenticated. Kafka: <c>PLAINTEXT</c>.</summary>
    Plaintext,

    /// <summary>TLS; with a certificate of the client's it is authenticated as well. Kafka: <c>SSL</c>.</summary>
    Ssl,

    /// <summary>Authenticated by SASL, not encrypted: for networks that nobody else reads. Kafka: <c>SASL_PLAINTEXT</c>.</summary>
    SaslPlaintext,

    /// <summary>Authenticated by SASL inside of TLS. Kafka: <c>SASL_SSL</c>.</summary>
    SaslSsl,
}

/// <summary>How a client proves who it is. Kafka: <c>sasl.mechanism</c>.</summary>
public enum SaslMechanism
{
    /// <summary>Name and password as they are (RFC 4616): the broker sees the password, and everybody does where there is no TLS.</summary>
    Plain,

    /// <summary>Name and a proof of the password, which itself does not travel (RFC 5802, RFC 7677). The broker proves that it knows the password, too.</summary>
    ScramSha256,

    /// <summary>As <see cref="ScramSha256"/>, over SHA-512.</summary>
    ScramSha512,

    /// <summary>A token that somebody else has issued (RFC 7628, KIP-255).</summary>
    OAuthBearer,
}
