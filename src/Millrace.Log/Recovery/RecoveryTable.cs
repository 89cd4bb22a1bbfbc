namespace Millrace.Log;

/// <summary>What a start can find.</summary>
internal enum RecoveryCondition
{
    // Bytes of the log, in the order in which they are read.
    BatchIncomplete,
    BatchLengthImpossible,
    BatchFormatUnknown,
    BatchChecksumWrong,
    BatchCountsContradict,
    BatchOffsetUnexpected,
    BatchEpochWentBack,
    SegmentAfterGap,
    SegmentOverlaps,
    LogEndsEarly,
    LogEndsBelowStart,
    SegmentsMissing,

    // Files beside it.
    IndexMissing,
    IndexStale,
    IndexWithoutSegment,
    JournalWrittenBack,
    SnapshotMissing,
    SnapshotUnreadable,
    SnapshotStale,
    SegmentBelowLogStart,
    DeletedSegment,
    SwapInterrupted,
    CleaningInterrupted,
    TemporaryFile,
    EpochsMissing,
    EpochsUnreadable,
    EpochsBehindBatches,
    MetadataMissingWithoutRecords,
    MetadataMissingWithRecords,
    DiskError,

    // The data directory.
    DeletedPartition,
    PartitionMissing,
    LogStartsUnreadable,
    CleaningOffsetsUnreadable,
    JournalDamaged,
    RecoveryPointsMissing,
    RecoveryPointsUnreadable,
    UnknownEntry,
}

/// <summary>What a start does about it.</summary>
internal enum RecoveryAction
{
    /// <summary>Cut the log at this place. What is cut and is not all zeros is kept beside it.</summary>
    CutAndKeep,

    /// <summary>Change nothing; the partition is offline and says why.</summary>
    StayOffline,

    /// <summary>Begin the log at its start, which is offset 0 unless records were deleted.</summary>
    CreateFirstSegment,

    /// <summary>Remove what is there, and begin the log at its start.</summary>
    BeginAtLogStart,

    /// <summary>Finish what was as good as done.</summary>
    Finish,

    /// <summary>Take missing offsets in the part that was on the disk for compacted ones.</summary>
    TakeGapsForCompacted,

    /// <summary>Take the offset of the first segment for the log's start.</summary>
    BeginAtFirstSegment,

    /// <summary>Make the file anew from the batches.</summary>
    Rebuild,

    /// <summary>Write into the segment what the journal has, whatever is there.</summary>
    WriteBack,

    /// <summary>Delete what an interrupted write has left.</summary>
    Delete,

    /// <summary>Delete the directory of a partition whose creation was never reported.</summary>
    DeletePartition,

    /// <summary>Take every recovery point for 0: read the whole log, and cut it at the first batch that fails.</summary>
    TrustNothing,

    /// <summary>Take everything for synced: read the whole log, and cut nothing.</summary>
    CutNothing,

    /// <summary>Leave it alone and say so.</summary>
    Report,
}

