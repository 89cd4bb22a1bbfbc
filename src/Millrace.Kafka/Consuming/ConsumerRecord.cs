using System.Diagnostics;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>A record that was read. Its memory is never reused: it stays valid for as long as it is referenced.</summary>
/// <param name="TopicPartition">Where it was read.</param>
/// <param name="Offset">Its offset.</param>
/// <param name="LeaderEpoch">The epoch of the leader that wrote its batch; -1 if unknown. Goes into the commit (KIP-320).</param>
/// <param name="Timestamp">The producer's time or the broker's, as the topic is set.</param>
/// <param name="Key">The key, or null.</param>
/// <param name="Value">The value, or null for a tombstone.</param>
/// <param name="Headers">Headers in their order; empty if there are none.</param>
public sealed record ConsumerRecord(
    TopicPartition TopicPartition,
    Offset Offset,
    int LeaderEpoch,
    DateTimeOffset Timestamp,
    ReadOnlyMemory<byte>? Key,
    ReadOnlyMemory<byte>? Value,
    IReadOnlyList<RecordHeader> Headers)
{
    /// <summary>
    /// The W3C trace context in its headers (<c>traceparent</c>, <c>tracestate</c>): what a span that processes the record links to, or has as its parent. The default where there is none.
    /// </summary>
    public ActivityContext TraceContext => Kafka.TraceContext.Of(Headers);

    /// <summary>Timestamps are whatever the producer wrote; those that no date can say become the nearest one.</summary>
    internal static DateTimeOffset ToTime(long timestamp)
    {
        const long minimum = -62_135_596_800_000;
        const long maximum = 253_402_300_799_999;
        return DateTimeOffset.FromUnixTimeMilliseconds(Math.Clamp(timestamp, minimum, maximum));
    }
}

/// <summary>A position in a partition, to start from or to commit.</summary>
/// <param name="TopicPartition">The partition.</param>
/// <param name="Offset">The next offset to read: one more than the last record that is done.</param>
/// <param name="LeaderEpoch">The epoch of the last record that is done; -1 if unknown (KIP-320).</param>
/// <param name="Metadata">A note stored with a commit, at most 4,096 bytes by the broker's default; null or empty for none.</param>
public sealed record TopicPartitionOffset(TopicPartition TopicPartition, Offset Offset, int LeaderEpoch = -1, string? Metadata = null);

/// <summary>The first record of a partition that is as late as a time that was asked for.</summary>
/// <param name="Offset">Its offset.</param>
/// <param name="Timestamp">Its time.</param>
/// <param name="LeaderEpoch">The epoch of the leader that wrote it; -1 if unknown.</param>
public sealed record OffsetAndTimestamp(Offset Offset, DateTimeOffset Timestamp, int LeaderEpoch);
