using System.Collections.Concurrent;
using System.Globalization;

namespace Millrace.Simulation.Tests;

public class ClientSimulationTests
{
    private const int DefaultSeedCount = 30;
    private const int ControlSeedCount = 200;
    private const int MaxFailureCount = 10;
    private const string ReplayCommand =
        "MILLRACE_SIMULATION_SEEDS=1 MILLRACE_SIMULATION_TRACE=100 dotnet run -c Release --project tests/Millrace.Simulation.Tests -- --filter-method \"*ClientSimulationTests.The_client*\"";

    /// <summary>With how many lines of what happened before it a failure is told.</summary>
    private static readonly int TracedLineCount = FromEnvironment("MILLRACE_SIMULATION_TRACE", 0);

    [Fact]
    public void The_client_keeps_its_promises_whatever_happens_to_the_network_the_processes_and_the_broker()
    {
        int first = FromEnvironment("MILLRACE_SIMULATION_FIRST_SEED", 1);
        int count = FromEnvironment("MILLRACE_SIMULATION_SEEDS", DefaultSeedCount);
        ConcurrentBag<string> failures = [];
        Parallel.For(first, first + count, (seed, loop) =>
        {
            if (TryFail(seed, ClientSabotage.None) is { } failure)
            {
                failures.Add($"Seed {seed}: {failure}{Environment.NewLine}Replay it: MILLRACE_SIMULATION_FIRST_SEED={seed} {ReplayCommand}");
                if (failures.Count >= MaxFailureCount)
                {
                    loop.Stop();
                }
            }
        });
        Assert.True(failures.IsEmpty, string.Join(Environment.NewLine, failures));
    }

    [Fact]
    public void The_same_seed_gives_the_same_hash_over_every_step_and_every_byte()
    {
        var hashes = new HashSet<ulong>();
        for (int seed = 1; seed <= 10; seed++)
        {
            ulong hash = new ClientSimulation(seed, ClientSabotage.None).Run();
            Assert.Equal(hash, new ClientSimulation(seed, ClientSabotage.None).Run());
            Assert.True(hashes.Add(hash), "Different seeds do different things.");
        }
    }

    [Fact]
    public void What_disturbs_a_client_happens()
    {
        ClientSimulation[] simulations = [.. Enumerable.Range(1, 10).Select(static seed => new ClientSimulation(seed, ClientSabotage.None))];
        Array.ForEach(simulations, static simulation => simulation.Run());
        Assert.True(simulations.Sum(static simulation => simulation.BrokerCrashCount) > 5);
        Assert.True(simulations.Sum(static simulation => simulation.ProcessKillCount) > 5);
        Assert.True(simulations.Sum(static simulation => simulation.Network.CutCount) > 100);
        Assert.True(simulations.Sum(static simulation => simulation.Network.LateCount) > 20);
        Assert.True(simulations.Sum(static simulation => simulation.Network.DuplicateCount) > 20);
        Assert.True(simulations.Sum(static simulation => simulation.Model.Records.Count(static record => record.IsAcknowledged)) > 1000);
        Assert.True(simulations.Sum(static simulation => simulation.Model.Transactions.Count(static transaction => transaction.Fate == TransactionFate.Committed)) > 100);
        Assert.True(simulations.Sum(static simulation => simulation.Model.Workers.Acknowledged.Values.Sum()) > 500);
    }

    [Theory]
    [InlineData(ClientSabotage.ForgetSequences)]
    [InlineData(ClientSabotage.IgnoreFencing)]
    [InlineData(ClientSabotage.IgnoreGenerations)]
    [InlineData(ClientSabotage.CommitOffsetsOutside)]
    [InlineData(ClientSabotage.ForgetRewind)]
    [InlineData(ClientSabotage.ForgetIsolation)]
    [InlineData(ClientSabotage.FlushDoesNothing)]
    internal void What_is_broken_on_purpose_is_caught(ClientSabotage sabotage)
    {
        bool isCaught = false;
        Parallel.For(1, ControlSeedCount + 1, (seed, loop) =>
        {
            if (TryFail(seed, sabotage) is not null)
            {
                Volatile.Write(ref isCaught, true);
                loop.Stop();
            }
        });
        Assert.True(isCaught, $"{sabotage} was caught by none of {ControlSeedCount} seeds.");
    }

    private static string? TryFail(int seed, ClientSabotage sabotage)
    {
        ClientSimulation simulation = new(seed, sabotage, sabotage == ClientSabotage.None ? TracedLineCount : 0);
        try
        {
            simulation.Run();
            return null;
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            string failure = exception is SimulationException ? exception.Message : exception.ToString();
            return string.Join(Environment.NewLine, (simulation.Trace?.Lines ?? []).Append(failure));
        }
    }

    private static int FromEnvironment(string name, int fallback) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : fallback;
}
