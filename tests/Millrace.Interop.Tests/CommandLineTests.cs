using System.Net;
using System.Net.Sockets;
using Millrace.Interop.Tests.Programs;
using Millrace.Kafka;
using Millrace.Tests;

namespace Millrace.Interop.Tests;

/// <summary>What <c>millrace serve</c> says and how it ends when something is wrong, and when it is told to stop.</summary>
public sealed class CommandLineTests : IDisposable
{
    private const int Failure = 1;
    private const int Usage = 2;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("millrace-interop-");

    public static TheoryData<string[], string> BadCommandLines => new()
    {
        { ["serve", "--data", "x", "--frobnicate"], "'--frobnicate'" },
        { ["serve"], "--data" },
        { ["serve", "--data", ""], "--data is empty" },
        { ["sevre"], "'sevre'" },
        { ["serve", "--data", "x", "--listen", "nonsense"], "'nonsense' is not an address for --listen; write HOST:PORT" },
        { ["serve", "--data", "x", "--listen", "gopher://localhost:1"], "'gopher://localhost:1' is not an address" },
        { ["serve", "--data", "x", "--listen", "sasl_ssl://localhost:1"], "--users is not given" },
        { ["serve", "--data", "x", "--listen", "SSL://localhost:1"], "--certificate is not given" },
        { ["serve", "--data", "x", "--listen", "localhost:1", "--listen", "localhost:2", "--advertise", "far:9"], "--advertise far:9 fits no listener, or several" },
        { ["user", "add", "alice"], "--users" },
        { ["user", "add", "al\u00adice", "--users", "x"], "The name holds the character U+00AD" },
        { ["serve", "--data", "x", "--listen", "localhost:99999"], "'localhost:99999' is not an address for --listen, since there is no port 99999" },
        { ["serve", "--data", "x", "--advertise", "host:0"], "--advertise host:0: clients cannot connect to port 0" },
        { ["serve", "--data", "x", "--listen", "::1:9092"], "'::1:9092' is not an address" },
        { ["serve", "--data", "x", "--advertise", "host"], "'host' is not an address for --advertise" },
        { ["serve", "--data", "x", "--partitions", "many"], "many" },
        { ["serve", "--data", "x", "--partitions", "0"], "--partitions: '0' is not a whole number from 1 to 10000." },
        { ["serve", "--data", "x", "--partitions", "20000"], "--partitions: '20000' is not a whole number from 1 to 10000." },
        { ["serve", "--data", "x", "--partitions", "3", "--set", "num.partitions=4"], "--partitions and --set num.partitions are both given" },
        { ["serve", "--data", "x", "--set", "num.partitions=20000"], "num.partitions is 20000: give 1 to 10000." },
        { ["serve", "--data", "x", "--set", "log.retention.ms=abc"], "'abc' is no value of log.retention.ms." },
        { ["serve", "--data", "x", "--set", "log.retention.hours=3"], "use log.retention.ms=10800000" },
        { ["serve", "--data", "x", "--set", "log.retention.ms"], "'log.retention.ms' is no setting for --set; write NAME=VALUE" },
        { ["serve", "--data", "x", "--set", "log.retention.ms=1", "--set", "no.such=1"], "There is no broker setting 'no.such'" },
        { ["serve", "--data", "x", "--set", "num.partitions=1", "--set", "num.partitions=2"], "--set num.partitions is given twice" },
    };

    private string DataDirectory => Path.Combine(_folder.FullName, "data");

    public void Dispose() => _folder.Delete(recursive: true);

    [Theory]
    [MemberData(nameof(BadCommandLines))]
    public async Task A_command_line_that_makes_no_sense_is_refused_with_a_sentence(string[] arguments, string expected)
        => await RequireRefusalAsync(Usage, expected, ["exec", StandaloneBroker.Command, .. arguments]);

    [Theory]
    [InlineData("group.min.session.timeout.ms is 8000 and group.max.session.timeout.ms 7000", "group.max.session.timeout.ms=7000", "group.min.session.timeout.ms=8000")]
    [InlineData("sasl.enabled.mechanisms has 'GSSAPI'", "sasl.enabled.mechanisms=GSSAPI")]
    [InlineData("log.cleaner.threads ('0') must be", "log.cleaner.threads=0")]
    [InlineData("offsets.retention.minutes is 0: give one minute to 100 years.", "offsets.retention.minutes=0")]
    public async Task Settings_that_the_broker_cannot_start_with_are_refused_by_their_own_names(string expected, params string[] settings) => await RequireRefusalAsync(
        Usage, expected, StandaloneBroker.ServeArguments(DataDirectory, "127.0.0.1:0", [.. settings.SelectMany(setting => new[] { "--set", setting })]));

    [Fact]
    public async Task A_certificate_without_its_key_is_refused()
    {
        using TestCertificates certificates = new();
        string certificate = certificates.Issue("broker").CertificateFile;
        await RequireRefusalAsync(
            Usage, "holds no key, and --key is not given", ["exec", StandaloneBroker.Command, "serve", "--data", DataDirectory, "--listen", "ssl://127.0.0.1:0", "--certificate", certificate]);
    }

