using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The first place where the bytes of a log are not what an undisturbed log has.</summary>
/// <param name="Segment">Number of the segment, from 0.</param>
internal sealed record ScanFault(RecoveryCondition Condition, int Segment, long Position, bool IsBelowRecoveryPoint, string Description);

/// <param name="Index">What its indexes have to be.</param>
/// <param name="TailPosition">Where the first batch lies that is not below the recovery point; its end, if none is.</param>
internal sealed record ScannedSegment(IndexContent Index, long TailPosition);

/// <summary>
/// Reads a log from where a <see cref="ScanPlan"/> begins to its end or to the first fault, and collects what follows from the batches: the
/// indexes, the producers, the epochs. Changes nothing.
/// </summary>
internal sealed class LogScan
{
    private readonly LogSettings _settings;
    private readonly Offset? _recoveryPoint;
    private readonly ScanPlan _plan;
    private readonly List<ScannedSegment> _scanned = [];
    private readonly List<LeaderEpochStart> _epochStarts = [];
    private readonly List<(Offset Offset, byte[] Content)> _lostSnapshots = [];
    private readonly Func<Offset, bool> _hasSnapshot;

    /// <param name="recoveryPoint">Everything below was on the disk; null where that is unknown.</param>
    /// <param name="hasSnapshot">Whether there is a snapshot at an offset that can be read.</param>
    public LogScan(LogSettings settings, Offset? recoveryPoint, ScanPlan plan, Func<Offset, bool> hasSnapshot)
    {
        _hasSnapshot = hasSnapshot;
        _settings = settings;
        _recoveryPoint = recoveryPoint;
        _plan = plan;
        HighestEpoch = plan.Epoch;
        EndOffset = plan.From;
    }

    public ScanFault? Fault { get; private set; }

    /// <summary>The offset after the last batch that is right.</summary>
    public Offset EndOffset { get; private set; }

    public ProducerStates Producers => _plan.Producers;

    /// <summary>The epochs that began in what was read.</summary>
    public IReadOnlyList<LeaderEpochStart> EpochStarts => _epochStarts;

    public int HighestEpoch { get; private set; }

    /// <summary>The producers before the first segment whose checksums were looked at, as a snapshot keeps them; null if the scan did not come there from before.</summary>
    public byte[]? Snapshot { get; private set; }

    /// <summary>
    /// What belongs into the snapshots at the first offsets of later segments, where they are lost: when the records before one of them are deleted, nothing else tells what it says.
    /// </summary>
    public IReadOnlyList<(Offset Offset, byte[] Content)> LostSnapshots => _lostSnapshots;

    /// <summary>What was found out of a segment; null if it was not read.</summary>
    public ScannedSegment? this[int number] => number >= _plan.FirstSegment ? _scanned[number - _plan.FirstSegment] : null;

    public void Run(IReadOnlyList<SegmentFile> segments)
    {
        for (int number = _plan.FirstSegment; number < segments.Count && Fault is null; number++)
        {
            SegmentFile segment = segments[number];
            if (segment.BaseOffset != EndOffset && !IsCompactedBefore(segment.BaseOffset))
            {
                Fault = MisplacedSegment(number, segment.BaseOffset);
                return;
            }

            EndOffset = segment.BaseOffset;

            if (number == _plan.FirstCheckedSegment && number > _plan.FirstSegment)
            {
                Snapshot = Producers.WriteSnapshot();
            }
            else if (number > _plan.FirstCheckedSegment && !_hasSnapshot(segment.BaseOffset))
            {
                _lostSnapshots.Add((segment.BaseOffset, Producers.WriteSnapshot()));
            }

            ScanSegment(segment, number, verifiesChecksums: number >= _plan.FirstCheckedSegment);
        }
    }

    public void AddEmptySegment(Offset baseOffset) => _scanned.Add(new ScannedSegment(new IndexContent(baseOffset, _settings), TailPosition: 0));

