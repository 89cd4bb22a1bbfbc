namespace Millrace.Broker;

/// <summary>What a transactional id is doing. The numbers are those of Kafka's records, the names those that its tools show.</summary>
internal enum TransactionStatus : sbyte
{
    /// <summary>It has a producer, and no transaction since that one came.</summary>
    Empty = 0,

    /// <summary>A transaction is open.</summary>
    Ongoing = 1,

    /// <summary>It is decided, on the disk, that the transaction is committed; markers are written.</summary>
    PrepareCommit = 2,

    /// <summary>It is decided, on the disk, that the transaction is aborted; markers are written.</summary>
    PrepareAbort = 3,

    /// <summary>Every marker of the commit is in its log.</summary>
    CompleteCommit = 4,

    /// <summary>Every marker of the abort is in its log.</summary>
    CompleteAbort = 5,
}
