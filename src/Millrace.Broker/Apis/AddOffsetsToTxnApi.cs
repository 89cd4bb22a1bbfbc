using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>AddOffsetsToTxn (25), versions 0-4: makes the partition of the offsets topic that keeps a group's offsets part of a transaction.</summary>
internal sealed class AddOffsetsToTxnApi(GroupCoordinator groups, TransactionCoordinator transactions) : Api<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>
{
    protected override ValueTask<AddOffsetsToTxnResponse?> HandleAsync(AddOffsetsToTxnRequest request, RequestContext context) =>
        new(new AddOffsetsToTxnResponse { ErrorCode = TransactionErrors.ForVersion(Add(request), context.Version) });

    private ErrorCode Add(AddOffsetsToTxnRequest request)
    {
        if (request.TransactionalId.Length == 0)
        {
            return ErrorCode.InvalidRequest;
        }

        if (GroupRequests.Refusal(request.GroupId, groupInstanceId: null) is ErrorCode refusal)
        {
            return refusal;
        }

        return groups.OffsetsPartitionOf(request.GroupId) is TopicPartition partition
            ? transactions.AddPartitions(request.TransactionalId, new ProducerIdentity(request.ProducerId, request.ProducerEpoch), [partition])
            : ErrorCode.CoordinatorNotAvailable;
    }
}
