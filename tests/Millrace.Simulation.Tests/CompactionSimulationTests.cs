using Millrace.Log;

namespace Millrace.Simulation.Tests;

public class CompactionSimulationTests
{
    private const int ControlSeedCount = 60;

    private static readonly SeedCampaign Campaign = new("*CompactionSimulationTests.Compactions*", defaultSeedCount: 500);

    [Fact]
    public void Compactions_and_crashes_at_any_operation_change_nothing_that_a_reader_of_the_newest_values_sees() =>
        Campaign.RequireNoFailure(static seed => TryFail(seed, CompactionSabotage.None));

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
    [InlineData(nameof(CompactionSabotage.HideRefusals))]
    public void What_is_broken_on_purpose_is_caught(string name)
    {
        CompactionSabotage sabotage = Enum.Parse<CompactionSabotage>(name);
        int caught = Enumerable.Range(1, ControlSeedCount).Count(seed => TryFail(seed, sabotage) is not null);
        Assert.True(caught > ControlSeedCount / 20, $"{sabotage} was caught by {caught} of {ControlSeedCount} seeds.");
    }

    private static string? TryFail(int seed, CompactionSabotage sabotage) =>
        SeedCampaign.TryFail(() => new CompactionSimulation(seed, sabotage).Run(), static () => null);
}
