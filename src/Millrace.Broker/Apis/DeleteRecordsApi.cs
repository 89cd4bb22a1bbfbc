using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>DeleteRecords (key 21, versions 0-2): moves the start of partitions, so that what lies before is gone. Answers when that is on the disk.</summary>
internal sealed class DeleteRecordsApi(BrokerServices services) : Api<DeleteRecordsRequest, DeleteRecordsResponse>
{
    private const long UpToHighWatermark = -1;
    private const long NoLowWatermark = -1;

    private readonly ILogger _logger = services.Loggers.CreateLogger<DeleteRecordsApi>();

    protected override ValueTask<DeleteRecordsResponse?> HandleAsync(DeleteRecordsRequest request, RequestContext context)
    {
        var response = new DeleteRecordsResponse();
        foreach (DeleteRecordsTopic topic in request.Topics)
        {
            var result = new DeleteRecordsTopicResult { Name = topic.Name };
            response.Topics.Add(result);
            foreach (DeleteRecordsPartition partition in topic.Partitions)
            {
                result.Partitions.Add(Delete(new TopicPartition(topic.Name, partition.Index), partition.Offset));
            }
        }

        return new ValueTask<DeleteRecordsResponse?>(response);
    }

    private DeleteRecordsPartitionResult Delete(TopicPartition target, long before)
    {
        if (services.Topics.Find(target) is not { } partition)
        {
            return Failed(target, ErrorCode.UnknownTopicOrPartition);
        }

        if (TopicName.IsInternal(target.Topic))
        {
            return Failed(target, ErrorCode.InvalidTopic);
        }

        // A log that is only compacted keeps the newest record of each key: its readers rely on that.
        if (partition.Settings is { IsCompacted: true, IsDeleted: false })
        {
            return Failed(target, ErrorCode.PolicyViolation);
        }

        // First: of a partition that could not be read yet it is not known where it ends.
        if (!partition.IsOnline)
        {
            return Failed(target, ErrorCode.KafkaStorageError);
        }

        Offset highWatermark = partition.HighWatermark;
        if (before < UpToHighWatermark || before > highWatermark.Value)
        {
            return Failed(target, ErrorCode.OffsetOutOfRange);
        }

        try
        {
            switch (partition.DeleteRecords(before == UpToHighWatermark ? highWatermark : new Offset(before)))
            {
                case DeleteRecordsResult.Deleted deleted:
                    return new DeleteRecordsPartitionResult { Index = target.Partition, LowWatermark = deleted.LogStartOffset.Value };
                case DeleteRecordsResult.Failed failed:
                    LogMessages.RecordsNotDeleted(_logger, target, failed.Reason);
                    return Failed(target, ErrorCode.KafkaStorageError);
                default:
                    throw new InvalidOperationException("A deletion has an outcome that nobody has thought of.");
            }
        }
        catch (Exception bug)
        {
            LogMessages.PartitionRequestFailed(_logger, bug, ApiKey.DeleteRecords, target);
            return Failed(target, ErrorCode.UnknownServerError);
        }
    }

    private static DeleteRecordsPartitionResult Failed(TopicPartition target, ErrorCode error) =>
        new() { Index = target.Partition, LowWatermark = NoLowWatermark, ErrorCode = error };
}