    [Fact]
    public async Task Users_that_cannot_be_read_or_have_no_password_are_told_in_a_sentence()
    {
        string users = Path.Combine(_folder.FullName, "users");
        string password = Path.Combine(_folder.FullName, "password.txt");
        await File.WriteAllTextAsync(password, "");
        await RequireRefusalAsync(Failure, $"There is no users file {users}", ["exec", StandaloneBroker.Command, "user", "list", "--users", users]);
        await RequireRefusalAsync(
            Failure, $"The first line of {password} is the password, and it is empty", ["exec", StandaloneBroker.Command, "user", "add", "alice", "--users", users, "--password-file", password]);
    }

    [Fact]
    public async Task A_data_directory_that_another_broker_uses_is_refused()
    {
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();

        await RequireRefusalAsync(Failure, broker.DataDirectory, StandaloneBroker.ServeArguments(broker.DataDirectory, "127.0.0.1:0"));
    }

    [Fact]
    public async Task A_data_directory_that_cannot_be_made_is_refused()
        => await RequireRefusalAsync(Failure, "/proc/millrace", StandaloneBroker.ServeArguments("/proc/millrace", "127.0.0.1:0"));

    [Fact]
    public async Task A_data_directory_that_is_a_file_is_refused()
    {
        await File.WriteAllTextAsync(DataDirectory, "a file");

        await RequireRefusalAsync(Failure, DataDirectory, StandaloneBroker.ServeArguments(DataDirectory, "127.0.0.1:0"));
    }

    [Fact]
    public async Task A_directory_that_holds_something_else_is_refused_and_left_alone()
    {
        Directory.CreateDirectory(DataDirectory);
        string letter = Path.Combine(DataDirectory, "letter.txt");
        await File.WriteAllTextAsync(letter, "Dear reader");

        await RequireRefusalAsync(Failure, DataDirectory, StandaloneBroker.ServeArguments(DataDirectory, "127.0.0.1:0"));

        Assert.Equal("Dear reader", await File.ReadAllTextAsync(letter));
    }

    [Fact]
    public async Task A_port_in_use_is_refused()
    {
        using TcpListener other = new(IPAddress.Loopback, 0);
        other.Start();

        await RequireRefusalAsync(Failure, $"{other.LocalEndpoint}", StandaloneBroker.ServeArguments(DataDirectory, $"{other.LocalEndpoint}"));
    }

    [Fact]
    public async Task A_host_name_without_an_address_is_refused()
        => await RequireRefusalAsync(
            Failure, "'no-such-host.invalid'", StandaloneBroker.ServeArguments(DataDirectory, "no-such-host.invalid:9092"));

    [Theory]
    [InlineData("localhost:0", "localhost")]
    [InlineData("127.0.0.1:0", "127.0.0.1")]
    public async Task Clients_are_told_the_host_that_was_given(string listen, string expected)
    {
        await using RunningProgram program = RunningProgram.Start("dotnet", StandaloneBroker.ServeArguments(DataDirectory, listen));
        await program.WaitUntilAsync("ready", static (output, _) => output.Any(IsReady));
        string address = program.Output.First(IsReady).Split(' ')[4].TrimEnd(',');
        await using var client = new KafkaClient(new KafkaClientOptions { BootstrapServers = address });

        ClusterDescription cluster = await client.Admin.DescribeClusterAsync();

        Assert.Equal(expected, Assert.Single(cluster.Brokers).Address.Host);

        static bool IsReady(string line) => line.StartsWith("Millrace is listening on ", StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--version", "0.")]
    [InlineData("--help", "serve")]
    [InlineData("serve --help", "[default: 127.0.0.1:9092]")]
    [InlineData("plan --help", "[default: 10Gbit/s]")]
    public async Task The_command_tells_about_itself(string arguments, string expected)
    {
        await using RunningProgram program = RunningProgram.Start("dotnet", ["exec", StandaloneBroker.Command, .. arguments.Split(' ')]);
        await program.RequireSuccessAsync();

        Assert.Contains(program.Output, line => line.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_broker_that_is_told_to_stop_says_so_and_ends_with_success()
    {
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();

        await broker.StopAsync();

        Assert.Equal(
            [$"Millrace is listening on {broker.EndPoint}, data in {broker.DataDirectory}. Press Ctrl-C to stop.", "Millrace has stopped; everything is on the disk."],
            broker.Program.Output);
    }

    /// <summary>The program ends by itself with this code, and with one or two plain sentences on standard error.</summary>
    private static async Task RequireRefusalAsync(int exitCode, string expected, string[] command)
    {
        await using RunningProgram program = RunningProgram.Start("dotnet", command);

        Assert.Equal(exitCode, await program.WaitForExitAsync());
        Assert.Contains(program.Error, line => line.Contains(expected, StringComparison.Ordinal));
        Assert.InRange(program.Error.Count, 1, 2);
        Assert.DoesNotContain(program.Error, line => line.Contains("Exception", StringComparison.Ordinal) || line.StartsWith("   at ", StringComparison.Ordinal));
        Assert.Empty(program.Output);
    }
}
