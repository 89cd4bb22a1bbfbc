using System.Collections.Concurrent;
using System.Collections.ObjectModel;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// Which topics exist, and with which partitions. Kafka's layout has a directory per partition and no file that says how many belong to a topic, so the order of
/// creation has to make it certain.
/// </summary>
/// <remarks>
/// A topic of N partitions is created from the highest partition down to 0, each durable before the next one is begun. So the highest directory says N from the first moment,
/// and the directory of partition 0 is the moment at which the topic exists:
/// <code>
/// found at the start                              meaning                               what is done
/// 0 .. N-1                                        a whole topic                         served
/// some of 1 .. N-1, none with a record, no 0      a crash during the creation,          the missing ones are created: the topic
///                                                 which nobody was told had succeeded   has the N partitions that were asked for
/// 0, and a gap; or records, and no 0              somebody removed a directory          the missing ones are reported and not served
/// no 0, no record, one that cannot be read        the one or the other                  nothing is written to it until that one is
///                                                                                       back, or a start can read it: then as above
/// </code>
/// Topics become visible to clients as a whole, after all of it is on the disk. Partitions that are added come from the lowest up: wherever a crash cuts that
/// short, a whole topic is left. A deletion is written down before the first directory goes (<see cref="TopicDeletions"/>).
/// </remarks>
internal sealed partial class TopicCatalog
{
    private readonly Lock _creation = new();
    private readonly LogDirectory _log;
    private readonly TopicDeletions _deletions;
    private readonly PartitionWaits _waits;
    private readonly Func<Guid> _newTopicId;
    private readonly int _maxPartitionCount;
    private readonly ILogger _logger;
    private readonly ConcurrentDictionary<string, Topic> _byName = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<Guid, Topic> _byId = new();

    // Guarded by _creation.
    private readonly Dictionary<string, string> _nameByCollisionKey = new(StringComparer.Ordinal);
    private int _partitionCount;

    private TopicCatalog(
        LogDirectory log, TopicDeletions deletions, PartitionWaits waits, Func<Guid> newTopicId, int maxPartitionCount, ILogger logger)
    {
        _log = log;
        _deletions = deletions;
        _waits = waits;
        _newTopicId = newTopicId;
        _maxPartitionCount = maxPartitionCount;
        _logger = logger;
    }

    /// <summary>Every topic, in no order.</summary>
    public IEnumerable<Topic> All => _byName.Values;

    public int PartitionCount
    {
        get
        {
            lock (_creation)
            {
                return _partitionCount;
            }
        }
    }

    /// <summary>Finds the topics of a data directory, and finishes the creations and deletions that a crash has cut short.</summary>
    /// <exception cref="BrokerStartException">The disk does not let one be finished.</exception>
    public static TopicCatalog Open(
        LogDirectory log, TopicDeletions deletions, PartitionWaits waits, Func<Guid> newTopicId, int maxPartitionCount, ILogger logger)
    {
        var catalog = new TopicCatalog(log, deletions, waits, newTopicId, maxPartitionCount, logger);
        catalog.ResumeDeletions();
        foreach (IGrouping<string, PartitionLog> partitions in InOrder(log.Partitions).GroupBy(partition => partition.TopicPartition.Topic))
        {
            catalog.Adopt(partitions.Key, [.. partitions]);
        }

        return catalog;
    }

    private static IEnumerable<PartitionLog> InOrder(IEnumerable<PartitionLog> partitions) =>
        partitions.OrderBy(static partition => partition.TopicPartition, TopicPartition.Order);

    public Topic? Find(string name) => _byName.GetValueOrDefault(name);

    public Topic? Find(Guid id) => _byId.GetValueOrDefault(id);

    public PartitionLog? Find(TopicPartition partition) => Find(partition.Topic)?.Find(partition.Partition);

    /// <summary>A partition to which something may be written; null also while it is not known whether the creation of its topic was cut short.</summary>
    public PartitionLog? FindDecided(TopicPartition partition) =>
        Find(partition.Topic) is { IsUndecided: false } topic ? topic.Find(partition.Partition) : null;

    /// <summary>Whether a topic could have this name, whatever else is asked for.</summary>
    public TopicCreation.Refused? CheckName(string name)
    {
        lock (_creation)
        {
            return CheckNameUnderLock(name);
        }
    }

    /// <summary>Whether a topic could be created, without creating it.</summary>
    public TopicCreation.Refused? Check(string name, int partitionCount)
    {
        lock (_creation)
        {
            return CheckUnderLock(name, partitionCount);
        }
    }

