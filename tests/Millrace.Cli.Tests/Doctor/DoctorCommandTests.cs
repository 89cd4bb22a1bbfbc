using System.Diagnostics;
using System.Net;
using System.Reflection;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Broker;
using Millrace.Cli.Doctor;
using Millrace.Kafka;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Cli.Tests.Doctor;

/// <summary><c>millrace doctor</c> as a process of its own, against a broker in this one.</summary>
public sealed class DoctorCommandTests : IAsyncLifetime
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(90);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("millrace-doctor-");
    private KafkaBroker _broker = null!;
    private KafkaClient _client = null!;

    private string Address => $"127.0.0.1:{_broker.ListenEndPoint!.Port}";

    public async ValueTask InitializeAsync()
    {
        var options = new BrokerOptions { DataDirectory = Path.Combine(_folder.FullName, "data"), Listen = new IPEndPoint(IPAddress.Loopback, 0) };
        _broker = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, NullLoggerFactory.Instance, CancellationToken.None);
        _client = new KafkaClient(new KafkaClientOptions { BootstrapServers = Address }, TimeProvider.System, NullLoggerFactory.Instance);
        await _client.Admin.CreateTopicsAsync([new NewTopic("orders", 3)]);
    }

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        await _broker.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task A_single_broker_is_told_what_it_is_and_nothing_of_it_changes()
    {
        IReadOnlyList<TopicListing> before = await _client.Admin.ListTopicsAsync(includeInternal: true);
        (int exitCode, string output, string error) = await RunAsync("doctor", "--bootstrap", Address);
        Assert.True(exitCode == 1, output + error);
        Assert.Contains("WARNING single-node: The cluster is one node", output);
        Assert.Contains("survives a crash and a power failure", output);
        Assert.Contains("WARNING auto-create-topics:", output);
        Assert.Contains("Not checked: the brokers' clocks.", output);
        Assert.DoesNotContain("replication-factor", output);
        Assert.DoesNotContain("gaps", output);
        Assert.Equal("", error);
        Assert.Equal(before, await _client.Admin.ListTopicsAsync(includeInternal: true));
    }

    [Fact]
    public async Task The_applications_settings_are_read_and_decide_the_exit_code()
    {
        string settings = Path.Combine(_folder.FullName, "appsettings.json");
        await File.WriteAllTextAsync(settings, """{ "Kafka": { "Producer": { "Acks": "1", "EnableIdempotence": true } } }""");
        string config = Path.Combine(_folder.FullName, "client.properties");
        await File.WriteAllTextAsync(config, $"bootstrap.servers={Address}\nclient.id=ops\n");
        (int exitCode, string output, string error) = await RunAsync("doctor", "--config", config, "--application", settings, "--json");
        Assert.True(exitCode == 2, output + error);
        using JsonDocument report = JsonDocument.Parse(output);
        Assert.Equal("error", report.RootElement.GetProperty("worst").GetString());
        JsonElement finding = report.RootElement.GetProperty("findings")[0];
        Assert.Equal(("error", "producer-settings"), (finding.GetProperty("severity").GetString(), finding.GetProperty("rule").GetString()));
        Assert.Contains("(Kafka:Producer) sets acks=1", finding.GetProperty("what").GetString());
        Assert.Contains("offline-partitions", report.RootElement.GetProperty("clean").EnumerateArray().Select(rule => rule.GetString()));
    }

    [Fact]
    public async Task Clocks_are_read_by_a_topic_that_is_gone_afterwards()
    {
        (int exitCode, string output, string error) = await RunAsync("doctor", "--bootstrap", Address, "--probe-clock", "--json");
        Assert.True(exitCode == 1, output + error);
        using JsonDocument report = JsonDocument.Parse(output);
        Assert.DoesNotContain(report.RootElement.GetProperty("notChecked").EnumerateArray(), hint => hint.GetString()!.Contains("clocks", StringComparison.Ordinal));
        Assert.Contains("gaps", report.RootElement.GetProperty("clean").EnumerateArray().Select(rule => rule.GetString()));
        Assert.Contains("clock-skew", report.RootElement.GetProperty("clean").EnumerateArray().Select(rule => rule.GetString()));
        Assert.Equal(["orders"], (await _client.Admin.ListTopicsAsync(includeInternal: false)).Select(topic => topic.Name));
    }

    [Fact]
    public async Task A_group_that_is_about_to_lose_records_is_seen_in_a_real_log()
    {
        var partition = new TopicPartition("orders", 0);
        await using (KafkaProducer producer = _client.CreateProducer(new ProducerOptions { EnableIdempotence = false }))
        {
            DateTimeOffset old = TimeProvider.System.GetUtcNow() - TimeSpan.FromDays(6);
            await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = 0, Value = new byte[8], Timestamp = old });
            await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = 0, Value = new byte[8] });
        }

        await _client.Admin.AlterGroupOffsetsAsync("workers", [new TopicPartitionOffset(partition, Offset.Zero)]);
        ClusterSnapshot cluster = await new ClusterReader(_client.Admin, TimeProvider.System).ReadAsync(CancellationToken.None);
        Assert.Empty(cluster.Gaps);
        PartitionSnapshot read = cluster.Topic("orders")!.Partitions[0];
        Assert.Equal((0L, 2L), read.Offsets);
        Assert.Equal(1, read.AgedBefore);
        Assert.Equal(0, read.KnownProducerCount);
        Assert.NotNull(read.NewestRecord);
        IReadOnlyList<Finding> findings = DoctorRules.Examine(cluster, Clusters.Remedies);
        Finding lag = Assert.Single(findings, finding => finding.Rule == "retention-against-lag");
        Assert.Contains("Group workers is 2 records behind in orders", lag.What);
        Assert.Single(findings, finding => finding.Rule == "idempotent-writes");
    }

    [Fact]
    public async Task Records_that_are_written_while_the_cluster_is_read_are_seen()
    {
        await using (KafkaProducer producer = _client.CreateProducer(new ProducerOptions { EnableIdempotence = false }))
        {
            await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = 1, Value = new byte[8] });
        }

        // It begins ten minutes before the record, and takes so long.
        ClusterSnapshot cluster = await new ClusterReader(_client.Admin, new SlowTime(TimeSpan.FromMinutes(10))).ReadAsync(CancellationToken.None);
        Assert.True(cluster.Topic("orders")!.Partitions[1].NewestRecord <= cluster.TakenAt);
        Assert.Single(DoctorRules.Examine(cluster, Clusters.Remedies), finding => finding.Rule == "idempotent-writes");
    }

    [Fact]
    public async Task What_cannot_be_reached_or_makes_no_sense_has_exit_codes_of_its_own()
    {
        (int exitCode, string output, string error) = await RunAsync("doctor", "--bootstrap", "127.0.0.1:1", "--timeout", "1");
        Assert.True(exitCode == DoctorCommand.Unreachable, output + error);
        Assert.Contains("The cluster at 127.0.0.1:1 cannot be looked at.", error);
        Assert.Contains("00:00:01 (--timeout)", error);
        (exitCode, _, error) = await RunAsync("doctor");
        Assert.Equal(2, exitCode);
        Assert.Contains("--bootstrap HOST:PORT", error);
        (exitCode, _, error) = await RunAsync("doctor", "--bootstrap", Address, "--application", Path.Combine(_folder.FullName, "missing.json"));
        Assert.Equal(2, exitCode);
        Assert.Contains("missing.json", error);
        (exitCode, _, error) = await RunAsync("plan", "--throughput", "200MB", "--consumers", "40", "--retention", "7d");
        Assert.Equal(2, exitCode);
        Assert.Contains("--throughput: '200MB' is not a rate", error);
        (exitCode, output, _) = await RunAsync("plan", "--throughput", "200MB/s", "--consumers", "40", "--retention", "7d");
        Assert.Equal(0, exitCode);
        Assert.StartsWith("40 partitions with 3 replicas on 131 brokers", output);
    }

    [Fact]
    public async Task Settings_that_are_wrong_or_unknown_are_told_by_Kafkas_names()
    {
        string config = Path.Combine(_folder.FullName, "client.properties");
        await File.WriteAllTextAsync(config, $"bootstrap.servers={Address}\nsecurity.protocol=SASL_SSL\nacks=all\n");
        (int exitCode, _, string error) = await RunAsync("doctor", "--config", config);
        Assert.Equal(2, exitCode);
        Assert.Contains($"The doctor knows nothing of these settings in {config}, and leaves them: acks.", error);
        Assert.Contains("security.protocol is SASL_SSL and sasl.mechanism is not set.", error);
        Assert.DoesNotContain("Parameter", error);
    }

    [Fact]
    public async Task A_plan_for_more_replicas_that_nobody_needs_is_not_written_and_that_is_said()
    {
        string plan = Path.Combine(_folder.FullName, "plan.json");
        (int exitCode, string output, string error) = await RunAsync("doctor", "--bootstrap", Address, "--reassignment-file", plan);
        Assert.True(exitCode == 1, output + error);
        Assert.Contains($"{plan} was not written: no partition can have more replicas than it has on 1 broker.", output);
        Assert.False(File.Exists(plan));
    }

    private static async Task<(int ExitCode, string Output, string Error)> RunAsync(params string[] arguments)
    {
        string command = typeof(DoctorCommandTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(attribute => attribute.Key == "MillraceCommand").Value!;
        var start = new ProcessStartInfo("dotnet", ["exec", command, .. arguments]) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        using var late = new CancellationTokenSource(s_limit, TimeProvider.System);
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(late.Token);
            Task<string> error = process.StandardError.ReadToEndAsync(late.Token);
            await process.WaitForExitAsync(late.Token);
            return (process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }
    }

    /// <summary>A clock that was first looked at so long ago.</summary>
    private sealed class SlowTime(TimeSpan duration) : TimeProvider
    {
        private TimeSpan _behind = duration;

        public override DateTimeOffset GetUtcNow()
        {
            DateTimeOffset now = System.GetUtcNow() - _behind;
            _behind = TimeSpan.Zero;
            return now;
        }
    }
}
