using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// Mends one partition of a data directory that no broker uses. <see cref="Prepare"/> looks and changes nothing; <see cref="Steps"/> say what
/// <see cref="Run"/> is going to do. It may be interrupted at any operation: each step leaves what a start can open, and the next repair goes on.
/// </summary>
/// <remarks>
/// What is given up is given up by the recovery point: it is moved down to the damage, durably, and then the partition is recovered as at a start.
/// So it is recovery that cuts, and keeps what it cuts, and it is as safe in the middle as a start is. The marker of a clean stop goes first and comes
/// back last: with it a start would look at none of this.
/// </remarks>
public sealed class LogRepair : IDisposable
{
    private readonly LogSettings _settings;
    private readonly IStorage _storage;
    private readonly TopicPartition _partition;
    private readonly string _directory;
    private readonly IDisposable _lock;
    private readonly DirectoryFiles _files;
    private readonly PartitionInspection _inspection;
    private readonly List<InspectionFinding> _findings = [];
    private readonly List<RepairStep> _steps = [];

    private LogRepair(LogSettings settings, IStorage storage, TopicPartition partition, IDisposable directoryLock, Guid? newTopicId)
    {
        _settings = settings;
        _storage = storage;
        _partition = partition;
        _directory = $"{settings.Path}/{partition}";
        _lock = directoryLock;
        _files = new DirectoryFiles(settings, storage);
        if (!_files.Partitions.Contains(partition))
        {
            throw new LogDirectoryException(LogDirectoryFailure.Foreign, $"There is no partition {partition} in {settings.Path}.");
        }

        _files.ReadJournal();
        _inspection = new PartitionInspection(settings, storage, _files, partition, isInUse: false, new InspectionCounts(), _findings.Add);
        _inspection.Run();
        Refusal = FindRefusal(newTopicId);
        if (Refusal is null && IsDamaged)
        {
            Plan(newTopicId);
        }
    }

    /// <summary>What is wrong, and what is worth knowing.</summary>
    public IReadOnlyList<InspectionFinding> Findings => _findings;

    /// <summary>Why it cannot be mended here, or null.</summary>
    public string? Refusal { get; }

    /// <summary>What <see cref="Run"/> does, one sentence a step. Empty where there is nothing to mend, or where it cannot be.</summary>
    public IReadOnlyList<string> Steps => [.. _steps.Select(static step => step.Description)];

    private bool IsDamaged => _inspection.IsMetadataWrong || _inspection.StartsLate || _inspection.EndsEarly || _inspection.FirstDamage is not null
        || _inspection.AreEpochsWrong || _inspection.SegmentsWithWrongIndexes.Count > 0 || _inspection.WrongSnapshots.Count > 0;

    /// <summary>Takes the lock of the directory until it is disposed, and reads the partition.</summary>
    /// <param name="newTopicId">The id that the topic gets where no other partition of it says one; null to refuse then.</param>
    /// <exception cref="LogDirectoryException">The directory is in use, not ours, or has no such partition.</exception>
    public static LogRepair Prepare(LogDirectoryOptions options, IStorage storage, TopicPartition partition, Guid? newTopicId = null)
    {
        LogSettings settings = options.ToSettings() with { MaximumKeptCutCount = int.MaxValue };

        // Before the lock, which would make its file: what is no data directory is left alone.
        _ = new DirectoryFiles(settings, storage);
        IDisposable directoryLock = storage.TryLock($"{settings.Path}/{FileNames.Lock}") ?? throw new LogDirectoryException(
            LogDirectoryFailure.Locked,
            $"{settings.Path} is locked by another process. Stop the broker, then repair: nothing was changed.");
        try
        {
            return new LogRepair(settings, storage, partition, directoryLock, newTopicId);
        }
        catch
        {
            directoryLock.Dispose();
            throw;
        }
    }

    /// <summary>Does the steps.</summary>
    /// <param name="done">Takes a sentence for each thing that was done.</param>
    /// <returns>Null, or why the partition is still offline.</returns>
    /// <exception cref="IOException">The disk refused. What was done stays done, and the next repair goes on.</exception>
    public string? Run(Action<string> done)
    {
        Invariant.Holds(Refusal is null, "what cannot be mended is not begun");
        string? reason = null;
        foreach (RepairStep step in _steps)
        {
            reason ??= step.Run(done);
        }

        return reason;
    }

    public void Dispose() => _lock.Dispose();

