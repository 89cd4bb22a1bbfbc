using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Client and broker over real sockets, in each way that they can speak.</summary>
public sealed class SecureConnectionTests
{
    [Theory]
    [InlineData(SecurityProtocol.Plaintext, null)]
    [InlineData(SecurityProtocol.Ssl, null)]
    [InlineData(SecurityProtocol.SaslPlaintext, SaslMechanism.Plain)]
    [InlineData(SecurityProtocol.SaslPlaintext, SaslMechanism.ScramSha256)]
    [InlineData(SecurityProtocol.SaslPlaintext, SaslMechanism.ScramSha512)]
    [InlineData(SecurityProtocol.SaslSsl, SaslMechanism.Plain)]
    [InlineData(SecurityProtocol.SaslSsl, SaslMechanism.ScramSha256)]
    [InlineData(SecurityProtocol.SaslSsl, SaslMechanism.ScramSha512)]
    public async Task What_is_produced_is_consumed(SecurityProtocol protocol, SaslMechanism? mechanism)
    {
        await using SecureBroker broker = await SecureBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient(protocol, mechanism ?? SaslMechanism.Plain);
        await ProduceAndConsumeAsync(client);

        // The listener that was asked is the one that is advertised.
        ClusterMetadata cluster = await client.Admin.DescribeAsync([], Until.Timeout());
        Assert.Equal(broker.Address(protocol), Assert.Single(cluster.Brokers).Address.ToString());
    }

    [Theory]
    [InlineData("pem files")]
    [InlineData("pem file with an encrypted key")]
    [InlineData("pem text")]
    [InlineData("pfx file")]
    public async Task A_client_shows_its_certificate(string form)
    {
        await using SecureBroker broker = await SecureBroker.StartAsync(wantsClientCertificate: true);
        await using KafkaClient client = broker.CreateClient(SecurityProtocol.Ssl, configure: security =>
        {
            (string certificate, string key) = broker.Certificates.Issue("client", keyPassword: form.Contains("encrypted", StringComparison.Ordinal) ? "secret" : null);
            switch (form)
            {
                case "pem files":
                    (security.CertificateFile, security.KeyFile) = (certificate, key);
                    break;
                case "pem file with an encrypted key":
                    (security.CertificateFile, security.KeyFile, security.KeyPassword) = (certificate, key, "secret");
                    break;
                case "pem text":
                    (security.Certificate, security.Key) = (File.ReadAllText(certificate), File.ReadAllText(key));
                    break;
                default:
                    (security.CertificateFile, security.KeyPassword) = (broker.Certificates.IssuePfx("client", "secret"), "secret");
                    break;
            }
        });
        await ProduceAndConsumeAsync(client);
    }

    [Theory]
    [InlineData("none")]
    [InlineData("expired")]
    [InlineData("of another authority")]
    public async Task A_client_whose_certificate_the_broker_does_not_take_is_told_so(string which)
    {
        using var others = new TestCertificates("Somebody else");
        await using SecureBroker broker = await SecureBroker.StartAsync(wantsClientCertificate: true);
        KafkaClientOptions options = broker.Options(SecurityProtocol.Ssl, configure: security =>
        {
            if (which != "none")
            {
                TestCertificates issuer = which == "expired" ? broker.Certificates : others;
                (security.CertificateFile, security.KeyFile) = issuer.Issue("client", isExpired: which == "expired");
            }
        });

        // Transient, since this broker's TLS just ends, as it would if the broker stopped: the call goes on trying.
        options.ApiTimeout = TimeSpan.FromSeconds(1);
        await using var client = new KafkaClient(options, TimeProvider.System, Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory.Instance);
        KafkaException failure = await Assert.ThrowsAnyAsync<KafkaException>(() => client.Admin.DescribeAsync([], Until.Timeout()));
        Assert.Contains(nameof(KafkaSecurityOptions.CertificateFile), failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(SaslMechanism.Plain)]
    [InlineData(SaslMechanism.ScramSha256)]
    [InlineData(SaslMechanism.ScramSha512)]
    public async Task A_wrong_password_and_an_unknown_user_are_refused_alike_at_once_and_without_a_flood(SaslMechanism mechanism)
    {
        await using SecureBroker broker = await SecureBroker.StartAsync();
        string?[] said = new string?[2];
        for (int i = 0; i < said.Length; i++)
        {
            using var logs = new RecordingLoggers();
            await using KafkaClient client = broker.CreateClient(SecurityProtocol.SaslSsl, mechanism, security =>
            {
                security.Username = i == 0 ? SecureBroker.User : "mallory";
                security.Password = "guessed-password";
            }, logs);
            KafkaAuthenticationException failure = await Assert.ThrowsAsync<KafkaAuthenticationException>(() => client.Admin.DescribeAsync([], Until.Timeout()));
            Assert.Equal(ErrorCode.SaslAuthenticationFailed, failure.ErrorCode);
            Assert.False(failure.IsTransient);
            Assert.Equal(broker.Address(SecurityProtocol.SaslSsl), failure.Broker.ToString());
            said[i] = failure.Message.Replace("mallory", SecureBroker.User, StringComparison.Ordinal);

            // A producer and further calls meet the same refusal, and no second attempt is made for them.
            await using KafkaProducer producer = client.CreateProducer();
            await Assert.ThrowsAsync<KafkaAuthenticationException>(async () => await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Value = "value"u8.ToArray() }));
            await Assert.ThrowsAsync<KafkaAuthenticationException>(() => client.Admin.DescribeAsync([], Until.Timeout()));
            Assert.InRange(logs.Lines.Count(line => line.Contains("could not make sure of each other", StringComparison.Ordinal)), 1, 2);
            Assert.DoesNotContain(logs.Lines, line => line.Contains("guessed-password", StringComparison.Ordinal));
            Assert.DoesNotContain("guessed-password", failure.ToString(), StringComparison.Ordinal);
        }

