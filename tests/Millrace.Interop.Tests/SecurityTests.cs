using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Interop.Tests.Programs;
using Millrace.Kafka;
using Millrace.Tests;

namespace Millrace.Interop.Tests;

/// <summary>Programs that are not ours log in to the standalone broker, and speak TLS with it.</summary>
public sealed class SecurityTests
{
    private static readonly string s_nodeFolder = Metadata("NodeScripts");
    private static readonly string s_pythonFolder = Metadata("PythonScripts");

    [Theory]
    [InlineData("sasl_plaintext", "PLAIN")]
    [InlineData("sasl_plaintext", "SCRAM-SHA-256")]
    [InlineData("sasl_plaintext", "SCRAM-SHA-512")]
    [InlineData("sasl_ssl", "PLAIN")]
    [InlineData("sasl_ssl", "SCRAM-SHA-256")]
    [InlineData("sasl_ssl", "SCRAM-SHA-512")]
    [InlineData("ssl", null)]
    public async Task Librdkafka_writes_and_reads(string protocol, string? mechanism)
    {
        Kcat.Require();
        await using SecureStandaloneBroker broker = await SecureStandaloneBroker.StartAsync();
        string[] settings = KcatSettings(broker, protocol, mechanism);
        await using RunningProgram producer = RunningProgram.Start("kcat", [.. settings, "-P", "-t", "records"]);
        await producer.WriteLineAsync("hello");
        producer.CloseInput();
        await producer.RequireSuccessAsync();
        await using RunningProgram consumer = RunningProgram.Start("kcat", [.. settings, "-C", "-t", "records", "-o", "beginning", "-e", "-q"]);
        await consumer.RequireSuccessAsync();
        Assert.Equal(["hello"], consumer.Output);
    }

