using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// WriteTxnMarkers (27), versions 0-2: ends transactions in partitions, whatever the coordinator knows of them. An operator's tool sends it for a transaction that
/// nobody else will end (KIP-664). Answers when the markers are on the disk: no decision stands behind them from which they could be written again.
/// </summary>
internal sealed class WriteTxnMarkersApi(BrokerServices services, TransactionCoordinator transactions) : Api<WriteTxnMarkersRequest, WriteTxnMarkersResponse>
{
    private readonly ILogger _logger = services.Loggers.CreateLogger<WriteTxnMarkersApi>();

    /// <summary>A marker in the page cache, and where its outcome goes.</summary>
    private readonly record struct Written(AppendedRecords Marker, WritableTxnMarkerPartitionResult Result);

    protected override ValueTask<WriteTxnMarkersResponse?> HandleAsync(WriteTxnMarkersRequest request, RequestContext context)
    {
        WriteTxnMarkersResponse response = new();
        List<Written> written = [];
        foreach (WritableTxnMarker marker in request.Markers)
        {
            response.Markers.Add(new WritableTxnMarkerResult
            {
                ProducerId = marker.ProducerId,
                Topics =
                [
                    .. marker.Topics.Select(topic => new WritableTxnMarkerTopicResult
                    {
                        Name = topic.Name,
                        Partitions = [.. topic.Partitions.Select(index => Write(marker, new TopicPartition(topic.Name, index), written))],
                    }),
                ],
            });
        }

        return written.Count == 0 ? new(response) : AwaitDiskAsync(response, written, context);
    }

    private async ValueTask<WriteTxnMarkersResponse?> AwaitDiskAsync(WriteTxnMarkersResponse response, List<Written> written, RequestContext context)
    {
        DiskWait wait = new([.. written.Select(static written => written.Marker)]);
        await services.Waits.WaitAsync(wait, Timeout.InfiniteTimeSpan, context.Aborted);
        foreach ((AppendedRecords marker, WritableTxnMarkerPartitionResult result) in written)
        {
            result.ErrorCode = marker.AreOnDisk ? ErrorCode.None : ErrorCode.KafkaStorageError;
        }

        return response;
    }

    private WritableTxnMarkerPartitionResult Write(WritableTxnMarker marker, TopicPartition target, List<Written> written)
    {
        WritableTxnMarkerPartitionResult result = new() { Index = target.Partition };
        try
        {
            result.ErrorCode = services.Topics.Find(target) is null ? ErrorCode.UnknownTopicOrPartition
                : services.Topics.FindDecided(target) is { } partition ? Write(marker, partition, written, result)
                : ErrorCode.KafkaStorageError;
        }
        catch (Exception bug)
        {
            LogMessages.PartitionRequestFailed(_logger, bug, ApiKey.WriteTxnMarkers, target);
            result.ErrorCode = ErrorCode.UnknownServerError;
        }

        return result;
    }

    private ErrorCode Write(WritableTxnMarker marker, PartitionLog partition, List<Written> written, WritableTxnMarkerPartitionResult result)
    {
        ProducerIdentity producer = new(marker.ProducerId, marker.ProducerEpoch);
        if (producer.Id < 0 || producer.Epoch < 0)
        {
            return ErrorCode.InvalidProducerEpoch;
        }

        bool raisesEpoch = marker.TransactionVersion >= TransactionState.RisingEpochs;
        switch (transactions.WriteMarkerFor(partition, producer, new EndTransactionMarker(marker.Committed, marker.CoordinatorEpoch), raisesEpoch))
        {
            case AppendResult.Appended appended:
                LogMessages.MarkerWrittenByRequest(_logger, partition.TopicPartition, producer.Id, producer.Epoch, marker.Committed ? "committed" : "aborted");
                written.Add(new Written(new AppendedRecords(partition, appended.LastOffset, appended.LeaderEpoch), result));
                return ErrorCode.None;
            case AppendResult.Rejected rejected:
                LogMessages.MarkerRefused(_logger, partition.TopicPartition, producer.Id, producer.Epoch, rejected.Detail);
                return ErrorFor(rejected.Rejection);
            default:
                throw new InvalidOperationException("The append of a marker has an outcome that nobody has thought of.");
        }
    }

    internal static ErrorCode ErrorFor(AppendRejection rejection) => rejection switch
    {
        AppendRejection.InvalidProducerEpoch => ErrorCode.InvalidProducerEpoch,
        AppendRejection.CoordinatorFenced => ErrorCode.TransactionCoordinatorFenced,
        AppendRejection.Offline => ErrorCode.KafkaStorageError,

        // After which the tool comes again.
        AppendRejection.TransactionsUnsettled => ErrorCode.NotLeaderOrFollower,
        AppendRejection.TooManyProducers => ErrorCode.ThrottlingQuotaExceeded,
        _ => ErrorCode.UnknownServerError,
    };
}
