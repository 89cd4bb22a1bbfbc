using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>ElectLeaders (key 43, versions 0-2): this node leads every partition that can be led, so that no election is ever needed.</summary>
internal sealed class ElectLeadersApi(BrokerServices services) : Api<ElectLeadersRequest, ElectLeadersResponse>
{
    private const sbyte Preferred = 0;
    private const sbyte Unclean = 1;

    protected override ValueTask<ElectLeadersResponse?> HandleAsync(ElectLeadersRequest request, RequestContext context)
    {
        if (request.ElectionType is not (Preferred or Unclean))
        {
            return new(new ElectLeadersResponse { ErrorCode = ErrorCode.InvalidRequest });
        }

        // Asked for all partitions, Kafka leaves out those that need no election.
        return new(new ElectLeadersResponse
        {
            ReplicaElectionResults =
            [
                .. (request.TopicPartitions ?? []).Select(topic => new ReplicaElectionResult
                {
                    Topic = topic.Topic,
                    Partitions = [.. topic.Partitions.Select(index => Judge(new TopicPartition(topic.Topic, index), request.ElectionType))],
                }),
            ],
        });
    }

    private PartitionElectionResult Judge(TopicPartition target, sbyte electionType)
    {
        var result = new PartitionElectionResult { Index = target.Partition };
        (result.ErrorCode, result.ErrorMessage) = services.Topics.Find(target) switch
        {
            null => (ErrorCode.UnknownTopicOrPartition, $"There is no partition {target}."),
            { IsOnline: true } => (ErrorCode.ElectionNotNeeded, $"Broker {BrokerConfiguration.NodeId} leads {target}, and is its only replica."),
            { OfflineReason: var reason } when electionType == Preferred => (ErrorCode.PreferredLeaderNotAvailable, $"Partition {target} is offline: {reason}"),
            { OfflineReason: var reason } => (ErrorCode.EligibleLeadersNotAvailable, $"Partition {target} is offline: {reason}"),
        };
        return result;
    }
}
