namespace Millrace.Log;

/// <summary>What the remembered producers say to a batch or marker that wants to be appended.</summary>
internal enum ProducerVerdict
{
    Accept,

    /// <summary>It is one of the last five batches.</summary>
    Duplicate,

    /// <summary>The sequence does not follow.</summary>
    OutOfOrder,

    /// <summary>The epoch is older than the producer's newest.</summary>
    Fenced,

    /// <summary>The coordinator's epoch is older than the newest that has ended a transaction of this producer.</summary>
    CoordinatorFenced,

    /// <summary>The batch is not transactional, and its producer has a transaction open.</summary>
    OutsideOfTransaction,

    /// <summary>A transaction of an older epoch is open: its marker comes first.</summary>
    OlderTransactionOpen,

    /// <summary>A marker came after the coordinator had said that the transaction is open.</summary>
    TransactionEnded,

    /// <summary>The producer is new, and none of the others can be forgotten for it.</summary>
    TooManyProducers,
}
