using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// Produce (key 0, versions 0-13): appends record batches. Versions 0-2 carry older formats and are answered with an error per partition; version 12 makes
/// partitions part of a transaction (KIP-890), version 13 names topics by their ids (KIP-516).
/// </summary>
/// <remarks>
/// Everything is appended before the first await, so the batches of one connection enter the log in the order in which they were sent, and those that wait
/// for the disk share its syncs. With acks=all, and where the topic's flush.messages asks for it, the answer leaves once the sync of the last batch has returned; not so in a
/// transaction, whose records are on the disk before it is committed.
/// </remarks>
internal sealed class ProduceApi(BrokerServices services, TransactionCoordinator transactions) : Api<ProduceRequest, ProduceResponse>
{
    /// <summary>The first version whose batches are of format 2.</summary>
    private const short FirstVersionOfBatches = 3;

    /// <summary>The first version whose clients know zstd (KIP-110).</summary>
    private const short FirstVersionOfZstd = 7;

    private const short FirstVersionOfTopicIds = 13;

    private const short AcksNone = 0;
    private const short AcksLeader = 1;
    private const short AcksAll = -1;

    /// <summary>The records have the times that their producer gave.</summary>
    private const long NoLogAppendTime = -1;

    private readonly ILogger _logger = services.Loggers.CreateLogger<ProduceApi>();

    protected override ValueTask<ProduceResponse?> HandleAsync(ProduceRequest request, RequestContext context)
    {
        var response = new ProduceResponse();
        List<Unsynced> unsynced = [];
        HeldSyncs? held = request.Acks == AcksAll ? new HeldSyncs() : null;
        if (context.Version >= FirstVersionOfTopicIds)
        {
            request.Topics.ForEach(topic => topic.Name = services.Topics.Find(topic.TopicId)?.Name ?? "");
        }

        var transaction = ProduceTransaction.Of(request, context.Version, services.Topics, transactions);
        try
        {
            foreach (ProduceTopic topic in request.Topics)
            {
                var answered = new ProduceTopicResponse { Name = topic.Name, TopicId = topic.TopicId };
                response.Topics.Add(answered);
                foreach (ProducePartition partition in topic.Partitions)
                {
                    answered.Partitions.Add(Append(request, context.Version, topic, partition, transaction, unsynced, held));
                }
            }
        }
        finally
        {
            if (held is not null)
            {
                services.Log.Release(held, context.MayBlock());
            }
        }

        if (request.Acks == AcksNone)
        {
            CloseAfterFailure(response, context);
            return default;
        }

        return unsynced.Count == 0 ? new ValueTask<ProduceResponse?>(response) : AwaitDiskAsync(request, response, unsynced, context);
    }

    private ProducePartitionResponse Append(
        ProduceRequest request,
        short version,
        ProduceTopic topic,
        ProducePartition asked,
        ProduceTransaction? transaction,
        List<Unsynced> unsynced,
        HeldSyncs? held)
    {
        var target = new TopicPartition(topic.Name, asked.Index);
        try
        {
            if (CheckRequest(request, version, target) is { } refused)
            {
                return refused;
            }

            // By its id: a topic that was made meanwhile under the same name is another one.
            Topic? found = version >= FirstVersionOfTopicIds ? services.Topics.Find(topic.TopicId) : services.Topics.Find(target.Topic);
            if (found?.Find(asked.Index) is not { } partition)
            {
                return target.Topic.Length == 0
                    ? Failed(target, ErrorCode.UnknownTopicId, "There is no topic of this id.")
                    : Failed(target, ErrorCode.UnknownTopicOrPartition, $"There is no partition {target}.");
            }

            if (found.IsUndecided)
            {
                return Failed(target, ErrorCode.KafkaStorageError, $"It is not known yet whether the creation of topic {target.Topic} was cut short. The broker's log says what cannot be read.");
            }

            ReadOnlyMemory<byte> sent = asked.Records.GetValueOrDefault();
            if (CheckBatch(version, target, sent.Span, partition.Settings.MaximumBatchByteCount) is { } faulty)
            {
                return faulty;
            }

            Memory<byte> batch = Recompression.Apply(sent, partition.Settings);
            return RecordBatchHeader.Read(batch.Span).IsTransactional
                ? AppendInTransaction(transaction, partition, batch)
                : Append(request.Acks, partition, batch, unsynced, held);
        }
        catch (InvalidRecordBatchException fault)
        {
            return Failed(target, ErrorCode.InvalidRecord, fault.Message);
        }
        catch (CodecUnavailableException unavailable)
        {
            return Failed(target, ErrorCode.UnsupportedCompressionType, $"The topic has its batches compressed anew (compression.type), and that cannot be done here. {unavailable.Message}");
        }
        catch (Exception bug)
        {
            // The other partitions of the request have their own fate.
            LogMessages.PartitionRequestFailed(_logger, bug, ApiKey.Produce, target);
            return Failed(target, ErrorCode.UnknownServerError, "The append failed inside the broker; its log says more.");
        }
    }