    private string? FindRefusal(Guid? newTopicId)
    {
        if (_inspection.DiskError is { } error)
        {
            return $"{_directory} could not be read: {error} A repair would take for damage what is only unreadable now. Mend the cause first.";
        }

        if (_files.TopicSettingsFault is { } fault)
        {
            return fault;
        }

        if (_inspection.AwaitsJournal)
        {
            return $"The commit journal holds records of {_partition} that were acknowledged and may not be in its segments. Start the broker once, which writes them back, and stop it; then repair.";
        }

        if (_inspection.AwaitsSwap)
        {
            return $"A compaction of {_partition} was interrupted when its result was on the disk. Start the broker once, which puts that in the place of the segments that it was made from, and stop it; then repair.";
        }

        return _inspection.IsMetadataWrong && TopicId(newTopicId) is null
            ? $"No other partition of {_partition.Topic} tells the id of the topic. Restore {_directory}/{FileNames.PartitionMetadata} from a copy; "
                + "or give the topic a new id with --new-topic-id, after which clients take it for another topic of the same name."
            : null;
    }

    private (Guid Id, string Origin)? TopicId(Guid? newTopicId) =>
        _files.TopicIdBeside(_partition) is { } sibling ? (sibling.Id, $"as in {sibling.Of}")
        : newTopicId is { } id ? (id, "a new one")
        : null;

    private void Plan(Guid? newTopicId)
    {
        if (_files.WasCleanlyStopped)
        {
            Add("The marker of the clean stop is taken away until the repair is done.", RemoveMarker);
        }

        if (_inspection.IsMetadataWrong && TopicId(newTopicId) is { } topicId)
        {
            Add($"{FileNames.PartitionMetadata} is written anew with topic id {TopicIds.ToText(topicId.Id)}, {topicId.Origin}.", _ => WriteMetadata(topicId.Id));
        }

        if (_inspection.SegmentsWithWrongIndexes.Count > 0)
        {
            string segments = string.Join(", ", _inspection.SegmentsWithWrongIndexes.Select(static segment => FileNames.Segment(segment, FileNames.LogSuffix)));
            Add($"The indexes of {segments} are made anew from the batches.", RemoveIndexes);
        }

        if (_inspection.WrongSnapshots.Count > 0)
        {
            Add($"{string.Join(", ", _inspection.WrongSnapshots)} is deleted; where it is needed the batches say the same.", RemoveSnapshots);
        }

        PlanLog();
        if (_inspection.AreEpochsWrong)
        {
            _steps.Insert(_steps.Count - 1, new RepairStep($"{FileNames.LeaderEpochs} is made anew from the batches.", static _ => null));
        }

        if (_files.WasCleanlyStopped)
        {
            Add("The marker of the clean stop comes back.", RestoreMarker);
        }
    }

    private void PlanLog()
    {
        if (_inspection.StartsLate)
        {
            Offset start = _inspection.FirstSegment!.Value;
            Add($"The log starts at offset {start} from now on: offsets {_inspection.LogStart} to {start.Value - 1} are given up, whose segment is gone.", _ => MoveLogStart(start));
        }

        if (_inspection.FirstDamage is { } damage)
        {
            string segment = FileNames.Segment(damage.Segment, FileNames.LogSuffix);
            Add(
                $"The log is cut at offset {damage.Offset}: {segment} at byte {damage.Position} {damage.Description}. {GivenUp(damage.Offset)} "
                + $"What is cut stays in {FileNames.CutSuffix} files in {_directory}.",
                _ => LowerRecoveryPoint(damage.Offset));
        }
        else if (_inspection.EndsEarly)
        {
            // Without a segment nothing may have been on the disk, wherever the log starts.
            Offset point = _inspection.FirstSegment is null ? Offset.Zero : _inspection.EndOffset;
            Add($"The log goes on at offset {_inspection.EndOffset}, where it ends. {GivenUp(_inspection.EndOffset)}", _ => LowerRecoveryPoint(point));
        }

        Add("The partition is recovered as after a crash: its indexes, snapshots and leader epochs are made right.", Recover);
    }

    /// <summary>What is lost, as far as anybody can tell.</summary>
    private string GivenUp(Offset from)
    {
        Offset end = Offset.Max(_inspection.EndOffset, _inspection.RecoveryPoint ?? Offset.Zero);
        return end > from
            ? $"Offsets {from} to at least {end.Value - 1} are given up, and are given out again to new records."
            : "No record that was known to be on the disk is given up.";
    }

    private void Add(string description, Func<Action<string>, string?> run) => _steps.Add(new RepairStep(description, run));

