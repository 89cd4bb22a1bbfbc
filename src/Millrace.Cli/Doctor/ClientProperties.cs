using System.Globalization;
using System.Text.RegularExpressions;
using Millrace.Kafka;

namespace Millrace.Cli.Doctor;

/// <summary>
/// The settings of a client from a properties file, as Kafka's own tools take it by <c>--command-config</c>: those of Java's client, and librdkafka's names for the same.
/// </summary>
internal static partial class ClientProperties
{
    /// <summary>Sets what is known; names that no option has are left, as Kafka's tools leave them.</summary>
    /// <returns>The names that were left.</returns>
    /// <exception cref="FormatException">A value makes no sense, or cannot be used here.</exception>
    public static IReadOnlyList<string> Apply(IReadOnlyDictionary<string, string> properties, KafkaClientOptions options) =>
    [
        .. properties.Where(property => !ApplyConnection(property.Key, property.Value, options)
                && !ApplySasl(property.Key, property.Value, options.Security) && !ApplyTls(property.Key, property.Value, options.Security))
            .Select(property => property.Key).Order(StringComparer.Ordinal),
    ];

    private static bool ApplyConnection(string name, string value, KafkaClientOptions options)
    {
        switch (name)
        {
            case "bootstrap.servers":
                options.BootstrapServers = value;
                return true;
            case "client.id":
                options.ClientId = value;
                return true;
            case "request.timeout.ms":
                options.RequestTimeout = Milliseconds(name, value);
                return true;
            case "default.api.timeout.ms":
                options.ApiTimeout = Milliseconds(name, value);
                return true;
            case "socket.connection.setup.timeout.ms":
                options.ConnectTimeout = Milliseconds(name, value);
                return true;
            default:
                return false;
        }
    }

    private static bool ApplySasl(string name, string value, KafkaSecurityOptions security)
    {
        switch (name)
        {
            case "security.protocol":
                security.Protocol = value.ToUpperInvariant() switch
                {
                    "PLAINTEXT" => SecurityProtocol.Plaintext,
                    "SSL" => SecurityProtocol.Ssl,
                    "SASL_PLAINTEXT" => SecurityProtocol.SaslPlaintext,
                    "SASL_SSL" => SecurityProtocol.SaslSsl,
                    _ => throw new FormatException($"security.protocol={value}: it is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."),
                };
                return true;
            case "sasl.mechanism" or "sasl.mechanisms":
                security.Mechanism = value.ToUpperInvariant() switch
                {
                    "PLAIN" => SaslMechanism.Plain,
                    "SCRAM-SHA-256" => SaslMechanism.ScramSha256,
                    "SCRAM-SHA-512" => SaslMechanism.ScramSha512,
                    _ => throw new FormatException($"{name}={value}: this command knows PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512."),
                };
                return true;
            case "sasl.username":
                security.Username = value;
                return true;
            case "sasl.password":
                security.Password = value;
                return true;
            case "sasl.jaas.config":
                security.Username = JaasOption(value, "username") ?? security.Username;
                security.Password = JaasOption(value, "password") ?? security.Password;
                return true;
            default:
                return false;
        }
    }

    private static bool ApplyTls(string name, string value, KafkaSecurityOptions security)
    {
        switch (name)
        {
            case "ssl.truststore.type" when !value.Equals("PEM", StringComparison.OrdinalIgnoreCase):
                throw new FormatException($"ssl.truststore.type={value}: certificates are read as PEM. keytool -exportcert -rfc writes them so.");
            case "ssl.keystore.type" when value.Equals("JKS", StringComparison.OrdinalIgnoreCase):
                throw new FormatException($"ssl.keystore.type={value}: certificates are read as PEM or PKCS12. keytool -importkeystore -deststoretype pkcs12 makes one of them.");
            case "ssl.truststore.location" or "ssl.ca.location":
                security.TrustedCertificatesFile = value;
                return true;
            case "ssl.truststore.certificates":
                security.TrustedCertificates = value;
                return true;
            case "ssl.keystore.location" or "ssl.certificate.location":
                security.CertificateFile = value;
                return true;
            case "ssl.key.location":
                security.KeyFile = value;
                return true;
            case "ssl.keystore.certificate.chain":
                security.Certificate = value;
                return true;
            case "ssl.keystore.key":
                security.Key = value;
                return true;
            case "ssl.key.password" or "ssl.keystore.password":
                security.KeyPassword = value;
                return true;
            case "ssl.endpoint.identification.algorithm":
                security.ValidateServerName = value is not ("" or "none");
                return true;
            case "ssl.truststore.type" or "ssl.keystore.type":
                return true;
            default:
                return false;
        }
    }

    /// <summary>An option of a login module: <c>username="alice"</c>.</summary>
    private static string? JaasOption(string config, string option)
    {
        foreach (Match match in JaasOptions().Matches(config))
        {
            if (match.Groups["name"].Value == option)
            {
                return match.Groups["value"].Value.Replace("\\\"", "\"", StringComparison.Ordinal);
            }
        }

        return null;
    }

    [GeneratedRegex("""(?<name>\w+)\s*=\s*"(?<value>(?:[^"\\]|\\.)*)["]""", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex JaasOptions();

    private static TimeSpan Milliseconds(string name, string value) =>
        long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long milliseconds) && milliseconds > 0
            ? TimeSpan.FromMilliseconds(milliseconds)
            : throw new FormatException($"{name}={value} is not a number of milliseconds.");
}
