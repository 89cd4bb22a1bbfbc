using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>A record to be written. Its memory is copied before <see cref="KafkaProducer.ProduceAsync"/> gives control back or, where it has to wait, when the wait ends.</summary>
public sealed record ProducerRecord
{
    /// <summary>The topic.</summary>
    public required string Topic { get; init; }

    /// <summary>
    /// The partition, or null to let the producer choose: by murmur2 of the key, as Java does, or without a key one partition a batch
    /// (KIP-480).
    /// </summary>
    public int? Partition { get; init; }

    /// <summary>The key, or null. Records of one key keep their order. An empty key is a key.</summary>
    public ReadOnlyMemory<byte>? Key { get; init; }

    /// <summary>The value. Null is a tombstone: compaction removes the key.</summary>
    public ReadOnlyMemory<byte>? Value { get; init; }

    /// <summary>Headers, in order; keys may repeat. Default none.</summary>
    public IReadOnlyList<RecordHeader> Headers { get; init; } = [];

    /// <summary>The record's time, to the millisecond. Default null: when the record enters the buffer.</summary>
    public DateTimeOffset? Timestamp { get; init; }
}

/// <summary>Where an acknowledged record lies.</summary>
/// <param name="TopicPartition">The partition.</param>
/// <param name="Offset">
/// The offset; -1 where it is not known: with <see cref="Acks.None"/>, or when the broker recognised a retry as a duplicate and no longer
/// remembers where the original lies.
/// </param>
/// <param name="Timestamp">The time that the broker set, when the topic takes the broker's time (<c>LogAppendTime</c>); otherwise the record's own.</param>
public readonly record struct RecordMetadata(TopicPartition TopicPartition, Offset Offset, DateTimeOffset? Timestamp);
