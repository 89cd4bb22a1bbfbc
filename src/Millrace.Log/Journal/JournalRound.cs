using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The end of a log that is not on the disk yet, taken for the journal.</summary>
/// <param name="LogGeneration">Of the log.</param>
internal readonly record struct PieceOfLog(
    PartitionLog Log, LogSegment Segment, int Position, int ByteCount, Offset BaseOffset, Offset EndOffset, int LeaderEpoch, int LogGeneration)
{
    public JournaledPiece Journaled => new(
        Log.TopicId, Log.TopicPartition.Partition, LeaderEpoch, Segment.BaseOffset, Position, BaseOffset, EndOffset, ByteCount);
}

/// <summary>What happened when a partition was asked for a piece.</summary>
internal enum PieceOutcome
{
    /// <summary>Its sync has begun.</summary>
    Begun,

    /// <summary>It has to be synced in its own files.</summary>
    ForFiles,

    /// <summary>The round has no room for it.</summary>
    NoRoom,

    /// <summary>It waits for no sync any more.</summary>
    NotWanted,
}

/// <summary>
/// One write to the journal and one sync, which acknowledge what several partitions wait for. Its buffer is used again for the next round: one round runs at a time.
/// </summary>
internal sealed class JournalRound
{
    private readonly List<PieceOfLog> _pieces = [];
    private readonly List<(PieceOfLog Piece, Exception Error)> _unread = [];
    private byte[] _buffer = new byte[JournalFormat.BlockByteCount];
    private JournalHalf? _half;
    private IStorageFile? _file;
    private long _filePosition;
    private long _generation;
    private long _sequence;
    private int _roundByteCount;
    private int _maximumByteCount;

    /// <summary>The pieces that it acknowledges.</summary>
    public IReadOnlyList<PieceOfLog> Pieces => _pieces;

    /// <summary>Those whose bytes could not be read, or are not what was appended: that is the partition's fault.</summary>
    public IReadOnlyList<(PieceOfLog Piece, Exception Error)> Unread => _unread;

    /// <summary>Where it is written.</summary>
    public JournalHalf Half => _half ?? throw new InvalidOperationException("No round has begun.");

    /// <summary>The bytes that another piece may have.</summary>
    public int Room => _maximumByteCount - _roundByteCount - JournalFormat.PieceHeaderByteCount;

    public int PaddedByteCount => JournalFormat.PaddedByteCount(_roundByteCount);

    /// <summary>Makes it empty, to be written at the end of a half.</summary>
    public void Begin(JournalHalf half, long sequence)
    {
        _pieces.Clear();
        _unread.Clear();
        _half = half;
        _file = half.File;
        _filePosition = half.Position;
        _generation = half.Generation;
        _sequence = sequence;
        _roundByteCount = JournalFormat.RoundHeaderByteCount;
        _maximumByteCount = (int)Math.Min(JournalFormat.MaximumRoundByteCount, half.Capacity - half.Position);
    }

    public void Add(in PieceOfLog piece)
    {
        _pieces.Add(piece);
        _roundByteCount += JournalFormat.PieceHeaderByteCount + piece.ByteCount;
    }

    /// <summary>Reads the pieces, writes and syncs them; returns what the disk of the journal answered instead of throwing it.</summary>
    public Exception? TryRun()
    {
        ReadPieces();
        if (_pieces.Count == 0)
        {
            return null;
        }

        Span<byte> round = _buffer.AsSpan(0, _roundByteCount);
        JournalFormat.Seal(round, _generation, _sequence, _pieces.Count);
        _buffer.AsSpan(_roundByteCount, PaddedByteCount - _roundByteCount).Clear();
        try
        {
            if (Half.BeginsOverEarlierUse)
            {
                EndEarlierUse();
            }

            _file!.Write(_buffer.AsSpan(0, PaddedByteCount), _filePosition);
            _file.SyncData();
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            // Disposed: the directory was let go as a crash would, in the middle of the round.
            return exception;
        }
    }

    /// <summary>
    /// Nobody needs the earlier use of the half any more. If the power kept its first round, and of the new one, which goes over it, only blocks behind that, what is left of it would look as if
    /// rounds had been lost.
    /// </summary>
    private void EndEarlierUse()
    {
        _file!.Write(new byte[JournalFormat.BlockByteCount], _filePosition);
        _file.SyncData();
    }

    private void ReadPieces()
    {
        if (_buffer.Length < PaddedByteCount)
        {
            _buffer = new byte[Math.Max(PaddedByteCount, Math.Min(2 * _buffer.Length, JournalFormat.MaximumRoundByteCount))];
        }

        int position = JournalFormat.RoundHeaderByteCount;
        int readCount = 0;
        for (int number = 0; number < _pieces.Count; number++)
        {
            PieceOfLog piece = _pieces[number];
            if (TryRead(piece, position) is { } error)
            {
                _unread.Add((piece, error));
                continue;
            }

            position += JournalFormat.PieceHeaderByteCount + piece.ByteCount;
            _pieces[readCount++] = piece;
        }

        _pieces.RemoveRange(readCount, _pieces.Count - readCount);
        _roundByteCount = position;
    }

    private Exception? TryRead(in PieceOfLog piece, int position)
    {
        try
        {
            JournalFormat.WritePieceHeader(_buffer.AsSpan(position), piece.Journaled);
            Span<byte> bytes = _buffer.AsSpan(position + JournalFormat.PieceHeaderByteCount, piece.ByteCount);
            return piece.Segment.File.Read(bytes, piece.Position) == bytes.Length
                ? FindChange(piece, bytes)
                : new IOException($"{piece.Segment.File.Path} ends before the bytes that were written to it.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            return exception;
        }
    }
    /// <summary>
    /// What is read is what was appended: the batches from one offset to the other, of the epoch in which the log is, each with a right checksum. It may be something else where the system
    /// could not write the bytes in the background and has dropped them since. Then nothing of it is acknowledged.
    /// </summary>
    private static IOException? FindChange(in PieceOfLog piece, ReadOnlySpan<byte> bytes)
    {
        Offset expected = piece.BaseOffset;
        int position = 0;
        while (position < bytes.Length)
        {
            BatchVerdict verdict = RecordBatch.Check(bytes[position..], out RecordBatchHeader header);
            if (verdict != BatchVerdict.Valid)
            {
                return Changed(piece, position, Sentences.Describe(verdict));
            }

            if (header.BaseOffset != expected || header.LeaderEpoch != piece.LeaderEpoch)
            {
                string found = $"has offset {header.BaseOffset} of leader epoch {header.LeaderEpoch}";
                return Changed(piece, position, $"{found} where {expected} of {piece.LeaderEpoch} was written");
            }

            position += header.TotalByteCount;
            expected = header.NextOffset;
        }

        return expected == piece.EndOffset ? null : Changed(piece, position, $"ends with offset {expected} where {piece.EndOffset} was written");
    }

    private static IOException Changed(in PieceOfLog piece, int position, string what) =>
        new($"{piece.Segment.File.Path} at byte {piece.Position + position} {what}. The disk has lost what was written there.");
}
