using System.Collections.Frozen;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// The internal topic <c>__consumer_offsets</c>: what groups committed, and which generation they are in. It is created when the first group needs it.
/// </summary>
internal sealed class OffsetsTopic
{
    private const int ReplayByteCount = 1024 * 1024;

    /// <summary>Kafka's for this topic: of each key only the newest record counts, and small segments are compacted soon.</summary>
    private static readonly FrozenDictionary<string, string> Settings = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["cleanup.policy"] = "compact",
        ["compression.type"] = "producer",
        ["segment.bytes"] = "104857600",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private readonly Lock _creation = new();
    private readonly TopicCatalog _topics;
    private readonly int _newPartitionCount;
    private readonly ILogger _logger;

    // Null where a partition is missing or damaged: its groups are not served.
    private volatile OffsetsPartition?[]? _partitions;

    private OffsetsTopic(TopicCatalog topics, int newPartitionCount, ILogger logger)
    {
        _topics = topics;
        _newPartitionCount = newPartitionCount;
        _logger = logger;
    }

    /// <summary>Opens the topic if it is there, and reads all of it: <paramref name="replay"/> gets every record, a group's in the order of the log.</summary>
    public static OffsetsTopic Open(TopicCatalog topics, int newPartitionCount, ILogger logger, Action<OffsetsRecord> replay)
    {
        OffsetsTopic offsets = new(topics, newPartitionCount, logger);
        if (topics.Find(TopicName.ConsumerOffsets) is Topic topic)
        {
            if (topics.SettingsOf(topic.Name).Count == 0)
            {
                // An older version of this program made it, without settings: nothing of it may go by age.
                topics.SetSettings(topic.Name, Settings);
            }

            offsets._partitions =
            [
                .. topic.Partitions.Select(log => log is not null && offsets.Replay(log, replay) ? new OffsetsPartition(log) : null),
            ];
        }

        return offsets;
    }

    /// <summary>Kafka's choice: Java's hash of the string, its sign dropped.</summary>
    public static int PartitionFor(string groupId, int partitionCount)
    {
        int hash = 0;
        foreach (char character in groupId)
        {
            hash = unchecked((31 * hash) + character);
        }

        return (hash == int.MinValue ? 0 : Math.Abs(hash)) % partitionCount;
    }

    /// <summary>
    /// Whether the group's partition can be read and written. If it cannot, nobody may be told that the group has committed nothing:
    /// its consumers would start over, or skip what they have not read.
    /// </summary>
    public bool Serves(string groupId) => _partitions is not OffsetsPartition?[] partitions || PartitionOf(groupId, partitions) is not null;

    /// <summary>Creates the topic if it is not there. Blocks until it is on the disk; false if it cannot be created.</summary>
    public bool EnsureCreated()
    {
        if (_partitions is not null)
        {
            return true;
        }

        lock (_creation)
        {
            if (_partitions is not null)
            {
                return true;
            }

            switch (_topics.Create(TopicName.ConsumerOffsets, _newPartitionCount, Settings))
            {
                case TopicCreation.Created created:
                    _partitions = [.. created.Topic.Partitions.Select(log => new OffsetsPartition(log!))];
                    return true;
                case TopicCreation.Refused refused:
                    LogMessages.OffsetsTopicNotCreated(_logger, refused.Message);
                    return false;
                default:
                    return false;
            }
        }
    }

    /// <inheritdoc cref="OffsetsPartition.Append"/>
    public ErrorCode Append(string groupId, RecordBatchBuilder batch, Action<ErrorCode> decided)
    {
        if (!EnsureCreated() || PartitionOf(groupId, _partitions!) is not OffsetsPartition partition)
        {
            return ErrorCode.CoordinatorNotAvailable;
        }

        return partition.Append(batch.Build(), decided);
    }

    private static OffsetsPartition? PartitionOf(string groupId, OffsetsPartition?[] partitions) =>
        partitions[PartitionFor(groupId, partitions.Length)];

    private bool Replay(PartitionLog log, Action<OffsetsRecord> replay)
    {
        Offset position = log.LogStartOffset;
        long foreignCount = 0;
        while (position < log.LogEndOffset)
        {
            if (log.Read(position, ReplayByteCount, atLeastOneBatch: true, log.LogEndOffset) is not ReadResult.Data { Batches.IsEmpty: false } data)
            {
                return Unavailable(log, position, log.OfflineReason ?? "the log cannot be read there");
            }

            ReadOnlyMemory<byte> batches = data.Batches;
            while (!batches.IsEmpty)
            {
                RecordBatchHeader header = RecordBatchHeader.Read(batches.Span);
                if (ReplayBatch(header, batches[..header.TotalByteCount], replay, ref foreignCount) is (Offset offset, string fault))
                {
                    return Unavailable(log, offset, fault);
                }

                position = header.NextOffset;
                batches = batches[header.TotalByteCount..];
            }
        }

        if (foreignCount > 0)
        {
            LogMessages.ForeignOffsetsRecords(_logger, log.TopicPartition, foreignCount);
        }

        return true;
    }

    private static (Offset Offset, string Fault)? ReplayBatch(
        RecordBatchHeader header, ReadOnlyMemory<byte> batch, Action<OffsetsRecord> replay, ref long foreignCount)
    {
        if (header.IsControl)
        {
            return null;
        }

        try
        {
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
                        replay(known);
                        break;
                }
            }

            return null;
        }
        catch (InvalidRecordBatchException unreadable)
        {
            return (header.BaseOffset, unreadable.Message);
        }
    }

    private bool Unavailable(PartitionLog log, Offset offset, string fault)
    {
        LogMessages.OffsetsPartitionUnavailable(_logger, log.TopicPartition, offset.Value, fault);
        return false;
    }
}
