using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// Reads all files of a partition and changes none. What is wrong goes out as sentences; what a repair has to know stays in the properties.
/// </summary>
internal sealed class PartitionInspection
{
    private readonly IStorage _storage;
    private readonly LogSettings _settings;
    private readonly DirectoryFiles _files;
    private readonly TopicPartition _partition;
    private readonly string _directory;
    private readonly bool _isInUse;
    private readonly InspectionCounts _counts;
    private readonly Action<InspectionFinding> _report;
    private readonly Offset? _recoveryPoint;
    private readonly Offset? _logStart;
    private readonly Offset _sparseBelow;
    private readonly LogPosition _log = new();
    private readonly HashSet<Offset> _segmentsWithWrongIndexes = [];
    private readonly List<string> _wrongSnapshots = [];

    // What was found beside a broker, until it is known that this has put no other segments in the place of those that were read.
    private readonly List<InspectionFinding> _held = [];
    private IReadOnlyList<JournaledPiece> _journaled = [];
    private PartitionListing _listing = new([]);

    public PartitionInspection(
        LogSettings settings,
        IStorage storage,
        DirectoryFiles files,
        TopicPartition partition,
        bool isInUse,
        InspectionCounts counts,
        Action<InspectionFinding> report)
    {
        _storage = storage;
        _settings = files.SettingsOf(partition.Topic);
        _files = files;
        _partition = partition;
        _directory = $"{settings.Path}/{partition}";
        _isInUse = isInUse;
        _counts = counts;
        _report = report;
        _recoveryPoint = files.RecoveryPoints.Of(partition);
        _logStart = files.LogStarts.Of(partition);
        _sparseBelow = DirectoryFiles.SparseBelow(partition, files.SparseOffsets, files.CleanedOffsets);
    }

    public Offset? RecoveryPoint => _recoveryPoint;

    public Offset? LogStart => _logStart;

    /// <summary>The first place where the log is not whole; null if it is.</summary>
    public LogDamage? FirstDamage { get; private set; }

    /// <summary>The offset after the last batch that could be read.</summary>
    public Offset EndOffset => _log.End;

    /// <summary>Null if there is none.</summary>
    public Offset? FirstSegment { get; private set; }

    /// <summary>Whether the first segment begins beyond the log's start.</summary>
    public bool StartsLate { get; private set; }

    /// <summary>Whether the log lacks offsets that were on the disk, its end or all of it, and no batch says so.</summary>
    public bool EndsEarly { get; private set; }

    public bool IsMetadataWrong { get; private set; }

    public bool AreEpochsWrong { get; private set; }

    public IReadOnlyCollection<Offset> SegmentsWithWrongIndexes => _segmentsWithWrongIndexes;

    public IReadOnlyList<string> WrongSnapshots => _wrongSnapshots;

    /// <summary>Whether the commit journal has something of it that its segments may lack.</summary>
    public bool AwaitsJournal => _journaled.Count > 0;

    /// <summary>Whether a compacted segment waits for a start that puts it in the place of those it was made from: what the names say until then is not the log.</summary>
    public bool AwaitsSwap { get; private set; }

    /// <summary>Why the files could not be read, or null.</summary>
    public string? DiskError { get; private set; }

    private string Mend => $"stop the broker and {Sentences.Repair(_settings.Path, _partition)}.";

