using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>What a broker's answer says about a batch.</summary>
internal enum ProduceVerdict
{
    /// <summary>It is in the log.</summary>
    Written,

    /// <summary>It was in the log before this attempt; where, the broker no longer knows.</summary>
    Duplicate,

    /// <summary>Not written, and the next attempt may succeed.</summary>
    RetryNotWritten,

    /// <summary>Perhaps written; only an attempt with the same sequence can tell.</summary>
    RetryPerhapsWritten,

    /// <summary>Not written: the sequence before it is missing.</summary>
    SequenceGap,

    /// <summary>Not written: the broker knows nothing of the producer.</summary>
    UnknownProducer,

    /// <summary>Not written: a newer epoch of the producer is in use.</summary>
    StaleEpoch,

    /// <summary>Not written, and no attempt with as many records will change that.</summary>
    TooLarge,

    /// <summary>Not written, and no attempt will change that.</summary>
    Refused,
}

internal static class ProduceVerdicts
{
    /// <summary>
    /// One row an error. A retriable error that is not listed counts as perhaps written, since some of them are answered after the
    /// append: a leader that steps down, replicas that fall behind.
    /// </summary>
    public static ProduceVerdict Of(ErrorCode error) => error switch
    {
        ErrorCode.None => ProduceVerdict.Written,
        ErrorCode.DuplicateSequenceNumber => ProduceVerdict.Duplicate,
        ErrorCode.OutOfOrderSequenceNumber => ProduceVerdict.SequenceGap,
        ErrorCode.UnknownProducerId => ProduceVerdict.UnknownProducer,
        ErrorCode.InvalidProducerEpoch or ErrorCode.ProducerFenced => ProduceVerdict.StaleEpoch,
        ErrorCode.CorruptMessage or ErrorCode.NotEnoughReplicas or ErrorCode.ThrottlingQuotaExceeded => ProduceVerdict.RetryNotWritten,
        ErrorCode.MessageTooLarge or ErrorCode.RecordListTooLarge => ProduceVerdict.TooLarge,
        ErrorCode.UnknownServerError => ProduceVerdict.RetryPerhapsWritten,
        _ => KafkaErrors.IsRetriable(error) ? ProduceVerdict.RetryPerhapsWritten : ProduceVerdict.Refused,
    };
}
