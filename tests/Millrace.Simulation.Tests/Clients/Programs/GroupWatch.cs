using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>Hears of the partitions of a member, and looks that it reads each without a gap while it has it.</summary>
internal sealed class GroupWatch(ClientSimulation world, ClientGroup group, KafkaConsumer consumer) : IRebalanceListener
{
    private readonly Dictionary<TopicPartition, ClientReading> _readings = [];

    /// <summary>Is awaited before partitions go.</summary>
    public Func<IReadOnlyCollection<TopicPartition>, Task>? Revoking { get; init; }

    public void Read(ConsumerRecord record, int id)
    {
        Require.That(_readings.TryGetValue(record.TopicPartition, out ClientReading? reading), $"nothing is read of {record.TopicPartition} by who does not have it");
        world.Trace?.Add($"{group.Name}: order {id} is read at {record.Offset} of {record.TopicPartition}");
        reading.Add(record.Offset, id);
    }

    /// <summary>What is read of a partition since it came; null if it is not here.</summary>
    public ClientReading? ReadingOf(TopicPartition partition) => _readings.GetValueOrDefault(partition);

    /// <summary>It goes back to what was committed at a time.</summary>
    /// <param name="floor">What <see cref="FloorOf"/> was at that time: others may have committed since.</param>
    public void Rewind(TopicPartition partition, long floor)
    {
        if (_readings.ContainsKey(partition))
        {
            _readings[partition] = NewReading(partition, floor);
        }
    }

    /// <summary>Where whoever asks for what is committed may begin at the earliest.</summary>
    public long FloorOf(TopicPartition partition) => group.Acknowledged.GetValueOrDefault(partition);

    public ValueTask OnAssignedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        ConsumerGroupMetadata member = consumer.GroupMetadata;
        world.Trace?.Add($"{group.Name}: {member.MemberId} has got {string.Join(", ", partitions)} in generation {member.GenerationId}");
        foreach (TopicPartition partition in partitions)
        {
            Require.That(!_readings.ContainsKey(partition), $"{partition} comes once");
            _readings[partition] = NewReading(partition, FloorOf(partition));
        }

        if (member.GenerationId >= 0)
        {
            group.Own(member.GenerationId, member.MemberId, _readings.Keys);
        }

        return ValueTask.CompletedTask;
    }

    public async ValueTask OnRevokedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        world.Trace?.Add($"{group.Name}: {consumer.GroupMetadata.MemberId} gives up {string.Join(", ", partitions)}");
        if (Revoking is not null)
        {
            await Revoking(partitions);
        }

        Forget(partitions);
    }

    public ValueTask OnLostAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        world.Trace?.Add($"{group.Name}: {string.Join(", ", partitions)} are lost");
        Forget(partitions);
        return ValueTask.CompletedTask;
    }

    private ClientReading NewReading(TopicPartition partition, long floor) => world.Model.NewReading(partition, isCommitted: false, floor);

    private void Forget(IReadOnlyCollection<TopicPartition> partitions)
    {
        foreach (TopicPartition partition in partitions)
        {
            Require.That(_readings.Remove(partition), $"{partition} does not go without having come");
        }
    }
}
