using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Broker;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Kafka.Tests;

/// <summary>A broker with a listener of each kind, and a user.</summary>
internal sealed class SecureBroker : IAsyncDisposable
{
    public const string User = "alice";
    public const string Password = "sesame, öffne dich=1";

    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-secure-").FullName;
    private KafkaBroker _broker = null!;

    public TestCertificates Certificates { get; } = new();

    public string UsersFile => Path.Combine(_directory, "users");

    public static async Task<SecureBroker> StartAsync(
        Action<BrokerOptions>? configure = null, string host = "127.0.0.1", bool wantsClientCertificate = false, bool isExpired = false)
    {
        var broker = new SecureBroker();
        broker.SetPassword(User, Password);
        (string certificate, string key) = broker.Certificates.Issue("broker", host, isExpired);
        var options = new BrokerOptions { DataDirectory = Path.Combine(broker._directory, "data"), UsersFile = broker.UsersFile };
        foreach (ListenerProtocol protocol in Enum.GetValues<ListenerProtocol>())
        {
            options.Listeners.Add(new ListenerOptions { Protocol = protocol, EndPoint = new IPEndPoint(IPAddress.Loopback, 0) });
        }

        (options.Tls.CertificateFile, options.Tls.KeyFile) = (certificate, key);
        options.Tls.ClientAuthorityFile = wantsClientCertificate ? broker.Certificates.AuthorityFile : null;
        options.FailedAuthenticationDelay = TimeSpan.Zero;
        configure?.Invoke(options);
        Directory.CreateDirectory(options.DataDirectory);
        broker._broker = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, NullLoggerFactory.Instance, CancellationToken.None);
        return broker;
    }

    public string Address(SecurityProtocol protocol) => _broker.Listeners.Single(listener => (int)listener.Protocol == (int)protocol).EndPoint.ToString();

    /// <summary>With the right user, password and authority, unless told otherwise.</summary>
    public KafkaClientOptions Options(SecurityProtocol protocol, SaslMechanism mechanism = SaslMechanism.ScramSha256, Action<KafkaSecurityOptions>? configure = null)
    {
        bool isSasl = protocol is SecurityProtocol.SaslPlaintext or SecurityProtocol.SaslSsl;
        bool isTls = protocol is SecurityProtocol.Ssl or SecurityProtocol.SaslSsl;
        var options = new KafkaClientOptions
        {
            BootstrapServers = Address(protocol),
            RandomSeed = 1,
            Security = new KafkaSecurityOptions
            {
                Protocol = protocol,
                Mechanism = isSasl ? mechanism : null,
                Username = isSasl ? User : null,
                Password = isSasl ? Password : null,
                TrustedCertificatesFile = isTls ? Certificates.AuthorityFile : null,
            },
        };
        configure?.Invoke(options.Security);
        return options;
    }

    public KafkaClient CreateClient(
        SecurityProtocol protocol, SaslMechanism mechanism = SaslMechanism.ScramSha256, Action<KafkaSecurityOptions>? configure = null, ILoggerFactory? loggers = null) =>
        new(Options(protocol, mechanism, configure), TimeProvider.System, loggers ?? NullLoggerFactory.Instance);

    public void SetPassword(string user, string password)
    {
        var storage = new FileStorage();
        UserFile users = File.Exists(UsersFile) ? UserFile.Read(storage, UsersFile) : new UserFile();
        foreach (ScramHash hash in new[] { ScramHash.Sha256, ScramHash.Sha512 })
        {
            users.Set(user, StoredScramKeys.Create(hash, password, [.. Enumerable.Range(1, 24).Select(number => (byte)number)], StoredScramKeys.MinIterations));
        }

        users.Write(storage, UsersFile);
    }

    public async ValueTask DisposeAsync()
    {
        await _broker.DisposeAsync();
        Certificates.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
