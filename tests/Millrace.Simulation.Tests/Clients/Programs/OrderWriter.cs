using Millrace.Kafka;

namespace Millrace.Simulation.Tests;

/// <summary>Writes with an idempotent producer, many records at a time.</summary>
internal sealed class OrderWriter(ClientSimulation world, string name) : ClientProgram(world, name)
{
    private const int MaxUnderWayCount = 40;

    public override bool Writes => true;

    public override async Task RunAsync(SimulatedProcess process)
    {
        await using KafkaClient client = process.NewClient();
        while (!World.IsEnding)
        {
            await WriteAsync(client);
        }
    }

    private async Task WriteAsync(KafkaClient client)
    {
        await using KafkaProducer producer = client.CreateProducer(NewProducerOptions());
        int session = World.Model.NewSession();
        List<Task> underWay = [];
        while (!World.IsEnding && !World.Chance(3))
        {
            for (int count = 1 + World.Next(5); count > 0; count--)
            {
                underWay.Add(ProduceAsync(producer, World.Model.NewRecord(World.Pick(ClientSimulation.Orders), session)));
            }

            if (World.Chance(10))
            {
                await producer.FlushAsync();
            }

            await World.PauseAsync(World.Chance(80) ? 600 : 3000);
            underWay.RemoveAll(static task => task.IsCompletedSuccessfully);
            if (underWay.Count > MaxUnderWayCount)
            {
                await Task.WhenAny(underWay);
            }
        }

        if (World.Chance(50))
        {
            await Task.WhenAll(underWay);
        }

        // Closing answers what is still under way.
        await producer.DisposeAsync();
        await Task.WhenAll(underWay);
    }

    private async Task ProduceAsync(KafkaProducer producer, ClientRecord record)
    {
        try
        {
            RecordMetadata metadata = await ProduceAsync(producer, record.Partition, record.Id);
            Note($"order {record.Id} is at {metadata.Offset} of {metadata.TopicPartition}");
            record.IsAcknowledged = true;
            record.Offset = metadata.Offset.Value >= 0 ? metadata.Offset : null;
        }
        catch (KafkaException failure)
        {
            Note($"order {record.Id} failed: {failure.Message}");
        }
    }
}