    /// <summary>Creates a topic, with the settings that are given and no others. Blocks until all of it is on the disk.</summary>
    public TopicCreation Create(string name, int partitionCount, IReadOnlyDictionary<string, string>? settings = null)
    {
        lock (_creation)
        {
            if (CheckUnderLock(name, partitionCount) is { } refused)
            {
                return refused;
            }

            try
            {
                // Before the first partition: none may go by the defaults for a moment, or by what a topic of this name had when a crash came.
                _log.SetOverrides(name, settings ?? ReadOnlyDictionary<string, string>.Empty);

                // What a failed creation has left has an id, which the whole topic then gets.
                Guid topicId = Begun(name).FirstOrDefault()?.TopicId ?? _newTopicId();
                PartitionLog?[] partitions = CreateMissing(name, partitionCount, new PartitionLog?[partitionCount], topicId);
                Topic topic = Publish(name, partitions);
                LogMessages.TopicCreated(_logger, name, partitionCount, topic.Id);
                return new TopicCreation.Created(topic);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                LogMessages.TopicCreationFailed(_logger, failure, name);
                return new TopicCreation.Refused(
                    ErrorCode.KafkaStorageError, $"Topic {name} cannot be created: {failure.Message} The broker's log says more.");
            }
        }
    }

    private TopicCreation.Refused? CheckNameUnderLock(string name)
    {
        if (TopicName.Fault(name) is { } fault)
        {
            return new TopicCreation.Refused(ErrorCode.InvalidTopic, fault);
        }

        if (name == TopicName.ClusterMetadata)
        {
            return new TopicCreation.Refused(
                ErrorCode.TopicAuthorizationFailed, $"Topic {name} is Kafka's log of a cluster's metadata: nobody else may have the name. Choose another one.");
        }

        if (_deletions.All.ContainsKey(name))
        {
            return new TopicCreation.Refused(ErrorCode.TopicAlreadyExists, $"Topic {name} is being deleted.");
        }

        if (_byName.ContainsKey(name))
        {
            return new TopicCreation.Refused(ErrorCode.TopicAlreadyExists, $"Topic '{name}' already exists.");
        }

        return _nameByCollisionKey.TryGetValue(TopicName.CollisionKey(name), out string? other)
            ? new TopicCreation.Refused(
                ErrorCode.InvalidTopic, $"Topic {name} collides with topic {other}: they differ only in '.' and '_', which are one in the names of metrics.")
            : null;
    }

    private TopicCreation.Refused? CheckUnderLock(string name, int partitionCount)
    {
        if (CheckNameUnderLock(name) is { } refused)
        {
            return refused;
        }

        if (partitionCount < 1)
        {
            return new TopicCreation.Refused(ErrorCode.InvalidPartitions, $"Topic {name} was asked for with {partitionCount} partitions; it needs 1 or more.");
        }

        // What was begun and failed in this run stays as it was begun: a lower count now would leave a directory above the topic's last partition.
        int begunCount = Begun(name).Select(partition => partition.TopicPartition.Partition + 1).DefaultIfEmpty().Max();
        if (partitionCount < begunCount)
        {
            return new TopicCreation.Refused(
                ErrorCode.InvalidPartitions,
                $"An earlier creation of topic {name} with {begunCount} partitions failed half-way. Create it with {begunCount} or more.");
        }

        return _partitionCount + (long)partitionCount > _maxPartitionCount
            ? new TopicCreation.Refused(
                ErrorCode.PolicyViolation,
                $"Topic {name} would bring this broker from {_partitionCount} to {_partitionCount + (long)partitionCount} partitions; {nameof(BrokerOptions.MaxPartitionCount)} allows {_maxPartitionCount}.")
            : null;
    }

    /// <summary>Partitions of a topic that is not there as a whole.</summary>
    private IEnumerable<PartitionLog> Begun(string name) => _log.Partitions.Where(partition => partition.TopicPartition.Topic == name);

    /// <summary>Takes over what was found on the disk under one name.</summary>
    private void Adopt(string name, PartitionLog[] found)
    {
        int partitionCount = found.Max(partition => partition.TopicPartition.Partition) + 1;
        var partitions = new PartitionLog?[partitionCount];
        foreach (PartitionLog partition in found)
        {
            partitions[partition.TopicPartition.Partition] = partition;
        }

        lock (_creation)
        {
            CreationState state = Judge(partitions);
            if (state == CreationState.CutShort)
            {
                partitions = FinishCreation(name, partitions, found[0].TopicId);
                LogMessages.TopicCreationFinished(_logger, name, partitionCount);
            }

            Publish(name, partitions, isUndecided: state == CreationState.Undecided);
            ReportMissing(name, partitions, state);
        }
    }

    private PartitionLog?[] FinishCreation(string name, PartitionLog?[] partitions, Guid topicId)
    {
        try
        {
            return CreateMissing(name, partitions.Length, partitions, topicId);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BrokerStartException(
                BrokerStartFailure.DataDirectory, $"Topic {name} was being created when the broker stopped, and the rest cannot be created: {failure.Message}", failure);
        }
    }

