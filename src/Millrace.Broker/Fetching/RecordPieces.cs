using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Batches of one partition, one after the other: some in memory, some in files.</summary>
internal sealed class RecordPieces : DetachedRecords
{
    private readonly List<RecordPiece> _pieces = [];
    private int _byteCount;

    public override int ByteCount => _byteCount;

    /// <summary>Whether some of it has to be taken from a file.</summary>
    public bool HasFiles { get; private set; }

    public IReadOnlyList<RecordPiece> Pieces => _pieces;

    public void Add(ReadOnlyMemory<byte> batches)
    {
        if (!batches.IsEmpty)
        {
            _pieces.Add(new RecordPiece(batches, File: null));
            _byteCount += batches.Length;
        }
    }

    /// <summary>The piece stays its owner's, who keeps it for as long as the response is not sent.</summary>
    public void Add(LogPiece piece)
    {
        HasFiles = true;
        _pieces.Add(new RecordPiece(default, piece));
        _byteCount += piece.ByteCount;
    }

    /// <summary>All of it, unless some is in a file or there is nothing: then null.</summary>
    public ReadOnlyMemory<byte>? TryJoin()
    {
        if (HasFiles || _pieces.Count == 0)
        {
            return null;
        }

        if (_pieces.Count == 1)
        {
            return _pieces[0].Bytes;
        }

        byte[] joined = GC.AllocateUninitializedArray<byte>(_byteCount);
        Span<byte> rest = joined;
        foreach (RecordPiece piece in _pieces)
        {
            piece.Bytes.Span.CopyTo(rest);
            rest = rest[piece.Bytes.Length..];
        }

        return joined;
    }
}

/// <summary>Batches in memory or in a file, whichever is there.</summary>
internal readonly record struct RecordPiece(ReadOnlyMemory<byte> Bytes, LogPiece? File);
