using System.Collections.Concurrent;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Writes down which callbacks came, in order, and may do something in one of them.</summary>
internal sealed class RecordingListener : IRebalanceListener
{
    public ConcurrentQueue<string> Calls { get; } = new();

    public Func<IReadOnlyCollection<TopicPartition>, CancellationToken, ValueTask>? OnAssigned { get; init; }

    public Func<IReadOnlyCollection<TopicPartition>, CancellationToken, ValueTask>? OnRevoked { get; init; }

    public Func<IReadOnlyCollection<TopicPartition>, CancellationToken, ValueTask>? OnLost { get; init; }

    public async ValueTask OnAssignedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        if (OnAssigned is not null)
        {
            await OnAssigned(partitions, cancellationToken);
        }

        Note("assigned", partitions);
    }

    public async ValueTask OnRevokedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        if (OnRevoked is not null)
        {
            await OnRevoked(partitions, cancellationToken);
        }

        Note("revoked", partitions);
    }

    public async ValueTask OnLostAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        if (OnLost is not null)
        {
            await OnLost(partitions, cancellationToken);
        }

        Note("lost", partitions);
    }

    private void Note(string what, IReadOnlyCollection<TopicPartition> partitions) =>
        Calls.Enqueue($"{what} {string.Join(",", partitions.Select(partition => partition.Partition).Order())}");
}
