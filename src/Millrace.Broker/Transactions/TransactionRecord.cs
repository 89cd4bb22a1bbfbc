using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>What a record of <c>__transaction_state</c> says of a transactional id; null: it is forgotten. Written in version 1 of Kafka's format.</summary>
/// <param name="Owed">Earlier decisions of which markers may be missing, oldest first.</param>
internal readonly record struct TransactionRecord(string TransactionalId, TransactionState? State, IReadOnlyList<OwedMarkers> Owed)
{
    private const short KeyVersion = 0;
    private const short ValueVersion = 1;

    public static void Append(RecordBatchBuilder batch, TransactionState state, IReadOnlyList<OwedMarkers> owed)
    {
        TransactionLogValue value = new()
        {
            ProducerId = state.Producer.Id,
            PreviousProducerId = state.PreviousProducerId,
            NextProducerId = state.NextProducerId,
            ProducerEpoch = state.Producer.Epoch,
            TransactionTimeoutMilliseconds = (int)state.Timeout.TotalMilliseconds,
            TransactionStatus = (sbyte)state.Status,
            TransactionPartitions = state.Status == TransactionStatus.Empty ? null : PartitionsOf(state.Partitions),
            TransactionLastUpdateTimestampMilliseconds = state.UpdateTimestamp,
            TransactionStartTimestampMilliseconds = state.StartTimestamp,
            ClientTransactionVersion = state.ClientVersion,
            OwedMarkers =
            [
                .. owed.Select(static markers => new TransactionLogOwedMarkers
                {
                    ProducerId = markers.Producer.Id,
                    ProducerEpoch = markers.Producer.Epoch,
                    Committed = markers.IsCommit,
                    Partitions = PartitionsOf(markers.Partitions),
                }),
            ],
        };
        batch.Append(state.UpdateTimestamp, KeyOf(state.TransactionalId), MessageCodec.WriteData(value, ValueVersion).AsMemory());
    }

    public static void AppendTombstone(RecordBatchBuilder batch, string transactionalId, long timestamp) =>
        batch.Append(timestamp, KeyOf(transactionalId), value: null);

    public static bool TryRead(in Record record, out TransactionRecord read, [NotNullWhen(false)] out string? error)
    {
        read = default;
        if (record.Key is not ReadOnlyMemory<byte> keyBytes)
        {
            error = "it has no key";
            return false;
        }

        if (!MessageCodec.TryReadData(keyBytes, acceptNewer: false, out TransactionLogKey? key, out error))
        {
            return false;
        }

        if (record.Value is not ReadOnlyMemory<byte> valueBytes)
        {
            read = new TransactionRecord(key.TransactionalId, State: null, []);
            return true;
        }

        if (!MessageCodec.TryReadData(valueBytes, acceptNewer: false, out TransactionLogValue? value, out error))
        {
            return false;
        }

        if (value.TransactionStatus is < (sbyte)TransactionStatus.Empty or > (sbyte)TransactionStatus.CompleteAbort)
        {
            error = $"its state is {value.TransactionStatus}, which is none";
            return false;
        }

        read = new TransactionRecord(key.TransactionalId, StateOf(key.TransactionalId, value), [.. value.OwedMarkers.Select(OwedOf)]);
        return true;
    }

    private static ReadOnlyMemory<byte> KeyOf(string transactionalId) =>
        MessageCodec.WriteData(new TransactionLogKey { TransactionalId = transactionalId }, KeyVersion);

    private static List<TransactionLogPartitions> PartitionsOf(ImmutableSortedDictionary<TopicPartition, PartitionEnd> ends)
    {
        List<TransactionLogPartitions> topics = [];

        // A topic stands there twice where it was made anew while its partitions were asked for their ends.
        foreach (var topic in ends.GroupBy(static entry => (Name: entry.Key.Topic, Id: entry.Value.TopicId)).OrderBy(static topic => topic.Key.Name, StringComparer.Ordinal))
        {
            KeyValuePair<TopicPartition, PartitionEnd>[] partitions = [.. topic.OrderBy(static entry => entry.Key.Partition)];
            bool hasEnds = !Array.TrueForAll(partitions, static entry => entry.Value == PartitionEnd.None);
            topics.Add(new TransactionLogPartitions
            {
                Topic = topic.Key.Name,
                PartitionIds = [.. partitions.Select(static entry => entry.Key.Partition)],
                EndOffsets = hasEnds ? [.. partitions.Select(static entry => entry.Value.Offset.Value)] : null,
                LeaderEpochs = hasEnds ? [.. partitions.Select(static entry => entry.Value.LeaderEpoch)] : null,
                TopicId = topic.Key.Id,
            });
        }

        return topics;
    }

    private static ImmutableSortedDictionary<TopicPartition, PartitionEnd> EndsOf(List<TransactionLogPartitions> topics)
    {
        ImmutableSortedDictionary<TopicPartition, PartitionEnd>.Builder ends = TransactionState.NoPartitions.ToBuilder();
        foreach (TransactionLogPartitions topic in topics)
        {
            for (int index = 0; index < topic.PartitionIds.Count; index++)
            {
                // A broker of Kafka's writes no ends.
                PartitionEnd end = topic.EndOffsets is null || index >= topic.EndOffsets.Count ? PartitionEnd.None
                    : index < topic.LeaderEpochs?.Count ? new PartitionEnd(new Offset(topic.EndOffsets[index]), topic.LeaderEpochs[index], topic.TopicId)
                    : new PartitionEnd(new Offset(topic.EndOffsets[index]));
                ends[new TopicPartition(topic.Topic, topic.PartitionIds[index])] = end;
            }
        }

        return ends.ToImmutable();
    }

    private static OwedMarkers OwedOf(TransactionLogOwedMarkers owed) =>
        new(new ProducerIdentity(owed.ProducerId, owed.ProducerEpoch), owed.Committed, EndsOf(owed.Partitions));

    private static TransactionState StateOf(string transactionalId, TransactionLogValue value)
    {
        TransactionState state = new()
        {
            TransactionalId = transactionalId,
            Producer = new ProducerIdentity(value.ProducerId, value.ProducerEpoch),
            PreviousProducerId = value.PreviousProducerId,
            NextProducerId = value.NextProducerId,
            Timeout = TimeSpan.FromMilliseconds(value.TransactionTimeoutMilliseconds),
            Status = (TransactionStatus)value.TransactionStatus,
            Partitions = EndsOf(value.TransactionPartitions ?? []),
            StartTimestamp = value.TransactionStartTimestampMilliseconds,
            UpdateTimestamp = value.TransactionLastUpdateTimestampMilliseconds,
            ClientVersion = value.ClientTransactionVersion,
        };
        return state with { EndedAs = EndedAsOf(state) };
    }

    /// <summary>As whom the client ended the transaction: where epochs rise, one epoch before, or as the id before with its last epoch.</summary>
    private static ProducerIdentity EndedAsOf(TransactionState state) => state switch
    {
        { ClientVersion: < TransactionState.RisingEpochs } or { Status: TransactionStatus.Empty or TransactionStatus.Ongoing } => ProducerIdentity.None,
        { Producer.Epoch: > 0 } => state.Producer with { Epoch = (short)(state.Producer.Epoch - 1) },
        { IsDecided: false, PreviousProducerId: >= 0 } => new ProducerIdentity(state.PreviousProducerId, TransactionState.LastEpochOfClients),
        _ => ProducerIdentity.None,
    };
}
