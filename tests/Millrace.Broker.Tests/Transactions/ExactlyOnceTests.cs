using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>Read, process, write: whatever crashes and whenever, every input has exactly one output that is committed.</summary>
public sealed class ExactlyOnceTests
{
    private const int DefaultCrashPoints = 40;

    /// <summary>How many operations of the disk are struck by a crash, each in a run of its own; <c>all</c> strikes every one.</summary>
    private static readonly string? CrashPoints = Environment.GetEnvironmentVariable("MILLRACE_CRASH_POINTS");

    [Theory]
    [InlineData(TransactionProtocol.Classic, SimulatedCrashKind.PowerLoss)]
    [InlineData(TransactionProtocol.Implicit, SimulatedCrashKind.PowerLoss)]
    [InlineData(TransactionProtocol.Classic, SimulatedCrashKind.ProcessKill)]
    [InlineData(TransactionProtocol.Implicit, SimulatedCrashKind.ProcessKill)]
    internal async Task The_broker_may_crash_in_the_middle_of_every_operation(TransactionProtocol protocol, SimulatedCrashKind kind)
    {
        int crashCount = 0;
        foreach (int at in await PointsAsync(protocol))
        {
            ExactlyOnceRun run = new(protocol, seed: at) { BrokerCrashesAt = at, CrashKind = kind };
            string? fault = await run.RunAsync();
            Assert.True(fault is null, $"{protocol}, {kind} at operation {at}: {fault}");
            crashCount += run.CrashCount;
        }

        Assert.True(crashCount >= DefaultCrashPoints / 2, $"Only {crashCount} crashes have struck.");
    }

    [Theory]
    [InlineData(TransactionProtocol.Classic)]
    [InlineData(TransactionProtocol.Implicit)]
    internal async Task The_program_may_end_before_every_request_and_come_back_as_a_zombie(TransactionProtocol protocol)
    {
        int requestCount = await RequestCountAsync(protocol);
        for (int at = 0; at < requestCount; at++)
        {
            string? fault = await new ExactlyOnceRun(protocol, seed: at) { ClientCrashesAt = at }.RunAsync();
            Assert.True(fault is null, $"{protocol}, the program ends before request {at}: {fault}");
        }
    }

    [Fact]
    public async Task A_disk_whose_flush_does_nothing_makes_the_output_wrong()
    {
        int faultCount = 0;
        foreach (int at in await PointsAsync(TransactionProtocol.Classic))
        {
            ExactlyOnceRun run = new(TransactionProtocol.Classic, seed: at) { BrokerCrashesAt = at, IsDiskLying = true };
            faultCount += await run.RunAsync() is null ? 0 : 1;
        }

        Assert.True(faultCount > 0, "No run on a lying disk went wrong: the check cannot fail.");
    }

    [Fact]
    public async Task Offsets_outside_of_the_transaction_make_the_output_wrong()
    {
        int requestCount = await RequestCountAsync(TransactionProtocol.Classic);
        int faultCount = 0;
        for (int at = 0; at < requestCount; at++)
        {
            ExactlyOnceRun run = new(TransactionProtocol.Classic, seed: at) { ClientCrashesAt = at, CommitsOutside = true };
            faultCount += await run.RunAsync() is null ? 0 : 1;
        }

        Assert.True(faultCount > 0, "No run went wrong: the check cannot fail.");
    }

    private static async Task<int> RequestCountAsync(TransactionProtocol protocol)
    {
        ExactlyOnceRun whole = new(protocol, seed: 0);
        Assert.Null(await whole.RunAsync());
        return whole.RequestCount;
    }

    private static async Task<IEnumerable<int>> PointsAsync(TransactionProtocol protocol)
    {
        ExactlyOnceRun whole = new(protocol, seed: 0);
        Assert.Null(await whole.RunAsync());
        int pointCount = CrashPoints is "all" ? (int)whole.OperationCount : int.TryParse(CrashPoints, out int wanted) ? wanted : DefaultCrashPoints;
        double stride = Math.Max(1, whole.OperationCount / (double)pointCount);
        return Enumerable.Range(0, (int)(whole.OperationCount / stride)).Select(index => (int)(index * stride));
    }
}
