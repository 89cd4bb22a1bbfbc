using System.Collections.Frozen;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// An internal topic in which a coordinator keeps what it knows, by key: a group's id, or a transactional id. It is created when the first key needs it.
/// </summary>
internal sealed class CoordinatorTopic
{
    private const int ReplayByteCount = 1024 * 1024;

    /// <summary>Kafka's for these topics: of each key only the newest record counts, and small segments are compacted soon.</summary>
    private static readonly FrozenDictionary<string, string> Settings = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["cleanup.policy"] = "compact",
        ["compression.type"] = "producer",
        ["segment.bytes"] = "104857600",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private readonly Lock _creation = new();
    private readonly TopicCatalog _topics;
    private readonly string _name;
    private readonly int _newPartitionCount;
    private readonly ILogger _logger;

    // Null where a partition is missing or damaged: its keys are not served.
    private volatile CoordinatorPartition?[]? _partitions;

    public CoordinatorTopic(TopicCatalog topics, string name, int newPartitionCount, ILogger logger)
    {
        _topics = topics;
        _name = name;
        _newPartitionCount = newPartitionCount;
        _logger = logger;
    }

    /// <summary>Takes a batch that is read; returns what cannot be read in it, and at which offset.</summary>
    public delegate (Offset Offset, string Fault)? ReplayBatch(int partition, RecordBatchHeader header, ReadOnlyMemory<byte> batch);

    /// <summary>Whether every partition that there is can be read and written.</summary>
    public bool ServesAll => _partitions is not CoordinatorPartition?[] partitions || Array.TrueForAll(partitions, static partition => partition is not null);

    /// <summary>Reads all of the topic if it is there; a key's records come in the order of the log.</summary>
    public void Open(ReplayBatch replay)
    {
        if (_topics.Find(_name) is Topic topic)
        {
            if (_topics.SettingsOf(topic.Name).Count == 0)
            {
                // An older version of this program made it, without settings: nothing of it may go by age.
                _topics.SetSettings(topic.Name, Settings);
            }

            _partitions = [.. topic.Partitions.Select(log => log is not null && Replay(log, replay) ? new CoordinatorPartition(log) : null)];
        }
    }

    /// <summary>Kafka's choice: Java's hash of the string, its sign dropped.</summary>
    public static int PartitionFor(string key, int partitionCount)
    {
        int hash = 0;
        foreach (char character in key)
        {
            hash = unchecked((31 * hash) + character);
        }

        return (hash == int.MinValue ? 0 : Math.Abs(hash)) % partitionCount;
    }

    /// <summary>
    /// Whether the key's partition can be read and written. If it cannot, nobody may be told that nothing is known of the key:
    /// consumers would start over, or skip what they have not read.
    /// </summary>
    public bool Serves(string key) => _partitions is not CoordinatorPartition?[] partitions || partitions[PartitionFor(key, partitions.Length)] is not null;

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

            switch (_topics.Create(_name, _newPartitionCount, Settings))
            {
                case TopicCreation.Created created:
                    _partitions = [.. created.Topic.Partitions.Select(log => new CoordinatorPartition(log!))];
                    return true;
                case TopicCreation.Refused refused:
                    LogMessages.CoordinatorTopicNotCreated(_logger, _name, refused.Message);
                    return false;
                default:
                    return false;
            }
        }
    }

    /// <summary>The partition that holds what is known of the key; null if it is not served.</summary>
    public CoordinatorPartition? Find(string key) =>
        EnsureCreated() && _partitions is { } partitions ? partitions[PartitionFor(key, partitions.Length)] : null;

    private bool Replay(PartitionLog log, ReplayBatch replay)
    {
        Offset position = log.LogStartOffset;
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
                if (TryReplay(log.TopicPartition.Partition, header, batches[..header.TotalByteCount], replay) is (Offset offset, string fault))
                {
                    return Unavailable(log, offset, fault);
                }

                position = header.NextOffset;
                batches = batches[header.TotalByteCount..];
            }
        }

        return true;
    }

    private static (Offset Offset, string Fault)? TryReplay(int partition, RecordBatchHeader header, ReadOnlyMemory<byte> batch, ReplayBatch replay)
    {
        try
        {
            return replay(partition, header, batch);
        }
        catch (InvalidRecordBatchException unreadable)
        {
            return (header.BaseOffset, unreadable.Message);
        }
    }

    private bool Unavailable(PartitionLog log, Offset offset, string fault)
    {
        LogMessages.CoordinatorPartitionUnavailable(_logger, log.TopicPartition, offset.Value, fault);
        return false;
    }
}
