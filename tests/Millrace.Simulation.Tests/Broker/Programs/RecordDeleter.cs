using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>Deletes old records now and then.</summary>
internal sealed class RecordDeleter(BrokerSimulation world) : BrokerProgram(world)
{
    public override async Task RunAsync()
    {
        while (!World.IsEnding)
        {
            for (int pause = World.Next(20); pause > 0 && !World.IsEnding; pause--)
            {
                await World.PauseAsync();
            }

            ModelPartition known = World.Model[World.PickPartition()];
            SimulatedLink link = await LinkAsync();
            if (World.IsEnding || await EndAsync(link, known.Name) is not long end)
            {
                continue;
            }

            Offset before = new(World.Next((int)end + 1));
            known.DeleteAsked = Offset.Max(before, known.DeleteAsked);
            DeleteRecordsRequest request = new()
            {
                Topics =
                [
                    new DeleteRecordsTopic
                    {
                        Name = known.Name.Topic,
                        Partitions = [new DeleteRecordsPartition { Index = known.Name.Partition, Offset = before.Value }],
                    },
                ],
            };
            DeleteRecordsResponse? response = await link.SendAsync<DeleteRecordsRequest, DeleteRecordsResponse>(request, 2);
            if (response?.Topics[0].Partitions[0].ErrorCode == ErrorCode.None)
            {
                known.DeletePromised = Offset.Max(before, known.DeletePromised);
            }
        }
    }
}
