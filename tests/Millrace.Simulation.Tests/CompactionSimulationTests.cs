using System.Globalization;
using Millrace.Log;

namespace Millrace.Simulation.Tests;

public class CompactionSimulationTests
{
    private const int DefaultSeedCount = 500;
    private const int ControlSeedCount = 60;

    [Fact]
    public void Compactions_and_crashes_at_any_operation_change_nothing_that_a_reader_of_the_newest_values_sees()
    {
        int first = FromEnvironment("MILLRACE_SIMULATION_FIRST_SEED", 1);
        int count = FromEnvironment("MILLRACE_SIMULATION_SEEDS", DefaultSeedCount);
        Parallel.For(first, first + count, static seed =>
        {
            if (TryFail(seed, CompactionSabotage.None) is { } failure)
            {
                Assert.Fail($"""
                    Seed {seed}: {failure}
                    Replay it: MILLRACE_SIMULATION_FIRST_SEED={seed} MILLRACE_SIMULATION_SEEDS=1 dotnet run --project tests/Millrace.Simulation.Tests -- --filter-class "*Compaction*"
                    """);
            }
        });
    }

    [Fact]
    public void The_same_seed_does_the_same_operations()
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            Assert.Equal(
                new CompactionSimulation(seed, CompactionSabotage.None).Run(), new CompactionSimulation(seed, CompactionSabotage.None).Run());
        }
    }

    [Fact]
    public void The_seeds_come_upon_interrupted_compactions()
    {
        var findings = new HashSet<RecoveryCondition>();
        int compactionCount = 0;
        for (int seed = 1; seed <= 2 * ControlSeedCount; seed++)
        {
            var simulation = new CompactionSimulation(seed, CompactionSabotage.None);
            simulation.Run();
            compactionCount += simulation.CompactionCount;
            findings.UnionWith(simulation.Findings);
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{compactionCount} compactions; {string.Join(", ", findings)}");
        Assert.True(compactionCount > ControlSeedCount, $"There were {compactionCount} compactions.");
        Assert.Superset(
            new HashSet<RecoveryCondition> { RecoveryCondition.SwapInterrupted, RecoveryCondition.CleaningInterrupted, RecoveryCondition.DeletedSegment },
            findings);
    }

    [Theory]
    [InlineData(nameof(CompactionSabotage.FlushDoesNothing))]
    [InlineData(nameof(CompactionSabotage.ForgetGaps))]
    public void What_is_broken_on_purpose_is_caught(string name)
    {
        CompactionSabotage sabotage = Enum.Parse<CompactionSabotage>(name);
        int caught = Enumerable.Range(1, ControlSeedCount).Count(seed => TryFail(seed, sabotage) is not null);
        Assert.True(caught > ControlSeedCount / 20, $"{sabotage} was caught by {caught} of {ControlSeedCount} seeds.");
    }

    private static string? TryFail(int seed, CompactionSabotage sabotage)
    {
        try
        {
            new CompactionSimulation(seed, sabotage).Run();
            return null;
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            return exception is SimulationException ? exception.Message : exception.ToString();
        }
    }

    private static int FromEnvironment(string name, int fallback) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : fallback;
}
