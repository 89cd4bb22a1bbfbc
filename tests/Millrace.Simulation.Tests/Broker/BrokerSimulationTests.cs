namespace Millrace.Simulation.Tests;

public class BrokerSimulationTests
{
    private static readonly SeedCampaign Campaign = new("*BrokerSimulationTests.A_broker*", defaultSeedCount: 300);

    [Fact]
    public void A_broker_keeps_its_promises_whatever_happens_to_its_disk_and_its_connections() =>
        Campaign.RequireNoFailure(static seed => TryFail(seed, BrokerSabotage.None));

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
    internal void What_is_broken_on_purpose_is_caught(BrokerSabotage sabotage) =>
        SeedCampaign.RequireFailure(sabotage.ToString(), seed => TryFail(seed, sabotage));

    private static string? TryFail(int seed, BrokerSabotage sabotage)
    {
        BrokerSimulation simulation = new(seed, sabotage, sabotage == BrokerSabotage.None ? SeedCampaign.TracedLineCount : 0);
        return SeedCampaign.TryFail(() => simulation.Run(), () => simulation.Trace?.Lines);
    }
}
