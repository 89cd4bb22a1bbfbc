using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// The recovery of one partition: look at its files, ask <see cref="RecoveryTable"/>, act. May be interrupted at any operation and begun
/// again: it cuts from the end, and makes durable what it kept before it cuts.
/// </summary>
internal sealed partial class PartitionRecovery
{
    private readonly LogSettings _settings;
    private readonly OpenFiles _files;
    private readonly IStorage _storage;
    private readonly RecoveryReport _report;
    private readonly TopicPartition _topicPartition;
    private readonly string _directory;
    private readonly Offset? _recoveryPoint;
    private readonly Offset? _logStart;
    private readonly PartitionCheckpoints _checkpoints;

    private readonly List<SegmentFile> _segments = [];
    private Guid _topicId;
    private LeaderEpochs? _epochsOnDisk;
    private PartitionListing _listing = null!;
    private SnapshotRecovery _snapshots = null!;
    private IndexRecovery _indexes = null!;
    private ScanPlan _plan = null!;
    private LogScan _scan = null!;
    private Offset _checkedFrom;
    private int _highestEpochOnDisk;
    private bool _hasChangedDirectory;
    private bool _hasTakenFromJournal;

    public PartitionRecovery(
        LogSettings settings, OpenFiles files, RecoveryReport report, TopicPartition topicPartition, PartitionCheckpoints checkpoints)
    {
        _settings = settings;
        _files = files;
        _storage = files.Storage;
        _report = report;
        _topicPartition = topicPartition;
        _directory = $"{settings.Path}/{topicPartition}";
        _checkpoints = checkpoints;
        _recoveryPoint = checkpoints.RecoveryPoint;
        _logStart = checkpoints.LogStart;
    }

    /// <summary>The first offset of a segment whose bytes are looked at although they lie below the recovery point; null where none has failed a read.</summary>
    public Offset? FirstSuspect { get; init; }

    /// <summary>What the journal has, which its segments may lack; null if that is nothing.</summary>
    public JournalReplay? Journal { get; init; }

    /// <summary>Whether the partition is known to be there, whatever its files say.</summary>
    public bool IsCreated { get; init; }

    /// <summary>What was found and done.</summary>
    public RecoveryReport Report => _report;

    /// <summary>Null if the partition was never created.</summary>
    public RecoveredPartition? Recover()
    {
        try
        {
            return RecoverOrThrow();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            if (IsUnfinishedCreation())
            {
                return null;
            }

            if (!_hasTakenFromJournal)
            {
                Journal?.Failed();
            }

            string reason = $"Opening {_directory} failed: {exception.Message} {Sentences.AfterDiskError}";
            _report.Add(_topicPartition, RecoveryCondition.DiskError, false, reason);
            return Offline(reason);
        }
    }

