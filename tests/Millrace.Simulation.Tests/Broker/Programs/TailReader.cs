using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>Follows the end of a partition, and remembers what it has read.</summary>
internal sealed class TailReader(BrokerSimulation world, bool isCommitted) : BrokerProgram(world)
{
    public override async Task RunAsync()
    {
        TopicPartition partition = World.PickPartition();
        ModelPartition known = World.Model[partition];
        int generation = known.Generation;
        Offset next = Offset.Zero;
        while (!World.IsEnding)
        {
            SimulatedLink link = await LinkAsync();
            if (generation != known.Generation)
            {
                // What it has read may be gone, and something else in its place.
                generation = known.Generation;
                next = Offset.Zero;
            }

            FetchPartitionResponse? response = await BrokerReader.FetchAsync(
                link, partition, next, isCommitted, World.Pick(1, 200, 5000), World.Pick(0, 100, 500));
            if (response is { ErrorCode: ErrorCode.None } && generation == known.Generation)
            {
                foreach (ReadBatch batch in BrokerReader.Batches(response, next, isCommitted, out next))
                {
                    known.Seen(batch, isCommitted);
                }

                continue;
            }

            next = response is { ErrorCode: ErrorCode.OffsetOutOfRange } ? known.DeleteAsked : next;
            await World.PauseAsync();
        }
    }
}
