using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A transaction that has records in a partition and no marker there yet.</summary>
/// <param name="Producer">Its producer, with the epoch of its newest batch.</param>
/// <param name="FirstOffset">Of its first record.</param>
/// <param name="LastTimestamp">The greatest timestamp of its newest batch, in milliseconds since 1970.</param>
/// <param name="LeaderEpoch">In which its first record was written; -1 where that is not known, since the record was deleted.</param>
/// <param name="TopicId">Of the partition's topic.</param>
public readonly record struct OpenTransaction(ProducerIdentity Producer, Offset FirstOffset, long LastTimestamp, int LeaderEpoch = -1, Guid TopicId = default);

/// <summary>A transaction that a marker has ended.</summary>
/// <param name="LastOffset">Of the marker.</param>
/// <param name="LastStableOffset">Where the next open transaction began when this one ended; the offset after the marker, if none was open.</param>
internal readonly record struct CompletedTransaction(
    long ProducerId, Offset FirstOffset, Offset LastOffset, Offset LastStableOffset, bool IsCommitted)
{
    public AbortedTransaction ToAborted() => new(ProducerId, FirstOffset, LastOffset, LastStableOffset);
}
