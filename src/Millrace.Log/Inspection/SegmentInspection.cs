using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What is known of a log from the segments before the one that is looked at.</summary>
internal sealed class LogPosition
{
    /// <summary>The offset that comes next; null behind damage, where any may come.</summary>
    public Offset? Expected { get; set; }

    /// <summary>The offset after the last batch that is whole.</summary>
    public Offset End { get; set; }

    /// <summary>Of the last batch.</summary>
    public int Epoch { get; set; } = -1;

    public int HighestEpoch { get; set; } = -1;

    public ProducerStates Producers { get; set; } = null!;

    /// <summary>Whether nothing is missing in <see cref="Producers"/>.</summary>
    public bool KnowsProducers { get; set; }
}

/// <summary>
/// Reads one segment: every batch with its checksum and its records, and its indexes beside it. Goes on behind what is damaged, as far as it can
/// be told where the next batch begins.
/// </summary>
internal sealed class SegmentInspection
{
    private readonly IStorage _storage;
    private readonly string _directory;
    private readonly LogSettings _settings;
    private readonly Offset _incompleteBelow;
    private readonly LogPosition _log;
    private readonly SegmentReports _reports;

    /// <param name="incompleteBelow">Below, batches may be compacted away, or are deleted.</param>
    public SegmentInspection(
        IStorage storage, string directory, LogSettings settings, Offset incompleteBelow, LogPosition log, SegmentReports reports)
    {
        _storage = storage;
        _directory = directory;
        _settings = settings;
        _incompleteBelow = incompleteBelow;
        _log = log;
        _reports = reports;
    }

    public bool HasWrongIndex { get; private set; }

    /// <param name="byteCount">Its length when the directory was listed; what a broker has written since is not looked at.</param>
    /// <param name="isLast">Whether the log has no later segment.</param>
    /// <param name="isGrowing">Whether a broker may be writing to it.</param>
    public void Run(Offset baseOffset, long byteCount, bool isLast, bool isGrowing)
    {
        if (byteCount > int.MaxValue)
        {
            throw new IOException($"{_directory}/{FileNames.Segment(baseOffset, FileNames.LogSuffix)} has {byteCount} bytes; a segment has at most {int.MaxValue}.");
        }

        var indexes = new IndexInspection(_storage, _directory, baseOffset, _incompleteBelow, _settings, isGrowing, _reports.Index);
        using IStorageFile file = _storage.Open($"{_directory}/{FileNames.Segment(baseOffset, FileNames.LogSuffix)}", StorageOpenMode.Reading);
        using var walker = new BatchWalker(file, 0, Math.Min(byteCount, file.Length), verifiesChecksums: true);
        bool isWhole = Walk(walker, baseOffset, indexes, isLast && isGrowing);
        _reports.Counts.Bytes += walker.Position;
        if (isWhole)
        {
            indexes.Complete(isLast, _log.KnowsProducers);
        }

        HasWrongIndex = indexes.IsWrong;
    }

    /// <summary>Whether the segment was whole.</summary>
    private bool Walk(BatchWalker walker, Offset baseOffset, IndexInspection indexes, bool mayEndEarly)
    {
        bool isWhole = true;
        bool hasSkipped = false;
        while (true)
        {
            if (walker.MoveNext())
            {
                isWhole &= Observe(walker, baseOffset, indexes, ref hasSkipped);
                continue;
            }

            if (walker.Verdict == BatchVerdict.Valid)
            {
                return isWhole;
            }

            isWhole = false;
            bool isUntold = !hasSkipped || walker.Verdict is BatchVerdict.BadChecksum or BatchVerdict.BadCounts;
            if (walker.Verdict == BatchVerdict.Incomplete && mayEndEarly)
            {
                _reports.Note(baseOffset, walker.Position, "The broker was writing here: what lies behind is not looked at.");
            }
            else if (isUntold)
            {
                Damage(LogScan.ConditionOf(walker.Verdict), baseOffset, walker.Position, Sentences.Describe(walker.Verdict));
            }

            _log.Expected = null;
            _log.KnowsProducers = false;
            hasSkipped = true;
            indexes.Abandon();
            if (!walker.TrySkip())
            {
                return false;
            }
        }
    }

    private bool Observe(BatchWalker walker, Offset baseOffset, IndexInspection indexes, ref bool hasSkipped)
    {
        RecordBatchHeader header = walker.Header;
        bool isRight = true;
        if (FindFault(header) is { } fault)
        {
            Damage(fault.Condition, baseOffset, walker.Position, fault.Description);
            indexes.Abandon();
            _log.KnowsProducers = false;
            isRight = false;
        }

        hasSkipped = false;
        _reports.Counts.Batches++;
        ValidateRecords(walker, baseOffset);
        indexes.Observe(header, (int)walker.Position);
        CompletedTransaction? ended = _log.Producers.Observe(header, walker.Batch.Span);
        if (ended is { IsCommitted: false } aborted && _log.KnowsProducers)
        {
            indexes.Observe(aborted.ToAborted());
        }

        _log.Epoch = header.LeaderEpoch;
        _log.HighestEpoch = Math.Max(_log.HighestEpoch, header.LeaderEpoch);
        _log.Expected = header.NextOffset;
        _log.End = Offset.Max(_log.End, header.NextOffset);
        return isRight;
    }

    private (RecoveryCondition Condition, string Description)? FindFault(in RecordBatchHeader header)
    {
        bool isExpected = _log.Expected is not { } expected || header.BaseOffset == expected
            || (header.BaseOffset > expected && header.BaseOffset <= _incompleteBelow);
        if (!isExpected)
        {
            return (RecoveryCondition.BatchOffsetUnexpected, $"has offset {header.BaseOffset} where {_log.Expected} belongs");
        }

        return header.LeaderEpoch < _log.Epoch
            ? (RecoveryCondition.BatchEpochWentBack, $"has leader epoch {header.LeaderEpoch} after epoch {_log.Epoch}")
            : null;
    }

    private void ValidateRecords(BatchWalker walker, Offset baseOffset)
    {
        try
        {
            RecordBatchReader.Validate(walker.Batch.Span);
        }
        catch (InvalidRecordBatchException exception)
        {
            _reports.Unreadable(baseOffset, walker.Position, walker.Header.BaseOffset, exception.Message);
        }
        catch (CodecUnavailableException exception)
        {
            _reports.Note(baseOffset, walker.Position, $"The records of this batch were not looked at: {exception.Message}");
        }
    }

    private void Damage(RecoveryCondition condition, Offset baseOffset, long position, string description) =>
        _reports.Damage(new LogDamage(condition, baseOffset, position, _log.End, description));
}

/// <summary>Where an inspection of segments puts what it finds.</summary>
/// <param name="Damage">The log is not whole.</param>
/// <param name="Unreadable">Segment, byte, offset and reason of a batch whose bytes are as they were written, and whose records cannot be read.</param>
/// <param name="Index">File, byte and what is wrong.</param>
/// <param name="Note">Segment, byte and sentence.</param>
internal sealed record SegmentReports(
    InspectionCounts Counts,
    Action<LogDamage> Damage,
    Action<Offset, long, Offset, string> Unreadable,
    Action<string, long?, string> Index,
    Action<Offset, long, string> Note);
