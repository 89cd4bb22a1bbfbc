using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>OffsetDelete (47), version 0: deletes what a group has committed for partitions that no member reads (KIP-496).</summary>
internal sealed class OffsetDeleteApi(TopicCatalog topics, GroupCoordinator groups) : Api<OffsetDeleteRequest, OffsetDeleteResponse>
{
    protected override async ValueTask<OffsetDeleteResponse?> HandleAsync(OffsetDeleteRequest request, RequestContext context)
    {
        if (GroupRequests.Refusal(request.GroupId, groupInstanceId: null) is ErrorCode refusal)
        {
            return new OffsetDeleteResponse { ErrorCode = refusal };
        }

        List<TopicPartition> partitions = [];
        List<OffsetDeletePartitionResponse> deleting = [];
        OffsetDeleteResponse response = new();
        foreach (OffsetDeleteTopic topic in request.Topics)
        {
            OffsetDeleteTopicResponse topicResponse = new() { Name = topic.Name };
            response.Topics.Add(topicResponse);
            foreach (OffsetDeletePartition asked in topic.Partitions)
            {
                TopicPartition partition = new(topic.Name, asked.Index);
                OffsetDeletePartitionResponse answer = new() { Index = asked.Index };
                topicResponse.Partitions.Add(answer);
                if (topics.Find(partition) is null)
                {
                    answer.ErrorCode = ErrorCode.UnknownTopicOrPartition;
                }
                else
                {
                    partitions.Add(partition);
                    deleting.Add(answer);
                }
            }
        }

        OffsetDeletion deletion = await groups.DeleteOffsetsAsync(request.GroupId, partitions);
        if (deletion.GroupError != ErrorCode.None)
        {
            return new OffsetDeleteResponse { ErrorCode = deletion.GroupError };
        }

        foreach ((OffsetDeletePartitionResponse answer, ErrorCode error) in deleting.Zip(deletion.Partitions))
        {
            answer.ErrorCode = error;
        }

        return response;
    }
}
