using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// FindCoordinator (10), versions 0-6. Every group is coordinated here. There is no coordinator of transactions, and a client must not be left to look for one:
/// of all errors, TRANSACTIONAL_ID_AUTHORIZATION_FAILED is the one at which librdkafka and the Java client both give up at once.
/// </summary>
internal sealed class FindCoordinatorApi(BrokerServices services, GroupCoordinator groups, ILogger logger)
    : Api<FindCoordinatorRequest, FindCoordinatorResponse>
{
    public const string NoTransactions =
        "This broker has no transactions. Run the program on Apache Kafka, or without transactional.id.";

    private const sbyte GroupKey = 0;
    private const sbyte TransactionKey = 1;
    private const int BatchedVersion = 4;
    private const int NoNode = -1;

    protected override ValueTask<FindCoordinatorResponse?> HandleAsync(FindCoordinatorRequest request, RequestContext context)
    {
        if (context.Version >= BatchedVersion)
        {
            return new(new FindCoordinatorResponse { Coordinators = [.. request.CoordinatorKeys.Select(key => Find(request.KeyType, key, context))] });
        }

        Coordinator found = Find(request.KeyType, request.Key, context);
        return new(new FindCoordinatorResponse
        {
            ErrorCode = found.ErrorCode,
            ErrorMessage = found.ErrorMessage,
            NodeId = found.NodeId,
            Host = found.Host,
            Port = found.Port,
        });
    }

    private Coordinator Find(sbyte keyType, string key, RequestContext context)
    {
        switch (keyType)
        {
            case GroupKey when GroupRequests.Refusal(key, groupInstanceId: null) is ErrorCode refusal:
                return Refused(key, refusal, "The id of a group has from 1 to 32767 bytes.");
            case GroupKey when !groups.CanCoordinate(key):
                return Refused(key, ErrorCode.CoordinatorNotAvailable, "The group's partition of __consumer_offsets is not available; the broker's log says why.");
            case GroupKey:
                (string host, int port) = services.Address.For(context.Connection);
                return new Coordinator { Key = key, NodeId = BrokerConfiguration.NodeId, Host = host, Port = port, ErrorMessage = null };
            case TransactionKey:
                LogMessages.TransactionRefused(logger, ApiKey.FindCoordinator, key);
                return Refused(key, ErrorCode.TransactionalIdAuthorizationFailed, NoTransactions);
            default:
                return Refused(key, ErrorCode.InvalidRequest, $"There is no coordinator of type {keyType}.");
        }
    }

    private static Coordinator Refused(string key, ErrorCode error, string message) =>
        new() { Key = key, NodeId = NoNode, Host = "", Port = NoNode, ErrorCode = error, ErrorMessage = message };
}
