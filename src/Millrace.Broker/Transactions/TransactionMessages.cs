using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>An InitProducerId as the state machine sees it.</summary>
/// <param name="RequestId">Names the request in the effects.</param>
/// <param name="Known">The identity that the producer has and wants renewed (KIP-360), or none.</param>
internal readonly record struct InitInput(long RequestId, TimeSpan Timeout, ProducerIdentity Known);

/// <summary>An EndTxn as the state machine sees it.</summary>
/// <param name="RequestId">Names the request in the effects.</param>
/// <param name="RaisesEpoch">The client goes on with a higher epoch (EndTxn 5 and up, KIP-890).</param>
internal readonly record struct EndInput(long RequestId, ProducerIdentity Producer, bool IsCommit, bool RaisesEpoch);

/// <summary>What a transactional id asks of its surroundings.</summary>
internal abstract record TransactionEffect;

/// <summary>Write the state, which need not be on the disk: after a loss of power it is as if it had never been.</summary>
internal sealed record StateNoted(TransactionState State) : TransactionEffect;

/// <summary>Write the state and call <see cref="TransactionMachine.Persisted"/> with the number once it is on the disk, or has failed.</summary>
internal sealed record StateDecided(long Number, TransactionState State) : TransactionEffect;

/// <summary>
/// From now on nothing is appended to these partitions in this transaction. Put what is in them on the disk if that must be, and the markers of the decision before where
/// that can be; then call <see cref="TransactionMachine.Synced"/>.
/// </summary>
internal sealed record PartitionsLeft(long Number, IReadOnlyCollection<TopicPartition> Partitions, bool MustBeOnDisk) : TransactionEffect;

/// <summary>
/// Write a marker to each partition of the decision, and call <see cref="TransactionMachine.MarkersWritten"/> when all are written; before that
/// <see cref="TransactionMachine.MarkersDelayed"/>, if one has to wait for its partition.
/// </summary>
internal sealed record MarkersDue(long Number, TransactionState Decision) : TransactionEffect
{
    /// <summary>Those that have no marker of it yet. A partition that loses its marker later gets another one when it comes back.</summary>
    public IEnumerable<TopicPartition> Partitions { get; init; } = Decision.Partitions.Keys;
}

/// <summary>Forget the transactional id, which nobody has used for long, or have the machine keep it.</summary>
internal sealed record IdExpired : TransactionEffect;

/// <summary>Answer the request. Each is answered exactly once.</summary>
internal sealed record TransactionAnswered(long RequestId, ErrorCode Error, ProducerIdentity Producer) : TransactionEffect;

/// <summary>The coordinator gives up a transaction whose client did not.</summary>
internal sealed record TransactionGivenUp(TransactionState State, GiveUpReason Reason) : TransactionEffect;

internal enum GiveUpReason
{
    TimedOut,
    NewProducer,
    PartitionLost,
}