    /// <summary>
    /// Whether the disk has refused something of what is left of a creation that was interrupted or refused. Nobody was told of it: what is there stays for the next start, and no partition is
    /// made of it that could never come back.
    /// </summary>
    private bool IsUnfinishedCreation()
    {
        try
        {
            return !IsCreated && _recoveryPoint == Offset.Zero
                && (!_storage.DirectoryExists(_directory)
                    || (!_storage.FileExists($"{_directory}/{FileNames.PartitionMetadata}") && !HasRecords(_storage.List(_directory))));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static bool HasRecords(IReadOnlyList<StorageEntry> entries) =>
        entries.Any(static entry => entry.Name.EndsWith(FileNames.LogSuffix, StringComparison.Ordinal) && entry.ByteCount > 0);

    private RecoveredPartition? RecoverOrThrow()
    {
        IReadOnlyList<StorageEntry> entries = ListAndTidy();
        if (Journal is { } journal && TryWriteBack(journal, entries))
        {
            entries = _storage.List(_directory);
        }

        _hasTakenFromJournal = true;
        _listing = new PartitionListing(entries);
        _snapshots = new SnapshotRecovery(_storage, _directory, _settings.MaximumProducerCount, _listing, Found);
        _indexes = new IndexRecovery(_files, _directory, _listing, Found);
        if (!TryReadMetadata(entries, out RecoveredPartition? outcome))
        {
            return outcome;
        }

        ReadEpochs();
        OpenSegments();
        RemoveSegmentsBelowStart();
        DeleteIndexesWithoutSegment(entries);
        if (_segments.Count == 0 && NoSegments() is { } offline)
        {
            return offline;
        }

        bool isTrusted = _report.WasCleanStop && EndsAtRecoveryPoint();
        Scan(isTrusted);
        if (isTrusted && (_scan.Fault is { IsBelowRecoveryPoint: false } || _scan.EndOffset > _recoveryPoint))
        {
            // The marker vouches for what lies below the recovery points, and here is more.
            isTrusted = false;
            Scan(isTrusted);
        }

        if (FindDamage() is { } damage)
        {
            return Offline(damage);
        }

        Cut();
        BeginAtLogStart();
        RecoverIndexes();
        if (!isTrusted)
        {
            RewriteTail();
        }

        return Finish(isTrusted);
    }

    private IReadOnlyList<StorageEntry> ListAndTidy()
    {
        IReadOnlyList<StorageEntry> entries = _storage.List(_directory);
        var swaps = new SwapRecovery(_storage, _directory, Found);
        if (swaps.Run(entries))
        {
            entries = _storage.List(_directory);
        }

        foreach (StorageEntry entry in entries)
        {
            if (entry.Name.EndsWith(AtomicFile.TemporarySuffix, StringComparison.Ordinal))
            {
                Found(RecoveryCondition.TemporaryFile, $"'{entry.Name}' of an interrupted write is deleted.");
                DeleteFile(entry.Name);
            }
            else if (entry.Name.EndsWith(FileNames.DeletedSuffix, StringComparison.Ordinal))
            {
                Found(RecoveryCondition.DeletedSegment, $"'{entry.Name}' had left the log and is deleted.");
                DeleteFile(entry.Name);
            }
        }

        return entries;
    }

    /// <summary>
    /// Writes into the segments what was acknowledged by the journal, before anything of them is read: what is judged afterwards is the log as it was promised.
    /// </summary>
    private bool TryWriteBack(JournalReplay journal, IReadOnlyList<StorageEntry> entries)
    {
        string? metadata = AtomicFile.TryRead(_storage, _directory, FileNames.PartitionMetadata);
        if (metadata is null || !TopicIds.TryParseMetadata(metadata, out Guid topicId))
        {
            // One whose creation was interrupted has nothing in the journal: its name is the last thing that is written, and the first append comes after it.
            if (metadata is not null || HasRecords(entries) || IsCreated || _recoveryPoint != Offset.Zero)
            {
                journal.Failed();
            }

            return false;
        }

        string? epochs = AtomicFile.TryRead(_storage, _directory, FileNames.LeaderEpochs);
        var target = JournalTarget.Of(new PartitionListing(entries), epochs, _recoveryPoint, _logStart, _checkpoints.SparseBelow);
        long? changedByteCount = journal.WriteBack(_directory, topicId, _topicPartition.Partition, target);
        if (changedByteCount > 0)
        {
            Found(RecoveryCondition.JournalWrittenBack, $"{changedByteCount} bytes that were acknowledged and had not reached the segments are written back from the commit journal.");
        }

        return changedByteCount is not null;
    }

    private bool TryReadMetadata(IReadOnlyList<StorageEntry> entries, out RecoveredPartition? outcome)
    {
        outcome = null;
        string? text = AtomicFile.TryRead(_storage, _directory, FileNames.PartitionMetadata);
        if (text is not null && TopicIds.TryParseMetadata(text, out _topicId))
        {
            return true;
        }

        string what = $"{FileNames.PartitionMetadata} is {(text is null ? "missing" : "damaged")}";
        bool hasRecords = HasRecords(entries);
        bool wasUsed = IsCreated || _recoveryPoint is null || _recoveryPoint > Offset.Zero;
        RecoveryCondition condition = hasRecords
            ? RecoveryCondition.MetadataMissingWithRecords
            : RecoveryCondition.MetadataMissingWithoutRecords;
        if (RecoveryTable.Decide(condition, wasUsed) == RecoveryAction.DeletePartition)
        {
            Found(condition, $"{what} and there are no records: the creation was interrupted, and the directory is deleted.");
            DeleteDirectory();
            return false;
        }

        string reason = $"{what} in {_directory}. The partition is offline and nothing was changed. Restore the file from a copy; or "
            + $"stop and {Sentences.Repair(_settings.Path, _topicPartition)}, which takes the id of the topic from another of its partitions.";
        _report.Add(_topicPartition, condition, wasUsed, reason);
        outcome = Offline(reason);
        return false;
    }

    private void DeleteFile(string name)
    {
        _storage.DeleteFile($"{_directory}/{name}");
        _hasChangedDirectory = true;
    }

    private void DeleteDirectory()
    {
        LogDirectory.RemoveDirectory(_storage, _directory);
        _storage.SyncDirectory(_settings.Path);
    }

    private void ReadEpochs()
    {
        string? text = AtomicFile.TryRead(_storage, _directory, FileNames.LeaderEpochs);
        _epochsOnDisk = text is null ? null : LeaderEpochs.TryParse(text);
        if (_epochsOnDisk is null)
        {
            RecoveryCondition condition = text is null ? RecoveryCondition.EpochsMissing : RecoveryCondition.EpochsUnreadable;
            Found(condition, $"{FileNames.LeaderEpochs} is {(text is null ? "missing" : "damaged")} and is made anew from the batches.");
        }
    }

    private void OpenSegments()
    {
        foreach ((Offset baseOffset, StorageEntry entry) in _listing.WithSuffix(FileNames.LogSuffix))
        {
            if (entry.ByteCount > int.MaxValue)
            {
                throw new IOException($"{_directory}/{entry.Name} has {entry.ByteCount} bytes; a segment has at most {int.MaxValue}.");
            }

            _segments.Add(new SegmentFile(baseOffset, _files.Existing(_directory, entry.Name), entry.ByteCount));
        }
    }

    /// <summary>
    /// Finishes an interrupted deletion. The power may have failed in it and kept any of the segments; the last one that does not begin
    /// beyond the start is the first of the log.
    /// </summary>
    private void RemoveSegmentsBelowStart()
    {
        int first = _segments.FindLastIndex(segment => segment.BaseOffset <= _logStart);
        for (int number = 0; number < first; number++)
        {
            Found(RecoveryCondition.SegmentBelowLogStart, $"The segment at {_segments[number].BaseOffset} lies below the log's start {_logStart} and is deleted.");
            RemoveSegment(_segments[number]);
        }

        _segments.RemoveRange(0, Math.Max(first, 0));
    }

    private void RemoveSegment(SegmentFile segment)
    {
        segment.File.Dispose();
        DeleteFile(FileNames.Segment(segment.BaseOffset, FileNames.LogSuffix));
    }

    /// <summary>
    /// Records may be deleted before they are on the disk. Where a power loss took them, and what came after, the log goes on at its start:
    /// no offset below is given out twice.
    /// </summary>
    private void BeginAtLogStart()
    {
        if (!(_scan.EndOffset < _logStart))
        {
            return;
        }

        Offset start = _logStart.Value;
        Found(RecoveryCondition.LogEndsBelowStart, $"The log ends at {_scan.EndOffset}, below its start {start}, where it begins anew.");

        // The new segment first, durably: a start that is interrupted after it takes the others for what lies below the log's start.
        string name = FileNames.Segment(start, FileNames.LogSuffix);
        var empty = new SegmentFile(start, _files.Create(_directory, name), 0);
        _storage.SyncDirectory(_directory);
        _segments.ForEach(RemoveSegment);
        foreach (SegmentFile segment in _segments)
        {
            foreach (string suffix in FileNames.IndexSuffixes)
            {
                DeleteFile(FileNames.Segment(segment.BaseOffset, suffix));
            }
        }

        _segments.Clear();
        _segments.Add(empty);
        Scan(isTrusted: false);
    }

    private void DeleteIndexesWithoutSegment(IReadOnlyList<StorageEntry> entries)
    {
        foreach (StorageEntry entry in entries)
        {
            if (IsIndex(entry.Name, out Offset baseOffset) && !_segments.Exists(segment => segment.BaseOffset == baseOffset))
            {
                Found(RecoveryCondition.IndexWithoutSegment, $"'{entry.Name}' has no segment and is deleted.");
                DeleteFile(entry.Name);
            }
        }
    }

    private static bool IsIndex(string name, out Offset baseOffset)
    {
        foreach (string suffix in FileNames.IndexSuffixes)
        {
            if (FileNames.TryParseSegment(name, suffix, out baseOffset))
            {
                return true;
            }
        }

        baseOffset = default;
        return false;
    }

    private RecoveredPartition? NoSegments()
    {
        bool wasUsed = _recoveryPoint is null || _recoveryPoint > Offset.Zero;
        if (RecoveryTable.Decide(RecoveryCondition.SegmentsMissing, wasUsed) == RecoveryAction.CreateFirstSegment)
        {
            Found(RecoveryCondition.SegmentsMissing, "There is no segment: the first one is made.");
            return null;
        }

        string reason = $"There is no segment in {_directory}, and records were on the disk there. "
            + Sentences.AfterDamage(_settings.Path, _topicPartition, Offset.Zero);
        _report.Add(_topicPartition, RecoveryCondition.SegmentsMissing, wasUsed, reason);
        return Offline(reason);
    }

    /// <summary>What keeps the partition offline, or null.</summary>
    private string? FindDamage()
    {
        if (_scan.Fault is { } fault)
        {
            if (RecoveryTable.Decide(fault.Condition, fault.IsBelowRecoveryPoint) != RecoveryAction.StayOffline)
            {
                return null;
            }

            string where = Sentences.Place(_segments[fault.Segment].BaseOffset, _topicPartition, fault.Position);
            string reason = $"{where} {fault.Description}. {Sentences.AfterDamage(_settings.Path, _topicPartition, _scan.EndOffset)}";
            _report.Add(_topicPartition, fault.Condition, isBelowRecoveryPoint: true, reason);
            return reason;
        }

        if (_recoveryPoint is { } point && _scan.EndOffset < point)
        {
            string reason = $"The log of {_topicPartition} ends at offset {_scan.EndOffset}, and offsets below {point} were on the disk. "
                + Sentences.AfterDamage(_settings.Path, _topicPartition, _scan.EndOffset);
            _report.Add(_topicPartition, RecoveryCondition.LogEndsEarly, isBelowRecoveryPoint: true, reason);
            return reason;
        }

        return null;
    }

    private void Cut()
    {
        if (_scan.Fault is not { } fault)
        {
            return;
        }

        var cutter = new TailCutter(_storage, _directory, _settings.MaximumKeptCutCount, HighestEpoch);
        bool isWholeSegment = fault.Condition is RecoveryCondition.SegmentAfterGap or RecoveryCondition.SegmentOverlaps;
        int firstRemoved = isWholeSegment ? fault.Segment : fault.Segment + 1;
        string where = Sentences.Place(_segments[fault.Segment].BaseOffset, _topicPartition, fault.Position);

        // From the end: an interruption leaves the place that fails where it was, and the next start comes here again.
        for (int index = _segments.Count - 1; index >= firstRemoved; index--)
        {
            cutter.RemoveSegment(_segments[index]);
            _segments.RemoveAt(index);
        }

        if (!isWholeSegment)
        {
            SegmentFile segment = _segments[fault.Segment];
            cutter.Truncate(segment, fault.Position);
            _segments[fault.Segment] = segment with { Length = fault.Position };
        }

        _hasChangedDirectory = true;
        string kept = cutter.KeptNames.Count == 0 ? "all of it was zeros" : $"it is kept in {string.Join(", ", cutter.KeptNames)}";
        Found(
            fault.Condition,
            $"{where} {fault.Description}: the log is cut at offset {_scan.EndOffset}; {cutter.CutByteCount} bytes went, {kept}.");
    }

    private void Found(RecoveryCondition condition, string description) =>
        _report.Add(_topicPartition, condition, isBelowRecoveryPoint: false, description);
}
