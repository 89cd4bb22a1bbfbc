using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>ListOffsets (key 2, versions 0-7): the first offset, the end, or the offset at a time.</summary>
/// <remarks>
/// The end is the high watermark, for either isolation level, since there are no transactions. Version 0 answers a list of offsets; here it has one element,
/// the one that later versions answer.
/// </remarks>
internal sealed class ListOffsetsApi(BrokerServices services) : Api<ListOffsetsRequest, ListOffsetsResponse>
{
    private const long Latest = -1;
    private const long Earliest = -2;
    private const long MaxTimestamp = -3;
    private const short FirstVersionOfMaxTimestamp = 7;

    private readonly ILogger _logger = services.Loggers.CreateLogger<ListOffsetsApi>();

    protected override ValueTask<ListOffsetsResponse?> HandleAsync(ListOffsetsRequest request, RequestContext context)
    {
        var response = new ListOffsetsResponse();
        foreach (ListOffsetsTopic topic in request.Topics)
        {
            var answered = new ListOffsetsTopicResponse { Name = topic.Name };
            response.Topics.Add(answered);
            foreach (ListOffsetsPartition asked in topic.Partitions)
            {
                answered.Partitions.Add(Find(new TopicPartition(topic.Name, asked.Index), asked, context.Version));
            }
        }

        return new ValueTask<ListOffsetsResponse?>(response);
    }

    private ListOffsetsPartitionResponse Find(TopicPartition target, ListOffsetsPartition asked, short version)
    {
        if (services.Topics.Find(target) is not { } partition)
        {
            return Failed(target, ErrorCode.UnknownTopicOrPartition);
        }

        if (!partition.IsOnline)
        {
            return Failed(target, ErrorCode.KafkaStorageError);
        }

        if (LeaderEpochCheck.Judge(partition, asked.CurrentLeaderEpoch) is var stale and not ErrorCode.None)
        {
            return Failed(target, stale);
        }

        try
        {
            return asked.Timestamp switch
            {
                Latest => Found(partition, version, partition.HighWatermark, partition.LeaderEpoch),
                Earliest => Found(partition, version, partition.LogStartOffset, EpochAt(partition, partition.LogStartOffset)),
                MaxTimestamp when version >= FirstVersionOfMaxTimestamp => 
                    FindByTime(partition, version, partition.OffsetOfMaximumTimestamp(partition.HighWatermark)),
                >= 0 => FindByTime(partition, version, partition.OffsetAtTimestamp(asked.Timestamp, partition.HighWatermark)),
                _ => Failed(target, ErrorCode.UnsupportedVersion),
            };
        }
        catch (Exception bug)
        {
            LogMessages.PartitionRequestFailed(_logger, bug, ApiKey.ListOffsets, target);
            return Failed(target, ErrorCode.UnknownServerError);
        }
    }

    private static ListOffsetsPartitionResponse FindByTime(PartitionLog partition, short version, TimestampedOffset? found)
    {
        if (found is not { } answer)
        {
            // Nothing found means that no record is late enough, unless the search came upon damage.
            return partition.IsOnline
                ? new ListOffsetsPartitionResponse { Index = partition.TopicPartition.Partition }
                : Failed(partition.TopicPartition, ErrorCode.KafkaStorageError);
        }

        ListOffsetsPartitionResponse response = Found(partition, version, answer.Offset, EpochAt(partition, answer.Offset));
        response.Timestamp = answer.Timestamp;
        return response;
    }

    private static ListOffsetsPartitionResponse Found(PartitionLog partition, short version, Offset offset, int leaderEpoch)
    {
        var response = new ListOffsetsPartitionResponse { Index = partition.TopicPartition.Partition, LeaderEpoch = leaderEpoch };
        if (version == 0)
        {
            response.OldStyleOffsets = [offset.Value];
        }
        else
        {
            response.Offset = offset.Value;
        }

        return response;
    }

    /// <summary>The epoch in which the record of an offset was written.</summary>
    private static int EpochAt(PartitionLog partition, Offset offset)
    {
        int epoch = -1;
        foreach (LeaderEpochStart start in partition.LeaderEpochs)
        {
            if (start.StartOffset <= offset)
            {
                epoch = start.Epoch;
            }
        }

        return epoch;
    }

    private static ListOffsetsPartitionResponse Failed(TopicPartition target, ErrorCode error) =>
        new() { Index = target.Partition, ErrorCode = error };
}
