using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>One start on a data directory: the checks before it, the lock, and the recovery of all that is in it.</summary>
internal sealed class DirectoryOpening
{
    private const string FileSystemDirectory = "lost+found";

    private readonly LogSettings _settings;
    private readonly IStorage _storage;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly ILogger _logger;

    public DirectoryOpening(LogSettings settings, IStorage storage, TimeProvider time, Random random, ILogger logger)
    {
        _settings = settings;
        _storage = storage;
        _time = time;
        _random = random;
        _logger = logger;
    }

    public LogDirectory Open()
    {
        IDisposable directoryLock = TakeLock();
        try
        {
            return Open(directoryLock);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            directoryLock.Dispose();
            throw NotWritable(exception);
        }
        catch
        {
            directoryLock.Dispose();
            throw;
        }
    }

    private IDisposable TakeLock()
    {
        try
        {
            CreateDirectories(_settings.Path);
            return _storage.TryLock($"{_settings.Path}/{FileNames.Lock}") ?? throw new LogDirectoryException(
                LogDirectoryFailure.Locked,
                $"{_settings.Path} is locked by another process. Stop that process, or choose another data directory.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw NotWritable(exception);
        }
    }

    private LogDirectoryException NotWritable(Exception exception) => new(
        LogDirectoryFailure.NotWritable,
        $"{_settings.Path} cannot be used as data directory: {exception.Message} Make it a directory that this user may write.",
        exception);

    private void CreateDirectories(string path)
    {
        if (!_storage.DirectoryExists(path))
        {
            CreateDirectories(ParentOf(path));
            _storage.CreateDirectory(path);
        }
    }

    /// <summary>
    /// Makes the names of all directories above durable. Also of those that were there: an interrupted start may have made them.
    /// </summary>
    private void SyncParents(string path)
    {
        string parent = ParentOf(path);
        try
        {
            _storage.SyncDirectory(parent);
        }
        catch (UnauthorizedAccessException)
        {
            // It may not be opened by this user, so it is none that a start has made.
        }

        if (parent is not ("/" or "."))
        {
            SyncParents(parent);
        }
    }

    private static string ParentOf(string path)
    {
        int slash = path.LastIndexOf('/');
        return slash switch
        {
            < 0 => ".",
            0 => "/",
            _ => path[..slash],
        };
    }

    private LogDirectory Open(IDisposable directoryLock)
    {
        long started = _time.GetTimestamp();
        IReadOnlyList<StorageEntry> entries = _storage.List(_settings.Path);
        MetaProperties properties = ReadOrCreateProperties(entries);
        var topicSettings = TopicSettingsStore.Open(_storage, _settings.Path, _settings.TopicDefaults);
        bool wasCleanStop = TakeCleanMarker();
        var report = new RecoveryReport(wasCleanStop, IsOfThisBoot(wasCleanStop));
        var files = new OpenFiles(_storage, _settings.MaximumOpenFileCount);
        var directory = new LogDirectory(_settings, topicSettings, files, _time, _random, _logger, directoryLock, properties, report);
        try
        {
            Recover(directory, files, entries);
        }
        catch
        {
            directory.ReleasePartitions();
            throw;
        }

        Log(directory, started);
        return directory;
    }

    private void Recover(LogDirectory directory, OpenFiles files, IReadOnlyList<StorageEntry> entries)
    {
        Checkpoint points = ReadRecoveryPoints(directory.Recovery);
        Checkpoint logStarts = ReadLogStarts(directory.Recovery);
        Checkpoint cleaned = ReadCleaningOffsets(directory.Recovery, FileNames.CleanedOffsets);
        Checkpoint sparse = ReadCleaningOffsets(directory.Recovery, FileNames.SparseOffsets);
        using JournalReplay? journal = ReadJournal(directory.Recovery);
        RecoverPartitions(directory, files, entries, journal, partition => new PartitionCheckpoints
        {
            RecoveryPoint = points.Of(partition),
            LogStart = logStarts.Of(partition),
            SparseBelow = SparseBelow(partition, sparse, cleaned),
            CleanedUpTo = cleaned.Of(partition) ?? Offset.Zero,
        });
        ReportMissing(directory, points, entries);

        // Before a partition can be made that a line of an older one under its name would be taken for.
        if (!logStarts.HasOnly(directory))
        {
            directory.MoveLogStarts([]);
        }

        if (!cleaned.HasOnly(directory) || !sparse.HasOnly(directory))
        {
            directory.RewriteCleaningOffsets();
        }

        // After every start, before any append: it syncs the directory, so that a marker which an interrupted start had deleted cannot
        // come back and vouch for what is appended now.
        directory.WriteRecoveryPointsOrThrow();
        EndJournal(directory, journal);
        RemoveDeletedPartitions(directory.Recovery, entries);
    }

    /// <summary>
    /// What partitions may lack that was acknowledged; null where the last process has left no journal, or left it after a clean stop, when everybody has everything.
    /// </summary>
    private JournalReplay? ReadJournal(RecoveryReport report)
    {
        if (report.WasCleanStop)
        {
            return null;
        }

        JournalReplay? journal;
        try
        {
            journal = JournalReplay.TryRead(_storage, _settings.Path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new LogDirectoryException(
                LogDirectoryFailure.NotWritable,
                $"The commit journal in {_settings.Path} cannot be read: {exception.Message} It holds records that were acknowledged and may be nowhere else. Mend the cause; or, to give them up, "
                + $"move {string.Join(" and ", FileNames.JournalHalves)} away.",
                exception);
        }

        if (journal?.Damage is { } damage)
        {
            report.Add(null, RecoveryCondition.JournalDamaged, false,
                $"The commit journal is damaged: {damage}. Records that were acknowledged shortly before the machine went down may be missing at the ends of logs.");
        }

        return journal;
    }

    /// <summary>Nothing of it is left when the first record is appended: no piece may come over newer bytes later.</summary>
    private void EndJournal(LogDirectory directory, JournalReplay? journal)
    {
        if (journal is { IsIncomplete: true })
        {
            directory.Journal.Keep();
        }
        else if (CommitJournal.DeleteFiles(_storage, _settings.Path))
        {
            _storage.SyncDirectory(_settings.Path);
        }
    }

    private MetaProperties ReadOrCreateProperties(IReadOnlyList<StorageEntry> entries)
    {
        if (AtomicFile.TryRead(_storage, _settings.Path, FileNames.MetaProperties) is { } text)
        {
            return MetaProperties.Parse(text, _settings.Path);
        }

        // The properties are written last when a directory is made: without them it has nothing in it that anybody was told of.
        foreach (StorageEntry entry in entries)
        {
            bool isOurs = entry.Name is FileNames.Lock or FileNames.RecoveryPoints or FileSystemDirectory
                || entry.Name.EndsWith(AtomicFile.TemporarySuffix, StringComparison.Ordinal);
            if (!isOurs)
            {
                throw new LogDirectoryException(
                    LogDirectoryFailure.Foreign,
                    $"{_settings.Path} is not a data directory of Millrace: it holds '{entry.Name}' and no {FileNames.MetaProperties}. "
                    + "Choose an empty directory.");
            }
        }

        SyncParents(_settings.Path);
        var properties = MetaProperties.Create(_random);
        AtomicFile.Write(_storage, _settings.Path, FileNames.RecoveryPoints, OffsetCheckpoint.Format([]));
        AtomicFile.Write(_storage, _settings.Path, FileNames.MetaProperties, properties.ToText());
        return properties;
    }

    private bool TakeCleanMarker()
    {
        string path = $"{_settings.Path}/{FileNames.CleanShutdown}";
        bool isThere = _storage.FileExists(path);
        if (isThere)
        {
            _storage.DeleteFile(path);
        }

        // Durably, before anything is appended: a marker that came back after a power loss would vouch for bytes that it never saw. And before anything is done that follows from a
        // file here: a process that was killed may have renamed it a moment before, and the power could keep what was done and take the name.
        _storage.SyncDirectory(_settings.Path);
        return isThere;
    }

    /// <summary>
    /// Whether the files are from this boot of the machine. After a clean stop they are as good as that, and it is said from now on; otherwise not before
    /// <see cref="LogDirectory.TrustWrites"/>.
    /// </summary>
    private bool IsOfThisBoot(bool wasCleanStop)
    {
        string? before = AtomicFile.TryRead(_storage, _settings.Path, FileNames.Boot);
        string? now = _storage.BootId;
        if (wasCleanStop && now is not null && now != before)
        {
            AtomicFile.Write(_storage, _settings.Path, FileNames.Boot, now);
        }

        return now is not null && now == before;
    }

    private Checkpoint ReadRecoveryPoints(RecoveryReport report)
    {
        string? text = AtomicFile.TryRead(_storage, _settings.Path, FileNames.RecoveryPoints);
        if (text is null)
        {
            report.Add(null, RecoveryCondition.RecoveryPointsMissing, false,
                $"{FileNames.RecoveryPoints} is missing: every log is read from its start and cut at the first batch that fails.");
            return new Checkpoint([], IsKnown: true);
        }

        if (OffsetCheckpoint.TryParse(text, out Dictionary<TopicPartition, Offset>? points))
        {
            return new Checkpoint(points, IsKnown: true);
        }

        report.Add(null, RecoveryCondition.RecoveryPointsUnreadable, false,
            $"{FileNames.RecoveryPoints} is damaged: every log is read from its start and none is cut. A partition that fails stays "
            + "offline; delete the file and start again to have it cut at the first batch that fails.");
        return new Checkpoint([], IsKnown: false);
    }

    private Checkpoint ReadLogStarts(RecoveryReport report)
    {
        string? text = AtomicFile.TryRead(_storage, _settings.Path, FileNames.LogStartOffsets);
        if (text is null)
        {
            // It is written when a log's start moves for the first time.
            return new Checkpoint([], IsKnown: true);
        }

        if (OffsetCheckpoint.TryParse(text, out Dictionary<TopicPartition, Offset>? starts))
        {
            return new Checkpoint(starts, IsKnown: true);
        }

        report.Add(null, RecoveryCondition.LogStartsUnreadable, false,
            $"{FileNames.LogStartOffsets} is damaged: every log begins with its first segment, and deleted records that are still in that are there again.");
        return new Checkpoint([], IsKnown: false);
    }

    private Checkpoint ReadCleaningOffsets(RecoveryReport report, string name)
    {
        string? text = AtomicFile.TryRead(_storage, _settings.Path, name);
        if (text is null)
        {
            // It is written when a log is compacted for the first time.
            return new Checkpoint([], IsKnown: true);
        }

        if (OffsetCheckpoint.TryParse(text, out Dictionary<TopicPartition, Offset>? offsets))
        {
            return new Checkpoint(offsets, IsKnown: true);
        }

        report.Add(null, RecoveryCondition.CleaningOffsetsUnreadable, false,
            $"{name} is damaged: offsets that are missing in a log are taken for compacted ones, and every compacted log is compacted from its start.");
        return new Checkpoint([], IsKnown: false);
    }

    /// <summary>Another program that compacts has Kafka's file only.</summary>
    private static Offset SparseBelow(TopicPartition partition, Checkpoint sparse, Checkpoint cleaned) =>
        sparse.IsKnown && cleaned.IsKnown
            ? Offset.Max(sparse.Of(partition) ?? Offset.Zero, cleaned.Of(partition) ?? Offset.Zero)
            : new Offset(long.MaxValue);

    /// <summary>Last, when no checkpoint has a line of them any more: until then they tell that nothing is missing.</summary>
    private void RemoveDeletedPartitions(RecoveryReport report, IReadOnlyList<StorageEntry> entries)
    {
        foreach (StorageEntry entry in entries)
        {
            if (entry.IsDirectory && FileNames.TryParseDeletedPartition(entry.Name, out _))
            {
                try
                {
                    LogDirectory.RemoveDirectory(_storage, $"{_settings.Path}/{entry.Name}");
                    report.Add(null, RecoveryCondition.DeletedPartition, false, $"'{entry.Name}' of a deleted partition is removed.");
                }
                catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
                {
                    LogMessages.DeletedPartitionNotRemoved(_logger, $"{_settings.Path}/{entry.Name}", exception.Message);
                }
            }
        }
    }

    private void RecoverPartitions(
        LogDirectory directory,
        OpenFiles files,
        IReadOnlyList<StorageEntry> entries,
        JournalReplay? journal,
        Func<TopicPartition, PartitionCheckpoints> checkpointsOf)
    {
        var recoveries = new List<PartitionRecovery>();
        foreach (StorageEntry entry in entries)
        {
            if (entry.IsDirectory && FileNames.TryParsePartition(entry.Name, out TopicPartition topicPartition))
            {
                var report = new RecoveryReport(directory.Recovery.WasCleanStop);
                LogSettings settings = _settings.For(directory.SettingsOf(topicPartition.Topic));
                recoveries.Add(new PartitionRecovery(settings, files, report, topicPartition, checkpointsOf(topicPartition)) { Journal = journal });
            }
            else if (entry.IsDirectory && entry.Name != FileSystemDirectory && !FileNames.TryParseDeletedPartition(entry.Name, out _))
            {
                directory.Recovery.Add(null, RecoveryCondition.UnknownEntry, false, $"'{entry.Name}' is no partition and is left alone.");
            }
            else if (entry.Name.EndsWith(AtomicFile.TemporarySuffix, StringComparison.Ordinal))
            {
                _storage.DeleteFile($"{_settings.Path}/{entry.Name}");
            }
        }

        foreach ((PartitionRecovery recovery, RecoveredPartition? recovered) in recoveries.Zip(Recover(recoveries)))
        {
            directory.Recovery.Add(recovery.Report);
            if (recovered is not null)
            {
                directory.Add(recovered);
            }
        }
    }

    /// <summary>Recovers all partitions, several at a time where the disk gains by it.</summary>
    private RecoveredPartition?[] Recover(List<PartitionRecovery> recoveries)
    {
        var recovered = new RecoveredPartition?[recoveries.Count];
        StorageThreads.ForEach(_storage, [.. Enumerable.Range(0, recoveries.Count)], number => recovered[number] = recoveries[number].Recover());
        return recovered;
    }

    private static void ReportMissing(LogDirectory directory, Checkpoint points, IReadOnlyList<StorageEntry> entries)
    {
        HashSet<TopicPartition> deleted =
        [
            .. entries.Select(static entry => FileNames.TryParseDeletedPartition(entry.Name, out TopicPartition partition) ? partition : default),
        ];
        foreach ((TopicPartition topicPartition, Offset offset) in points.Offsets)
        {
            if (offset > Offset.Zero && !directory.TryGet(topicPartition, out _) && !deleted.Contains(topicPartition))
            {
                directory.Recovery.Add(topicPartition, RecoveryCondition.PartitionMissing, true,
                    $"The directory is gone, and with it {offset} offsets that were on the disk. Restore it from a copy if nobody meant it.");
            }
        }
    }

    private void Log(LogDirectory directory, long started)
    {
        foreach (RecoveryFinding finding in directory.Recovery.Findings)
        {
            bool isRoutine = finding.Action is RecoveryAction.Delete or RecoveryAction.DeletePartition or RecoveryAction.Rebuild or RecoveryAction.WriteBack;
            if (isRoutine)
            {
                LogMessages.RecoveryFinding(_logger, finding.ToString());
            }
            else
            {
                LogMessages.RecoveryWarning(_logger, finding.ToString());
            }
        }

        foreach (PartitionLog log in directory.Partitions)
        {
            if (log.OfflineReason is { } reason)
            {
                LogMessages.PartitionOffline(_logger, log.TopicPartition, reason);
            }
        }

        string stop = directory.Recovery.WasCleanStop ? "a clean stop" : "no clean stop";
        TimeSpan elapsed = _time.GetElapsedTime(started);
        LogMessages.Opened(_logger, directory.Path, directory.Partitions.Count, stop, elapsed.TotalMilliseconds);
    }

    /// <summary>A checkpoint file as this start found it.</summary>
    private sealed record Checkpoint(Dictionary<TopicPartition, Offset> Offsets, bool IsKnown)
    {
        /// <summary>Null where it is unknown. A partition without a line was made after the last write.</summary>
        public Offset? Of(TopicPartition topicPartition)
        {
            Offset offset = Offsets.GetValueOrDefault(topicPartition);
            return IsKnown && offset != OffsetCheckpoint.Unknown ? offset : null;
        }

        /// <summary>Whether it can stay as it is: it is readable and has no line without a partition.</summary>
        public bool HasOnly(LogDirectory directory) => IsKnown && Offsets.Keys.All(partition => directory.TryGet(partition, out _));
    }
}
