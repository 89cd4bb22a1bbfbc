using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>How far a transaction is.</summary>
public enum TransactionStatus
{
    /// <summary>A state that this client does not know.</summary>
    Unknown,

    /// <summary>The transactional id has no transaction yet.</summary>
    Empty,

    /// <summary>Open.</summary>
    Ongoing,

    /// <summary>Committed, and its markers are being written.</summary>
    PrepareCommit,

    /// <summary>Aborted, and its markers are being written.</summary>
    PrepareAbort,

    /// <summary>Committed.</summary>
    CompleteCommit,

    /// <summary>Aborted.</summary>
    CompleteAbort,

    /// <summary>Being forgotten.</summary>
    Dead,

    /// <summary>A newer producer takes over, and the old one's transaction is being aborted.</summary>
    PrepareEpochFence,
}

/// <summary>A transactional id in a listing.</summary>
/// <param name="TransactionalId">The id.</param>
/// <param name="ProducerId">The producer id that it has.</param>
/// <param name="State">How far its transaction is.</param>
public sealed record TransactionListing(string TransactionalId, long ProducerId, TransactionStatus State);

/// <summary>Which transactional ids to list; what is left out lets all pass.</summary>
public sealed record TransactionFilter
{
    /// <summary>Only those in one of these states. Default all.</summary>
    public IReadOnlyCollection<TransactionStatus> States { get; init; } = [];

    /// <summary>Only those with one of these producer ids. Default all.</summary>
    public IReadOnlyCollection<long> ProducerIds { get; init; } = [];

    /// <summary>Only those whose transaction has been open for so long (KIP-994). Default null: all. Needs Kafka 3.8.</summary>
    public TimeSpan? OpenForAtLeast { get; init; }

    /// <summary>Only those that this regular expression, in RE2's syntax, matches (KIP-1152). Default null: all. Needs Kafka 4.1.</summary>
    public string? TransactionalIdPattern { get; init; }
}

/// <summary>A transactional id.</summary>
/// <param name="TransactionalId">The id.</param>
/// <param name="State">How far its transaction is.</param>
/// <param name="ProducerId">The producer id that it has.</param>
/// <param name="ProducerEpoch">The epoch of its latest producer.</param>
/// <param name="Timeout">After which time the coordinator aborts a transaction of it.</param>
/// <param name="StartedAt">When its transaction began, by the coordinator's clock; null where none is open.</param>
/// <param name="Coordinator">The broker that coordinates it.</param>
/// <param name="Partitions">The partitions that its transaction has written to.</param>
public sealed record TransactionDescription(
    string TransactionalId,
    TransactionStatus State,
    long ProducerId,
    short ProducerEpoch,
    TimeSpan Timeout,
    DateTimeOffset? StartedAt,
    BrokerAddress Coordinator,
    IReadOnlyList<TopicPartition> Partitions)
{
    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(TransactionDescription), (nameof(TransactionalId), TransactionalId), (nameof(State), State), (nameof(ProducerId), ProducerId), (nameof(ProducerEpoch), ProducerEpoch), (nameof(Timeout), Timeout), (nameof(StartedAt), StartedAt), (nameof(Coordinator), Coordinator), (nameof(Partitions), Partitions));
}

/// <summary>What a partition remembers of an idempotent or transactional producer.</summary>
/// <param name="ProducerId">Its id.</param>
/// <param name="ProducerEpoch">Its epoch.</param>
/// <param name="LastSequence">The sequence of its last record; -1 if it wrote none.</param>
/// <param name="LastTimestamp">The time of its last batch; null if it wrote none.</param>
/// <param name="CoordinatorEpoch">The epoch of the coordinator that wrote its last marker; null if there is none.</param>
/// <param name="TransactionStartOffset">Where its open transaction begins; null if none is open.</param>
public sealed record ActiveProducer(
    long ProducerId,
    int ProducerEpoch,
    int LastSequence,
    DateTimeOffset? LastTimestamp,
    int? CoordinatorEpoch,
    Offset? TransactionStartOffset);

/// <summary>
/// A transaction that hangs in a partition: no coordinator knows it, so that readers of committed records wait behind it for ever.
/// What it needs is in <see cref="ActiveProducer"/>, once no <see cref="TransactionDescription"/> claims its producer id.
/// </summary>
/// <param name="TopicPartition">The partition.</param>
/// <param name="ProducerId"><see cref="ActiveProducer.ProducerId"/>.</param>
/// <param name="ProducerEpoch"><see cref="ActiveProducer.ProducerEpoch"/>.</param>
/// <param name="CoordinatorEpoch"><see cref="ActiveProducer.CoordinatorEpoch"/>, or 0 where that is null.</param>
public readonly record struct HangingTransaction(TopicPartition TopicPartition, long ProducerId, short ProducerEpoch, int CoordinatorEpoch = 0);

/// <summary>What a transactional id has after its producers were fenced: they can write no more.</summary>
/// <param name="ProducerId">The producer id.</param>
/// <param name="ProducerEpoch">The new epoch.</param>
public readonly record struct FencedProducer(long ProducerId, short ProducerEpoch);
