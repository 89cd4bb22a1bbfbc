using System.Collections.ObjectModel;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

// Topics that get more partitions, and topics that go.
internal sealed partial class TopicCatalog
{
    private const string NotServed =
        "It is not served any more. Delete it again; else the next start of the broker deletes the rest, or has it back if nothing of the deletion is on the disk.";

    /// <summary>Deletions whose records are gone, and of which it is not sure that what groups committed is.</summary>
    public IReadOnlyList<string> UnfinishedDeletions
    {
        get
        {
            lock (_creation)
            {
                return [.. _deletions.All.Keys];
            }
        }
    }

    /// <summary>The name of a topic of such a deletion; null if there is none with this id.</summary>
    public string? FindUnfinishedDeletion(Guid id)
    {
        lock (_creation)
        {
            return _deletions.All.FirstOrDefault(deletion => deletion.Value == id).Key;
        }
    }

    /// <summary>What a topic has of its own.</summary>
    public IReadOnlyDictionary<string, string> SettingsOf(string name) => _log.Overrides(name);

    /// <summary>Does something while nobody else creates, deletes or changes a topic. It may itself; it must not wait for anybody else.</summary>
    public T WhileUnchanged<T>(Func<T> work)
    {
        lock (_creation)
        {
            return work();
        }
    }

