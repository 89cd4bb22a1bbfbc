using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// A record to be written. Its memory is copied before <see cref="KafkaProducer.ProduceAsync(ProducerRecord, CancellationToken)"/> gives control
/// back or, where it has to wait, when the wait ends.
/// </summary>
public sealed record ProducerRecord
{
    /// <summary>The topic.</summary>
    public required string Topic { get; init; }

    /// <summary>
    /// The partition, or null to let the producer choose: by its <see cref="ProducerOptions.Partitioner"/>, which is murmur2 of the key, as Java has
    /// it; without a key one partition after the other, a batch at a time (KIP-794).
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
