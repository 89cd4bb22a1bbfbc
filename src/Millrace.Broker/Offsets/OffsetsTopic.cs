using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>A record of the offsets topic, with where it stands.</summary>
/// <param name="Partition">Of the offsets topic.</param>
/// <param name="ProducerId">Of the producer in whose transaction it was written; null outside of one.</param>
internal readonly record struct OffsetsEntry(OffsetsRecord Record, int Partition, Offset Position, long? ProducerId);

/// <summary>
/// The internal topic <c>__consumer_offsets</c>: what groups committed, and which generation they are in.
/// </summary>
internal sealed class OffsetsTopic
{
    private readonly CoordinatorTopic _topic;

    private OffsetsTopic(CoordinatorTopic topic) => _topic = topic;

    /// <summary>The topic itself, for who creates it.</summary>
    public CoordinatorTopic Topic => _topic;

    /// <summary>Opens the topic if it is there, and reads all of it: <paramref name="replay"/> gets every record, a group's in the order of the log.</summary>
    public static OffsetsTopic Open(
        TopicCatalog topics, int newPartitionCount, BrokerRuntime runtime, ILogger logger, Action<OffsetsEntry> replay)
    {
        CoordinatorTopic topic = new(topics, TopicName.ConsumerOffsets, newPartitionCount, runtime, logger);
        long foreignCount = 0;
        topic.Open((partition, header, batch) => ReplayBatch(partition, header, batch, replay, ref foreignCount));
        if (foreignCount > 0)
        {
            LogMessages.ForeignOffsetsRecords(logger, TopicName.ConsumerOffsets, foreignCount);
        }

        return new OffsetsTopic(topic);
    }

    /// <inheritdoc cref="CoordinatorTopic.ReloadAsync"/>
    public Task ReloadAsync(PartitionLog log, Action unload, Action<OffsetsEntry> replay, Action restore)
    {
        long foreignCount = 0;
        return _topic.ReloadAsync(log, unload, (partition, header, batch) => ReplayBatch(partition, header, batch, replay, ref foreignCount), () =>
        {
            restore();
            return Task.CompletedTask;
        });
    }

    /// <inheritdoc cref="CoordinatorTopic.PartitionOf"/>
    public int PartitionOf(string groupId) => _topic.PartitionOf(groupId);

    /// <inheritdoc cref="CoordinatorTopic.Serves(string)"/>
    public bool Serves(string groupId) => _topic.Serves(groupId);

    /// <inheritdoc cref="CoordinatorTopic.Serves(string, out CoordinatorPartition)"/>
    public bool Serves(string groupId, out CoordinatorPartition? by) => _topic.Serves(groupId, out by);

    /// <inheritdoc cref="CoordinatorTopic.EnsureCreated"/>
    public bool EnsureCreated() => _topic.EnsureCreated();

    /// <inheritdoc cref="CoordinatorTopic.Find"/>
    public CoordinatorPartition? Find(string groupId) => _topic.Find(groupId);

    /// <inheritdoc cref="CoordinatorPartition.Append"/>
    public ErrorCode Append(string groupId, RecordBatchBuilder batch, CoordinatorPartition.Decided decided, Action abandoned) =>
        _topic.Find(groupId)?.Append(batch.Build(), decided, abandoned) ?? ErrorCode.CoordinatorNotAvailable;

    private static (Offset Offset, string Fault)? ReplayBatch(
        int partition, RecordBatchHeader header, ReadOnlyMemory<byte> batch, Action<OffsetsEntry> replay, ref long foreignCount)
    {
        if (header.IsControl)
        {
            if (EndTransactionMarker.TryRead(batch.Span, out EndTransactionMarker marker))
            {
                replay(new OffsetsEntry(new OffsetsRecord.TransactionEnd(marker.IsCommit), partition, header.BaseOffset, header.Producer.Id));
            }

            return null;
        }

        foreach (Record record in RecordBatchReader.Read(batch))
        {
            switch (OffsetsRecord.Read(record))
            {
                case OffsetsRecord.Malformed malformed:
                    return (record.Offset, malformed.Error);
                case OffsetsRecord.Foreign:
                    foreignCount++;
                    break;
                case OffsetsRecord known:
                    replay(new OffsetsEntry(known, partition, record.Offset, header.IsTransactional ? header.Producer.Id : null));
                    break;
            }
        }

        return null;
    }
}