    private string? RemoveMarker(Action<string> done)
    {
        _storage.DeleteFile($"{_settings.Path}/{FileNames.CleanShutdown}");
        _storage.SyncDirectory(_settings.Path);
        return null;
    }

    private string? RestoreMarker(Action<string> done)
    {
        AtomicFile.Write(_storage, _settings.Path, FileNames.CleanShutdown, FileNames.CleanShutdownContent);
        return null;
    }

    private string? WriteMetadata(Guid topicId)
    {
        AtomicFile.Write(_storage, _directory, FileNames.PartitionMetadata, TopicIds.FormatMetadata(topicId));
        return null;
    }

    /// <summary>
    /// Only the offset index goes: without it recovery reads the segment and compares all three.
    /// </summary>
    private string? RemoveIndexes(Action<string> done)
    {
        foreach (Offset segment in _inspection.SegmentsWithWrongIndexes)
        {
            _storage.DeleteFile($"{_directory}/{FileNames.Segment(segment, FileNames.IndexSuffix)}");
        }

        _storage.SyncDirectory(_directory);
        return null;
    }

    private string? RemoveSnapshots(Action<string> done)
    {
        foreach (string name in _inspection.WrongSnapshots)
        {
            _storage.DeleteFile($"{_directory}/{name}");
        }

        _storage.SyncDirectory(_directory);
        return null;
    }

    private string? MoveLogStart(Offset start)
    {
        WriteOffset(_files.LogStarts, start);
        return null;
    }

    private string? LowerRecoveryPoint(Offset offset)
    {
        // Compaction has been nowhere beyond the end.
        foreach (OffsetCheckpointFile file in (OffsetCheckpointFile[])[_files.CleanedOffsets, _files.SparseOffsets])
        {
            if (file.Of(_partition) > offset)
            {
                WriteOffset(file, offset);
            }
        }

        if (!(_inspection.RecoveryPoint <= offset))
        {
            WriteOffset(_files.RecoveryPoints, offset);
        }

        return null;
    }

    private string? Recover(Action<string> done)
    {
        // As they are now: the steps before this one have moved them.
        OffsetCheckpointFile Read(string name) => OffsetCheckpointFile.Read(_storage, _settings.Path, name);
        OffsetCheckpointFile cleaned = Read(FileNames.CleanedOffsets);
        var checkpoints = new PartitionCheckpoints
        {
            RecoveryPoint = Read(FileNames.RecoveryPoints).Of(_partition),
            LogStart = Read(FileNames.LogStartOffsets).Of(_partition),
            SparseBelow = DirectoryFiles.SparseBelow(_partition, Read(FileNames.SparseOffsets), cleaned),
            CleanedUpTo = cleaned.Of(_partition) ?? Offset.Zero,
        };
        using var files = new OpenFiles(_storage, _settings.MaximumOpenFileCount);
        var report = new RecoveryReport(wasCleanStop: false);
        LogSettings settings = _files.SettingsOf(_partition.Topic);
        RecoveredPartition? recovered = new PartitionRecovery(settings, files, report, _partition, checkpoints).Recover();
        foreach (RecoveryFinding finding in report.Findings)
        {
            done(finding.ToString());
        }

        foreach (LogSegment segment in recovered?.Segments ?? [])
        {
            segment.Dispose();
        }

        if (recovered is null || recovered.OfflineReason is not null)
        {
            return recovered?.OfflineReason ?? $"{_partition} had never been made; its directory is deleted.";
        }

        WriteOffset(Read(FileNames.RecoveryPoints), recovered.LogEndOffset);
        done(recovered.LogEndOffset > recovered.LogStartOffset
            ? $"{_partition} holds offsets {recovered.LogStartOffset} to {recovered.LogEndOffset.Value - 1}; the next record gets {recovered.LogEndOffset}."
            : $"{_partition} holds no record; the next one gets {recovered.LogEndOffset}.");
        return null;
    }

    /// <summary>Writes the line of the partition, durably. Where the file could not be read, the offsets of all others are unknown.</summary>
    private void WriteOffset(OffsetCheckpointFile file, Offset offset)
    {
        var offsets = file.Offsets is { } known
            ? new Dictionary<TopicPartition, Offset>(known)
            : _files.Partitions.ToDictionary(static partition => partition, static _ => OffsetCheckpoint.Unknown);
        offsets[_partition] = offset;
        AtomicFile.Write(_storage, _settings.Path, file.Name, OffsetCheckpoint.Format(offsets));
    }

    /// <param name="Run">Takes where to put what was done; gives null, or why it goes no further.</param>
    private sealed record RepairStep(string Description, Func<Action<string>, string?> Run);
}