        Assert.Equal(said[0], said[1]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_refused_login_and_an_untrusted_broker_are_told_by_every_admin_call_at_once(bool isUntrusted)
    {
        using var others = new TestCertificates("Somebody else");
        await using SecureBroker broker = await SecureBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient(SecurityProtocol.SaslSsl, configure: security =>
            (security.Password, security.TrustedCertificatesFile) = isUntrusted ? (security.Password, others.AuthorityFile) : ("guessed-password", security.TrustedCertificatesFile));
        KafkaAdmin admin = client.Admin;
        await Assert.ThrowsAsync<KafkaAuthenticationException>(() => admin.DescribeClusterAsync(cancellationToken: Until.Timeout()));
        await Assert.ThrowsAsync<KafkaAuthenticationException>(() => admin.ListTopicsAsync(cancellationToken: Until.Timeout()));
        await Assert.ThrowsAsync<KafkaAuthenticationException>(() => admin.ListGroupsAsync(cancellationToken: Until.Timeout()));
        AdminResult[] results =
        [
            (await admin.DescribeTopicsAsync(["orders"], Until.Timeout()))["orders"],
            (await admin.DescribeGroupsAsync(["workers"], Until.Timeout()))["workers"],
            (await admin.DescribeConfigsAsync([ConfigResource.Topic("orders")], cancellationToken: Until.Timeout()))[ConfigResource.Topic("orders")],
            (await admin.CreateTopicsAsync([new NewTopic("orders")], Until.Timeout()))["orders"],
        ];
        Assert.All(results, result => Assert.False(Assert.IsType<KafkaAuthenticationException>(result.Failure).IsTransient));
    }

    [Fact]
    public async Task A_consumer_without_a_group_is_told_that_its_login_failed()
    {
        await using SecureBroker broker = await SecureBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient(SecurityProtocol.SaslPlaintext, configure: security => security.Password = "guessed-password");
        await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
        consumer.Assign([new TopicPartitionOffset(new TopicPartition("orders", 0), new Offset(0))]);
        await Assert.ThrowsAsync<KafkaAuthenticationException>(async () => await consumer.PollAsync(cancellationToken: Until.Timeout()));
        await Assert.ThrowsAsync<KafkaAuthenticationException>(async () => await consumer.PollAsync(cancellationToken: Until.Timeout()));
    }

    [Fact]
    public async Task A_user_who_is_added_can_log_in_at_once_and_one_with_a_new_password_only_by_that()
    {
        await using SecureBroker broker = await SecureBroker.StartAsync();
        broker.SetPassword("bob", "first");
        await DescribeAsync(broker, "bob", "first");
        broker.SetPassword("bob", "second");
        await Assert.ThrowsAsync<KafkaAuthenticationException>(() => DescribeAsync(broker, "bob", "first"));
        await DescribeAsync(broker, "bob", "second");
    }

    [Fact]
    public async Task An_expired_certificate_of_the_broker_is_named_with_its_dates()
    {
        await using SecureBroker broker = await SecureBroker.StartAsync(isExpired: true);
        await using KafkaClient client = broker.CreateClient(SecurityProtocol.Ssl);
        KafkaAuthenticationException failure = await Assert.ThrowsAsync<KafkaAuthenticationException>(() => client.Admin.DescribeAsync([], Until.Timeout()));
        Assert.Contains("2020-01-03", failure.Message, StringComparison.Ordinal);
        Assert.Contains("renew", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_certificate_for_another_host_is_refused_with_both_names_unless_the_name_does_not_matter()
    {
        await using SecureBroker broker = await SecureBroker.StartAsync(host: "elsewhere.example");
        await using KafkaClient client = broker.CreateClient(SecurityProtocol.Ssl);
        KafkaAuthenticationException failure = await Assert.ThrowsAsync<KafkaAuthenticationException>(() => client.Admin.DescribeAsync([], Until.Timeout()));
        Assert.Contains("elsewhere.example", failure.Message, StringComparison.Ordinal);
        Assert.Contains("127.0.0.1", failure.Message, StringComparison.Ordinal);
        await using KafkaClient careless = broker.CreateClient(SecurityProtocol.Ssl, configure: security => security.ValidateServerName = false);
        await careless.Admin.DescribeAsync([], Until.Timeout());
    }

    [Fact]
    public async Task A_certificate_of_an_authority_that_is_not_trusted_is_refused_also_where_the_name_does_not_matter()
    {
        using var others = new TestCertificates("Somebody else");
        await using SecureBroker broker = await SecureBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient(SecurityProtocol.Ssl, configure: security =>
        {
            security.TrustedCertificatesFile = others.AuthorityFile;
            security.ValidateServerName = false;
        });
        KafkaAuthenticationException failure = await Assert.ThrowsAsync<KafkaAuthenticationException>(() => client.Admin.DescribeAsync([], Until.Timeout()));
        Assert.Contains("Test authority", failure.Message, StringComparison.Ordinal);
        Assert.Contains(nameof(KafkaSecurityOptions.TrustedCertificatesFile), failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(SecurityProtocol.SaslPlaintext, SecurityProtocol.Plaintext, "SASL")]
    [InlineData(SecurityProtocol.Plaintext, SecurityProtocol.SaslPlaintext, "wants no SASL")]
    [InlineData(SecurityProtocol.Ssl, SecurityProtocol.Plaintext, "TLS")]
    [InlineData(SecurityProtocol.Plaintext, SecurityProtocol.Ssl, "TLS")]
    public async Task A_client_that_speaks_in_another_way_than_the_listener_is_told_what_to_look_at(SecurityProtocol listener, SecurityProtocol speaks, string expected)
    {
        await using SecureBroker broker = await SecureBroker.StartAsync();
        KafkaClientOptions options = broker.Options(speaks);
        options.BootstrapServers = broker.Address(listener);
        options.ApiTimeout = TimeSpan.FromSeconds(2);
        await using var client = new KafkaClient(options, TimeProvider.System, Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory.Instance);
        KafkaException failure = await Assert.ThrowsAnyAsync<KafkaException>(() => client.Admin.DescribeAsync([], Until.Timeout()));
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_session_that_ends_is_renewed_while_records_flow()
    {
        await using SecureBroker broker = await SecureBroker.StartAsync(options => options.MaxSessionLifetime = TimeSpan.FromMilliseconds(300));
        using var logs = new RecordingLoggers();
        await using KafkaClient client = broker.CreateClient(SecurityProtocol.SaslPlaintext, SaslMechanism.ScramSha512, loggers: logs);
        await using KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        int count = 0;
        long start = TimeProvider.System.GetTimestamp();
        while (logs.Lines.Count(line => line.Contains("again, before the session ended", StringComparison.Ordinal)) < 4)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(start) < Until.Limit);
            await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Value = BitConverter.GetBytes(count++) }, Until.Timeout());
        }

        // It was never lost, and so never opened again.
        Assert.DoesNotContain(logs.Lines, line => line.Contains("Lost the connection", StringComparison.Ordinal));
        IReadOnlyDictionary<TopicPartition, Offset> ends = await client.Admin.ListOffsetsAsync([new TopicPartition("orders", 0)], OffsetSpec.Latest, Until.Timeout());
        Assert.Equal(count, ends.Values.Single().Value);
    }

    private static async Task DescribeAsync(SecureBroker broker, string user, string password)
    {
        await using KafkaClient client = broker.CreateClient(
            SecurityProtocol.SaslPlaintext, configure: security => (security.Username, security.Password) = (user, password));
        await client.Admin.DescribeAsync([], Until.Timeout());
    }

    private static async Task ProduceAndConsumeAsync(KafkaClient client)
    {
        await using KafkaProducer producer = client.CreateProducer();
        byte[] large = new byte[700_000];
        new Random(1).NextBytes(large);
        await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Key = "key"u8.ToArray(), Value = large }, Until.Timeout());
        await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "readers", AutoOffsetReset = AutoOffsetReset.Earliest });
        await consumer.SubscribeAsync(["orders"], cancellationToken: Until.Timeout());
        await foreach (ConsumerRecord record in consumer.ConsumeAsync(Until.Timeout()))
        {
            Assert.True(large.AsSpan().SequenceEqual(record.Value!.Value.Span));
            break;
        }
    }
}

/// <summary>Keeps every line that is logged, with its exception.</summary>
internal sealed class RecordingLoggers : ILoggerFactory, ILogger
{
    public ConcurrentQueue<string> Lines { get; } = new();

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Lines.Enqueue($"{formatter(state, exception)} {exception}");

    public void Dispose()
    {
    }
}
