using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// OffsetForLeaderEpoch (key 23, versions 0-4): where the records of a leader epoch end, so that a consumer finds out whether what it has read was lost (KIP-320).
/// </summary>
internal sealed class OffsetForLeaderEpochApi(BrokerServices services) : Api<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>
{
    protected override ValueTask<OffsetForLeaderEpochResponse?> HandleAsync(OffsetForLeaderEpochRequest request, RequestContext context)
    {
        var response = new OffsetForLeaderEpochResponse();
        foreach (OffsetForLeaderTopic topic in request.Topics)
        {
            var result = new OffsetForLeaderTopicResult { Name = topic.Name };
            response.Topics.Add(result);
            foreach (OffsetForLeaderPartition asked in topic.Partitions)
            {
                LeaderEpochEnd end = Find(services.Topics.Find(new TopicPartition(topic.Name, asked.Index)), asked);
                end.Index = asked.Index;
                result.Partitions.Add(end);
            }
        }

        return new(response);
    }

    private static LeaderEpochEnd Find(PartitionLog? partition, OffsetForLeaderPartition asked)
    {
        if (partition is null)
        {
            return new LeaderEpochEnd { ErrorCode = ErrorCode.UnknownTopicOrPartition };
        }

        if (!partition.IsOnline)
        {
            return new LeaderEpochEnd { ErrorCode = ErrorCode.KafkaStorageError };
        }

        if (LeaderEpochCheck.Judge(partition, asked.CurrentLeaderEpoch) is var stale and not ErrorCode.None)
        {
            return new LeaderEpochEnd { ErrorCode = stale };
        }

        return partition.EndOfLeaderEpoch(asked.LeaderEpoch) is (int epoch, Offset end)
            ? new LeaderEpochEnd { LeaderEpoch = epoch, EndOffset = end.Value }
            : new LeaderEpochEnd();
    }
}