    private ProducePartitionResponse Append(short acks, PartitionLog partition, Memory<byte> batch, List<Unsynced> unsynced, HeldSyncs? held)
    {
        // As a rule it lies in the request's frame, which is this broker's since it arrived: offsets are assigned in place, and the bytes go to the disk from where they are.
        AppendDurability durability = acks == AcksAll ? AppendDurability.Disk : AppendDurability.PageCache;
        return Respond(partition, batch.Length, partition.Append(batch.Span, durability, held: held), acks, unsynced);
    }

    private ProducePartitionResponse AppendInTransaction(ProduceTransaction? transaction, PartitionLog partition, Memory<byte> batch)
    {
        TopicPartition target = partition.TopicPartition;
        if (transaction is null)
        {
            return Failed(target, ErrorCode.TransactionalIdAuthorizationFailed, "A batch of a transaction needs the transactional id in its request.");
        }

        AppendResult? result = null;

        // The epoch first: in a later one the log may be shorter, so that a marker below this end came after all the same.
        int leaderEpoch = partition.LeaderEpoch;
        Offset verifiedAt = partition.LogEndOffset;
        ErrorCode error = transaction.Append(
            target, batch, () => result = partition.Append(batch.Span, AppendDurability.PageCache, verifiedAt: verifiedAt, leaderEpoch: leaderEpoch));
        return result is null
            ? Failed(target, error, ProduceTransaction.Describe(error))
            : Respond(partition, batch.Length, result, AcksLeader, unsynced: []);
    }

    private ProducePartitionResponse Respond(PartitionLog partition, int byteCount, AppendResult result, short acks, List<Unsynced> unsynced)
    {
        switch (result)
        {
            case AppendResult.Appended appended:
                Diagnostics.Produced(byteCount);
                return Succeeded(
                    acks == AcksAll || appended.IsFlushed,
                    new AppendedRecords(partition, appended.LastOffset, appended.LeaderEpoch),
                    appended.BaseOffset,
                    appended.LogAppendTime,
                    unsynced);
            case AppendResult.Duplicate duplicate:
                return Succeeded(
                    acks == AcksAll || duplicate.IsFlushed,
                    new AppendedRecords(partition, duplicate.LastOffset, duplicate.LeaderEpoch),
                    duplicate.BaseOffset,
                    NoLogAppendTime,
                    unsynced);
            case AppendResult.Rejected rejected:
                ProducePartitionResponse failed = Failed(partition.TopicPartition, ErrorFor(rejected.Rejection, partition), rejected.Detail);
                failed.RecordErrors = [.. rejected.FaultyRecords.Select(index => new ProduceRecordError { BatchIndex = index, Message = rejected.Detail })];
                return failed;
            default:
                throw new InvalidOperationException($"An append has no outcome {result}.");
        }
    }

