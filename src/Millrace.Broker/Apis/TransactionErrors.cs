using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>Errors that older versions of the transaction APIs do not know.</summary>
internal static class TransactionErrors
{
    /// <summary>From this version of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn on clients know PRODUCER_FENCED.</summary>
    public const int FencedVersion = 2;

    /// <summary>Says to a client of before PRODUCER_FENCED what it was told then.</summary>
    public static ErrorCode ForVersion(ErrorCode error, short version, int fencedVersion = FencedVersion) =>
        error == ErrorCode.ProducerFenced && version < fencedVersion ? ErrorCode.InvalidProducerEpoch : error;
}