    [Fact]
    public async Task Librdkafka_shows_a_certificate()
    {
        Kcat.Require();
        await using SecureStandaloneBroker broker = await SecureStandaloneBroker.StartAsync(wantsClientCertificate: true);
        (string certificate, string key) = broker.Certificates.Issue("client");
        string[] settings = [.. KcatSettings(broker, "ssl", null), "-X", $"ssl.certificate.location={certificate}", "-X", $"ssl.key.location={key}"];
        await using RunningProgram list = RunningProgram.Start("kcat", [.. settings, "-L"]);
        await list.RequireSuccessAsync();
        await using RunningProgram without = RunningProgram.Start("kcat", [.. KcatSettings(broker, "ssl", null), "-L"]);
        await without.WaitForExitAsync();
        Assert.NotEqual(0, without.ExitCode);
        await broker.Program.WaitUntilAsync("the refusal in the log", (_, error) => error.Any(line => line.Contains("it shows no certificate", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("PLAIN", SecureStandaloneBroker.User)]
    [InlineData("SCRAM-SHA-256", SecureStandaloneBroker.User)]
    [InlineData("SCRAM-SHA-512", "mallory")]
    public async Task Librdkafka_is_told_that_its_login_failed(string mechanism, string user)
    {
        Kcat.Require();
        await using SecureStandaloneBroker broker = await SecureStandaloneBroker.StartAsync();
        await using RunningProgram list = RunningProgram.Start("kcat", [.. KcatSettings(broker, "sasl_ssl", mechanism, user, "guessed"), "-L"]);
        await list.WaitForExitAsync();
        Assert.NotEqual(0, list.ExitCode);
        Assert.Contains(list.Error, line => line.Contains("The name or the password is wrong", StringComparison.Ordinal));
        Assert.DoesNotContain("guessed", broker.Program.Transcript, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("sasl_plaintext", "plain")]
    [InlineData("sasl_ssl", "plain")]
    [InlineData("sasl_ssl", "scram-sha-256")]
    [InlineData("sasl_ssl", "scram-sha-512")]
    [InlineData("ssl", "")]
    public async Task Kafkajs_writes_and_reads(string protocol, string mechanism)
    {
        await NodeClient.RequireAsync("kafkajs");
        await using SecureStandaloneBroker broker = await SecureStandaloneBroker.StartAsync();
        await using RunningProgram script = StartNode(broker, protocol, mechanism, SecureStandaloneBroker.Password);
        await script.RequireSuccessAsync();
        Assert.Contains("read hello", script.Output);
    }

    [Fact]
    public async Task Kafkajs_is_told_that_its_login_failed()
    {
        await NodeClient.RequireAsync("kafkajs");
        await using SecureStandaloneBroker broker = await SecureStandaloneBroker.StartAsync();
        await using RunningProgram script = StartNode(broker, "sasl_ssl", "scram-sha-512", "guessed");
        await script.WaitForExitAsync();
        Assert.NotEqual(0, script.ExitCode);
        Assert.Contains(script.Output, line => line.StartsWith("failed KafkaJSSASLAuthenticationError", StringComparison.Ordinal));
    }

    /// <summary>This one sends the messages of its login bare, as after version 0 of SaslHandshake.</summary>
    [Theory]
    [InlineData("SASL_PLAINTEXT", "PLAIN")]
    [InlineData("SASL_PLAINTEXT", "SCRAM-SHA-256")]
    [InlineData("SASL_SSL", "SCRAM-SHA-512")]
    [InlineData("SSL", "")]
    public async Task Kafka_python_writes_and_reads(string protocol, string mechanism)
    {
        await PythonClient.RequireAsync();
        await using SecureStandaloneBroker broker = await SecureStandaloneBroker.StartAsync();
        await using RunningProgram script = RunningProgram.Start(
            "/usr/bin/python3",
            [
                Path.Combine(s_pythonFolder, "secure.py"), broker.Address(protocol.ToLowerInvariant()), protocol, mechanism,
                SecureStandaloneBroker.User, SecureStandaloneBroker.Password, broker.Certificates.AuthorityFile,
            ]);
        await script.RequireSuccessAsync();
        Assert.Contains("read hello", script.Output);
    }

    [Fact]
    public async Task A_user_who_is_removed_cannot_log_in_any_more_while_the_broker_runs()
    {
        await using SecureStandaloneBroker broker = await SecureStandaloneBroker.StartAsync();
        await DescribeAsync(broker);
        await using (RunningProgram listed = await broker.RunUserAsync(null, "list"))
        {
            Assert.Equal([$"{SecureStandaloneBroker.User}  PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"], listed.Output);
        }

        await using (RunningProgram removed = await broker.RunUserAsync(null, "remove", SecureStandaloneBroker.User))
        {
            await removed.RequireSuccessAsync();
        }

        await Assert.ThrowsAsync<KafkaAuthenticationException>(() => DescribeAsync(broker));
        string file = await File.ReadAllTextAsync(broker.UsersFile);
        Assert.DoesNotContain("sesame", file, StringComparison.Ordinal);
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(broker.UsersFile));
        }
    }

    /// <summary>OpenSSL sends an alert where .NET just closes, as Java does.</summary>
    [Fact]
    public async Task Our_client_is_told_by_a_server_of_OpenSSL_that_it_wants_a_certificate()
    {
        Tools.Require("openssl");
        using var certificates = new TestCertificates();
        (string certificate, string key) = certificates.Issue("server", "127.0.0.1");
        await using RunningProgram server = RunningProgram.Start(
            "openssl",
            ["s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-CAfile", certificates.AuthorityFile, "-Verify", "1", "-verify_return_error"]);
        await server.WaitUntilAsync("ready", (output, _) => output.Any(line => line.StartsWith("ACCEPT 127.0.0.1:", StringComparison.Ordinal)));
        string address = server.Output.First(line => line.StartsWith("ACCEPT 127.0.0.1:", StringComparison.Ordinal))["ACCEPT ".Length..];
        await using var client = new KafkaClient(
            new KafkaClientOptions
            {
                BootstrapServers = address,
                Security = new KafkaSecurityOptions { Protocol = SecurityProtocol.Ssl, TrustedCertificatesFile = certificates.AuthorityFile },
            },
            TimeProvider.System,
            NullLoggerFactory.Instance);
        KafkaAuthenticationException failure = await Assert.ThrowsAsync<KafkaAuthenticationException>(() => client.Admin.DescribeAsync([]));
        Assert.Contains(nameof(KafkaSecurityOptions.CertificateFile), failure.Message, StringComparison.Ordinal);
        Assert.Equal("TLS", failure.Mechanism);
    }

    private static async Task DescribeAsync(SecureStandaloneBroker broker)
    {
        await using var client = new KafkaClient(
            new KafkaClientOptions
            {
                BootstrapServers = broker.Address("sasl_ssl"),
                Security = new KafkaSecurityOptions
                {
                    Protocol = SecurityProtocol.SaslSsl,
                    Mechanism = SaslMechanism.ScramSha512,
                    Username = SecureStandaloneBroker.User,
                    Password = SecureStandaloneBroker.Password,
                    TrustedCertificatesFile = broker.Certificates.AuthorityFile,
                },
            },
            TimeProvider.System,
            NullLoggerFactory.Instance);
        await client.Admin.DescribeAsync([]);
    }

    private static string[] KcatSettings(
        SecureStandaloneBroker broker, string protocol, string? mechanism, string user = SecureStandaloneBroker.User, string password = SecureStandaloneBroker.Password)
    {
        List<string> settings = ["-b", broker.Address(protocol), "-X", $"security.protocol={protocol}"];
        if (mechanism is not null)
        {
            settings.AddRange(["-X", $"sasl.mechanisms={mechanism}", "-X", $"sasl.username={user}", "-X", $"sasl.password={password}"]);
        }

        if (protocol.EndsWith("ssl", StringComparison.Ordinal))
        {
            settings.AddRange(["-X", $"ssl.ca.location={broker.Certificates.AuthorityFile}"]);
        }

        return [.. settings];
    }

    private static RunningProgram StartNode(SecureStandaloneBroker broker, string protocol, string mechanism, string password) => RunningProgram.Start(
        "node",
        [
            Path.Combine(s_nodeFolder, "secure.js"), broker.Address(protocol), mechanism, SecureStandaloneBroker.User, password,
            protocol.EndsWith("ssl", StringComparison.Ordinal) ? broker.Certificates.AuthorityFile : "",
        ]);

    private static string Metadata(string key) => typeof(SecurityTests).Assembly
        .GetCustomAttributes(typeof(System.Reflection.AssemblyMetadataAttribute), inherit: false)
        .Cast<System.Reflection.AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key == key).Value!;
}
