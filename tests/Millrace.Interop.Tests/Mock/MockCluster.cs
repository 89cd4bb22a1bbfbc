using System.Globalization;
using System.Reflection;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Interop.Tests.Programs;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;

namespace Millrace.Interop.Tests.Mock;

/// <summary>
/// Three brokers of librdkafka's mock cluster, in a process of their own. It injects faults and is no oracle.
/// </summary>
/// <remarks>
/// What Debian's version, 2.0.2, does otherwise than brokers: it keeps one log for all of them, so that none is ever lost; it looks at sequences
/// of transactional producers only (MockLog); its controller is always broker 0, which does not exist; it creates no topics on
/// request; its answers to ListOffsets from version 4 on have an epoch of eight bytes in place of four, and those to Produce in version 5 lack the
/// start of the log, so that no client can read them: <see cref="StartAsync"/> has it offer ListOffsets up to version 3.
/// </remarks>
internal sealed class MockCluster : IAsyncDisposable
{
    /// <summary>As an error of a request: the connection is closed in place of an answer, and nothing is done.</summary>
    public const int CloseConnection = -195;

    public const int BrokerCount = 3;

    private const short LastGoodListOffsets = 3;

    private static readonly string s_program = typeof(MockCluster).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key is "MockClusterProgram").Value!;

    private readonly RunningProgram _program;
    private readonly SemaphoreSlim _turn = new(1);
    private int _answerCount = 1;

    private MockCluster(RunningProgram program, string address)
    {
        _program = program;
        Address = address;
    }

    public string Address { get; }

    public IReadOnlyList<BrokerAddress> Brokers => [.. Address.Split(',').Select(text => BrokerAddress.TryParse(text, out BrokerAddress address) ? address : throw new FormatException(text))];

    public static async Task<MockCluster> StartAsync()
    {
        Librdkafka.Require();
        RunningProgram program = RunningProgram.Start("dotnet", "exec", s_program, BrokerCount.ToString(CultureInfo.InvariantCulture));
        await program.WaitUntilAsync("ready", (output, _) => output.Count > 0);
        var cluster = new MockCluster(program, program.Output[0]["ready ".Length..]);
        await cluster.DoAsync($"versions {(short)ApiKey.ListOffsets} 0 {LastGoodListOffsets}");
        return cluster;
    }

    public KafkaClient CreateClient(Action<KafkaClientOptions>? configure = null)
    {
        var options = new KafkaClientOptions { BootstrapServers = Address, RandomSeed = 1 };
        configure?.Invoke(options);
        return new KafkaClient(options, TimeProvider.System, NullLoggerFactory.Instance);
    }

    public Task CreateTopicAsync(string topic, int partitionCount) => DoAsync($"topic {topic} {partitionCount} {BrokerCount}");

    public Task MoveAsync(string topic, int partition, int broker) => DoAsync($"leader {topic} {partition} {broker}");

    public Task PushErrorsAsync(ApiKey api, params IEnumerable<int> errors) => DoAsync($"errors {(short)api} {string.Join(' ', errors)}");

    /// <summary>Gives a command (tests/Programs/MockCluster), and waits until it is carried out.</summary>
    public async Task DoAsync(string command)
    {
        await _turn.WaitAsync();
        try
        {
            await _program.WriteLineAsync(command);
            int count = ++_answerCount;
            await _program.WaitUntilAsync(command, (output, _) => output.Count >= count);
            Assert.True(_program.Output[count - 1] == "ok", $"{command}: {_program.Output[count - 1]}");
        }
        finally
        {
            _turn.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        TestContext.Current.TestOutputHelper?.WriteLine(_program.Transcript);
        await _program.DisposeAsync();
        _turn.Dispose();
    }
}
