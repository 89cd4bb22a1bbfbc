using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>ListOffsets (key 2, versions 0-11): the first offset, the end, or the offset at a time.</summary>
/// <remarks>
/// The end is the high watermark, and for who reads committed records the last stable offset: nothing at or above it is found, either. No record is anywhere but on this
/// broker's disk, so that the first offset here is the first of all, and none is stored elsewhere (KIP-405, KIP-1005, KIP-1023). Version 0 answers a list of offsets; here it has one element,
/// the one that later versions answer.
/// </remarks>
internal sealed class ListOffsetsApi(BrokerServices services) : Api<ListOffsetsRequest, ListOffsetsResponse>
{
    private const long Latest = -1;
    private const long Earliest = -2;
    private const long MaxTimestamp = -3;
    private const long EarliestLocal = -4;
    private const long LatestTiered = -5;
    private const long EarliestPendingUpload = -6;
    private const short FirstVersionOfMaxTimestamp = 7;
    private const short FirstVersionOfEarliestLocal = 8;
    private const short FirstVersionOfLatestTiered = 9;
    private const short FirstVersionOfEarliestPendingUpload = 11;
    private const sbyte ReadCommitted = 1;

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
                answered.Partitions.Add(Find(new TopicPartition(topic.Name, asked.Index), asked, request.IsolationLevel == ReadCommitted, context.Version));
            }
        }

        return new ValueTask<ListOffsetsResponse?>(response);
    }

    private ListOffsetsPartitionResponse Find(TopicPartition target, ListOffsetsPartition asked, bool isCommitted, short version)
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
            Offset end = isCommitted ? partition.LastStableOffset : partition.HighWatermark;
            return asked.Timestamp switch
            {
                Latest => Found(partition, version, end, partition.LeaderEpoch),
                Earliest or EarliestLocal when asked.Timestamp == Earliest || version >= FirstVersionOfEarliestLocal => Found(partition, version, partition.LogStartOffset, EpochAt(partition, partition.LogStartOffset)),
                MaxTimestamp when version >= FirstVersionOfMaxTimestamp => 
                    FindByTime(partition, version, partition.OffsetOfMaximumTimestamp(end)),
                >= 0 => FindByTime(partition, version, partition.OffsetAtTimestamp(asked.Timestamp, end)),
                LatestTiered when version >= FirstVersionOfLatestTiered => new ListOffsetsPartitionResponse { Index = target.Partition },
                EarliestPendingUpload when version >= FirstVersionOfEarliestPendingUpload => new ListOffsetsPartitionResponse { Index = target.Partition },
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
