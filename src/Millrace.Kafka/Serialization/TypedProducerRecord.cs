using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>A record to be written whose key and value a serialiser turns into bytes.</summary>
/// <typeparam name="TKey">The key's type; <see cref="Absent"/> for records without one.</typeparam>
/// <typeparam name="TValue">The value's type.</typeparam>
/// <param name="Topic">The topic. The same string for each record of a topic is found fastest.</param>
/// <param name="Key">The key. Null: the record has none.</param>
/// <param name="Value">The value. Null: a tombstone.</param>
public readonly record struct ProducerRecord<TKey, TValue>(string Topic, TKey Key, TValue Value)
{
    /// <summary>The partition, or null to let the producer choose, as <see cref="ProducerRecord.Partition"/>.</summary>
    public int? Partition { get; init; }

    /// <summary>Headers, in order; keys may repeat. Default null: none.</summary>
    public IReadOnlyList<RecordHeader>? Headers { get; init; }

    /// <summary>The record's time, to the millisecond. Default null: when the record enters the buffer.</summary>
    public DateTimeOffset? Timestamp { get; init; }
}
