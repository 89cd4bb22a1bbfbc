using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// InitProducerId (22), versions 0-4. A producer that is idempotent only gets a new id with epoch 0, also where it names the id that it has (KIP-360): like
/// Kafka's, this broker does not remember who has which. A transactional id is refused; see <see cref="FindCoordinatorApi"/>.
/// </summary>
internal sealed class InitProducerIdApi(ProducerIds producerIds, ILogger logger) : Api<InitProducerIdRequest, InitProducerIdResponse>
{
    private const short FirstEpoch = 0;
    private const short NoEpoch = -1;

    protected override ValueTask<InitProducerIdResponse?> HandleAsync(InitProducerIdRequest request, RequestContext context)
    {
        if (request.TransactionalId is { Length: 0 })
        {
            return new(Refused(ErrorCode.InvalidRequest));
        }

        if (request.TransactionalId is string transactionalId)
        {
            LogMessages.TransactionRefused(logger, ApiKey.InitProducerId, transactionalId);
            return new(Refused(ErrorCode.TransactionalIdAuthorizationFailed));
        }

        return new(producerIds.TryTake(out long id)
            ? new InitProducerIdResponse { ProducerId = id, ProducerEpoch = FirstEpoch }
            : Refused(ErrorCode.KafkaStorageError));
    }

    private static InitProducerIdResponse Refused(ErrorCode error) => new() { ErrorCode = error, ProducerId = -1, ProducerEpoch = NoEpoch };
}
