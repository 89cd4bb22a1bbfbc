using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Where an acknowledged record lies.</summary>
/// <param name="TopicPartition">The partition.</param>
/// <param name="Offset">
/// The offset; -1 where it is not known: with <see cref="Acks.None"/>, or when the broker recognised a retry as a duplicate and no longer
/// remembers where the original lies.
/// </param>
/// <param name="Timestamp">The time that the broker set, when the topic takes the broker's time (<c>LogAppendTime</c>); otherwise null.</param>
public readonly record struct RecordMetadata(TopicPartition TopicPartition, Offset Offset, DateTimeOffset? Timestamp);
