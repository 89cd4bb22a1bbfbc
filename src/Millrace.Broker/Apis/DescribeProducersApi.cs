using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>DescribeProducers (61), version 0: what partitions remember of the producers that write to them (KIP-664).</summary>
internal sealed class DescribeProducersApi(BrokerServices services) : Api<DescribeProducersRequest, DescribeProducersResponse>
{
    private const long NoTransaction = -1;

    protected override ValueTask<DescribeProducersResponse?> HandleAsync(DescribeProducersRequest request, RequestContext context)
    {
        DescribeProducersResponse response = new();

        // Once each: an answer is many times as long as its question.
        HashSet<TopicPartition> described = [];
        foreach (DescribeProducersTopic topic in request.Topics)
        {
            response.Topics.Add(new DescribeProducersTopicResponse
            {
                Name = topic.Name,
                Partitions = [.. topic.Partitions.Select(index => new TopicPartition(topic.Name, index)).Where(described.Add).Select(Describe)],
            });
        }

        return new(response);
    }

    private DescribeProducersPartitionResponse Describe(TopicPartition target) => services.Topics.Find(target) switch
    {
        null => Failed(target, ErrorCode.UnknownTopicOrPartition, $"There is no partition {target}."),
        { IsOnline: false } offline => Failed(target, ErrorCode.KafkaStorageError, offline.OfflineReason),
        var partition => new DescribeProducersPartitionResponse
        {
            Index = target.Partition, ActiveProducers = [.. partition.ActiveProducers().Select(Describe)],
        },
    };

    private static DescribedProducer Describe(ActiveProducer producer) => new()
    {
        ProducerId = producer.Producer.Id,
        ProducerEpoch = producer.Producer.Epoch,
        LastSequence = producer.LastSequence,
        LastTimestamp = producer.LastTimestamp,
        CoordinatorEpoch = producer.CoordinatorEpoch,
        CurrentTxnStartOffset = producer.TransactionFirstOffset?.Value ?? NoTransaction,
    };

    private static DescribeProducersPartitionResponse Failed(TopicPartition target, ErrorCode error, string? message) =>
        new() { Index = target.Partition, ErrorCode = error, ErrorMessage = message };
}
