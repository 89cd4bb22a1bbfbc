using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>Sends records once, with acks of every level, and takes what is answered.</summary>
internal sealed class PlainProducer(BrokerSimulation world) : BrokerProgram(world)
{
    public override async Task RunAsync()
    {
        while (!World.IsEnding)
        {
            TopicPartition partition = World.PickPartition();
            short acks = World.Pick<short>(-1, -1, 0, 1, 1);
            ModelRecord[] records = NewRecords(partition, isForDisk: acks == -1);
            ProduceRequest request = Produce(partition, Build(records, ProducerIdentity.None, -1), acks, World.Pick(0, 100, 30_000));
            SimulatedLink link = await LinkAsync();
            if (acks == 0)
            {
                link.TryWrite(request, 9);
                await World.PauseAsync();
                continue;
            }

            ModelPartition known = World.Model[partition];
            int generation = known.Generation;
            if (await SendAsync(link, request, 9) is { ErrorCode: ErrorCode.None } answer)
            {
                for (int index = 0; index < records.Length; index++)
                {
                    known.Acknowledged(records[index], new Offset(answer.BaseOffset + index), isOnDisk: acks == -1, generation);
                }
            }

            if (World.Chance(40))
            {
                await World.PauseAsync();
            }
        }
    }
}
