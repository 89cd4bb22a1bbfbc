using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>Reads all topics from the beginning, without a group.</summary>
internal sealed class AuditReader(ClientSimulation world, string name, bool isCommitted) : ClientProgram(world, name)
{
    public override bool Writes => false;

    public override async Task RunAsync(SimulatedProcess process)
    {
        await using KafkaClient client = process.NewClient();
        TopicPartition[] partitions = [.. ClientSimulation.Orders, .. ClientSimulation.Ledger, .. ClientSimulation.Shipments];
        bool isFiltered = isCommitted && World.Sabotage != ClientSabotage.ForgetIsolation;
        while (!World.IsEverythingWritten)
        {
            await using KafkaConsumer consumer = client.CreateConsumer(NewConsumerOptions(groupId: null, isFiltered));
            var readings = partitions.ToDictionary(static partition => partition, partition => World.Model.NewReading(partition, isCommitted));
            consumer.Assign([.. partitions.Select(static partition => new TopicPartitionOffset(partition, Offset.Zero))]);
            bool isOver = false;
            while (!isOver)
            {
                foreach (ConsumerRecord record in await PollAsync(consumer, 2000))
                {
                    readings[record.TopicPartition].Add(record.Offset, IdOf(record));
                }

                if (World.Chance(3))
                {
                    TopicPartition partition = partitions[World.Next(partitions.Length)];
                    await SeekAsync(consumer, readings, partition);
                }

                isOver = World.IsEverythingWritten ? await HasReadAllAsync(consumer, partitions) : World.Chance(1);
            }
        }
    }

    /// <summary>Goes back to where it has been.</summary>
    private async Task SeekAsync(KafkaConsumer consumer, Dictionary<TopicPartition, ClientReading> readings, TopicPartition partition)
    {
        if (readings[partition].Records is { Count: > 0 } records)
        {
            Offset offset = records[World.Next(records.Count)].Offset;
            readings[partition] = World.Model.NewReading(partition, isCommitted, floor: offset.Value);
            await consumer.SeekAsync(partition, offset);
        }
    }

    private async Task<bool> HasReadAllAsync(KafkaConsumer consumer, TopicPartition[] partitions)
    {
        try
        {
            IReadOnlyDictionary<TopicPartition, Offset> ends = await consumer.EndOffsetsAsync(partitions);
            TopicPartition[] rest = [.. partitions.Where(partition => consumer.Position(partition) is not { } position || position < ends[partition])];
            Note($"has yet to read {string.Join(", ", rest.Select(partition => $"{partition} from {consumer.Position(partition)} to {ends[partition]}"))}");
            return rest.Length == 0;
        }
        catch (KafkaException)
        {
            return false;
        }
    }
}
