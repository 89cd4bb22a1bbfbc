using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Hears of partitions that come and go. Calls of one consumer never overlap; heartbeats go on while a call is awaited. An exception is
/// logged, thrown by the next <see cref="KafkaConsumer.PollAsync"/>, and does not stop the rebalance.
/// </summary>
public interface IRebalanceListener
{
    /// <summary>The partitions are this member's. No record of them is handed out before the call completes, so it may seek.</summary>
    /// <param name="partitions">The whole assignment; may be empty.</param>
    /// <param name="cancellationToken">Cancelled when the consumer closes.</param>
    ValueTask OnAssignedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken);

    /// <summary>
    /// The partitions are about to go. No record of them is handed out from here on; no other member gets them before the call
    /// completes, so it may finish work and commit.
    /// </summary>
    /// <param name="partitions">What was assigned; never empty.</param>
    /// <param name="cancellationToken">Cancelled when the time for it (<see cref="ConsumerOptions.RebalanceTimeout"/>) is over or the membership is lost.</param>
    ValueTask OnRevokedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken);

    /// <summary>The partitions are gone already and may belong to another member: commits would be refused. Stop working on them.</summary>
    /// <param name="partitions">What was assigned; never empty.</param>
    /// <param name="cancellationToken">Cancelled when the consumer closes.</param>
    ValueTask OnLostAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken);
}
