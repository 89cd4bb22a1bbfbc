using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// The bytes of the commit journal: rounds one after the other, each one write and one sync. Numbers are big-endian, as in the records.
/// </summary>
/// <remarks>
/// <code>
/// round, padded with zeros to whole blocks of 4,096 bytes     piece
///  0  8  "MRJOURNL"                                            0  16  topic id
///  8  4  CRC-32C of bytes 12 to the end of the last piece     16   4  partition
/// 12  4  bytes up to the end of the last piece                20   4  leader epoch
/// 16  8  generation: how often a half was begun               24   8  first offset of the segment
/// 24  8  sequence number, over both halves                    32   4  position in the segment
/// 32  4  number of pieces                                     36   8  offset of the first record
/// 36     pieces                                               44   8  offset behind the last record
///                                                             52   4  number of bytes
///                                                             56      bytes, whole batches
/// </code>
/// A round begins at a block of its own: the disk never writes a block again that holds something acknowledged, before that is stored elsewhere.
/// </remarks>
internal static class JournalFormat
{
    public const int BlockByteCount = 4096;
    public const int RoundHeaderByteCount = 36;
    public const int PieceHeaderByteCount = 56;

    /// <summary>The largest round, padding included.</summary>
    public const int MaximumRoundByteCount = 1 << 20;

    private const ulong Magic = 0x4D524A4F55524E4C;
    private const int ChecksumStart = 12;

    public static int PaddedByteCount(int byteCount) => (byteCount + BlockByteCount - 1) / BlockByteCount * BlockByteCount;

    public static void WritePieceHeader(Span<byte> target, in JournaledPiece piece)
    {
        piece.TopicId.TryWriteBytes(target, bigEndian: true, out _);
        BinaryPrimitives.WriteInt32BigEndian(target[16..], piece.Partition);
        BinaryPrimitives.WriteInt32BigEndian(target[20..], piece.LeaderEpoch);
        BinaryPrimitives.WriteInt64BigEndian(target[24..], piece.SegmentBaseOffset.Value);
        BinaryPrimitives.WriteInt32BigEndian(target[32..], piece.Position);
        BinaryPrimitives.WriteInt64BigEndian(target[36..], piece.BaseOffset.Value);
        BinaryPrimitives.WriteInt64BigEndian(target[44..], piece.EndOffset.Value);
        BinaryPrimitives.WriteInt32BigEndian(target[52..], piece.ByteCount);
    }

    /// <summary>False where the numbers cannot be those of a piece that has so many bytes at most.</summary>
    public static bool TryReadPieceHeader(ReadOnlySpan<byte> source, int maximumByteCount, out JournaledPiece piece)
    {
        piece = new JournaledPiece(
            new Guid(source[..16], bigEndian: true),
            BinaryPrimitives.ReadInt32BigEndian(source[16..]),
            BinaryPrimitives.ReadInt32BigEndian(source[20..]),
            new Offset(BinaryPrimitives.ReadInt64BigEndian(source[24..])),
            BinaryPrimitives.ReadInt32BigEndian(source[32..]),
            new Offset(BinaryPrimitives.ReadInt64BigEndian(source[36..])),
            new Offset(BinaryPrimitives.ReadInt64BigEndian(source[44..])),
            BinaryPrimitives.ReadInt32BigEndian(source[52..]));
        return piece.Partition >= 0 && piece.LeaderEpoch >= 0 && piece.Position >= 0
            && piece.ByteCount > 0 && piece.ByteCount <= maximumByteCount && piece.ByteCount <= int.MaxValue - piece.Position
            && piece.SegmentBaseOffset >= Offset.Zero && piece.BaseOffset >= piece.SegmentBaseOffset && piece.EndOffset > piece.BaseOffset;
    }

    /// <summary>Writes the head of a round, the checksum last.</summary>
    /// <param name="round">From the head to the end of the last piece.</param>
    public static void Seal(Span<byte> round, long generation, long sequence, int pieceCount)
    {
        BinaryPrimitives.WriteUInt64BigEndian(round, Magic);
        BinaryPrimitives.WriteInt32BigEndian(round[12..], round.Length);
        BinaryPrimitives.WriteInt64BigEndian(round[16..], generation);
        BinaryPrimitives.WriteInt64BigEndian(round[24..], sequence);
        BinaryPrimitives.WriteInt32BigEndian(round[32..], pieceCount);
        BinaryPrimitives.WriteUInt32BigEndian(round[8..], Crc32C.Compute(round[ChecksumStart..]));
    }

    /// <summary>False where no round begins. What it says is to be believed once <see cref="IsWhole"/> says so.</summary>
    public static bool TryReadRoundHeader(ReadOnlySpan<byte> source, out JournalRoundHeader header)
    {
        header = default;
        if (source.Length < RoundHeaderByteCount || BinaryPrimitives.ReadUInt64BigEndian(source) != Magic)
        {
            return false;
        }

        header = new JournalRoundHeader(
            BinaryPrimitives.ReadInt32BigEndian(source[12..]),
            BinaryPrimitives.ReadInt64BigEndian(source[16..]),
            BinaryPrimitives.ReadInt64BigEndian(source[24..]),
            BinaryPrimitives.ReadInt32BigEndian(source[32..]));
        return header.ByteCount is >= RoundHeaderByteCount and <= MaximumRoundByteCount && header.PieceCount > 0;
    }

    public static bool IsWhole(ReadOnlySpan<byte> round) =>
        BinaryPrimitives.ReadUInt32BigEndian(round[8..]) == Crc32C.Compute(round[ChecksumStart..]);
}

/// <param name="ByteCount">Without the padding.</param>
internal readonly record struct JournalRoundHeader(int ByteCount, long Generation, long Sequence, int PieceCount);

/// <summary>What the journal says of a piece of a segment.</summary>
/// <param name="Position">In the segment's file.</param>
internal readonly record struct JournaledPiece(
    Guid TopicId, int Partition, int LeaderEpoch, Offset SegmentBaseOffset, int Position, Offset BaseOffset, Offset EndOffset, int ByteCount);
