using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>A member of a group that commits what it has read.</summary>
internal sealed class OrderReader(ClientSimulation world, string name, bool isCooperative) : ClientProgram(world, name)
{
    public override bool Writes => false;

    public override async Task RunAsync(SimulatedProcess process)
    {
        await using KafkaClient client = process.NewClient();
        bool isOver = false;
        while (!isOver)
        {
            isOver = await ReadAsync(client);
        }
    }

    private async Task<bool> ReadAsync(KafkaClient client)
    {
        await using KafkaConsumer consumer = client.CreateConsumer(NewConsumerOptions(World.Model.Readers.Name, isCommitted: World.Chance(50), isCooperative));
        var watch = new GroupWatch(World, World.Model.Readers, consumer) { Revoking = World.Chance(50) ? partitions => CommitAsync(consumer, partitions) : null };
        await consumer.SubscribeAsync(["orders"], watch);
        while (World.IsEnding || !World.Chance(2))
        {
            IReadOnlyList<ConsumerRecord> records = await PollAsync(consumer, 2000);
            foreach (ConsumerRecord record in records)
            {
                watch.Read(record, IdOf(record));
            }

            if (World.Chance(60) || (World.IsEnding && records.Count == 0))
            {
                await CommitAsync(consumer, consumer.Assignment);
            }

            if (World.AreOrdersComplete && records.Count == 0 && await IsAllDoneAsync(consumer, ClientSimulation.Orders))
            {
                return true;
            }

            if (World.Chance(20))
            {
                await World.PauseAsync(World.Chance(90) ? 100 : 9000);
            }
        }

        return false;
    }

    private async Task CommitAsync(KafkaConsumer consumer, IReadOnlyCollection<TopicPartition> partitions)
    {
        TopicPartitionOffset[] offsets =
        [
            .. from partition in partitions
               let position = consumer.Position(partition)
               where position is not null
               select new TopicPartitionOffset(partition, position.Value),
        ];
        foreach (TopicPartitionOffset offset in offsets)
        {
            World.Model.Readers.Ask(offset.TopicPartition, offset.Offset.Value);
        }

        try
        {
            await consumer.CommitAsync(offsets);
            foreach (TopicPartitionOffset offset in offsets)
            {
                Note($"has committed {offset.Offset} of {offset.TopicPartition}");
                World.Model.Readers.Acknowledge(offset.TopicPartition, offset.Offset.Value);
            }
        }
        catch (KafkaException failure)
        {
            Note($"has not committed: {failure.Message}");
        }
    }
}
