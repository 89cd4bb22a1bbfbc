using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Hears of partitions that come and go. Calls of one consumer never overlap; heartbeats go on while a call is awaited, and partitions that are not
/// part of it are read on. An exception is logged, thrown by the next <see cref="KafkaConsumer.PollAsync"/>, and does not stop the rebalance.
/// </summary>
/// <remarks>
/// Each call names the partitions that it is about, not the whole assignment (<see cref="KafkaConsumer.Assignment"/>). Members that give up everything
/// for a rebalance (<see cref="PartitionAssignor.Range"/> and the like) get it back as newly assigned; with
/// <see cref="PartitionAssignor.CooperativeSticky"/> alone, and with <see cref="GroupProtocol.Consumer"/>, what stays is not mentioned (KIP-429).
/// </remarks>
public interface IRebalanceListener
{
    /// <summary>The partitions are this member's. No record of them is handed out before the call completes, so it may seek.</summary>
    /// <param name="partitions">What is new; empty when a rebalance has brought nothing new.</param>
    /// <param name="cancellationToken">Cancelled when the consumer closes, or when the membership is lost.</param>
    ValueTask OnAssignedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken);

    /// <summary>
    /// The partitions are about to go. No record of them is handed out from here on; no other member gets them before the call
    /// completes, so it may finish work and commit: what it knows to be done, and not <see cref="KafkaConsumer.Position"/>, which is behind all that was handed out. A poll that is just
    /// returning may still bring such records.
    /// </summary>
    /// <param name="partitions">What goes; never empty.</param>
    /// <param name="cancellationToken">Cancelled when the time for it (<see cref="ConsumerOptions.RebalanceTimeout"/>) is over or the membership is lost.</param>
    ValueTask OnRevokedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken);

    /// <summary>The partitions are gone already and may belong to another member: commits would be refused. Stop working on them.</summary>
    /// <param name="partitions">What is gone; never empty.</param>
    /// <param name="cancellationToken">Cancelled when the consumer closes.</param>
    ValueTask OnLostAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken);
}
