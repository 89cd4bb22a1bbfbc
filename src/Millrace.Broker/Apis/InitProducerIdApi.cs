using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// InitProducerId (22), versions 0-5. A producer that is idempotent only gets a new id with epoch 0, also where it names the id that it has (KIP-360): like
/// Kafka's, this broker does not remember who has which. With a transactional id it gets the id's next epoch, and whoever had the one before is shut out.
/// </summary>
internal sealed class InitProducerIdApi(ProducerIds producerIds, TransactionCoordinator transactions, TransactionSettings settings)
    : Api<InitProducerIdRequest, InitProducerIdResponse>
{
    /// <summary>From here on clients know PRODUCER_FENCED.</summary>
    private const int FencedVersion = 4;

    private const short FirstEpoch = 0;
    private const short NoEpoch = -1;

    protected override ValueTask<InitProducerIdResponse?> HandleAsync(InitProducerIdRequest request, RequestContext context)
    {
        if (request.TransactionalId is not string transactionalId)
        {
            return new(producerIds.TryTake(out long id)
                ? new InitProducerIdResponse { ProducerId = id, ProducerEpoch = FirstEpoch }
                : Refused(ErrorCode.KafkaStorageError));
        }

        if (transactionalId.Length == 0 || !GroupRequests.FitsRecord(transactionalId) || (request.ProducerId < 0) != (request.ProducerEpoch < 0))
        {
            return new(Refused(ErrorCode.InvalidRequest));
        }

        if (request.TransactionTimeoutMilliseconds <= 0 || request.TransactionTimeoutMilliseconds > settings.MaxTimeout.TotalMilliseconds)
        {
            return new(Refused(ErrorCode.InvalidTransactionTimeout));
        }

        ProducerIdentity known = request.ProducerId < 0 ? ProducerIdentity.None : new ProducerIdentity(request.ProducerId, request.ProducerEpoch);
        TimeSpan timeout = TimeSpan.FromMilliseconds(request.TransactionTimeoutMilliseconds);
        return AwaitAsync(transactions.InitAsync(transactionalId, timeout, known), context);
    }

    private static async ValueTask<InitProducerIdResponse?> AwaitAsync(Task<TransactionAnswer> answer, RequestContext context)
    {
        (ErrorCode error, ProducerIdentity producer) = await answer.UntilAbortedAsync(context.Aborted);
        return error == ErrorCode.None
            ? new InitProducerIdResponse { ProducerId = producer.Id, ProducerEpoch = producer.Epoch }
            : Refused(TransactionErrors.ForVersion(error, context.Version, FencedVersion));
    }

    private static InitProducerIdResponse Refused(ErrorCode error) => new() { ErrorCode = error, ProducerId = -1, ProducerEpoch = NoEpoch };
}
