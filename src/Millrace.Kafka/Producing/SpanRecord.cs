using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// A record to be written whose bytes the caller keeps: they are copied before the call that takes it returns, in every case. To produce it
/// allocates nothing in steady state. <see cref="ProducerRecord"/> is its counterpart on the heap.
/// </summary>
public readonly ref struct SpanRecord
{
    /// <summary>A record for a topic, without key, and a tombstone until <see cref="Value"/> is set.</summary>
    /// <param name="topic">The topic. The same string for each record of a topic is found fastest.</param>
    public SpanRecord(string topic) => Topic = topic;

    /// <summary>A record of one topic.</summary>
    /// <param name="topic">The topic. The same string for each record of a topic is found fastest.</param>
    /// <param name="key">The key; empty, not null.</param>
    /// <param name="value">The value; empty, not null.</param>
    public SpanRecord(string topic, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        Topic = topic;
        Key = key;
        Value = value;
    }

    /// <summary>The topic.</summary>
    public string Topic { get; }

    /// <summary>The partition, or null to let the producer choose, as <see cref="ProducerRecord.Partition"/>.</summary>
    public int? Partition { get; init; }

    /// <summary>The key. A record has none (null) unless it is set; an empty key is a key.</summary>
    public ReadOnlySpan<byte> Key
    {
        get;
        init
        {
            field = value;
            HasKey = true;
        }
    }

    /// <summary>The value. A record is a tombstone (null) unless it is set.</summary>
    public ReadOnlySpan<byte> Value
    {
        get;
        init
        {
            field = value;
            HasValue = true;
        }
    }

    /// <summary>Whether <see cref="Key"/> is set.</summary>
    public bool HasKey { get; private init; }

    /// <summary>Whether <see cref="Value"/> is set.</summary>
    public bool HasValue { get; private init; }

    /// <summary>Headers, in order; keys may repeat. Default null: none.</summary>
    public IReadOnlyList<RecordHeader>? Headers { get; init; }

    /// <summary>The record's time, to the millisecond. Default null: when the record enters the buffer.</summary>
    public DateTimeOffset? Timestamp { get; init; }

    internal SpanRecord With(IReadOnlyList<RecordHeader>? headers) => Of(Topic, Partition, Key, HasKey, Value, HasValue, headers, Timestamp);

    internal static SpanRecord Of(ProducerRecord record) => Of(
        record.Topic,
        record.Partition,
        record.Key.GetValueOrDefault().Span,
        record.Key is not null,
        record.Value.GetValueOrDefault().Span,
        record.Value is not null,
        record.Headers,
        record.Timestamp);

    internal static SpanRecord Of(
        string topic,
        int? partition,
        ReadOnlySpan<byte> key,
        bool hasKey,
        ReadOnlySpan<byte> value,
        bool hasValue,
        IReadOnlyList<RecordHeader>? headers,
        DateTimeOffset? timestamp) => new(topic)
        {
            Partition = partition,
            Key = key,
            HasKey = hasKey,
            Value = value,
            HasValue = hasValue,
            Headers = headers,
            Timestamp = timestamp,
        };
}
