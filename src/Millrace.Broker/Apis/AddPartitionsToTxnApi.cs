using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// AddPartitionsToTxn (24), versions 0-5: makes partitions part of a transaction, all or none. Clients send versions 0-3; the others, in which Kafka's brokers ask each other,
/// also only look whether partitions are part of it.
/// </summary>
internal sealed class AddPartitionsToTxnApi(BrokerServices services, TransactionCoordinator transactions)
    : Api<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>
{
    private const int BatchedVersion = 4;
    private const int AbortableVersion = 5;

    protected override ValueTask<AddPartitionsToTxnResponse?> HandleAsync(AddPartitionsToTxnRequest request, RequestContext context)
    {
        if (context.Version < BatchedVersion)
        {
            ProducerIdentity producer = new(request.ProducerId, request.ProducerEpoch);
            return new(new AddPartitionsToTxnResponse
            {
                ResultsByTopic = Add(request.TransactionalId, producer, request.Topics, isVerifyOnly: false, context.Version),
            });
        }

        AddPartitionsToTxnResponse response = new();
        foreach (AddPartitionsToTxnTransaction transaction in request.Transactions)
        {
            ProducerIdentity producer = new(transaction.ProducerId, transaction.ProducerEpoch);
            response.ResultsByTransaction.Add(new AddPartitionsToTxnResult
            {
                TransactionalId = transaction.TransactionalId,
                TopicResults = Add(transaction.TransactionalId, producer, transaction.Topics, transaction.VerifyOnly, context.Version),
            });
        }

        return new(response);
    }

    private List<AddPartitionsToTxnTopicResult> Add(
        string transactionalId, ProducerIdentity producer, List<AddPartitionsToTxnTopic> topics, bool isVerifyOnly, short version)
    {
        List<TopicPartition> partitions = [.. topics.SelectMany(static topic => topic.Partitions.Select(index => new TopicPartition(topic.Name, index)))];
        Func<TopicPartition, ErrorCode> answer;
        if (transactionalId.Length == 0)
        {
            answer = static _ => ErrorCode.InvalidRequest;
        }
        else if (partitions.Exists(partition => FaultOf(partition) != ErrorCode.None))
        {
            answer = partition => FaultOf(partition) is var fault and not ErrorCode.None ? fault : ErrorCode.OperationNotAttempted;
        }
        else if (isVerifyOnly)
        {
            answer = partition => transactions.Append(transactionalId, producer, partition, append: static () => { });
        }
        else
        {
            ErrorCode outcome = transactions.AddPartitions(transactionalId, producer, partitions);
            answer = _ => outcome;
        }

        return Answer(topics, partition => ForVersion(answer(partition), version));
    }

    private ErrorCode FaultOf(TopicPartition partition) =>
        TopicName.IsInternal(partition.Topic) ? ErrorCode.TopicAuthorizationFailed

        // Nor is one added that could get a marker and no record: that alone would decide what a topic is whose creation may have been cut short.
        : services.Topics.FindDecided(partition) is null ? ErrorCode.UnknownTopicOrPartition
        : ErrorCode.None;

    private static ErrorCode ForVersion(ErrorCode error, short version) =>
        error == ErrorCode.TransactionAbortable && version < AbortableVersion ? ErrorCode.InvalidTxnState : TransactionErrors.ForVersion(error, version);

    private static List<AddPartitionsToTxnTopicResult> Answer(List<AddPartitionsToTxnTopic> topics, Func<TopicPartition, ErrorCode> answer) =>
    [
        .. topics.Select(topic => new AddPartitionsToTxnTopicResult
        {
            Name = topic.Name,
            ResultsByPartition =
            [
                .. topic.Partitions.Select(index => new AddPartitionsToTxnPartitionResult
                {
                    Index = index, ErrorCode = answer(new TopicPartition(topic.Name, index)),
                }),
            ],
        }),
    ];
}
