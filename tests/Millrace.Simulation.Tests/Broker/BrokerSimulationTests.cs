using System.Collections.Concurrent;
using System.Globalization;

namespace Millrace.Simulation.Tests;

public class BrokerSimulationTests
{
    /// <summary>With how many lines of what happened before it a failure is told.</summary>
    private static readonly int TracedLineCount = FromEnvironment("MILLRACE_SIMULATION_TRACE", 0);

    private const int DefaultSeedCount = 300;
    private const int ControlSeedCount = 200;
    private const int MaxFailureCount = 10;
    private const string ReplayCommand =
        "MILLRACE_SIMULATION_SEEDS=1 MILLRACE_SIMULATION_TRACE=100 dotnet run -c Release --project tests/Millrace.Simulation.Tests -- --filter-method \"*BrokerSimulationTests.A_broker*\"";

    [Fact]
    public void A_broker_keeps_its_promises_whatever_happens_to_its_disk_and_its_connections()
    {
        int first = FromEnvironment("MILLRACE_SIMULATION_FIRST_SEED", 1);
        int count = FromEnvironment("MILLRACE_SIMULATION_SEEDS", DefaultSeedCount);
        ConcurrentBag<string> failures = [];
        Parallel.For(first, first + count, (seed, loop) =>
        {
            if (TryFail(seed, BrokerSabotage.None) is { } failure)
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
    public void The_same_seed_gives_the_same_hash_over_every_operation_and_step()
    {
        var hashes = new HashSet<ulong>();
        for (int seed = 1; seed <= 10; seed++)
        {
            ulong hash = new BrokerSimulation(seed, BrokerSabotage.None).Run();
            Assert.Equal(hash, new BrokerSimulation(seed, BrokerSabotage.None).Run());
            Assert.True(hashes.Add(hash), "Different seeds do different things.");
        }
    }

    [Fact]
    public void What_disturbs_a_broker_happens()
    {
        BrokerSimulation[] simulations = [.. Enumerable.Range(1, 10).Select(static seed => new BrokerSimulation(seed, BrokerSabotage.None))];
        Array.ForEach(simulations, static simulation => simulation.Run());
        Assert.True(simulations.Sum(static simulation => simulation.CrashCount) > 10);
        Assert.True(simulations.Sum(static simulation => simulation.ReturnCount) > 0);
        Assert.True(simulations.Sum(static simulation => simulation.CompactionCount) > 0);
        Assert.True(simulations.Sum(static simulation => simulation.RetainedCount) > 0);
        Assert.True(simulations.Sum(static simulation => simulation.Model.AcknowledgedCount) > 100);
    }

    [Theory]
    [InlineData(BrokerSabotage.FlushDoesNothing)]
    [InlineData(BrokerSabotage.JournalFlushDoesNothing)]
    [InlineData(BrokerSabotage.ForgetJournal)]
    [InlineData(BrokerSabotage.AcknowledgeRecordsBeforeSync)]
    [InlineData(BrokerSabotage.AcknowledgeOffsetsBeforeSync)]
    [InlineData(BrokerSabotage.AcknowledgeDecisionsBeforeSync)]
    [InlineData(BrokerSabotage.ForgetSequences)]
    [InlineData(BrokerSabotage.ForgetIsolation)]
    [InlineData(BrokerSabotage.ForgetAborted)]
    [InlineData(BrokerSabotage.ForgetCommitOrigins)]
    [InlineData(BrokerSabotage.KillLosesCache)]
    [InlineData(BrokerSabotage.LoseSyncs)]
    [InlineData(BrokerSabotage.LowerWatermarks)]
    [InlineData(BrokerSabotage.ForgetLogStarts)]
    [InlineData(BrokerSabotage.ForgetDeletions)]
    [InlineData(BrokerSabotage.ForgetGenerations)]
    [InlineData(BrokerSabotage.ForgetFencing)]
    [InlineData(BrokerSabotage.ShiftTimes)]
    [InlineData(BrokerSabotage.RotBits)]
    internal void What_is_broken_on_purpose_is_caught(BrokerSabotage sabotage)
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

    private static string? TryFail(int seed, BrokerSabotage sabotage)
    {
        BrokerSimulation simulation = new(seed, sabotage, sabotage == BrokerSabotage.None ? TracedLineCount : 0);
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