    private static ProducePartitionResponse Succeeded(
        bool waitsForDisk, AppendedRecords records, Offset baseOffset, long logAppendTime, List<Unsynced> unsynced)
    {
        PartitionLog partition = records.Partition;
        var response = new ProducePartitionResponse
        {
            Index = partition.TopicPartition.Partition,
            BaseOffset = baseOffset.Value,
            LogAppendTime = logAppendTime,
            LogStartOffset = partition.LogStartOffset.Value,
        };
        if (waitsForDisk)
        {
            unsynced.Add(new Unsynced(records, response));
        }

        return response;
    }

    private async ValueTask<ProduceResponse?> AwaitDiskAsync(
        ProduceRequest request, ProduceResponse response, List<Unsynced> unsynced, RequestContext context)
    {
        WaitOutcome outcome = await services.Waits.WaitAsync(
            new DiskWait([.. unsynced.Select(append => append.Records)]),
            TimeSpan.FromMilliseconds(request.TimeoutMilliseconds),
            context.Aborted);
        if (outcome == WaitOutcome.Aborted)
        {
            return null;
        }

        foreach (Unsynced append in unsynced)
        {
            if (append.Records.AreOnDisk)
            {
                continue;
            }

            // Not on the disk: whether the records survive is open, so nothing but an error would be true.
            PartitionLog partition = append.Records.Partition;
            bool isOnItsWay = append.Records.AreOnTheirWay;
            append.Response.BaseOffset = -1;
            append.Response.ErrorCode = isOnItsWay ? ErrorCode.RequestTimedOut : OfflineError(partition);
            append.Response.ErrorMessage = isOnItsWay
                ? $"The disk did not confirm within {request.TimeoutMilliseconds} ms. The records are in the log and may or may not survive a crash."
                : $"Partition {partition.TopicPartition} {(partition.OfflineReason is { } reason ? $"is offline: {reason}" : "was offline, and came back without the records.")}";
        }

        return response;
    }

    /// <summary>What can be said without looking at the records; null if nothing is wrong.</summary>
    private static ProducePartitionResponse? CheckRequest(ProduceRequest request, short version, TopicPartition target)
    {
        if (version < FirstVersionOfBatches)
        {
            return Failed(target, ErrorCode.UnsupportedVersion, "Produce before version 3 carries message formats that are not supported.");
        }

        if (request.Acks is not (AcksNone or AcksLeader or AcksAll))
        {
            return Failed(target, ErrorCode.InvalidRequiredAcks, $"acks is {request.Acks}; it may be 0, 1 or -1 (all).");
        }

        return TopicName.IsInternal(target.Topic)
            ? Failed(target, ErrorCode.InvalidTopic, $"Topic {target.Topic} is written by the broker alone.")
            : null;
    }

    private static ProducePartitionResponse? CheckBatch(short version, TopicPartition target, ReadOnlySpan<byte> batch, int maximumByteCount)
    {
        if (batch.Length < RecordBatchHeader.ByteCount)
        {
            return batch.IsEmpty
                ? Failed(target, ErrorCode.InvalidRecord, "There is no record batch.")
                : Failed(target, ErrorCode.CorruptMessage, $"A record batch has at least {RecordBatchHeader.ByteCount} bytes; there are {batch.Length}.");
        }

        RecordBatchHeader header = RecordBatchHeader.Read(batch);
        if (header.Magic != RecordBatchHeader.CurrentMagic)
        {
            return Failed(target, ErrorCode.UnsupportedForMessageFormat, $"The batch is of format {header.Magic}; this version of Produce carries format 2.");
        }

        if (header.BatchLength >= 0 && header.BatchLength < batch.Length - RecordBatchHeader.LengthPrefixByteCount)
        {
            return Failed(target, ErrorCode.InvalidRecord, "A partition gets one record batch in a request; more bytes follow the first one.");
        }

        if (header.Codec == CompressionCodec.Zstd && version < FirstVersionOfZstd)
        {
            return Failed(target, ErrorCode.UnsupportedCompressionType, $"zstd needs Produce version {FirstVersionOfZstd}; this is version {version}.");
        }

        // What the log refuses for its size or its checksum is not opened: that costs the most, and more than the batch has bytes. The log's is the error after which a producer tries again.
        bool isOpened = header.Codec != CompressionCodec.None && batch.Length <= maximumByteCount && RecordBatch.Check(batch, out _) == BatchVerdict.Valid;
        return isOpened ? CheckCompressedRecords(target, batch) : null;
    }

