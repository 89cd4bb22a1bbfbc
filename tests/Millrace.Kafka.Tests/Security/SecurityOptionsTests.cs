namespace Millrace.Kafka.Tests;

public sealed class SecurityOptionsTests : IDisposable
{
    private readonly TestCertificates _certificates = new();

    public static TheoryData<Action<KafkaSecurityOptions>, string, string> Contradictions => new()
    {
        { security => security.Protocol = SecurityProtocol.SaslSsl, "Mechanism", "OAuthBearer" },
        { security => (security.Protocol, security.Mechanism) = (SecurityProtocol.SaslSsl, SaslMechanism.Plain), "Username", "Password" },
        { security => (security.Protocol, security.Mechanism, security.Username) = (SecurityProtocol.SaslSsl, SaslMechanism.ScramSha256, "alice"), "Password", "Username" },
        { security => (security.Protocol, security.Mechanism) = (SecurityProtocol.SaslSsl, SaslMechanism.OAuthBearer), "TokenProvider", "OAuthBearer" },
        { security => security.Password = "hush-hush", "password", "SaslSsl" },
        { security => (security.Protocol, security.Mechanism) = (SecurityProtocol.Ssl, SaslMechanism.Plain), "mechanism", "SaslSsl" },
        { security => security.TrustedCertificatesFile = "ca.pem", "TrustedCertificatesFile", "Ssl" },
        { security => (security.Protocol, security.TrustedCertificatesFile) = (SecurityProtocol.Ssl, "/no/such/file.pem"), "/no/such/file.pem", "PEM" },
        { security => (security.Protocol, security.TrustedCertificates) = (SecurityProtocol.Ssl, "no certificate"), "TrustedCertificates", "BEGIN CERTIFICATE" },
        { security => (security.Protocol, security.KeyFile) = (SecurityProtocol.Ssl, "client.key"), "CertificateFile", "key" },
        { security => (security.Protocol, security.CertificateFile, security.Certificate) = (SecurityProtocol.Ssl, "a", "b"), "CertificateFile", "Certificate" },
        { security => security.Protocol = (SecurityProtocol)9, "Protocol", "9" },
    };

    [Theory]
    [MemberData(nameof(Contradictions))]
    public void What_makes_no_sense_is_refused_with_what_contradicts_what(Action<KafkaSecurityOptions> configure, string first, string second)
    {
        var options = new KafkaClientOptions();
        configure(options.Security);
        ArgumentException failure = Assert.ThrowsAny<ArgumentException>(() => ClientSettings.From(options));
        Assert.Contains(first, failure.Message, StringComparison.Ordinal);
        Assert.Contains(second, failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hush-hush", failure.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void TLS_is_not_promised_for_a_connector_that_does_not_speak_it()
    {
        var options = new KafkaClientOptions { Connector = new ScriptedBroker() };
        options.Security.Protocol = SecurityProtocol.Ssl;
        Assert.Contains("Connector", Assert.Throws<ArgumentException>(() => ClientSettings.From(options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_key_that_is_encrypted_needs_its_password()
    {
        (string certificate, string key) = _certificates.Issue("client", keyPassword: "secret-of-the-key");
        var options = new KafkaClientOptions
        {
            Security = new KafkaSecurityOptions { Protocol = SecurityProtocol.Ssl, CertificateFile = certificate, KeyFile = key, KeyPassword = "wrong-guess" },
        };
        ArgumentException failure = Assert.Throws<ArgumentException>(() => ClientSettings.From(options));
        Assert.Contains(nameof(KafkaSecurityOptions.KeyPassword), failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong-guess", failure.ToString(), StringComparison.Ordinal);
        options.Security.KeyPassword = "secret-of-the-key";
        Assert.True(ClientSettings.From(options).Security.Tls!.HasOwnCertificate);
    }

    [Fact]
    public void Nothing_that_is_printed_shows_a_secret()
    {
        var options = new KafkaClientOptions
        {
            Security = new KafkaSecurityOptions
            {
                Protocol = SecurityProtocol.SaslPlaintext, Mechanism = SaslMechanism.Plain, Username = "alice", Password = "hush-hush",
            },
        };
        ClientSettings settings = ClientSettings.From(options);
        var token = new OAuthBearerToken("hush-hush", DateTimeOffset.UnixEpoch);
        foreach (object holder in new object[] { options, options.Security, settings, settings.Security, settings.Security.Sasl!, token })
        {
            Assert.DoesNotContain("hush-hush", holder.ToString(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("Bearer abc")]
    [InlineData("abc\n")]
    [InlineData("")]
    public void A_token_that_cannot_be_sent_is_refused_without_being_shown(string value)
    {
        ArgumentException failure = Assert.ThrowsAny<ArgumentException>(() => new OAuthBearerToken(value, DateTimeOffset.MaxValue));
        Assert.DoesNotContain("abc", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("auth", "x")]
    [InlineData("with1digit", "x")]
    [InlineData("name", "\u0001")]
    public void An_extension_that_cannot_be_sent_is_refused(string name, string value) => Assert.Throws<ArgumentException>(
        () => new OAuthBearerToken("abc", DateTimeOffset.MaxValue, new Dictionary<string, string> { [name] = value }));

    public void Dispose() => _certificates.Dispose();
}
