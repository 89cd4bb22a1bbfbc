using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// EndTxn (26), versions 0-5: commits or aborts a transaction. Answers when everything that was written in it is on the disk, and then the decision; the markers that
/// show it to consumers are written by then. From version 5 on the answer has the epoch with which the producer goes on (KIP-890).
/// </summary>
internal sealed class EndTxnApi(TransactionCoordinator transactions) : Api<EndTxnRequest, EndTxnResponse>
{
    private const int RisingEpochVersion = 5;

    protected override ValueTask<EndTxnResponse?> HandleAsync(EndTxnRequest request, RequestContext context)
    {
        if (request.TransactionalId.Length == 0)
        {
            return new(new EndTxnResponse { ErrorCode = ErrorCode.InvalidRequest });
        }

        ProducerIdentity producer = new(request.ProducerId, request.ProducerEpoch);
        return AwaitAsync(transactions.EndAsync(request.TransactionalId, producer, request.Committed, context.Version >= RisingEpochVersion), context);
    }

    private static async ValueTask<EndTxnResponse?> AwaitAsync(Task<TransactionAnswer> answer, RequestContext context)
    {
        (ErrorCode error, ProducerIdentity producer) = await answer.UntilAbortedAsync(context.Aborted);
        return new EndTxnResponse
        {
            ErrorCode = TransactionErrors.ForVersion(error, context.Version), ProducerId = producer.Id, ProducerEpoch = producer.Epoch,
        };
    }
}
