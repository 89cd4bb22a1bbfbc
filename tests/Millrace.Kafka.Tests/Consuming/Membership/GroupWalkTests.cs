using System.Globalization;

namespace Millrace.Kafka.Tests;

/// <summary>Random walks of a whole group of the classic protocol, and controls that show that each of its properties can fail.</summary>
public sealed class GroupWalkTests
{
    private const int DefaultSeedCount = 60;
    private const int ControlSeedCount = 100;

    [Theory]
    [InlineData(PartitionAssignor.CooperativeSticky)]
    [InlineData(PartitionAssignor.Range)]
    [InlineData(PartitionAssignor.Sticky)]
    public void No_partition_is_in_two_hands_and_none_is_forgotten(PartitionAssignor assignor)
    {
        int first = FromEnvironment("MILLRACE_SIMULATION_FIRST_SEED", 1);
        int count = FromEnvironment("MILLRACE_SIMULATION_SEEDS", DefaultSeedCount);
        for (int seed = first; seed < first + count; seed++)
        {
            if (new GroupWalk(seed, assignor, WalkSabotage.None).Run() is { } fault)
            {
                Assert.Fail($"""
                    Seed {seed} of {assignor}: {fault}
                    Replay it: MILLRACE_SIMULATION_FIRST_SEED={seed} MILLRACE_SIMULATION_SEEDS=1 dotnet run -c Release --project tests/Millrace.Kafka.Tests -- --filter-class "*GroupWalkTests*"
                    """);
            }
        }
    }

    [Theory]
    [InlineData(PartitionAssignor.CooperativeSticky, WalkSabotage.CompletesWithoutAll, "is in the hands of")]
    [InlineData(PartitionAssignor.Range, WalkSabotage.CompletesWithoutAll, "is in the hands of")]
    [InlineData(PartitionAssignor.Sticky, WalkSabotage.CompletesWithoutAll, "is in the hands of")]
    [InlineData(PartitionAssignor.CooperativeSticky, WalkSabotage.DropsClaims, "is in the hands of")]
    [InlineData(PartitionAssignor.CooperativeSticky, WalkSabotage.IgnoresRejoins, "at the end")]
    [InlineData(PartitionAssignor.Range, WalkSabotage.IgnoresRejoins, "at the end")]
    [InlineData(PartitionAssignor.Sticky, WalkSabotage.IgnoresRejoins, "at the end")]
    [InlineData(PartitionAssignor.CooperativeSticky, WalkSabotage.TellsTwice, "was told")]
    public void A_group_that_breaks_a_rule_is_noticed(PartitionAssignor assignor, WalkSabotage sabotage, string expected) =>
        Assert.Contains(
            Enumerable.Range(1, ControlSeedCount),
            seed => new GroupWalk(seed, assignor, sabotage).Run() is { } fault && fault.Contains(expected, StringComparison.Ordinal));

    private static int FromEnvironment(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out int value) ? value : otherwise;
}