    private void ScanSegment(SegmentFile segment, int number, bool verifiesChecksums)
    {
        if (segment.Length > int.MaxValue)
        {
            throw new IOException($"{segment.File.Path} has {segment.Length} bytes; a segment has at most {int.MaxValue}.");
        }

        var index = new IndexContent(segment.BaseOffset, _settings);
        long tailPosition = -1;
        using var walker = new BatchWalker(segment.File, 0, segment.Length, verifiesChecksums);
        while (walker.MoveNext())
        {
            RecordBatchHeader header = walker.Header;
            if (FindFault(header) is { } condition)
            {
                SetFault(condition, number, walker.Position, Describe(condition, header));
                break;
            }

            if (tailPosition < 0 && !(header.BaseOffset < _recoveryPoint))
            {
                tailPosition = walker.Position;
            }

            index.Observe(header, (int)walker.Position);
            if (Observe(header, walker.Batch.Span) is { IsCommitted: false } ended)
            {
                index.Observe(ended.ToAborted());
            }
        }

        if (Fault is null && walker.Verdict != BatchVerdict.Valid)
        {
            SetFault(ConditionOf(walker.Verdict), number, walker.Position, Sentences.Describe(walker.Verdict));
        }

        _scanned.Add(new ScannedSegment(index, tailPosition < 0 ? walker.Position : tailPosition));
    }

    private RecoveryCondition? FindFault(in RecordBatchHeader header)
    {
        if (header.BaseOffset != EndOffset && !IsCompactedBefore(header.BaseOffset))
        {
            return RecoveryCondition.BatchOffsetUnexpected;
        }

        return header.LeaderEpoch < HighestEpoch ? RecoveryCondition.BatchEpochWentBack : null;
    }

    private CompletedTransaction? Observe(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        CompletedTransaction? ended = Producers.Observe(header, batch);
        if (header.LeaderEpoch > HighestEpoch)
        {
            HighestEpoch = header.LeaderEpoch;
            _epochStarts.Add(new LeaderEpochStart(header.LeaderEpoch, header.BaseOffset));
        }

        EndOffset = header.NextOffset;
        return ended;
    }

    private ScanFault MisplacedSegment(int number, Offset baseOffset)
    {
        bool isGap = baseOffset > EndOffset;
        RecoveryCondition condition = isGap ? RecoveryCondition.SegmentAfterGap : RecoveryCondition.SegmentOverlaps;
        string description = $"begins at offset {baseOffset}, and the log before it ends at {EndOffset}";
        return new ScanFault(condition, number, 0, IsBelowRecoveryPoint, description);
    }

    private void SetFault(RecoveryCondition condition, int number, long position, string description) =>
        Fault = new ScanFault(condition, number, position, IsBelowRecoveryPoint, description);

    /// <summary>Whether the offsets between the end so far and this one may have been compacted away.</summary>
    private bool IsCompactedBefore(Offset next) => next > EndOffset && next <= _plan.SparseBelow;

    private bool IsBelowRecoveryPoint => _recoveryPoint is null || EndOffset < _recoveryPoint;

    private string Describe(RecoveryCondition condition, in RecordBatchHeader header) =>
        condition == RecoveryCondition.BatchOffsetUnexpected
            ? $"has offset {header.BaseOffset} where {EndOffset} belongs"
            : $"has leader epoch {header.LeaderEpoch} after epoch {HighestEpoch}";

    public static RecoveryCondition ConditionOf(BatchVerdict verdict) => verdict switch
    {
        BatchVerdict.Incomplete => RecoveryCondition.BatchIncomplete,
        BatchVerdict.BadLength => RecoveryCondition.BatchLengthImpossible,
        BatchVerdict.UnsupportedMagic => RecoveryCondition.BatchFormatUnknown,
        BatchVerdict.BadChecksum => RecoveryCondition.BatchChecksumWrong,
        BatchVerdict.BadCounts => RecoveryCondition.BatchCountsContradict,
        _ => throw new ArgumentOutOfRangeException(nameof(verdict), verdict, message: null),
    };
}