    private static CreationState Judge(IReadOnlyList<PartitionLog?> partitions)
    {
        List<PartitionLog> found = [.. partitions.OfType<PartitionLog>()];
        return partitions[0] is not null || found.Exists(static partition => partition.HasBeenRead && partition.LogEndOffset > Offset.Zero) ? CreationState.Whole
            : found.TrueForAll(static partition => partition.HasBeenRead) ? CreationState.CutShort
            : CreationState.Undecided;
    }

    private void ReportMissing(string name, IReadOnlyList<PartitionLog?> partitions, CreationState state)
    {
        if (state == CreationState.Undecided)
        {
            PartitionLog unread = partitions.OfType<PartitionLog>().First(static partition => !partition.HasBeenRead);
            LogMessages.TopicUndecided(_logger, name, unread.TopicPartition);
            return;
        }

        for (int partition = 0; partition < partitions.Count; partition++)
        {
            if (partitions[partition] is null)
            {
                LogMessages.PartitionMissing(_logger, new TopicPartition(name, partition));
            }
        }
    }

    /// <summary>Creates what is missing from the highest partition down, so that partition 0 comes last.</summary>
    private PartitionLog?[] CreateMissing(string name, int partitionCount, PartitionLog?[] partitions, Guid topicId)
    {
        for (int number = partitionCount - 1; number >= 0; number--)
        {
            var partition = new TopicPartition(name, number);
            if (partitions[number] is null)
            {
                partitions[number] = _log.TryGet(partition, out PartitionLog? begun) ? begun : _log.Create(partition, topicId);
            }
        }

        return partitions;
    }

    /// <summary>
    /// A partition has come back. If it is the first of its topic that could be read, the topic has its id from now on; and if it tells what became of the topic's creation,
    /// that is finished, or given up for one of which somebody has removed a directory.
    /// </summary>
    /// <returns>The partitions that are served since it is back: it alone, all of a topic that was undecided, or none of one that still is.</returns>
    /// <exception cref="IOException">The disk does not let the creation be finished; nothing has changed.</exception>
    public IReadOnlyList<PartitionLog> Return(PartitionLog log)
    {
        lock (_creation)
        {
            if (Find(log.TopicPartition.Topic) is not { } topic || !topic.Partitions.Contains(log))
            {
                return [log];
            }

            if (topic.IsUndecided)
            {
                return Decide(topic);
            }

            if (topic.Id == Guid.Empty)
            {
                Publish(topic.Name, topic.Partitions);
            }

            return [log];
        }
    }

    private IReadOnlyList<PartitionLog> Decide(Topic topic)
    {
        IReadOnlyList<PartitionLog?> partitions = topic.Partitions;
        CreationState state = Judge(partitions);
        if (state == CreationState.CutShort)
        {
            partitions = CreateMissing(topic.Name, partitions.Count, [.. partitions], IdOf(partitions));
            LogMessages.TopicCreationFinished(_logger, topic.Name, partitions.Count);
        }

        ReportMissing(topic.Name, partitions, state);
        Publish(topic.Name, partitions, isUndecided: state == CreationState.Undecided);
        return state == CreationState.Undecided ? [] : [.. partitions.OfType<PartitionLog>()];
    }

    /// <summary>A partition that could not be read does not know the id; the others do.</summary>
    private static Guid IdOf(IReadOnlyList<PartitionLog?> partitions) =>
        partitions.Select(static partition => partition?.TopicId ?? Guid.Empty).FirstOrDefault(static id => id != Guid.Empty);

    /// <summary>Makes a topic visible to clients, all at once; one that is there is as this says from now on.</summary>
    private Topic Publish(string name, IReadOnlyList<PartitionLog?> partitions, bool isUndecided = false)
    {
        foreach (PartitionLog? partition in partitions.Except(Find(name)?.Partitions ?? []))
        {
            Watch(partition);
        }

        var topic = new Topic
        {
            Name = name,
            Id = IdOf(partitions),
            Partitions = partitions,
            IsUndecided = isUndecided,
        };
        _nameByCollisionKey[TopicName.CollisionKey(name)] = name;
        if (topic.Id != Guid.Empty)
        {
            _byId[topic.Id] = topic;
        }

        _byName[name] = topic;
        return topic;
    }

    private void Watch(PartitionLog? partition)
    {
        if (partition is not null)
        {
            partition.Progressed += log => _waits.Progressed(log.TopicPartition);
            _partitionCount++;
        }
    }

    /// <summary>What the partitions that are found of a topic say about its creation.</summary>
    private enum CreationState
    {
        /// <summary>It was finished; what is missing was removed by somebody.</summary>
        Whole,

        CutShort,
        Undecided,
    }
}
