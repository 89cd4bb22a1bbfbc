using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>DescribeTopicPartitions (key 75, version 0): topics by name and their partitions by number, page by page (KIP-966).</summary>
internal sealed class DescribeTopicPartitionsApi(BrokerServices services) : Api<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse>
{
    /// <summary>max.request.partition.size.limit, with Kafka's default.</summary>
    private const int MaxPageSize = 2000;

    protected override ValueTask<DescribeTopicPartitionsResponse?> HandleAsync(DescribeTopicPartitionsRequest request, RequestContext context)
    {
        bool areAllAsked = request.Topics.Count == 0;
        IEnumerable<string> asked = areAllAsked ? services.Topics.All.Select(topic => topic.Name) : request.Topics.Select(topic => topic.Name);
        string[] names = [.. asked.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        var response = new DescribeTopicPartitionsResponse();
        if (request.Cursor is { } cursor && (cursor.PartitionIndex < 0 || (!areAllAsked && !names.Contains(cursor.TopicName, StringComparer.Ordinal))))
        {
            // No page ended there: a cursor names a partition, of a topic that is asked for.
            response.Topics.AddRange(names.Select(name => Missing(name, ErrorCode.InvalidRequest)));
            return new(response);
        }

        int left = Math.Clamp(request.ResponsePartitionLimit, 1, MaxPageSize);
        foreach (string name in names.Where(name => string.CompareOrdinal(name, request.Cursor?.TopicName ?? "") >= 0))
        {
            if (left == 0)
            {
                response.NextCursor = new Cursor { TopicName = name };
                break;
            }

            if (services.Topics.Find(name) is not { } topic)
            {
                // A topic that was deleted since the list was made was not asked for.
                if (!areAllAsked)
                {
                    response.Topics.Add(Missing(name, TopicName.Fault(name) is null ? ErrorCode.UnknownTopicOrPartition : ErrorCode.InvalidTopic));
                }

                continue;
            }

            int first = request.Cursor?.TopicName == name ? request.Cursor.PartitionIndex : 0;
            DescribedTopic described = Describe(topic, first, left);
            response.Topics.Add(described);
            left -= described.Partitions.Count;
            int next = first + described.Partitions.Count;
            if (next < topic.Partitions.Count)
            {
                response.NextCursor = new Cursor { TopicName = name, PartitionIndex = next };
                break;
            }
        }

        return new(response);
    }

    private static DescribedTopic Describe(Topic topic, int first, int count)
    {
        var described = new DescribedTopic
        {
            Name = topic.Name, TopicId = topic.Id, IsInternal = topic.IsInternal, TopicAuthorizedOperations = AuthorizedOperations.Topic,
        };
        for (int index = first; index < topic.Partitions.Count && described.Partitions.Count < count; index++)
        {
            described.Partitions.Add(Describe(index, topic.Partitions[index]));
        }

        return described;
    }

    private static DescribedPartition Describe(int index, PartitionLog? partition)
    {
        bool isOnline = partition is { IsOnline: true };
        return new DescribedPartition
        {
            Index = index,
            ErrorCode = isOnline ? ErrorCode.None : ErrorCode.LeaderNotAvailable,
            LeaderId = isOnline ? BrokerConfiguration.NodeId : -1,
            LeaderEpoch = partition?.LeaderEpoch ?? -1,
            Replicas = [BrokerConfiguration.NodeId],
            InSyncReplicas = isOnline ? [BrokerConfiguration.NodeId] : [],
            EligibleLeaderReplicas = [],
            LastKnownElr = [],
            OfflineReplicas = isOnline ? [] : [BrokerConfiguration.NodeId],
        };
    }

    private static DescribedTopic Missing(string name, ErrorCode error) =>
        new() { Name = name, ErrorCode = error, IsInternal = TopicName.IsInternal(name) };
}