    /// <summary>
    /// Walks the records of a compressed batch: one that cannot be read would stop every consumer that comes to it, and one that expands beyond
    /// <see cref="Compression.DefaultMaximumDecompressedByteCount"/> would cost him that memory. The log does the same for the others.
    /// </summary>
    private static ProducePartitionResponse? CheckCompressedRecords(TopicPartition target, ReadOnlySpan<byte> batch)
    {
        try
        {
            RecordBatchReader.Validate(batch);
            return null;
        }
        catch (InvalidRecordBatchException fault)
        {
            return Failed(target, ErrorCode.InvalidRecord, fault.Message);
        }
        catch (CodecUnavailableException)
        {
            // Without the library the records stay closed to the broker; consumers may have it.
            return null;
        }
    }

    /// <summary>A producer that wants no answers learns of a failure by the end of its connection, as it does from Kafka: then it asks for metadata again.</summary>
    private static void CloseAfterFailure(ProduceResponse response, RequestContext context)
    {
        foreach (ProduceTopicResponse topic in response.Topics)
        {
            foreach (ProducePartitionResponse partition in topic.Partitions)
            {
                if (partition.ErrorCode != ErrorCode.None)
                {
                    context.CloseConnection($"acks=0, and {topic.Name}-{partition.Index} failed with {partition.ErrorCode}: {partition.ErrorMessage}");
                    return;
                }
            }
        }
    }

    /// <summary>A topic that was deleted while its records were on their way is no fault of the disk.</summary>
    private ErrorCode OfflineError(PartitionLog partition) =>
        services.Topics.Find(partition.TopicPartition) == partition ? ErrorCode.KafkaStorageError : ErrorCode.UnknownTopicOrPartition;

    private ErrorCode ErrorFor(AppendRejection rejection, PartitionLog partition) => rejection switch
    {
        AppendRejection.CorruptMessage => ErrorCode.CorruptMessage,
        AppendRejection.MessageTooLarge => ErrorCode.MessageTooLarge,
        AppendRejection.UnsupportedForMessageFormat => ErrorCode.UnsupportedForMessageFormat,
        AppendRejection.OutOfOrderSequence => ErrorCode.OutOfOrderSequenceNumber,
        AppendRejection.InvalidProducerEpoch => ErrorCode.InvalidProducerEpoch,
        AppendRejection.InvalidTransactionState => ErrorCode.InvalidTxnState,
        AppendRejection.TooManyProducers => ErrorCode.ThrottlingQuotaExceeded,
        AppendRejection.InvalidTimestamp => ErrorCode.InvalidTimestamp,
        AppendRejection.InvalidRecord => ErrorCode.InvalidRecord,
        AppendRejection.Offline => OfflineError(partition),

        // The error after which clients of every age send the batch again, and do not ask for metadata first.
        AppendRejection.TransactionsUnsettled => ErrorCode.NotEnoughReplicas,
        _ => ErrorCode.UnknownServerError,
    };

    private static ProducePartitionResponse Failed(TopicPartition target, ErrorCode error, string message) =>
        new() { Index = target.Partition, ErrorCode = error, BaseOffset = -1, ErrorMessage = message };

    /// <summary>An append whose answer waits for the disk.</summary>
    private readonly record struct Unsynced(AppendedRecords Records, ProducePartitionResponse Response);
}
