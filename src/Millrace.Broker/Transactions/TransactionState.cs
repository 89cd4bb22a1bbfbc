using System.Collections.Immutable;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>A moment on both clocks: deadlines count on the one that never jumps, records tell the one on the wall.</summary>
/// <param name="Elapsed">Since an arbitrary start.</param>
/// <param name="Timestamp">Milliseconds since 1970.</param>
internal readonly record struct Moment(TimeSpan Elapsed, long Timestamp);

/// <summary>Everything that is known of a transactional id, as its record in <c>__transaction_state</c> says it.</summary>
internal sealed record TransactionState
{
    public const short NoEpoch = -1;
    public const long NoProducerId = -1;
    public const long NoTimestamp = -1;

    /// <summary>They are kept in order, so that markers are written in the same one always.</summary>
    public static readonly ImmutableSortedDictionary<TopicPartition, PartitionEnd> NoPartitions =
        ImmutableSortedDictionary.Create<TopicPartition, PartitionEnd>(TopicPartition.Order);

    /// <summary>The last epoch that a client is given. The one above is for the marker that ends the transaction of this one.</summary>
    public const short LastEpochOfClients = short.MaxValue - 1;

    /// <summary>What <see cref="ClientVersion"/> is for a client whose epoch rises with every transaction (KIP-890).</summary>
    public const short RisingEpochs = 2;

    public required string TransactionalId { get; init; }

    /// <summary><see cref="ProducerIdentity.None"/> until the first producer has come.</summary>
    public required ProducerIdentity Producer { get; init; }

    /// <summary>The producer's id before its epochs were used up, so that a repeated request with it is known; or -1.</summary>
    public long PreviousProducerId { get; init; } = NoProducerId;

    /// <summary>The id that takes the place of the present one once the transaction is over; or -1.</summary>
    public long NextProducerId { get; init; } = NoProducerId;

    /// <summary>The epoch before the last one that the producer itself asked to have raised (KIP-360), so that it may ask again; or -1. Not in the record.</summary>
    public short LastEpoch { get; init; } = NoEpoch;

    /// <summary>As whom the client ended its last transaction, if that raised its epoch: it may ask again. Not in the record.</summary>
    public ProducerIdentity EndedAs { get; init; } = ProducerIdentity.None;

    public TimeSpan Timeout { get; init; }

    public TransactionStatus Status { get; init; }

    /// <summary>The partitions of the transaction that is open or being ended, and, once its end is decided, where each of them ended then.</summary>
    public ImmutableSortedDictionary<TopicPartition, PartitionEnd> Partitions { get; init; } = NoPartitions;

    /// <summary>When the transaction began, in milliseconds since 1970; or -1.</summary>
    public long StartTimestamp { get; init; } = NoTimestamp;

    /// <summary>Milliseconds since 1970.</summary>
    public long UpdateTimestamp { get; init; }

    /// <summary>0, or <see cref="RisingEpochs"/>.</summary>
    public short ClientVersion { get; init; }

    public bool IsDecided => Status is TransactionStatus.PrepareCommit or TransactionStatus.PrepareAbort;

    public bool IsCommit => Status is TransactionStatus.PrepareCommit or TransactionStatus.CompleteCommit;

    /// <summary>The producer has had its last epoch; it gets a new id next.</summary>
    public bool IsEpochExhausted => Producer.Epoch >= LastEpochOfClients;

    public static TransactionState New(string transactionalId) => new() { TransactionalId = transactionalId, Producer = ProducerIdentity.None };

    /// <summary>The decision about the open transaction, which markers then carry to its partitions.</summary>
    public TransactionState Decide(bool isCommit, ProducerIdentity markerProducer, IReadOnlyDictionary<TopicPartition, PartitionEnd> ends, long timestamp) => this with
    {
        Status = isCommit ? TransactionStatus.PrepareCommit : TransactionStatus.PrepareAbort,
        Producer = markerProducer,
        LastEpoch = NoEpoch,
        EndedAs = ProducerIdentity.None,
        Partitions = Partitions.Keys.ToImmutableSortedDictionary(
            static partition => partition, partition => ends.GetValueOrDefault(partition, PartitionEnd.None), TopicPartition.Order),
        StartTimestamp = StartTimestamp == NoTimestamp ? timestamp : StartTimestamp,
        UpdateTimestamp = timestamp,
    };

    /// <summary>What follows when every marker of the decision is written.</summary>
    public TransactionState Complete(long timestamp) => this with
    {
        Status = IsCommit ? TransactionStatus.CompleteCommit : TransactionStatus.CompleteAbort,
        Producer = NextProducerId == NoProducerId ? Producer : new ProducerIdentity(NextProducerId, 0),
        PreviousProducerId = NextProducerId == NoProducerId ? PreviousProducerId : Producer.Id,
        NextProducerId = NoProducerId,
        Partitions = NoPartitions,
        StartTimestamp = NoTimestamp,
        UpdateTimestamp = timestamp,
    };

    /// <summary>
    /// Shuts out whoever has the present epoch, in a transaction or between two of them, and gives up the transaction. It is what is left to do where the
    /// machine lost power: a transaction of which only a part is known may not be committed.
    /// </summary>
    public TransactionState Fence(long timestamp) => this with
    {
        Status = Status == TransactionStatus.Ongoing ? TransactionStatus.CompleteAbort : Status,
        Producer = Producer.Epoch == short.MaxValue ? Producer : Producer with { Epoch = (short)(Producer.Epoch + 1) },
        LastEpoch = NoEpoch,
        Partitions = NoPartitions,
        StartTimestamp = NoTimestamp,
        UpdateTimestamp = timestamp,

        // The epoch is no longer the one after that of the client's last transaction.
        ClientVersion = 0,
    };
}
