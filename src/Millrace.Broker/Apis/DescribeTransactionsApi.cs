using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>DescribeTransactions (65), version 0: the state of transactional ids (KIP-664).</summary>
internal sealed class DescribeTransactionsApi(TransactionCoordinator transactions) : Api<DescribeTransactionsRequest, DescribeTransactionsResponse>
{
    /// <remarks>Each id once: an answer is many times as long as its question.</remarks>
    protected override ValueTask<DescribeTransactionsResponse?> HandleAsync(DescribeTransactionsRequest request, RequestContext context) =>
        new(new DescribeTransactionsResponse { TransactionStates = [.. request.TransactionalIds.Distinct(StringComparer.Ordinal).Select(Describe)] });

    private DescribedTransaction Describe(string transactionalId)
    {
        if (transactionalId.Length == 0)
        {
            return new DescribedTransaction { ErrorCode = ErrorCode.InvalidRequest };
        }

        (ErrorCode error, TransactionState? state) = transactions.Describe(transactionalId);
        return state is null ? new DescribedTransaction { TransactionalId = transactionalId, ErrorCode = error } : new DescribedTransaction
        {
            TransactionalId = transactionalId,
            State = state.Status.ToString(),
            TransactionTimeoutMilliseconds = (int)state.Timeout.TotalMilliseconds,
            TransactionStartTimeMilliseconds = state.StartTimestamp,
            ProducerId = state.Producer.Id,
            ProducerEpoch = state.Producer.Epoch,
            Topics =
            [
                .. state.Partitions.Keys.GroupBy(static partition => partition.Topic).OrderBy(static topic => topic.Key, StringComparer.Ordinal).Select(static topic =>
                    new DescribedTransactionTopic { Topic = topic.Key, Partitions = [.. topic.Select(static partition => partition.Partition).Order()] }),
            ],
        };
    }
}
