namespace Millrace.Simulation.Tests;

public class ClientSimulationTests
{
    private static readonly SeedCampaign Campaign = new("*ClientSimulationTests.The_client*", defaultSeedCount: 30);

    [Fact]
    public void The_client_keeps_its_promises_whatever_happens_to_the_network_the_processes_and_the_broker() =>
        Campaign.RequireNoFailure(static seed => TryFail(seed, ClientSabotage.None));

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
        ClientSimulation[] simulations = [.. Enumerable.Range(1, 20).Select(static seed => new ClientSimulation(seed, ClientSabotage.None))];
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
    internal void What_is_broken_on_purpose_is_caught(ClientSabotage sabotage) =>
        SeedCampaign.RequireFailure(sabotage.ToString(), seed => TryFail(seed, sabotage));

    private static string? TryFail(int seed, ClientSabotage sabotage)
    {
        ClientSimulation simulation = new(seed, sabotage, sabotage == ClientSabotage.None ? SeedCampaign.TracedLineCount : 0);
        return SeedCampaign.TryFail(() => simulation.Run(), () => simulation.Trace?.Lines);
    }
}
