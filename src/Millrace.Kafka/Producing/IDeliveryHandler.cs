using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What became of one record.</summary>
/// <param name="TopicPartition">The partition; its number is -1 for a record that came into none.</param>
/// <param name="Offset">As <see cref="RecordMetadata.Offset"/>; -1 for a record that failed.</param>
/// <param name="Timestamp">As <see cref="RecordMetadata.Timestamp"/>.</param>
/// <param name="Failure">
/// Null for an acknowledged record; otherwise what <see cref="KafkaProducer.ProduceAsync(ProducerRecord, CancellationToken)"/> would have thrown.
/// </param>
/// <param name="Tag">What the caller gave with the record.</param>
public readonly record struct DeliveryReport(TopicPartition TopicPartition, Offset Offset, DateTimeOffset? Timestamp, Exception? Failure, long Tag);

/// <summary>Is told what became of records that <see cref="KafkaProducer.EnqueueAsync"/> took.</summary>
public interface IDeliveryHandler
{
    /// <summary>
    /// Called once for each record that was taken, for one after the other, and for those of a partition in their order. It runs on the producer's own
    /// path: it must not block, and may produce. A record takes space in the buffer until its handler has returned. What it throws is logged, and nothing else.
    /// </summary>
    /// <param name="report">The outcome.</param>
    void OnDelivered(in DeliveryReport report);
}
