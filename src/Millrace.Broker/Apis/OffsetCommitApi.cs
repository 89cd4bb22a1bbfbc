using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>OffsetCommit (8), versions 0-10; the last names topics by their ids. Answers when the offsets are on the disk.</summary>
internal sealed class OffsetCommitApi(BrokerServices services, GroupCoordinator groups, GroupSettings settings)
    : Api<OffsetCommitRequest, OffsetCommitResponse>
{
    /// <summary>From here on clients know the error; before, Kafka says ILLEGAL_GENERATION for a group that does not exist.</summary>
    private const int GroupIdNotFoundVersion = 9;

    private const int TopicIdVersion = 10;

    protected override ValueTask<OffsetCommitResponse?> HandleAsync(OffsetCommitRequest request, RequestContext context)
    {
        OffsetCommitResponse response = new();
        List<OffsetCommitPartitionResponse> committing = [];
        List<KeyValuePair<TopicPartition, CommittedOffset>> offsets = [];
        long now = services.Time.GetUtcNow().ToUnixTimeMilliseconds();
        foreach (OffsetCommitTopic topic in request.Topics)
        {
            // Once: a topic that is made meanwhile under the same name is another one, with records of its own.
            bool isById = context.Version >= TopicIdVersion;
            Topic? found = isById ? services.Topics.Find(topic.TopicId) : services.Topics.Find(topic.Name);
            OffsetCommitTopicResponse topicResponse = new() { Name = topic.Name, TopicId = topic.TopicId };
            response.Topics.Add(topicResponse);
            foreach (OffsetCommitPartition partition in topic.Partitions)
            {
                ErrorCode fault = isById && found is null ? ErrorCode.UnknownTopicId : Check(found, partition);
                OffsetCommitPartitionResponse answer = new() { Index = partition.Index, ErrorCode = fault };
                topicResponse.Partitions.Add(answer);
                if (answer.ErrorCode == ErrorCode.None)
                {
                    committing.Add(answer);
                    offsets.Add(new(new TopicPartition(found!.Name, partition.Index), ToOffset(found, partition, now, request)));
                }
            }
        }

        // An empty group id is allowed here, for consumers that assign partitions themselves.
        Task<ErrorCode> outcome = !GroupRequests.FitsRecord(request.GroupId)
            ? Task.FromResult(ErrorCode.InvalidGroupId)
            : groups.CommitAsync(request.GroupId, new MemberName(request.MemberId, request.GroupInstanceId), request.GenerationId, offsets);
        return AwaitAsync(outcome, response, committing, context.Version);
    }

    private static async ValueTask<OffsetCommitResponse?> AwaitAsync(
        Task<ErrorCode> outcome, OffsetCommitResponse response, List<OffsetCommitPartitionResponse> committing, short version)
    {
        ErrorCode error = await outcome;
        if (error == ErrorCode.GroupIdNotFound && version < GroupIdNotFoundVersion)
        {
            error = ErrorCode.IllegalGeneration;
        }

        foreach (OffsetCommitPartitionResponse partition in committing)
        {
            partition.ErrorCode = error;
        }

        if (error == ErrorCode.None)
        {
            Diagnostics.OffsetsCommitted(committing.Count);
        }

        return response;
    }

    private ErrorCode Check(Topic? topic, OffsetCommitPartition partition) =>
        partition.CommittedMetadata?.Length > settings.MaxOffsetMetadataLength ? ErrorCode.OffsetMetadataTooLarge
        : topic?.Find(partition.Index) is null ? ErrorCode.UnknownTopicOrPartition
        : ErrorCode.None;

    private CommittedOffset ToOffset(Topic topic, OffsetCommitPartition partition, long now, OffsetCommitRequest request) => new(
        new Offset(partition.CommittedOffset),
        partition.CommittedLeaderEpoch,
        partition.CommittedMetadata ?? "",
        partition.CommitTimestamp < 0 ? now : partition.CommitTimestamp)
    {
        ExpireTimestamp = request.RetentionMilliseconds is >= 0 and var retention && retention <= long.MaxValue - now ? now + retention : CommittedOffset.NoExpiry,
        Origin = CommitOrigin.Of(topic, partition.Index, partition.CommittedLeaderEpoch, groups.Offsets, request.GroupId),
    };
}