    /// <summary>Replaces what a topic has of its own; durable on return. False if there is no such topic.</summary>
    /// <exception cref="ArgumentException">A setting is wrong; the message says which.</exception>
    /// <exception cref="IOException">The disk refused.</exception>
    public bool SetSettings(string name, IReadOnlyDictionary<string, string> settings)
    {
        // Under the lock, so that settings do not outlive a topic that is deleted meanwhile.
        lock (_creation)
        {
            if (!_byName.ContainsKey(name))
            {
                return false;
            }

            _log.SetOverrides(name, settings);
            string shown = string.Join(", ", settings.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => $"{pair.Key}={pair.Value}"));
            LogMessages.TopicSettingsChanged(_logger, name, shown.Length == 0 ? "the defaults" : shown);
            return true;
        }
    }

    /// <summary>Whether a topic could have so many partitions, without adding them.</summary>
    public TopicCreation.Refused? CheckPartitions(string name, int partitionCount)
    {
        lock (_creation)
        {
            return CheckPartitionsUnderLock(name, partitionCount);
        }
    }

    /// <summary>Adds partitions until the topic has as many as are asked for. Blocks until all are on the disk.</summary>
    public TopicCreation AddPartitions(string name, int partitionCount)
    {
        lock (_creation)
        {
            if (CheckPartitionsUnderLock(name, partitionCount) is { } refused)
            {
                return refused;
            }

            Topic topic = _byName[name];
            try
            {
                PartitionLog?[] partitions = [.. topic.Partitions, .. new PartitionLog?[partitionCount - topic.Partitions.Count]];
                for (int number = topic.Partitions.Count; number < partitionCount; number++)
                {
                    var partition = new TopicPartition(name, number);
                    partitions[number] = _log.TryGet(partition, out PartitionLog? begun) ? begun : _log.Create(partition, topic.Id);
                }

                Topic larger = Publish(name, partitions);
                LogMessages.PartitionsAdded(_logger, name, topic.Partitions.Count, partitionCount);
                return new TopicCreation.Created(larger);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                LogMessages.TopicCreationFailed(_logger, failure, name);
                return new TopicCreation.Refused(
                    ErrorCode.KafkaStorageError, $"Topic {name} cannot get more partitions: {failure.Message} The broker's log says more.");
            }
        }
    }

    /// <summary>
    /// Deletes a topic: from here on nobody finds it, and on return its records are gone for good. Its name stays taken until <see cref="FinishDeletion"/>.
    /// Blocks for the disk.
    /// </summary>
    public TopicDeletion Delete(Topic topic)
    {
        lock (_creation)
        {
            if (topic.Id == Guid.Empty)
            {
                return new TopicDeletion.Refused(
                    ErrorCode.KafkaStorageError,
                    $"Topic {topic.Name} cannot be deleted while none of its partitions can be read, since its id is not known. The broker's log says what keeps them offline.");
            }

            if (!_byName.TryGetValue(topic.Name, out Topic? current) || current.Id != topic.Id)
            {
                return new TopicDeletion.Refused(ErrorCode.UnknownTopicOrPartition, $"There is no topic {topic.Name}.");
            }

            try
            {
                BeginDeletion(current);
                DeletePartitions(current.Name, current.Id);
                LogMessages.TopicDeleted(_logger, current.Name, current.Partitions.Count, current.Id);
                return new TopicDeletion.Deleted();
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                LogMessages.TopicDeletionFailed(_logger, failure, topic.Name);
                return RefusedByDisk(topic.Name, failure, _deletions.HasBegun(current.Name, current.Id) ? NotServed : "It is as it was.");
            }
        }
    }

    /// <summary>Goes on with a deletion that the disk has stopped, of a topic that nobody finds any more; null if there is none of that name.</summary>
    public TopicDeletion? ResumeDeletion(string name)
    {
        lock (_creation)
        {
            if (!_deletions.All.TryGetValue(name, out Guid id) || _byName.ContainsKey(name))
            {
                return null;
            }

            try
            {
                // Again: the first time the disk may have kept nothing of it, and then a crash between two partitions would leave half of the topic.
                _deletions.Begin(name, id);
                DeletePartitions(name, id);
                LogMessages.TopicDeletionFinished(_logger, name);
                return new TopicDeletion.Deleted();
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                LogMessages.TopicDeletionFailed(_logger, failure, name);
                return RefusedByDisk(name, failure, NotServed);
            }
        }
    }

    /// <summary>Frees the name of a topic that was deleted, when nothing of it is left anywhere. False if the disk refuses: then who deletes it again does it, or the next start.</summary>
    public bool FinishDeletion(string name)
    {
        lock (_creation)
        {
            try
            {
                _deletions.End(name);
                return true;
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                LogMessages.TopicDeletionFailed(_logger, failure, name);
                return false;
            }
        }
    }

    private static TopicDeletion.Refused RefusedByDisk(string name, Exception failure, string consequence) =>
        new(ErrorCode.KafkaStorageError, $"Topic {name} cannot be deleted: {failure.Message} {consequence}");

    private TopicCreation.Refused? CheckPartitionsUnderLock(string name, int partitionCount)
    {
        if (!_byName.TryGetValue(name, out Topic? topic))
        {
            return new TopicCreation.Refused(ErrorCode.UnknownTopicOrPartition, $"There is no topic {name}.");
        }

        if (topic.Id == Guid.Empty)
        {
            return new TopicCreation.Refused(
                ErrorCode.KafkaStorageError,
                $"Topic {name} cannot get more partitions while none of those it has can be read, since its id is not known. The broker's log says what keeps them offline.");
        }

        if (topic.IsUndecided)
        {
            return new TopicCreation.Refused(
                ErrorCode.KafkaStorageError, $"Topic {name} cannot get more partitions while it is not known whether its creation was cut short. The broker's log says what cannot be read.");
        }

        if (partitionCount <= topic.Partitions.Count)
        {
            return new TopicCreation.Refused(
                ErrorCode.InvalidPartitions, $"Topic {name} has {topic.Partitions.Count} partitions already, and was asked to have {partitionCount}.");
        }

        long total = _partitionCount + (long)partitionCount - topic.Partitions.Count;
        return total > _maxPartitionCount
            ? new TopicCreation.Refused(
                ErrorCode.PolicyViolation,
                $"Topic {name} would bring this broker from {_partitionCount} to {total} partitions; {nameof(BrokerOptions.MaxPartitionCount)} allows {_maxPartitionCount}.")
            : null;
    }

    /// <summary>From here on nobody finds the topic, also where the disk refuses and it may be written down all the same.</summary>
    private void BeginDeletion(Topic topic)
    {
        try
        {
            _deletions.Begin(topic.Name, topic.Id);
        }
        finally
        {
            if (_deletions.HasBegun(topic.Name, topic.Id))
            {
                Hide(topic);
            }
        }
    }

    private void Hide(Topic topic)
    {
        _byName.TryRemove(topic.Name, out _);
        _byId.TryRemove(topic.Id, out _);
        _nameByCollisionKey.Remove(TopicName.CollisionKey(topic.Name));
        _partitionCount -= topic.Partitions.Count(partition => partition is not null);
    }

    /// <summary>
    /// By the id: a topic that was created later under the same name is another one. And what could not be read, so that its id is not known: while the deletion
    /// is written down, no other topic of that name is created.
    /// </summary>
    private void DeletePartitions(string name, Guid id)
    {
        _log.Delete([.. Begun(name).Where(partition => partition.TopicId == id || partition.TopicId == Guid.Empty).Select(partition => partition.TopicPartition)]);
        _log.SetOverrides(name, ReadOnlyDictionary<string, string>.Empty);
    }

    private void ResumeDeletions()
    {
        foreach ((string name, Guid id) in _deletions.All)
        {
            try
            {
                DeletePartitions(name, id);
                LogMessages.TopicDeletionFinished(_logger, name);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                throw new BrokerStartException(
                    BrokerStartFailure.DataDirectory, $"Topic {name} was being deleted when the broker stopped, and the rest cannot be deleted: {failure.Message}", failure);
            }
        }
    }
}
