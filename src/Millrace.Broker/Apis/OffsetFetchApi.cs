using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// OffsetFetch (9), versions 0-10: one group up to version 7, several from version 8, topics by their ids in version 10. With <c>require_stable</c> an
/// offset that a transaction may change when it ends is answered with UNSTABLE_OFFSET_COMMIT (KIP-447).
/// </summary>
/// <remarks>
/// A group that is not served is answered with COORDINATOR_LOAD_IN_PROGRESS: after COORDINATOR_NOT_AVAILABLE, Java's consumers before Kafka 3.9 fail (KAFKA-17279), and librdkafka never asks again.
/// An offset is told once, however often it is asked for: with its metadata an answer is many times as long as the question.
/// </remarks>
internal sealed class OffsetFetchApi(TopicCatalog catalog, GroupCoordinator groups) : Api<OffsetFetchRequest, OffsetFetchResponse>
{
    private const int BatchedVersion = 8;
    private const int TopLevelErrorVersion = 2;
    private const int TopicIdVersion = 10;
    private const long NothingCommitted = -1;

    protected override async ValueTask<OffsetFetchResponse?> HandleAsync(OffsetFetchRequest request, RequestContext context)
    {
        // A client may send a commit and, without waiting for the answer, ask for what is committed. Kafka does the requests of a connection one after
        // the other and so tells it of that commit; here the commit may still be on its way to the disk, where nobody sees it.
        await context.EarlierAreAnswered.UntilAbortedAsync(context.Aborted);
        OffsetFetchResponse response = new();
        HashSet<(string GroupId, TopicPartition Partition)> told = [];
        if (context.Version >= BatchedVersion)
        {
            // All offsets of a group once only: the answer would be many times as long as the question.
            foreach (OffsetFetchGroup group in request.Groups.DistinctBy(group => group.Topics is null ? group.GroupId : (object)group))
            {
                List<OffsetFetchTopicResponse> found = [];
                bool isTold = groups.TryRead(group.GroupId, () => found = context.Version >= TopicIdVersion
                    ? FindById(group.GroupId, group.Topics, request.RequireStable, told)
                    : Find(group.GroupId, group.Topics, request.RequireStable, told));
                response.Groups.Add(new OffsetFetchGroupResponse
                {
                    GroupId = group.GroupId,
                    ErrorCode = isTold ? ErrorCode.None : ErrorCode.CoordinatorLoadInProgress,
                    Topics = isTold ? found : [],
                });
            }

            return response;
        }

        if (!groups.TryRead(request.GroupId, () => response.Topics = Find(request.GroupId, request.Topics, request.RequireStable, told)))
        {
            response.ErrorCode = ErrorCode.CoordinatorLoadInProgress;

            // Without an error for the whole, each partition says it.
            response.Topics = context.Version < TopLevelErrorVersion ? Answer(request.Topics ?? [], _ => Nothing(response.ErrorCode)) : [];
        }

        return response;
    }

    private List<OffsetFetchTopicResponse> Find(
        string groupId, List<OffsetFetchTopic>? topics, bool isStable, HashSet<(string GroupId, TopicPartition Partition)> told) =>
        topics is null
            ? All(groupId, isStable)
            : Answer(topics, partition => told.Add((groupId, partition)) ? FindOne(groupId, partition, isStable) : null);

    private OffsetFetchPartitionResponse FindOne(string groupId, TopicPartition partition, bool isStable) =>
        isStable && groups.Pending.IsPending(groupId, partition) ? Nothing(ErrorCode.UnstableOffsetCommit)
        : groups.TryGetOffset(groupId, partition, out CommittedOffset? offset) ? ToResponse(offset)
        : Nothing(ErrorCode.None);

    private List<OffsetFetchTopicResponse> FindById(
        string groupId, List<OffsetFetchTopic>? topics, bool isStable, HashSet<(string GroupId, TopicPartition Partition)> told)
    {
        if (topics is null)
        {
            List<OffsetFetchTopicResponse> all = All(groupId, isStable);
            all.ForEach(topic => topic.TopicId = catalog.Find(topic.Name)?.Id ?? Guid.Empty);

            // What was committed for a topic that is gone cannot be said by an id; it goes with its topic.
            all.RemoveAll(topic => topic.TopicId == Guid.Empty);
            return all;
        }

        List<OffsetFetchTopicResponse> responses = new(topics.Count);
        foreach (OffsetFetchTopic topic in topics)
        {
            string? name = catalog.Find(topic.TopicId)?.Name;
            OffsetFetchTopic named = new() { Name = name ?? "", Partitions = topic.Partitions };
            OffsetFetchTopicResponse response = name is null
                ? Answer([named], static _ => Nothing(ErrorCode.UnknownTopicId))[0]
                : Find(groupId, [named], isStable, told)[0];
            response.TopicId = topic.TopicId;
            responses.Add(response);
        }

        return responses;
    }

    private List<OffsetFetchTopicResponse> All(string groupId, bool isStable)
    {
        List<OffsetFetchTopicResponse> topics = [];
        foreach ((TopicPartition partition, CommittedOffset _) in groups.Offsets.All(groupId))
        {
            if (!groups.TryGetOffset(groupId, partition, out _))
            {
                continue;
            }

            if (topics.Count == 0 || topics[^1].Name != partition.Topic)
            {
                topics.Add(new OffsetFetchTopicResponse { Name = partition.Topic });
            }

            OffsetFetchPartitionResponse response = FindOne(groupId, partition, isStable);
            response.Index = partition.Partition;
            topics[^1].Partitions.Add(response);
        }

        return topics;
    }

    /// <param name="find">Gives null for what was told before.</param>
    private static List<OffsetFetchTopicResponse> Answer(List<OffsetFetchTopic> topics, Func<TopicPartition, OffsetFetchPartitionResponse?> find)
    {
        List<OffsetFetchTopicResponse> responses = new(topics.Count);
        foreach (OffsetFetchTopic topic in topics)
        {
            OffsetFetchTopicResponse response = new() { Name = topic.Name };
            foreach (int index in topic.Partitions)
            {
                if (find(new TopicPartition(topic.Name, index)) is { } partition)
                {
                    partition.Index = index;
                    response.Partitions.Add(partition);
                }
            }

            responses.Add(response);
        }

        return responses;
    }

    private static OffsetFetchPartitionResponse ToResponse(CommittedOffset offset) =>
        new() { CommittedOffset = offset.Offset.Value, CommittedLeaderEpoch = offset.LeaderEpoch, Metadata = offset.Metadata };

    private static OffsetFetchPartitionResponse Nothing(ErrorCode error) =>
        new() { CommittedOffset = NothingCommitted, CommittedLeaderEpoch = CommittedOffset.UnknownLeaderEpoch, Metadata = "", ErrorCode = error };
}
