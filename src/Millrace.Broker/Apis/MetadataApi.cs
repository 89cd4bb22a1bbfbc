using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Metadata (key 3, versions 0-13): the brokers, the topics, and who leads their partitions. A topic that is asked for and does not exist is created.</summary>
internal sealed class MetadataApi(BrokerServices services) : Api<MetadataRequest, MetadataResponse>
{
    protected override ValueTask<MetadataResponse?> HandleAsync(MetadataRequest request, RequestContext context)
    {
        (string host, int port) = services.Address.For(context.Connection);
        var response = new MetadataResponse
        {
            Brokers = [new MetadataBroker { NodeId = BrokerConfiguration.NodeId, Host = host, Port = port }],
            ClusterId = services.Log.ClusterId,
            ControllerId = BrokerConfiguration.NodeId,
            Topics = DescribeTopics(request, context.Version),
        };
        if (request.IncludeClusterAuthorizedOperations)
        {
            response.ClusterAuthorizedOperations = AuthorizedOperations.Cluster;
        }

        if (request.IncludeTopicAuthorizedOperations)
        {
            foreach (MetadataTopic topic in response.Topics)
            {
                topic.TopicAuthorizedOperations = topic.ErrorCode == ErrorCode.None ? AuthorizedOperations.Topic : AuthorizedOperations.NotAsked;
            }
        }

        return new ValueTask<MetadataResponse?>(response);
    }

    private List<MetadataTopic> DescribeTopics(MetadataRequest request, short version)
    {
        bool areAllAsked = request.Topics is null || (version == 0 && request.Topics.Count == 0);
        if (areAllAsked)
        {
            return [.. services.Topics.All.OrderBy(topic => topic.Name, StringComparer.Ordinal).Select(Describe)];
        }

        bool mayCreate = services.Configuration.AutoCreateTopics && request.AllowAutoTopicCreation;
        var topics = new List<MetadataTopic>(request.Topics!.Count);

        // Once each: an answer is many times as long as its question.
        foreach (MetadataRequestTopic asked in request.Topics.DistinctBy(topic => (topic.Name, topic.TopicId)))
        {
            topics.Add(asked.Name is null || asked.TopicId != Guid.Empty ? DescribeById(asked) : DescribeByName(asked.Name, mayCreate));
        }

        return topics;
    }

    private MetadataTopic DescribeById(MetadataRequestTopic asked) =>
        services.Topics.Find(asked.TopicId) is { } topic
            ? Describe(topic)
            : new MetadataTopic { ErrorCode = ErrorCode.UnknownTopicId, TopicId = asked.TopicId, Name = asked.Name };

    private MetadataTopic DescribeByName(string name, bool mayCreate)
    {
        if (services.Topics.Find(name) is { } topic)
        {
            return Describe(topic);
        }

        if (TopicName.Fault(name) is not null)
        {
            return Missing(name, ErrorCode.InvalidTopic);
        }

        // Internal topics are made by who writes them, with as many partitions as that needs.
        if (!mayCreate || TopicName.IsInternal(name))
        {
            return Missing(name, ErrorCode.UnknownTopicOrPartition);
        }

        return services.Topics.Create(name, services.Configuration.DefaultPartitionCount) switch
        {
            TopicCreation.Created created => Describe(created.Topic),

            // Somebody else was faster.
            TopicCreation.Refused { Error: ErrorCode.TopicAlreadyExists } when services.Topics.Find(name) is { } other => Describe(other),
            TopicCreation.Refused { Error: ErrorCode.TopicAlreadyExists } => Missing(name, ErrorCode.UnknownTopicOrPartition),
            TopicCreation.Refused refused => Missing(name, refused.Error),
            _ => Missing(name, ErrorCode.UnknownServerError),
        };
    }

    private static MetadataTopic Missing(string name, ErrorCode error) =>
        new() { Name = name, ErrorCode = error, IsInternal = TopicName.IsInternal(name) };

    private static MetadataTopic Describe(Topic topic)
    {
        var partitions = new List<MetadataPartition>(topic.Partitions.Count);
        for (int index = 0; index < topic.Partitions.Count; index++)
        {
            partitions.Add(Describe(index, topic.Partitions[index]));
        }

        return new MetadataTopic { Name = topic.Name, TopicId = topic.Id, IsInternal = topic.IsInternal, Partitions = partitions };
    }

    private static MetadataPartition Describe(int index, PartitionLog? partition)
    {
        bool isOnline = partition is { IsOnline: true };
        return new MetadataPartition
        {
            Index = index,
            ErrorCode = isOnline ? ErrorCode.None : ErrorCode.LeaderNotAvailable,
            LeaderId = isOnline ? BrokerConfiguration.NodeId : -1,
            LeaderEpoch = partition?.LeaderEpoch ?? -1,
            Replicas = [BrokerConfiguration.NodeId],
            InSyncReplicas = isOnline ? [BrokerConfiguration.NodeId] : [],
            OfflineReplicas = isOnline ? [] : [BrokerConfiguration.NodeId],
        };
    }
}
