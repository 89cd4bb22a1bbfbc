using System.Buffers;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// What a journal holds, by partition, to be written back into their segments before they are recovered. Several partitions may be written back at a time. Writing back may be
/// interrupted anywhere and begun again: it writes the same bytes to the same places.
/// </summary>
internal sealed class JournalReplay : IDisposable
{
    private readonly IStorage _storage;
    private readonly List<IStorageFile> _files = [];
    private readonly Dictionary<(Guid TopicId, int Partition), List<JournalEntry>> _entries = [];
    private int _failureCount;

    private JournalReplay(IStorage storage) => _storage = storage;

    /// <summary>Whether a partition could not be written back, or not be told from others: then the journal has to stay.</summary>
    public bool IsIncomplete => Volatile.Read(ref _failureCount) > 0;

    /// <summary>What is wrong with the journal itself, in words; null if nothing is.</summary>
    public string? Damage { get; private set; }

    /// <summary>Reads the journal that a process has left. Null if there is none.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static JournalReplay? TryRead(IStorage storage, string directory)
    {
        List<(string Path, long? End)> halves = [];
        foreach (string name in FileNames.JournalHalves)
        {
            string path = $"{directory}/{name}";
            if (storage.FileExists(path))
            {
                halves.Add((path, null));
            }
        }

        return halves.Count == 0 ? null : Read(storage, halves);
    }

    /// <param name="halves">Each with the end of its last round, beyond which nothing is looked at; null where that is not known.</param>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static JournalReplay Read(IStorage storage, IEnumerable<(string Path, long? End)> halves)
    {
        var replay = new JournalReplay(storage);
        try
        {
            List<JournalReader> readers = [];
            foreach ((string path, long? end) in halves)
            {
                IStorageFile file = storage.Open(path, StorageOpenMode.Reading);
                replay._files.Add(file);
                var reader = JournalReader.Read(file, Math.Min(end ?? file.Length, file.Length));
                readers.Add(reader);
                if (reader.EndPosition < end)
                {
                    replay.Damage ??= $"{path} has no whole round at byte {reader.EndPosition}, where one was written";
                }
            }

            readers.Sort(static (left, right) => left.Generation.CompareTo(right.Generation));
            readers.ForEach(reader => replay.Take(reader.Entries));
            replay.FindDamage(readers);
            return replay;
        }
        catch
        {
            replay.Dispose();
            throw;
        }
    }

    /// <summary>Whether there is something that a partition's segments may lack.</summary>
    public bool Has(Guid topicId, int partition, JournalTarget target) => Find(topicId, partition, target).Count > 0;

    /// <summary>What would be written back into the segments of a partition, in the order of the log.</summary>
    public IReadOnlyList<JournaledPiece> Pieces(Guid topicId, int partition, JournalTarget target) =>
        [.. Find(topicId, partition, target).Select(static entry => entry.Piece)];

    /// <summary>
    /// Writes what is known of a partition into its segments, and puts it on the disk there. Returns how many bytes were other ones before or not there; null if there was nothing
    /// to write.
    /// </summary>
    /// <exception cref="IOException">The disk refused.</exception>
    public long? WriteBack(string directory, Guid topicId, int partition, JournalTarget target)
    {
        List<JournalEntry> entries = Find(topicId, partition, target);
        if (entries.Count == 0)
        {
            return null;
        }

        long changedByteCount = 0;
        bool hasNewFile = false;
        foreach (IGrouping<Offset, JournalEntry> segment in entries.GroupBy(static entry => entry.Piece.SegmentBaseOffset))
        {
            string path = $"{directory}/{FileNames.Segment(segment.Key, FileNames.LogSuffix)}";
            bool isThere = _storage.FileExists(path);
            using IStorageFile file = _storage.Open(path, isThere ? StorageOpenMode.Existing : StorageOpenMode.Create);
            hasNewFile |= !isThere;
            foreach (JournalEntry entry in segment)
            {
                changedByteCount += WriteBack(entry, file);
            }

            file.SyncData();
        }

        if (hasNewFile)
        {
            _storage.SyncDirectory(directory);
        }

        return changedByteCount;
    }

    /// <summary>
    /// A partition could not be written back; or it could not be read which one it is, and it may be one of those that the journal has something of. Then that stays.
    /// </summary>
    public void Failed() => Interlocked.Add(ref _failureCount, _entries.Count > 0 ? 1 : 0);

    public void Dispose() => _files.ForEach(static file => file.Dispose());

    private static long WriteBack(JournalEntry entry, IStorageFile segment)
    {
        int byteCount = entry.Piece.ByteCount;
        byte[] buffer = ArrayPool<byte>.Shared.Rent(2 * byteCount);
        try
        {
            Span<byte> bytes = buffer.AsSpan(0, byteCount);
            Span<byte> before = buffer.AsSpan(byteCount, byteCount);
            if (entry.File.Read(bytes, entry.FilePosition) < byteCount)
            {
                throw new IOException($"{entry.File.Path} ends before the bytes that it held a moment ago.");
            }

            // Written even where the same bytes are seen: after a sync that failed they may be in memory only, and taken for written.
            bool isSame = segment.Read(before, entry.Piece.Position) == byteCount && before.SequenceEqual(bytes);
            segment.Write(bytes, entry.Piece.Position);
            return isSame ? 0 : byteCount;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private List<JournalEntry> Find(Guid topicId, int partition, JournalTarget target)
    {
        List<JournalEntry> entries = _entries.GetValueOrDefault((topicId, partition)) ?? [];

        // Where the file of epochs is gone, the pieces themselves say which one has begun.
        int newest = entries.Count == 0 ? -1 : entries.Max(static entry => entry.Piece.LeaderEpoch);
        JournalTarget known = target with { LeaderEpoch = Math.Max(target.LeaderEpoch, newest) };
        return [.. entries.Where(entry => JournalTable.Judge(entry.Piece, known) == PieceVerdict.WriteBack)];
    }

    private void Take(IReadOnlyList<JournalEntry> entries)
    {
        foreach (JournalEntry entry in entries)
        {
            (Guid, int) key = (entry.Piece.TopicId, entry.Piece.Partition);
            if (!_entries.TryGetValue(key, out List<JournalEntry>? list))
            {
                _entries[key] = list = [];
            }

            list.Add(entry);
        }
    }

    /// <param name="readers">In the order in which the halves were begun.</param>
    private void FindDamage(List<JournalReader> readers)
    {
        if (Damage is null && readers is [{ Generation: > 0 } older, { } newer] && newer.FirstSequence != older.LastSequence + 1)
        {
            Damage = $"rounds {older.LastSequence + 1} to {newer.FirstSequence - 1} are missing";
        }

        for (int number = 0; number < readers.Count && Damage is null; number++)
        {
            // In a half without a round of its own there are those of its earlier use, which came before the other half.
            JournalReader reader = readers[number];
            long newest = reader.Generation > 0 ? reader.Generation : readers[^1].Generation + 1;
            Damage = reader.FindRoundBehindDamage(newest) is { } position ? $"round {reader.LastSequence + 1} is damaged, and another one lies whole at byte {position}" : null;
        }
    }
}
