using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// TxnOffsetCommit (28), versions 0-5: commits offsets of a group in a transaction. They count once the transaction is committed, and are on the disk by then; the answer
/// does not wait for that. From version 3 on the member of the group is checked (KIP-447); from version 5 on this makes the offsets part of the transaction (KIP-890).
/// </summary>
internal sealed class TxnOffsetCommitApi(BrokerServices services, GroupCoordinator groups, TransactionCoordinator transactions, GroupSettings settings)
    : Api<TxnOffsetCommitRequest, TxnOffsetCommitResponse>
{
    private const int AbortableVersion = 4;
    private const int AddingVersion = 5;

    protected override ValueTask<TxnOffsetCommitResponse?> HandleAsync(TxnOffsetCommitRequest request, RequestContext context)
    {
        TxnOffsetCommitResponse response = new();
        List<TxnOffsetCommitPartitionResponse> committing = [];
        List<KeyValuePair<TopicPartition, CommittedOffset>> offsets = [];
        long now = services.Time.GetUtcNow().ToUnixTimeMilliseconds();
        foreach (TxnOffsetCommitTopic topic in request.Topics)
        {
            TxnOffsetCommitTopicResponse topicResponse = new() { Name = topic.Name };
            response.Topics.Add(topicResponse);

            // Once: a topic that is made anew meanwhile is another one.
            Topic? found = services.Topics.Find(topic.Name);
            foreach (TxnOffsetCommitPartition partition in topic.Partitions)
            {
                TxnOffsetCommitPartitionResponse answer = new() { Index = partition.Index, ErrorCode = Check(found, partition) };
                topicResponse.Partitions.Add(answer);
                if (answer.ErrorCode == ErrorCode.None)
                {
                    committing.Add(answer);
                    offsets.Add(new(new TopicPartition(topic.Name, partition.Index), ToOffset(found!, partition, now, request.GroupId)));
                }
            }
        }

        ErrorCode outcome = offsets.Count == 0 ? ErrorCode.None : ForVersion(Commit(request, offsets, context.Version), context.Version);
        committing.ForEach(answer => answer.ErrorCode = outcome);
        return new(response);
    }

    private ErrorCode Commit(TxnOffsetCommitRequest request, List<KeyValuePair<TopicPartition, CommittedOffset>> offsets, short version)
    {
        if (request.TransactionalId.Length == 0)
        {
            return ErrorCode.InvalidRequest;
        }

        if (GroupRequests.Refusal(request.GroupId, request.GroupInstanceId) is ErrorCode refusal)
        {
            return refusal;
        }

        if (groups.OffsetsPartitionOf(request.GroupId) is not TopicPartition partition)
        {
            return ErrorCode.CoordinatorNotAvailable;
        }

        ProducerIdentity producer = new(request.ProducerId, request.ProducerEpoch);
        if (version >= AddingVersion && transactions.AddPartitions(request.TransactionalId, producer, [partition]) is var fault and not ErrorCode.None)
        {
            return fault;
        }

        ErrorCode committed = ErrorCode.None;
        MemberName name = new(request.MemberId, request.GroupInstanceId);
        ErrorCode verified = transactions.Append(
            request.TransactionalId,
            producer,
            partition,
            () => committed = groups.CommitInTransaction(request.GroupId, name, request.GenerationId, producer, offsets));
        return verified == ErrorCode.None ? committed : verified;
    }

    /// <summary>What clients of this API make the best of: they know fenced producers by their epoch, and come again while something is loading.</summary>
    private static ErrorCode ForVersion(ErrorCode error, short version) => error switch
    {
        ErrorCode.ProducerFenced => ErrorCode.InvalidProducerEpoch,
        ErrorCode.ConcurrentTransactions => ErrorCode.CoordinatorLoadInProgress,
        ErrorCode.TransactionAbortable when version < AbortableVersion => ErrorCode.InvalidTxnState,
        _ => error,
    };

    private ErrorCode Check(Topic? topic, TxnOffsetCommitPartition partition) =>
        partition.CommittedMetadata?.Length > settings.MaxOffsetMetadataLength ? ErrorCode.OffsetMetadataTooLarge
        : topic?.Find(partition.Index) is null ? ErrorCode.UnknownTopicOrPartition
        : ErrorCode.None;

    private CommittedOffset ToOffset(Topic topic, TxnOffsetCommitPartition partition, long now, string groupId) =>
        new(new Offset(partition.CommittedOffset), partition.CommittedLeaderEpoch, partition.CommittedMetadata ?? "", now)
        {
            Origin = CommitOrigin.Of(topic, partition.Index, partition.CommittedLeaderEpoch, groups.Offsets, groupId),
        };
}