/// <summary>
/// The whole of recovery's judgement: a condition, and whether it lies below the recovery point, give an action.
/// </summary>
/// <remarks>
/// Bytes below the recovery point were on the disk: where they are wrong now, somebody or something has damaged them, and cutting would
/// lose what was acknowledged. Bytes at or beyond it were perhaps on their way when the power failed. They may be missing, torn, zeros,
/// or whole behind a hole, since pages reach the disk in any order. What was acknowledged there is whole, and nothing before it is torn;
/// so the first batch that fails and everything after it was promised to nobody.
/// </remarks>
internal static class RecoveryTable
{
    public static RecoveryAction Decide(RecoveryCondition condition, bool isBelowRecoveryPoint) => (condition, isBelowRecoveryPoint) switch
    {
        (RecoveryCondition.BatchIncomplete, false) => RecoveryAction.CutAndKeep,
        (RecoveryCondition.BatchIncomplete, true) => RecoveryAction.StayOffline,
        (RecoveryCondition.BatchLengthImpossible, false) => RecoveryAction.CutAndKeep,
        (RecoveryCondition.BatchLengthImpossible, true) => RecoveryAction.StayOffline,
        (RecoveryCondition.BatchFormatUnknown, false) => RecoveryAction.CutAndKeep,
        (RecoveryCondition.BatchFormatUnknown, true) => RecoveryAction.StayOffline,
        (RecoveryCondition.BatchChecksumWrong, false) => RecoveryAction.CutAndKeep,
        (RecoveryCondition.BatchChecksumWrong, true) => RecoveryAction.StayOffline,
        (RecoveryCondition.BatchCountsContradict, false) => RecoveryAction.CutAndKeep,
        (RecoveryCondition.BatchCountsContradict, true) => RecoveryAction.StayOffline,
        (RecoveryCondition.BatchOffsetUnexpected, false) => RecoveryAction.CutAndKeep,
        (RecoveryCondition.BatchOffsetUnexpected, true) => RecoveryAction.StayOffline,
        (RecoveryCondition.BatchEpochWentBack, false) => RecoveryAction.CutAndKeep,
        (RecoveryCondition.BatchEpochWentBack, true) => RecoveryAction.StayOffline,

        // A segment reached the disk, and the end of the one before it did not.
        (RecoveryCondition.SegmentAfterGap, false) => RecoveryAction.CutAndKeep,
        (RecoveryCondition.SegmentAfterGap, true) => RecoveryAction.StayOffline,
        (RecoveryCondition.SegmentOverlaps, false) => RecoveryAction.CutAndKeep,
        (RecoveryCondition.SegmentOverlaps, true) => RecoveryAction.StayOffline,

        (RecoveryCondition.LogEndsEarly, _) => RecoveryAction.StayOffline,

        // Records that were deleted before they were on the disk.
        (RecoveryCondition.LogEndsBelowStart, _) => RecoveryAction.BeginAtLogStart,
        (RecoveryCondition.SegmentsMissing, false) => RecoveryAction.CreateFirstSegment,
        (RecoveryCondition.SegmentsMissing, true) => RecoveryAction.StayOffline,

        (RecoveryCondition.IndexMissing, _) => RecoveryAction.Rebuild,
        (RecoveryCondition.IndexStale, _) => RecoveryAction.Rebuild,
        (RecoveryCondition.IndexWithoutSegment, _) => RecoveryAction.Delete,

        (RecoveryCondition.JournalWrittenBack, _) => RecoveryAction.WriteBack,

        // What a snapshot says follows from the batches before it: an older one and the batches behind that say the same.
        (RecoveryCondition.SnapshotMissing, _) => RecoveryAction.Rebuild,
        (RecoveryCondition.SnapshotUnreadable, _) => RecoveryAction.Delete,

        // It lies beyond the end, where other batches may come, or a newer one has taken its place.
        (RecoveryCondition.SnapshotStale, _) => RecoveryAction.Delete,
        (RecoveryCondition.SegmentBelowLogStart, _) => RecoveryAction.Delete,
        (RecoveryCondition.DeletedSegment, _) => RecoveryAction.Delete,
        (RecoveryCondition.TemporaryFile, _) => RecoveryAction.Delete,
        (RecoveryCondition.SwapInterrupted, _) => RecoveryAction.Finish,
        (RecoveryCondition.CleaningInterrupted, _) => RecoveryAction.Delete,
        (RecoveryCondition.EpochsMissing, _) => RecoveryAction.Rebuild,
        (RecoveryCondition.EpochsUnreadable, _) => RecoveryAction.Rebuild,
        (RecoveryCondition.EpochsBehindBatches, _) => RecoveryAction.Rebuild,

        // The metadata is the last thing that a creation writes, and the first append comes after it.
        (RecoveryCondition.MetadataMissingWithoutRecords, false) => RecoveryAction.DeletePartition,
        (RecoveryCondition.MetadataMissingWithoutRecords, true) => RecoveryAction.StayOffline,
        (RecoveryCondition.MetadataMissingWithRecords, _) => RecoveryAction.StayOffline,
        (RecoveryCondition.DiskError, _) => RecoveryAction.StayOffline,

        (RecoveryCondition.DeletedPartition, _) => RecoveryAction.Delete,
        (RecoveryCondition.PartitionMissing, _) => RecoveryAction.Report,

        // A directory is born with this file: somebody has taken it away, and may have meant it.
        (RecoveryCondition.RecoveryPointsMissing, _) => RecoveryAction.TrustNothing,

        // It is replaced as a whole: no crash leaves half of it, so it is damaged, and what it said is unknown.
        (RecoveryCondition.RecoveryPointsUnreadable, _) => RecoveryAction.CutNothing,

        // Nothing is lost where the first segment is taken for the start: deleted records that are still in it come back.
        (RecoveryCondition.LogStartsUnreadable, _) => RecoveryAction.BeginAtFirstSegment,
        (RecoveryCondition.CleaningOffsetsUnreadable, _) => RecoveryAction.TakeGapsForCompacted,
        // No crash does that, and nobody can tell any more whose records it held.
        (RecoveryCondition.JournalDamaged, _) => RecoveryAction.Report,
        (RecoveryCondition.UnknownEntry, _) => RecoveryAction.Report,
        _ => throw new ArgumentOutOfRangeException(nameof(condition), condition, message: null),
    };
}
