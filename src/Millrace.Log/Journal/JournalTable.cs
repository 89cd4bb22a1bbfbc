using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What becomes of a piece in the journal when its partition is opened.</summary>
internal enum PieceVerdict
{
    /// <summary>Its bytes are written into the segment, whether they are there or not.</summary>
    WriteBack,

    /// <summary>The partition is in a later leader epoch, whose beginning found all that was acknowledged on the disk; others may have its offsets now.</summary>
    OfOlderEpoch,

    /// <summary>Its records are below the recovery point: the segment has them, unless a compaction has rewritten it since.</summary>
    BelowRecoveryPoint,

    /// <summary>It begins in the part that was compacted, or may have been: the segment is another one than it was.</summary>
    Compacted,

    /// <summary>
    /// Its segment is deleted, or is to be: the log's start lies in a later one. In the first segment everything is written back, below the log's start too: what comes behind it must not
    /// lie behind a hole.
    /// </summary>
    OfDeletedSegment,
}

/// <summary>What is known of a partition before its log is read.</summary>
/// <param name="LeaderEpoch">The newest one that has begun; -1 where it is not known.</param>
/// <param name="RecoveryPoint">Everything below is in the segments; null where that is unknown.</param>
/// <param name="FirstSegment">Where the first segment of the log begins, among the files that are there; null where none of them begins at or below the log's start.</param>
/// <param name="SparseBelow">Everything compacted lies below; null where that is unknown.</param>
internal readonly record struct JournalTarget(int LeaderEpoch, Offset? RecoveryPoint, Offset? FirstSegment, Offset? SparseBelow)
{
    public static JournalTarget Of(PartitionListing listing, string? leaderEpochs, Offset? recoveryPoint, Offset? logStart, Offset sparseBelow)
    {
        // As recovery takes it: the last segment that does not begin beyond the log's start.
        Offset? first = null;
        foreach ((Offset baseOffset, _) in listing.WithSuffix(FileNames.LogSuffix))
        {
            first = baseOffset <= logStart ? baseOffset : first;
        }

        int epoch = leaderEpochs is null ? -1 : LeaderEpochs.TryParse(leaderEpochs)?.Current ?? -1;
        return new JournalTarget(epoch, recoveryPoint, first, sparseBelow == new Offset(long.MaxValue) ? null : sparseBelow);
    }
}

/// <summary>
/// The whole judgement over a piece in the journal. A piece that is written back must never come over newer bytes, and one that was acknowledged must never be
/// left out while the segment may lack it.
/// </summary>
/// <remarks>
/// Within a leader epoch a log only grows, so that a piece has the bytes that belong at its place for as long as the segment is what it was. A segment is changed by compaction,
/// which touches only segments below the recovery point as it is written down, and by deletion, which writes down the log's start, and syncs the name of the segment that is the first one then, before. A later epoch begins, durably, after everything
/// that was recovered is on the disk in the segments.
/// </remarks>
internal static class JournalTable
{
    public static PieceVerdict Judge(in JournaledPiece piece, in JournalTarget target)
    {
        if (piece.LeaderEpoch < target.LeaderEpoch)
        {
            return PieceVerdict.OfOlderEpoch;
        }

        if (piece.EndOffset <= target.RecoveryPoint)
        {
            return PieceVerdict.BelowRecoveryPoint;
        }

        // The recovery point is beyond all that was compacted, unless somebody has taken its file away. A piece that begins in there was in the segment when that was compacted.
        bool isCompactionUnknown = target.RecoveryPoint is null && target.SparseBelow is null;
        if (piece.BaseOffset < target.SparseBelow || isCompactionUnknown)
        {
            return PieceVerdict.Compacted;
        }

        return piece.SegmentBaseOffset < target.FirstSegment ? PieceVerdict.OfDeletedSegment : PieceVerdict.WriteBack;
    }
}