    public void Run()
    {
        _counts.Partitions++;
        try
        {
            RunOrThrow();
        }
        catch (FileNotFoundException exception) when (_isInUse)
        {
            Note(exception.FileName ?? _directory, "The broker deleted this file meanwhile: the partition is not looked at any further.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            DiskError = exception.Message;
            Find(_directory, null, null, $"Reading failed: {exception.Message} Mend the cause, and look again.");
        }

        ReportHeld();
    }

    private void ReportHeld()
    {
        bool isMixed = _held.Exists(static finding => !finding.IsNote) && HasChangedMeanwhile();
        _held.FindAll(finding => finding.IsNote || !isMixed).ForEach(_report);
        _held.Clear();
        if (isMixed)
        {
            _report(NoteOn(_directory, "The broker compacted or deleted segments meanwhile, so that what was read does not fit together. Look again."));
        }
    }

    /// <summary>Whether the segments, but for the last one, are other ones than at the beginning, or were compacted further than the checkpoints said then.</summary>
    private bool HasChangedMeanwhile()
    {
        try
        {
            bool IsAsBefore(OffsetCheckpointFile before) => OffsetCheckpointFile.Read(_storage, _settings.Path, before.Name).Of(_partition) == before.Of(_partition);
            var now = new PartitionListing(_storage.List(_directory));
            HashSet<StorageEntry> segments = [.. now.WithSuffix(FileNames.LogSuffix).Select(static segment => segment.Entry)];
            return HasSwap(_listing) || HasSwap(now) || !IsAsBefore(_files.SparseOffsets) || !IsAsBefore(_files.CleanedOffsets)
                || _listing.WithSuffix(FileNames.LogSuffix).SkipLast(1).Any(segment => !segments.Contains(segment.Entry));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // What was found tells more.
            return false;
        }
    }

    private void RunOrThrow()
    {
        _listing = new PartitionListing(_storage.List(_directory));
        if (WasNeverCreated())
        {
            Note(PathOf(FileNames.PartitionMetadata), "The file is missing, and there never was a record: the creation was interrupted, and the next start deletes the directory.");
            return;
        }

        InspectMetadata();
        AwaitsSwap = !_isInUse && HasSwap(_listing);
        if (AwaitsSwap)
        {
            Note(_directory, "A compaction was interrupted when its result was on the disk: the next start puts that in the place of the segments that it was made from. The partition is not looked at any further.");
            return;
        }

        InspectJournal();
        InspectSegments();
        InspectSnapshots();
        InspectEpochs();
        InspectLeftovers();
    }

    private bool WasNeverCreated() =>
        _recoveryPoint == Offset.Zero && !_storage.FileExists(PathOf(FileNames.PartitionMetadata))
        && _listing.WithSuffix(FileNames.LogSuffix).All(static segment => segment.Entry.ByteCount == 0);

    private void InspectMetadata()
    {
        string path = PathOf(FileNames.PartitionMetadata);
        string? text = AtomicFile.TryRead(_storage, _directory, FileNames.PartitionMetadata);
        if (text is null || !TopicIds.TryParseMetadata(text, out Guid id))
        {
            bool hasRecords = _listing.WithSuffix(FileNames.LogSuffix).Any(static segment => segment.Entry.ByteCount > 0);
            string what = text is null ? "The file is missing." : "The file is damaged: it has no line with the id of the topic.";
            if (!hasRecords && _recoveryPoint == Offset.Zero)
            {
                Note(path, $"{what} There never was a record: the creation was interrupted, and the next start deletes the directory.");
                return;
            }

            IsMetadataWrong = true;
            Find(path, null, null, $"{what} The partition stays offline without it. To have it made anew, {Mend}");
        }
        else if (_files.TopicIdBeside(_partition) is { } sibling && sibling.Id != id)
        {
            IsMetadataWrong = false;
            Find(path, null, null, $"The topic has the id {TopicIds.ToText(id)} here and {TopicIds.ToText(sibling.Id)} in {sibling.Of}: "
                + "one of the two directories belongs to another topic of that name. Restore the one that does not belong here from a copy.");
        }
    }

    private void InspectJournal()
    {
        string? metadata = AtomicFile.TryRead(_storage, _directory, FileNames.PartitionMetadata);
        if (_files.Journal is null || metadata is null || !TopicIds.TryParseMetadata(metadata, out Guid id))
        {
            return;
        }

        string? epochs = AtomicFile.TryRead(_storage, _directory, FileNames.LeaderEpochs);
        _journaled = _files.Journal.Pieces(id, _partition.Partition, JournalTarget.Of(_listing, epochs, _recoveryPoint, _logStart, _sparseBelow));
        if (AwaitsJournal)
        {
            Note(_directory, $"The commit journal holds offsets {_journaled[0].BaseOffset} to {_journaled[^1].EndOffset.Value - 1}: the next start writes them back where they are missing.");
        }
    }

    private void InspectSegments()
    {
        List<(Offset BaseOffset, StorageEntry Entry)> segments = [.. _listing.WithSuffix(FileNames.LogSuffix)];
        int first = Math.Max(segments.FindLastIndex(segment => segment.BaseOffset <= _logStart), 0);
        for (int number = 0; number < first; number++)
        {
            Note(PathOf(segments[number].Entry.Name), $"The segment lies below the log's start {_logStart}: the next start deletes it.");
        }

        segments.RemoveRange(0, first);
        BeginLog(segments);

        // The snapshot there knows the transactions that deleted records began, but not which of them ended with a marker that is compacted
        // away. Readers see what is left: by that the indexes are judged.
        Offset incompleteBelow = Offset.Max(_sparseBelow, FirstSegment ?? Offset.Zero);
        SegmentReports reports = new(_counts, FoundDamage, FoundUnreadable, FoundWrongIndex, (segment, position, sentence) => Note(SegmentPath(segment), sentence, position));
        for (int number = 0; number < segments.Count; number++)
        {
            (Offset baseOffset, StorageEntry entry) = segments[number];
            JudgePlace(baseOffset);
            var inspection = new SegmentInspection(_storage, _directory, _settings, incompleteBelow, _log, reports);
            bool isLast = number == segments.Count - 1;
            inspection.Run(baseOffset, entry.ByteCount, isLast, isGrowing: _isInUse && isLast);
            _counts.Segments++;
            if (inspection.HasWrongIndex)
            {
                _segmentsWithWrongIndexes.Add(baseOffset);
            }
        }

        JudgeEnd(segments.Count);
    }

    private void BeginLog(List<(Offset BaseOffset, StorageEntry Entry)> segments)
    {
        _log.Producers = new ProducerStates(_settings.MaximumProducerCount);
        _log.KnowsProducers = true;
        if (segments.Count == 0)
        {
            _log.Expected = _log.End = _logStart ?? Offset.Zero;
            return;
        }

        Offset first = segments[0].BaseOffset;
        FirstSegment = first;
        _log.Expected = _log.End = first;
        if (first > _logStart)
        {
            StartsLate = true;
            Find(SegmentPath(first), null, _logStart, $"The log starts at offset {_logStart}, and its first segment begins at {first}: what lay before it is gone. "
                + $"Restore the segment before it from a copy. To let the log start at {first}, {Mend}");
        }
    }

    private void JudgePlace(Offset baseOffset)
    {
        bool isRight = _log.Expected is not { } expected || baseOffset == expected || (baseOffset > expected && baseOffset <= _sparseBelow);
        if (!isRight)
        {
            RecoveryCondition condition = baseOffset > _log.Expected ? RecoveryCondition.SegmentAfterGap : RecoveryCondition.SegmentOverlaps;
            FoundDamage(new LogDamage(condition, baseOffset, 0, _log.End, $"begins at offset {baseOffset}, and the log before it ends at {_log.Expected}"));
            _log.KnowsProducers = false;
        }

        // Behind damage the name of the segment says what is expected.
        _log.Expected = Offset.Max(baseOffset, isRight ? _log.Expected ?? baseOffset : baseOffset);
    }

    private void JudgeEnd(int segmentCount)
    {
        if (segmentCount == 0 && (_recoveryPoint is null || _recoveryPoint > Offset.Zero))
        {
            EndsEarly = true;
            Find(_directory, null, _log.End, $"There is no segment, and records were on the disk here. Restore the directory from a copy. To begin the log anew, {Mend}");
        }
        else if (_recoveryPoint is { } point && FirstDamage is null && _log.End < point && !(_log.End < _logStart))
        {
            EndsEarly = true;
            Find(_directory, null, _log.End, $"The log ends at offset {_log.End}, and offsets below {point} were on the disk. "
                + $"Restore the last segment from a copy. To go on without them, {Mend}");
        }
    }

    private void FoundDamage(LogDamage damage)
    {
        if (AwaitsJournal && FirstDamage is null && damage.Offset >= _journaled[0].BaseOffset)
        {
            Note(SegmentPath(damage.Segment), $"Here the log {damage.Description}. The next start first writes back what the commit journal holds, then cuts what is still torn.", damage.Position);
            return;
        }

        // The log before the first one is whole; where a later one lies is all that can be said of it.
        bool isFirst = FirstDamage is null;
        FirstDamage ??= damage;
        bool isSegment = damage.Condition is RecoveryCondition.SegmentAfterGap or RecoveryCondition.SegmentOverlaps;
        string what = $"{(isSegment ? "The segment" : "Here the log")} {damage.Description}.";
        bool isBeyond = _recoveryPoint is { } point && damage.Offset >= point;
        string advice = (isFirst, isBeyond) switch
        {
            (false, _) => "It lies behind the first damage of this partition, and goes with it.",
            (true, true) => $"It lies beyond the recovery point {_recoveryPoint}, where a crash may have torn the log: the next start cuts it at offset {damage.Offset} "
                + $"and keeps what it cuts in a {FileNames.CutSuffix} file.",
            _ => $"The partition is offline at the next start that reads here. Restore the file from a copy. To give up the records from offset {damage.Offset} on, {Mend}",
        };
        Find(SegmentPath(damage.Segment), damage.Position, damage.Offset, $"{what} {advice}");
    }

    private void FoundUnreadable(Offset segment, long position, Offset offset, string reason) => Find(
        SegmentPath(segment), position, offset,
        $"{reason} The checksum is right, so its producer wrote it so. Consumers stop here: let them seek beyond the batch, or delete the records up to there.");

    private void FoundWrongIndex(string name, long? position, string description) => Find(
        PathOf(name), position, null, $"The index {description}. Its segment says what belongs there. To have it made anew, {Mend}");

    private void InspectSnapshots()
    {
        foreach ((Offset offset, StorageEntry entry) in _listing.WithSuffix(FileNames.SnapshotSuffix))
        {
            if (!ProducerSnapshot.TryRead(InspectedFile.ReadAll(_storage, PathOf(entry.Name)), out _))
            {
                _wrongSnapshots.Add(entry.Name);
                Find(PathOf(entry.Name), null, offset, $"The snapshot of producers fails its checksum or is of another format. The batches say the same. To have it removed, {Mend}");
            }
            else if (!_isInUse && FirstDamage is null && offset > _log.End)
            {
                Note(PathOf(entry.Name), $"The snapshot lies beyond the log's end {_log.End}: the next start deletes it.");
            }
        }
    }

    private void InspectEpochs()
    {
        string path = PathOf(FileNames.LeaderEpochs);
        string? text = AtomicFile.TryRead(_storage, _directory, FileNames.LeaderEpochs);
        string mended = "The next start makes it anew from the batches; so does a repair.";
        if (text is null || LeaderEpochs.TryParse(text) is not { } epochs)
        {
            AreEpochsWrong = true;
            CheckpointFault? fault = text is null ? null : CheckpointFault.Find(text, columnCount: 2);
            Find(path, fault?.Position, null, text is null ? $"The file is missing. {mended}" : $"The file is damaged: {fault?.Description}. {mended}");
        }
        else if (epochs.Current < _log.HighestEpoch)
        {
            AreEpochsWrong = true;
            Find(path, null, null, $"The newest epoch is {epochs.Current}, and there are batches of epoch {_log.HighestEpoch}. {mended}");
        }
        else if (!_isInUse && FirstDamage is null && !EndsEarly && epochs.Starts.Count > 0 && epochs.Starts[^1].StartOffset > Offset.Max(_log.End, _logStart ?? Offset.Zero))
        {
            Find(path, null, null, $"Epoch {epochs.Current} begins at offset {epochs.Starts[^1].StartOffset}, and the log ends at {_log.End}. "
                + "Restore the file from a copy, or delete it: the next start makes it anew.");
        }
    }

    private void InspectLeftovers()
    {
        HashSet<Offset> segments = [.. _listing.WithSuffix(FileNames.LogSuffix).Select(static segment => segment.Offset)];
        foreach (StorageEntry entry in _listing.Entries)
        {
            string suffix = entry.Name[Math.Max(entry.Name.LastIndexOf('.'), 0)..];
            if (FileNames.IndexSuffixes.Contains(suffix, StringComparer.Ordinal)
                && FileNames.TryParseSegment(entry.Name, suffix, out Offset baseOffset) && !segments.Contains(baseOffset))
            {
                Note(PathOf(entry.Name), "The index has no segment: the next start deletes it.");
            }
            else if (suffix == FileNames.CutSuffix)
            {
                Note(PathOf(entry.Name), $"{entry.ByteCount} bytes that were cut off the log are kept here. Delete the file when nobody needs them.");
            }
            else if (!_isInUse && suffix is AtomicFile.TemporarySuffix or FileNames.DeletedSuffix or FileNames.CleanedSuffix or FileNames.SwapSuffix)
            {
                Note(PathOf(entry.Name), "An interrupted write, deletion or compaction has left this file: the next start deletes it.");
            }
        }
    }

    private static bool HasSwap(PartitionListing listing) => listing.WithSuffix(FileNames.LogSuffix + FileNames.SwapSuffix).Any();

    private string PathOf(string name) => $"{_directory}/{name}";

    private string SegmentPath(Offset segment) => PathOf(FileNames.Segment(segment, FileNames.LogSuffix));

    private void Find(string path, long? position, Offset? offset, string description) =>
        Report(new InspectionFinding(_partition, path, position, offset, description, IsNote: false));

    private void Note(string path, string description, long? position = null) => Report(NoteOn(path, description, position));

    private InspectionFinding NoteOn(string path, string description, long? position = null) =>
        new(_partition, path, position, null, description, IsNote: true);

    private void Report(InspectionFinding finding)
    {
        if (_isInUse)
        {
            _held.Add(finding);
        }
        else
        {
            _report(finding);
        }
    }
}
