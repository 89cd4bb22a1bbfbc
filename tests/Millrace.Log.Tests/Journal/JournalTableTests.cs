using Millrace.Kafka.Records;

namespace Millrace.Log.Tests.Journal;

/// <summary>A test for each row of what becomes of a piece in the journal.</summary>
public class JournalTableTests
{
    // Offsets 20 to 29 of epoch 3, in the segment that begins at 10.
    private static readonly JournaledPiece Piece = new(Guid.Empty, 0, LeaderEpoch: 3, new Offset(10), Position: 800, new Offset(20), new Offset(30), ByteCount: 900);

    [Fact]
    public void What_the_segments_may_lack_is_written_back() =>
        AssertVerdict(PieceVerdict.WriteBack, epoch: 3, recoveryPoint: 20, firstSegment: 10);

    [Fact]
    public void What_a_later_epoch_has_begun_behind_stays_out() =>
        AssertVerdict(PieceVerdict.OfOlderEpoch, epoch: 4, recoveryPoint: 20, firstSegment: 10);

    [Fact]
    public void Where_no_epoch_is_known_the_piece_counts() =>
        AssertVerdict(PieceVerdict.WriteBack, epoch: -1, recoveryPoint: 20, firstSegment: 10);

    [Fact]
    public void What_lies_below_the_recovery_point_stays_out() =>
        AssertVerdict(PieceVerdict.BelowRecoveryPoint, epoch: 3, recoveryPoint: 30, firstSegment: 10);

    [Fact]
    public void What_lies_across_the_recovery_point_is_written_back_as_a_whole() =>
        AssertVerdict(PieceVerdict.WriteBack, epoch: 3, recoveryPoint: 29, firstSegment: 10);

    [Fact]
    public void What_begins_in_the_compacted_part_stays_out() =>
        AssertVerdict(PieceVerdict.Compacted, epoch: 3, recoveryPoint: 0, firstSegment: 10, sparseBelow: 21);

    [Fact]
    public void What_begins_where_the_compacted_part_ends_is_written_back() =>
        AssertVerdict(PieceVerdict.WriteBack, epoch: 3, recoveryPoint: 0, firstSegment: 10, sparseBelow: 20);

    [Fact]
    public void Without_a_recovery_point_the_compacted_part_counts() =>
        AssertVerdict(PieceVerdict.WriteBack, epoch: 3, recoveryPoint: null, firstSegment: 10, sparseBelow: 20);

    [Fact]
    public void Where_the_compacted_part_is_unknown_the_recovery_point_counts() =>
        AssertVerdict(PieceVerdict.WriteBack, epoch: 3, recoveryPoint: 20, firstSegment: 10, sparseBelow: null);

    [Fact]
    public void Where_neither_is_known_nothing_is_written_over_what_may_be_compacted() =>
        AssertVerdict(PieceVerdict.Compacted, epoch: 3, recoveryPoint: null, firstSegment: 10, sparseBelow: null);

    [Fact]
    public void What_belongs_to_a_segment_below_the_logs_start_stays_out() =>
        AssertVerdict(PieceVerdict.OfDeletedSegment, epoch: 3, recoveryPoint: 20, firstSegment: 30);

    [Fact]
    public void Where_no_segment_is_known_to_be_the_first_the_piece_counts() =>
        AssertVerdict(PieceVerdict.WriteBack, epoch: 3, recoveryPoint: 20, firstSegment: null);

    private static void AssertVerdict(PieceVerdict expected, int epoch, long? recoveryPoint, long? firstSegment, long? sparseBelow = 0)
    {
        static Offset? At(long? offset) => offset is { } value ? new Offset(value) : null;
        Assert.Equal(expected, JournalTable.Judge(Piece, new JournalTarget(epoch, At(recoveryPoint), At(firstSegment), At(sparseBelow))));
    }
}
