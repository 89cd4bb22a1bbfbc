namespace Millrace.Simulation.Tests;

/// <summary>Delivers copies of requests late, over a connection of its own.</summary>
internal sealed class DelayedNetwork(BrokerSimulation world) : BrokerProgram(world)
{
    public override async Task RunAsync()
    {
        while (!World.IsEnding)
        {
            await World.PauseAsync();
            SimulatedLink link = await LinkAsync();
            if (World.TakeDelayed() is { } request)
            {
                World.Start(() => request(link));
            }
        }
    }
}
