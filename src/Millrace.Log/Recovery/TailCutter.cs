using System.Buffers;

namespace Millrace.Log;

/// <summary>
/// Cuts a log and keeps what it cuts. Bytes that are not all zeros are durable in a file beside the log before they leave it.
/// </summary>
internal sealed class TailCutter
{
    private const int BufferByteCount = 256 << 10;

    private readonly IStorage _storage;
    private readonly string _directory;
    private readonly int _maximumKeptCount;
    private readonly int _epoch;
    private readonly List<string> _keptNames = [];

    public TailCutter(IStorage storage, string directory, int maximumKeptCount, int epoch)
    {
        _storage = storage;
        _directory = directory;
        _maximumKeptCount = maximumKeptCount;
        _epoch = epoch;
    }

    public IReadOnlyList<string> KeptNames => _keptNames;

    public long CutByteCount { get; private set; }

    /// <summary>Removes a segment and its indexes. Its file, if it is to be kept, is renamed.</summary>
    public void RemoveSegment(SegmentFile segment)
    {
        string name = FileNames.Segment(segment.BaseOffset, FileNames.LogSuffix);
        bool isKept = !IsZero(segment.File, 0, segment.Length);
        segment.File.Dispose();
        if (isKept)
        {
            string keptName = FileNames.Cut(_epoch, segment.BaseOffset, 0);
            _storage.Rename($"{_directory}/{name}", $"{_directory}/{keptName}");
            Keep(keptName);
        }
        else
        {
            _storage.DeleteFile($"{_directory}/{name}");
        }

        foreach (string suffix in FileNames.IndexSuffixes)
        {
            _storage.DeleteFile($"{_directory}/{FileNames.Segment(segment.BaseOffset, suffix)}");
        }

        _storage.SyncDirectory(_directory);
        CutByteCount += segment.Length;
    }

    /// <summary>Ends a segment at <paramref name="position"/>.</summary>
    public void Truncate(SegmentFile segment, long position)
    {
        if (!IsZero(segment.File, position, segment.Length))
        {
            string keptName = FileNames.Cut(_epoch, segment.BaseOffset, position);
            using (IStorageFile kept = _storage.Open($"{_directory}/{keptName}", StorageOpenMode.Create))
            {
                Copy(segment.File, position, segment.Length, kept, 0);
                kept.SyncData();
            }

            Keep(keptName);
            _storage.SyncDirectory(_directory);
        }

        segment.File.SetLength(position);
        segment.File.SyncData();
        CutByteCount += segment.Length - position;
    }

    /// <summary>Copies the bytes from <paramref name="start"/> to <paramref name="end"/>.</summary>
    public static void Copy(IStorageFile source, long start, long end, IStorageFile target, long targetPosition) =>
        ForEachPiece(source, start, end, (piece, position) =>
        {
            target.Write(piece, targetPosition + position - start);
            return true;
        });

    private static bool IsZero(IStorageFile file, long start, long end)
    {
        bool isZero = true;
        ForEachPiece(file, start, end, (piece, _) => isZero = !piece.ContainsAnyExcept((byte)0));
        return isZero;
    }

    private static void ForEachPiece(IStorageFile file, long start, long end, PieceHandler handler)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)Math.Clamp(end - start, 1, BufferByteCount));
        try
        {
            for (long position = start; position < end;)
            {
                int count = file.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - position)), position);
                if (count == 0 || !handler(buffer.AsSpan(0, count), position))
                {
                    return;
                }

                position += count;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private void Keep(string name)
    {
        _keptNames.Add(name);

        // Names sort by age, since the epoch rises at every recovery that cuts.
        List<string> kept = [.. _storage.List(_directory).Select(static entry => entry.Name)
            .Where(static entry => entry.EndsWith(FileNames.CutSuffix, StringComparison.Ordinal))];
        for (int oldest = 0; oldest < kept.Count - _maximumKeptCount; oldest++)
        {
            _storage.DeleteFile($"{_directory}/{kept[oldest]}");
        }
    }

    /// <summary>False ends the reading.</summary>
    private delegate bool PieceHandler(ReadOnlySpan<byte> piece, long position);
}
