using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <content>A disk that refuses operations of any kind, and partitions that are made and deleted on it.</content>
internal sealed partial class LogCrashSimulation
{
    private const int MaximumAttemptCount = 20;

    // Whose creation or deletion the disk has refused so that a start may find them, or not; and of which the next deletion is the end.
    private readonly Dictionary<TopicPartition, PartitionModel> _doubtful = [];
    private readonly List<TopicPartition> _unfinishedDeletions = [];
    private int _createdCount;

    // Of a segment, gone from the disk since the last crash.
    private string? _lostIndex;

    /// <summary>What the disk has refused.</summary>
    public int RefusalCount => _storage.RefusalCount;

    private void RefuseSome()
    {
        if (_random.Next(100) < _refusalChance)
        {
            DiskRefusals.Arm(_storage, _random);
            _hasFault = true;
        }
    }

    private void RefuseInStart(int troublesLeft)
    {
        _storage.FailNoMore();
        if (troublesLeft > 0 && _random.Next(6) < _refusalChance)
        {
            DiskRefusals.Arm(_storage, _random);
            _hasFault = true;
        }

        if (troublesLeft > 0 && _lostIndex is { } lost && _random.Next(2) == 0)
        {
            _storage.FailSome(SimulatedOperation.SyncData, skippedCount: 0, failureCount: 1, lost);
            _hasFault = true;
        }
    }

    /// <summary>An index is taken off the disk: a start makes it anew, be its segment long on the disk.</summary>
    private void LoseIndex()
    {
        _lostIndex = null;
        if (_refusalChance == 0 || _random.Next(3) > 0 || !_storage.DirectoryExists(Root))
        {
            return;
        }

        List<(string Directory, string File)> indexes =
        [
            .. from directory in _storage.Peek(Root)
               where FileNames.TryParsePartition(directory.Name, out _)
               from file in _storage.Peek($"{Root}/{directory.Name}")
               where file.ByteCount > 0 && FileNames.IndexSuffixes.Any(suffix => file.Name.EndsWith(suffix, StringComparison.Ordinal))
               select ($"{Root}/{directory.Name}", file.Name),
        ];
        if (indexes.Count > 0)
        {
            (string path, string name) = indexes[_random.Next(indexes.Count)];
            _lostIndex = $"{path}/{name}";
            _storage.DeleteFile(_lostIndex);
            _storage.SyncDirectory(path);
        }
    }

    /// <summary>Whether the disk has kept something from being read: the partition is offline by it.</summary>
    private bool WasRefused(PartitionLog log) => _hasFault && !log.IsOnline;

    /// <summary>A start makes a partition of what is left of a creation that was interrupted only where the disk refuses whatever it asks about it.</summary>
    private void RequireNothingUnfinished(int refusalCount)
    {
        foreach (string directory in _directory.Partitions.Where(static log => !log.HasBeenRead).Select(static log => $"{Root}/{log.TopicPartition}"))
        {
            int count = _storage.RefusalsAfter(refusalCount).Count(refusal => DiskRefusals.IsOfPartition(refusal, Root, out string refused) && refused == directory);
            bool isUnfinished = !_storage.FileExists($"{directory}/{FileNames.PartitionMetadata}");
            Require(!isUnfinished || count > 1, $"no partition is made of what is left in {directory} of a creation");
        }
    }

    private void BringAllBack()
    {
        for (int attempt = 0; _directory.Partitions.Any(static log => !log.IsOnline); attempt++)
        {
            string reasons = string.Join(" ", _directory.Partitions.Select(static log => log.OfflineReason));
            Require(attempt < MaximumAttemptCount, $"partitions come back once the disk refuses nothing any more, not: {reasons}");
            Reopen();
            if (_directory.Partitions.All(log => log.IsOnline || IsUnfinished(log)))
            {
                // Those whose topic has no partition that was read wait for the next start, which takes them away.
                Crash();
                Start(wasClosed: false, refuses: false);
            }
        }
    }

    /// <summary>
    /// Whether it may be one whose creation was interrupted or refused, and of which the start could not read so: it becomes a partition when it comes back, where the id of its topic is known.
    /// </summary>
    private bool IsUnfinished(PartitionLog log) =>
        log is { IsOnline: false, HasBeenRead: false } && (!_models.TryGetValue(log.TopicPartition, out PartitionModel? model) || !model.IsCreated);

    private void Create()
    {
        TopicPartition topicPartition = Enumerable.Range(0, int.MaxValue).Select(static number => new TopicPartition("orders", number))
            .First(partition => !_models.ContainsKey(partition) && !_doubtful.ContainsKey(partition) && !_directory.TryGet(partition, out _));
        var model = new PartitionModel(topicPartition, new Guid(++_createdCount, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), _random.Next());
        _models.Add(topicPartition, model);
        int refusalCount = _storage.RefusalCount;
        try
        {
            _directory.Create(topicPartition, model.TopicId);
            model.IsCreated = true;
        }
        catch (IOException) when (_hasFault)
        {
            Require(!_directory.TryGet(topicPartition, out _), "a partition whose creation was refused is not there");
            _models.Remove(topicPartition);
            if (_storage.RefusalCount > refusalCount + 1 || IsDiskFull)
            {
                // The disk may have refused to take it away as well.
                _doubtful.Add(topicPartition, model);
            }
        }
    }

    /// <summary>Of a partition that nothing is in flight of.</summary>
    private void Delete(PartitionModel model, PartitionLog log)
    {
        if (_syncsInFlight.ContainsKey(model.TopicPartition) || IsInRound(log))
        {
            return;
        }

        // A crash in the middle leaves it or not.
        model.IsCreated = false;
        try
        {
            Require(_directory.Delete(model.TopicPartition), $"{model.TopicPartition} is there to be deleted");
            _models.Remove(model.TopicPartition);
            _unfinishedDeletions.ForEach(partition => _doubtful.Remove(partition));
            _unfinishedDeletions.Clear();
        }
        catch (IOException) when (_hasFault)
        {
            if (_directory.TryGet(model.TopicPartition, out _))
            {
                model.IsCreated = true;
            }
            else
            {
                _models.Remove(model.TopicPartition);
                _doubtful.Add(model.TopicPartition, model);
                _unfinishedDeletions.Add(model.TopicPartition);
            }
        }
    }

    /// <summary>A start finds them, or it does not and they are gone.</summary>
    private void TakeBackDoubtful()
    {
        foreach ((TopicPartition partition, PartitionModel model) in _doubtful)
        {
            model.IsCreated = false;
            _models.Add(partition, model);
        }

        _doubtful.Clear();
        _unfinishedDeletions.Clear();
    }
}
