using System.Buffers;

namespace Millrace.Log;

/// <summary>A piece and where its bytes lie in the journal.</summary>
internal readonly record struct JournalEntry(JournaledPiece Piece, IStorageFile File, long FilePosition);

/// <summary>
/// Reads one half of a journal: its rounds up to the first that is not whole, or is not of the half's generation, or does not follow the one before.
/// Such a one was on its way when the power failed, or is of an earlier use; it was acknowledged to nobody, and neither was anything behind it, since a
/// round is written only when the one before is on the disk.
/// </summary>
internal sealed class JournalReader
{
    private readonly IStorageFile _file;
    private readonly long _end;
    private readonly List<JournalEntry> _entries = [];
    private long _position;

    private JournalReader(IStorageFile file, long end)
    {
        _file = file;
        _end = end;
    }

    /// <summary>Behind the last round.</summary>
    public long EndPosition => _position;

    /// <summary>0 where there is no round.</summary>
    public long Generation { get; private set; }

    public long FirstSequence { get; private set; }

    public long LastSequence { get; private set; }

    public IReadOnlyList<JournalEntry> Entries => _entries;

    /// <param name="end">Where to stop: what lies behind is not looked at.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static JournalReader Read(IStorageFile file, long end)
    {
        var reader = new JournalReader(file, end);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(JournalFormat.MaximumRoundByteCount);
        try
        {
            while (reader.TryReadRound(buffer))
            {
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        return reader;
    }

    /// <summary>
    /// Where a whole round lies behind the end that no crash explains: one of a generation that is not older than <paramref name="generation"/>. It was written
    /// when everything before it was on the disk, so that something has damaged that since. Null if there is none.
    /// </summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public long? FindRoundBehindDamage(long generation)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(JournalFormat.MaximumRoundByteCount);
        try
        {
            for (long position = _position + JournalFormat.BlockByteCount; position < _end; position += JournalFormat.BlockByteCount)
            {
                if (TryReadRound(buffer, position, out JournalRoundHeader header) && header.Generation >= generation && header.Sequence > LastSequence)
                {
                    return position;
                }
            }

            return null;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private bool TryReadRound(byte[] buffer)
    {
        bool isNext = TryReadRound(buffer, _position, out JournalRoundHeader header)
            && (Generation == 0 || (header.Generation == Generation && header.Sequence == LastSequence + 1));
        if (!isNext || !TryTakePieces(buffer.AsSpan(0, header.ByteCount), header.PieceCount))
        {
            return false;
        }

        FirstSequence = Generation == 0 ? header.Sequence : FirstSequence;
        Generation = header.Generation;
        LastSequence = header.Sequence;
        _position += JournalFormat.PaddedByteCount(header.ByteCount);
        return true;
    }

    private bool TryReadRound(byte[] buffer, long position, out JournalRoundHeader header)
    {
        Span<byte> head = buffer.AsSpan(0, JournalFormat.RoundHeaderByteCount);
        header = default;
        if (position + head.Length > _end || _file.Read(head, position) < head.Length
            || !JournalFormat.TryReadRoundHeader(head, out header) || position + header.ByteCount > _end)
        {
            return false;
        }

        Span<byte> round = buffer.AsSpan(0, header.ByteCount);
        return _file.Read(round, position) == round.Length && JournalFormat.IsWhole(round);
    }

    /// <summary>False, and nothing is taken, where the pieces do not fill the round: then no journal of this format wrote it.</summary>
    private bool TryTakePieces(ReadOnlySpan<byte> round, int count)
    {
        int firstTaken = _entries.Count;
        int position = JournalFormat.RoundHeaderByteCount;
        for (int number = 0; number < count; number++)
        {
            int rest = round.Length - position - JournalFormat.PieceHeaderByteCount;
            if (rest < 0 || !JournalFormat.TryReadPieceHeader(round[position..], rest, out JournaledPiece piece))
            {
                _entries.RemoveRange(firstTaken, _entries.Count - firstTaken);
                return false;
            }

            position += JournalFormat.PieceHeaderByteCount;
            _entries.Add(new JournalEntry(piece, _file, _position + position));
            position += piece.ByteCount;
        }

        return true;
    }
}
