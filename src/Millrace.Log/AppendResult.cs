using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What an acknowledgement of an append stands for.</summary>
public enum AppendDurability
{
    /// <summary>The bytes are in the page cache: they survive the process (acks=0 and acks=1).</summary>
    PageCache,

    /// <summary>The bytes are on the disk before anybody is told: they survive the power (acks=all).</summary>
    Disk,
}

/// <summary>Who appends, and so what is checked.</summary>
public enum AppendOrigin
{
    /// <summary>A producer, over the wire: epochs and sequences are checked.</summary>
    Client,

    /// <summary>A coordinator of this broker: it may write on behalf of a producer, whose epoch is checked; there is no sequence.</summary>
    Coordinator,
}

/// <summary>Why an append was refused; each has one error code of Kafka's.</summary>
public enum AppendRejection
{
    /// <summary>Length or checksum is wrong, or the bytes end early.</summary>
    CorruptMessage,

    /// <summary>A batch is larger than the limit given, or all of them than a segment.</summary>
    MessageTooLarge,

    /// <summary>A message format older than version 2.</summary>
    UnsupportedForMessageFormat,

    /// <summary>The sequence does not follow the last one of that producer, and is none of its last five batches.</summary>
    OutOfOrderSequence,

    /// <summary>A newer epoch of that producer has written here.</summary>
    InvalidProducerEpoch,

    /// <summary>A newer coordinator has ended a transaction of that producer here.</summary>
    CoordinatorFenced,

    /// <summary>The batch does not fit the transaction that its producer has open here, or has none open.</summary>
    InvalidTransactionState,

    /// <summary>As many producers as are remembered have transactions open here; the same batch may succeed later.</summary>
    TooManyProducers,

    /// <summary>A record's time is farther from the broker's than the topic allows.</summary>
    InvalidTimestamp,

    /// <summary>The batch is whole, but says what no producer may: no records, counts that contradict each other, a control batch, an unknown codec.</summary>
    InvalidRecord,

    /// <summary>The partition came back, and it is not known yet which of its transactions go on; the same batch may succeed later.</summary>
    TransactionsUnsettled,

    /// <summary>The partition is offline; <see cref="PartitionLog.OfflineReason"/> says why.</summary>
    Offline,
}

/// <summary>The outcome of <see cref="PartitionLog.Append"/>: one of the three nested records.</summary>
public abstract record AppendResult
{
    private AppendResult()
    {
    }

    /// <summary>
    /// The batches are in the log at these offsets. With <see cref="AppendDurability.Disk"/> acknowledge once
    /// <see cref="PartitionLog.IsOnDisk"/> says so.
    /// </summary>
    /// <param name="LogAppendTime">The time that all records have got (message.timestamp.type); -1: they have their producer's.</param>
    /// <param name="LeaderEpoch">Of the log when it answered.</param>
    /// <param name="IsFlushed">Whether the topic wants it on the disk (flush.messages): then the rule of <see cref="AppendDurability.Disk"/> applies, whatever was asked for.</param>
    public sealed record Appended(Offset BaseOffset, Offset LastOffset, long LogAppendTime = -1, int LeaderEpoch = 0, bool IsFlushed = false) : AppendResult;

    /// <summary>
    /// The batch is in the log since an earlier attempt, at these offsets. Nothing says that the earlier attempt was synced:
    /// the rule of <see cref="Appended"/> applies.
    /// </summary>
    /// <param name="LeaderEpoch">Of the log when it answered.</param>
    /// <param name="IsFlushed">As of <see cref="Appended"/>.</param>
    public sealed record Duplicate(Offset BaseOffset, Offset LastOffset, int LeaderEpoch = 0, bool IsFlushed = false) : AppendResult;

    /// <summary>Nothing was written. <paramref name="Detail"/> says to a person what is wrong.</summary>
    public sealed record Rejected(AppendRejection Rejection, string Detail) : AppendResult
    {
        /// <summary>The places in the batch of the records that are at fault, where that is known: the producer may send the others again (KIP-467).</summary>
        public IReadOnlyList<int> FaultyRecords { get; init; } = [];
    }
}
