using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// FindCoordinator (10), versions 0-6. Every group and every transactional id is coordinated here.
/// </summary>
internal sealed class FindCoordinatorApi(BrokerServices services, GroupCoordinator groups, TransactionCoordinator transactions)
    : Api<FindCoordinatorRequest, FindCoordinatorResponse>
{
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
            // An empty group id has no members, and keeps what is committed by consumers that assign partitions themselves.
            case GroupKey when !GroupRequests.FitsRecord(key):
                return Refused(key, ErrorCode.InvalidGroupId, "The id of a group has at most 32767 bytes.");
            case GroupKey when !groups.CanCoordinate(key):
                return Refused(key, ErrorCode.CoordinatorNotAvailable, "The group's partition of __consumer_offsets is not available; the broker's log says why.");
            case TransactionKey when key.Length == 0 || !GroupRequests.FitsRecord(key):
                return Refused(key, ErrorCode.InvalidRequest, "A transactional id has from 1 to 32767 bytes.");
            case TransactionKey when !transactions.CanCoordinate(key):
                return Refused(
                    key, ErrorCode.CoordinatorNotAvailable, "The id's partition of __transaction_state is not available; the broker's log says why.");
            case GroupKey or TransactionKey:
                (string host, int port) = services.Address.For(context.Connection);
                return new Coordinator { Key = key, NodeId = BrokerConfiguration.NodeId, Host = host, Port = port, ErrorMessage = null };
            default:
                return Refused(key, ErrorCode.InvalidRequest, $"There is no coordinator of type {keyType}.");
        }
    }

    private static Coordinator Refused(string key, ErrorCode error, string message) =>
        new() { Key = key, NodeId = NoNode, Host = "", Port = NoNode, ErrorCode = error, ErrorMessage = message };
}
