using System.Globalization;
using System.Text.RegularExpressions;
using Millrace.Broker;
using Millrace.Kafka;
using Millrace.Log;

namespace Millrace.Cli;

/// <summary>
/// Broker and client speak of their options by the names that these have in .NET. Who types a command or a properties file knows them by Kafka's names, or as options of the command.
/// </summary>
internal static partial class PropertyNames
{
    private static readonly Dictionary<string, string> s_ofBroker = new(StringComparer.Ordinal)
    {
        [nameof(BrokerOptions.DefaultPartitionCount)] = "num.partitions",
        [nameof(BrokerOptions.OffsetsTopicPartitionCount)] = "offsets.topic.num.partitions",
        [nameof(BrokerOptions.MaxOffsetMetadataLength)] = "offset.metadata.max.bytes",
        [nameof(BrokerOptions.OffsetsRetention)] = "offsets.retention.minutes",
        [nameof(BrokerOptions.OffsetsRetentionCheckInterval)] = "offsets.retention.check.interval.ms",
        [nameof(BrokerOptions.GroupInitialRebalanceDelay)] = "group.initial.rebalance.delay.ms",
        [nameof(BrokerOptions.GroupMinSessionTimeout)] = "group.min.session.timeout.ms",
        [nameof(BrokerOptions.GroupMaxSessionTimeout)] = "group.max.session.timeout.ms",
        [nameof(BrokerOptions.GroupMaxSize)] = "group.max.size",
        [nameof(BrokerOptions.TransactionMaxTimeout)] = "transaction.max.timeout.ms",
        [nameof(BrokerOptions.TransactionalIdExpiration)] = "transactional.id.expiration.ms",
        [nameof(BrokerOptions.ProducerIdExpiration)] = "producer.id.expiration.ms",
        [nameof(BrokerOptions.TransactionStateTopicPartitionCount)] = "transaction.state.log.num.partitions",
        [nameof(BrokerOptions.MaxRequestByteCount)] = "socket.request.max.bytes",
        [nameof(BrokerOptions.MaxQueuedRequestByteCount)] = "queued.max.request.bytes",
        [nameof(BrokerOptions.MaxMessageByteCount)] = "message.max.bytes",
        [nameof(BrokerOptions.MaxFetchByteCount)] = "fetch.max.bytes",
        [nameof(BrokerOptions.MaxConnections)] = "max.connections",
        [nameof(BrokerOptions.MaxConnectionsPerAddress)] = "max.connections.per.ip",
        [nameof(BrokerOptions.MaxConnectionIdleTime)] = "connections.max.idle.ms",
        [nameof(BrokerOptions.MaxSessionLifetime)] = "connections.max.reauth.ms",
        [nameof(BrokerOptions.FailedAuthenticationDelay)] = "connection.failed.authentication.delay.ms",
        [nameof(BrokerOptions.SaslMechanisms)] = "sasl.enabled.mechanisms",
        [nameof(BrokerOptions.UsersFile)] = "--users",
        ["Tls.CertificateFile"] = "--certificate",
        [nameof(LogCleanerOptions.RetentionCheckInterval)] = "log.retention.check.interval.ms",
        [nameof(LogCleanerOptions.ThreadCount)] = "log.cleaner.threads",
        [nameof(LogCleanerOptions.KeyMemoryByteCount)] = "log.cleaner.dedupe.buffer.size",
        [nameof(LogCleanerOptions.KeyMemoryLoadFactor)] = "log.cleaner.io.buffer.load.factor",
        [nameof(LogCleanerOptions.BufferByteCount)] = "log.cleaner.io.buffer.size",
        [nameof(LogCleanerOptions.Backoff)] = "log.cleaner.backoff.ms",
    };

    private static readonly Dictionary<string, string> s_ofClient = new(StringComparer.Ordinal)
    {
        [nameof(KafkaClientOptions.BootstrapServers)] = "bootstrap.servers",
        [nameof(KafkaClientOptions.ClientId)] = "client.id",
        [nameof(KafkaClientOptions.RequestTimeout)] = "request.timeout.ms",
        [nameof(KafkaClientOptions.ApiTimeout)] = "--timeout",
        [nameof(KafkaClientOptions.ConnectTimeout)] = "socket.connection.setup.timeout.ms",
        [nameof(KafkaClientOptions.ConnectTimeoutMax)] = "socket.connection.setup.timeout.max.ms",
        [nameof(KafkaSecurityOptions.Protocol)] = "security.protocol",
        [nameof(SecurityProtocol.Plaintext)] = "PLAINTEXT",
        [nameof(SecurityProtocol.Ssl)] = "SSL",
        [nameof(SecurityProtocol.SaslPlaintext)] = "SASL_PLAINTEXT",
        [nameof(SecurityProtocol.SaslSsl)] = "SASL_SSL",
        [nameof(KafkaSecurityOptions.Mechanism)] = "sasl.mechanism",
        [nameof(SaslMechanism.Plain)] = "PLAIN",
        [nameof(SaslMechanism.ScramSha256)] = "SCRAM-SHA-256",
        [nameof(SaslMechanism.ScramSha512)] = "SCRAM-SHA-512",
        [nameof(SaslMechanism.OAuthBearer)] = "OAUTHBEARER",
        [nameof(KafkaSecurityOptions.Username)] = "the username in sasl.jaas.config",
        [nameof(KafkaSecurityOptions.Password)] = "the password in sasl.jaas.config",
        [nameof(KafkaSecurityOptions.TrustedCertificatesFile)] = "ssl.truststore.location",
        [nameof(KafkaSecurityOptions.TrustedCertificates)] = "ssl.truststore.certificates",
        [nameof(KafkaSecurityOptions.CertificateFile)] = "ssl.keystore.location",
        [nameof(KafkaSecurityOptions.Certificate)] = "ssl.keystore.certificate.chain",
        [nameof(KafkaSecurityOptions.KeyFile)] = "ssl.key.location",
        [nameof(KafkaSecurityOptions.Key)] = "ssl.keystore.key",
        [nameof(KafkaSecurityOptions.KeyPassword)] = "ssl.key.password",
        [nameof(KafkaSecurityOptions.ValidateServerName)] = "ssl.endpoint.identification.algorithm",
    };

    /// <summary>What a broker says when it does not start, in the words of <c>serve</c>; times in the unit that the name has.</summary>
    public static string OfServe(string message)
    {
        string named = Translate(message, s_ofBroker).Replace("Cleaner: ", "", StringComparison.Ordinal);
        return NamedTime().Replace(named, static match => TimeSpan.TryParse(match.Groups["time"].Value, CultureInfo.InvariantCulture, out TimeSpan time)
            ? match.Groups["name"].Value + (match.Groups["unit"].Value == "ms" ? time.TotalMilliseconds : time.TotalMinutes).ToString(CultureInfo.InvariantCulture)
            : match.Value);
    }

    /// <summary>What a client says of its options, in the words of a properties file.</summary>
    public static string OfClient(string message) => Translate(Parameter().Replace(message, ""), s_ofClient);

    private static string Translate(string message, Dictionary<string, string> names) => Word().Replace(message, match => names.GetValueOrDefault(match.Value, match.Value));

    [GeneratedRegex(@"\b[A-Z]\w*(\.[A-Z]\w*)*\b", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Word();

    [GeneratedRegex(@"(?<name>\.(?<unit>ms|minutes)( is)? )(?<time>-?(\d+\.)?\d\d:\d\d:\d\d(\.\d+)?)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex NamedTime();

    [GeneratedRegex(@" \(Parameter '\w+'\)", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Parameter();
}
