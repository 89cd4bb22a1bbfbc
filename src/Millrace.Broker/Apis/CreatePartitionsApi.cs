using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>CreatePartitions (key 37, versions 0-3): gives topics more partitions, or only checks whether they could have them.</summary>
internal sealed class CreatePartitionsApi(BrokerServices services) : Api<CreatePartitionsRequest, CreatePartitionsResponse>
{
    protected override ValueTask<CreatePartitionsResponse?> HandleAsync(CreatePartitionsRequest request, RequestContext context)
    {
        HashSet<string> twice = [.. request.Topics.GroupBy(topic => topic.Name).Where(named => named.Count() > 1).Select(named => named.Key)];
        var response = new CreatePartitionsResponse();
        foreach (CreatePartitionsTopic topic in request.Topics)
        {
            TopicCreation.Refused? refused = twice.Contains(topic.Name)
                ? new TopicCreation.Refused(ErrorCode.InvalidRequest, $"Topic {topic.Name} stands more than once in this request.")
                : Handle(topic, request.ValidateOnly);
            response.Results.Add(new CreatePartitionsTopicResult
            {
                Name = topic.Name, ErrorCode = refused?.Error ?? ErrorCode.None, ErrorMessage = refused?.Message,
            });
        }

        return new ValueTask<CreatePartitionsResponse?>(response);
    }

    private TopicCreation.Refused? Handle(CreatePartitionsTopic asked, bool validateOnly)
    {
        if (TopicName.IsInternal(asked.Name))
        {
            // What is in it was placed by the number of partitions that it has.
            return new TopicCreation.Refused(ErrorCode.InvalidTopic, $"Topic {asked.Name} is the broker's own: it keeps the partitions that it was made with.");
        }

        if (services.Topics.CheckPartitions(asked.Name, asked.Count) is { } impossible)
        {
            return impossible;
        }

        int newCount = asked.Count - (services.Topics.Find(asked.Name)?.Partitions.Count ?? 0);
        if (asked.Assignments is { } assignments &&
            (assignments.Count != newCount || !assignments.TrueForAll(assignment => assignment.BrokerIds is [BrokerConfiguration.NodeId])))
        {
            return new TopicCreation.Refused(
                ErrorCode.InvalidReplicaAssignment,
                $"Each of the {newCount} new partitions is assigned to broker {BrokerConfiguration.NodeId} alone, or none is assigned.");
        }

        return validateOnly ? null : services.Topics.AddPartitions(asked.Name, asked.Count) as TopicCreation.Refused;
    }
}
