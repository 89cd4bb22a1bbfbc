using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>What a coordinator's answer means for a transaction.</summary>
internal enum TransactionVerdict
{
    Done,

    /// <summary>The same request again, after a pause.</summary>
    Retry,

    /// <summary>The same request again, at the coordinator that is to be found first.</summary>
    RetryElsewhere,

    /// <summary>The transaction has to be aborted; the producer goes on.</summary>
    Abortable,

    /// <summary>As <see cref="Abortable"/>, and the next transaction needs a new epoch.</summary>
    AbortableNewEpoch,

    /// <summary>Another producer has the transactional id by now.</summary>
    Fenced,

    /// <summary>The producer can do nothing any more.</summary>
    Fatal,

    /// <summary>No answer has settled the question, and none is wanted any more: the transaction is aborted.</summary>
    GivenUp,
}

internal static class TransactionVerdicts
{
    /// <summary>One row an error, for every request of a transaction but Produce.</summary>
    public static TransactionVerdict Of(ErrorCode error) => error switch
    {
        ErrorCode.None => TransactionVerdict.Done,
        ErrorCode.NotCoordinator or ErrorCode.CoordinatorNotAvailable => TransactionVerdict.RetryElsewhere,
        ErrorCode.ConcurrentTransactions => TransactionVerdict.Retry,
        ErrorCode.ProducerFenced or ErrorCode.InvalidProducerEpoch => TransactionVerdict.Fenced,
        ErrorCode.UnknownProducerId or ErrorCode.InvalidProducerIdMapping => TransactionVerdict.AbortableNewEpoch,

        // What the application sends or may do, and who owns the partitions whose offsets it sends: the transaction cannot be committed, the next one may.
        ErrorCode.TransactionAbortable or ErrorCode.OperationNotAttempted or ErrorCode.TopicAuthorizationFailed or ErrorCode.GroupAuthorizationFailed => TransactionVerdict.Abortable,
        ErrorCode.IllegalGeneration or ErrorCode.UnknownMemberId or ErrorCode.FencedInstanceId or ErrorCode.RebalanceInProgress => TransactionVerdict.Abortable,
        ErrorCode.StaleMemberEpoch or ErrorCode.FencedMemberEpoch or ErrorCode.OffsetMetadataTooLarge or ErrorCode.InvalidCommitOffsetSize => TransactionVerdict.Abortable,
        _ => KafkaErrors.IsRetriable(error) ? TransactionVerdict.Retry : TransactionVerdict.Fatal,
    };
}
