using System.Collections.Frozen;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// An internal topic in which a coordinator keeps what it knows, by key: a group's id, or a transactional id. It is created when the first key needs it, or
/// before by a client that asks for it.
/// </summary>
internal sealed class CoordinatorTopic
{
    private const int ReplayByteCount = 1024 * 1024;

    /// <summary>Kafka's for these topics: of each key only the newest record counts, and small segments are compacted soon.</summary>
    public static readonly FrozenDictionary<string, string> Settings = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["cleanup.policy"] = "compact",
        ["compression.type"] = "producer",
        ["segment.bytes"] = "104857600",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private readonly Lock _creation = new();
    private readonly TopicCatalog _topics;
    private readonly string _name;
    private readonly BrokerRuntime _runtime;
    private readonly ILogger _logger;

    // Null where a partition is missing, offline or damaged, and in all of a topic that is undecided: its keys are not served. An entry is replaced when its partition has come back.
    private volatile CoordinatorPartition?[]? _partitions;

    public CoordinatorTopic(TopicCatalog topics, string name, int newPartitionCount, BrokerRuntime runtime, ILogger logger)
    {
        _topics = topics;
        _name = name;
        NewPartitionCount = newPartitionCount;
        _runtime = runtime;
        _logger = logger;
    }

    /// <summary>Takes a batch that is read; returns what cannot be read in it, and at which offset.</summary>
    public delegate (Offset Offset, string Fault)? ReplayBatch(int partition, RecordBatchHeader header, ReadOnlyMemory<byte> batch);

    /// <summary>How many partitions the topic gets when nobody says how many.</summary>
    public int NewPartitionCount { get; }

    /// <summary>Whether every partition of the topic was read as it is now.</summary>
    public bool KnowsAll => _partitions is not { } partitions || Array.TrueForAll(partitions, static partition => partition is { IsCurrent: true });

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

            CoordinatorPartition?[] partitions = [.. topic.Partitions.Select(log => log is null || topic.IsUndecided ? null : Load(log, replay))];
            Array.ForEach(partitions, static partition => partition?.MarkLoaded());
            _partitions = partitions;
        }
    }

    /// <summary>
    /// Reads a partition that has come back, in place of what was known of it. Its keys are not served until all is done.
    /// </summary>
    /// <param name="unload">Forgets what was known; from before it on nothing is appended.</param>
    /// <param name="restore">Makes of what was read what is known; it may append.</param>
    public async Task ReloadAsync(PartitionLog log, Action unload, ReplayBatch replay, Func<Task> restore)
    {
        int number = log.TopicPartition.Partition;
        if (_partitions is not { } partitions || number >= partitions.Length || !ReferenceEquals(_topics.Find(log.TopicPartition), log))
        {
            return;
        }

        Interlocked.Exchange(ref partitions[number], null)?.Retire();
        unload();
        if (Load(log, replay) is not { } partition)
        {
            return;
        }

        Volatile.Write(ref partitions[number], partition);
        await restore();
        partition.MarkLoaded();
        LogMessages.CoordinatorPartitionReloaded(_logger, log.TopicPartition, log.LogEndOffset.Value);
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
    public bool Serves(string key) => Serves(key, out _);

    /// <summary>As the other, and says by what; null while there is no topic. Another one takes its place when the partition is read again.</summary>
    public bool Serves(string key, out CoordinatorPartition? by)
    {
        CoordinatorPartition?[]? partitions = _partitions;
        by = partitions is null ? null : Volatile.Read(ref partitions[PartitionFor(key, partitions.Length)]);
        return partitions is null || by is { Serves: true };
    }

    /// <summary>Whether what becomes of the key can be written down now; true while there is no topic.</summary>
    public bool IsOnline(string key) =>
        _partitions is not { } partitions || Volatile.Read(ref partitions[PartitionFor(key, partitions.Length)]) is { IsOnline: true };

    /// <summary>The number of the partition that holds what is known of the key; -1 while there is no topic.</summary>
    public int PartitionOf(string key) => _partitions is { } partitions ? PartitionFor(key, partitions.Length) : -1;

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

            if (Create(NewPartitionCount, Settings) is TopicCreation.Refused refused)
            {
                LogMessages.CoordinatorTopicNotCreated(_logger, _name, refused.Message);
                return false;
            }

            return true;
        }
    }

    /// <summary>Creates the topic with so many partitions and these settings, and serves keys from it; refused where it is there. Blocks until it is on the disk.</summary>
    public TopicCreation Create(int partitionCount, IReadOnlyDictionary<string, string> settings)
    {
        lock (_creation)
        {
            TopicCreation outcome = _topics.Create(_name, partitionCount, settings);
            if (outcome is TopicCreation.Created created)
            {
                CoordinatorPartition[] partitions = [.. created.Topic.Partitions.Select(log => new CoordinatorPartition(log!, _runtime, _logger))];
                Array.ForEach(partitions, static partition => partition.MarkLoaded());
                _partitions = partitions;
            }

            return outcome;
        }
    }

    /// <summary>The partition that holds what is known of the key; null if there is none that could be read.</summary>
    public CoordinatorPartition? Find(string key) =>
        EnsureCreated() && _partitions is { } partitions ? Volatile.Read(ref partitions[PartitionFor(key, partitions.Length)]) : null;

    private CoordinatorPartition? Load(PartitionLog log, ReplayBatch replay)
    {
        // Before the first look at the log: if it comes back once more meanwhile, this is of an epoch that is over.
        CoordinatorPartition partition = new(log, _runtime, _logger);
        if (Replay(log, replay))
        {
            return partition;
        }

        partition.Retire();
        return null;
    }

    private bool Replay(PartitionLog log, ReplayBatch replay)
    {
        Offset position = log.LogStartOffset;
        if (log.OfflineReason is { } reason)
        {
            // Its end says nothing: what is not known looks like a log without records.
            return Unavailable(log, position, reason);
        }

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
