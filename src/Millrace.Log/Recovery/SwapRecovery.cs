using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>Finishes or takes back the compactions that a crash has interrupted; the steps are at <see cref="PartitionLog.TryReplace"/>.</summary>
internal sealed class SwapRecovery
{
    private readonly IStorage _storage;
    private readonly string _directory;
    private readonly Action<RecoveryCondition, string> _report;

    public SwapRecovery(IStorage storage, string directory, Action<RecoveryCondition, string> report)
    {
        _storage = storage;
        _directory = directory;
        _report = report;
    }

    /// <summary>False if there was nothing to do, and the entries are as they were.</summary>
    public bool Run(IReadOnlyList<StorageEntry> entries)
    {
        bool hasChanged = false;
        if (entries.Any(static entry => entry.Name.EndsWith(FileNames.SwapSuffix, StringComparison.Ordinal)))
        {
            // A process that was killed, or a sync that failed, may have left a change of names that the disk does not have yet; and the power could keep what follows here, and lose that.
            _storage.SyncDirectory(_directory);
        }

        foreach (StorageEntry entry in entries)
        {
            if (FileNames.TryParseSegment(entry.Name, FileNames.LogSuffix + FileNames.SwapSuffix, out Offset baseOffset))
            {
                _report(RecoveryCondition.SwapInterrupted, $"'{entry.Name}' takes the place of the segments that it was compacted from.");
                Finish(entries, baseOffset);
                hasChanged = true;
            }
        }

        foreach (StorageEntry entry in hasChanged ? _storage.List(_directory) : entries)
        {
            bool isLeftOver = entry.Name.EndsWith(FileNames.CleanedSuffix, StringComparison.Ordinal)
                || entry.Name.EndsWith(FileNames.SwapSuffix, StringComparison.Ordinal);
            if (isLeftOver)
            {
                _report(RecoveryCondition.CleaningInterrupted, $"'{entry.Name}' of an interrupted compaction is deleted.");
                _storage.DeleteFile($"{_directory}/{entry.Name}");
                hasChanged = true;
            }
        }

        if (hasChanged)
        {
            _storage.SyncDirectory(_directory);
        }

        return hasChanged;
    }

    private void Finish(IReadOnlyList<StorageEntry> entries, Offset baseOffset)
    {
        Offset end = FindEnd(baseOffset);
        foreach (StorageEntry entry in entries)
        {
            // The log at its own offset is replaced by the renaming.
            bool isReplaced = FileNames.TryParseSegment(entry.Name, FileNames.LogSuffix, out Offset offset) && offset > baseOffset && offset < end;
            if (isReplaced)
            {
                _storage.DeleteFile($"{_directory}/{entry.Name}");
                foreach (string suffix in FileNames.IndexSuffixes)
                {
                    _storage.DeleteFile($"{_directory}/{FileNames.Segment(offset, suffix)}");
                }
            }
        }

        _storage.SyncDirectory(_directory);
        foreach (string suffix in FileNames.IndexSuffixes)
        {
            string name = FileNames.Segment(baseOffset, suffix);

            // Where it has its name already, step 4 had begun, and no old one is left under it.
            if (_storage.FileExists($"{_directory}/{name}{FileNames.SwapSuffix}"))
            {
                _storage.Rename($"{_directory}/{name}{FileNames.SwapSuffix}", $"{_directory}/{name}");
            }
        }

        _storage.SyncDirectory(_directory);
        string log = $"{_directory}/{FileNames.Segment(baseOffset, FileNames.LogSuffix)}";
        _storage.Rename(log + FileNames.SwapSuffix, log);
        _storage.SyncDirectory(_directory);
    }

    /// <summary>The offset behind its last batch. Segments that begin behind it, from which nothing stayed, may stay themselves.</summary>
    private Offset FindEnd(Offset baseOffset)
    {
        string path = $"{_directory}/{FileNames.Segment(baseOffset, FileNames.LogSuffix)}{FileNames.SwapSuffix}";
        using IStorageFile file = _storage.Open(path, StorageOpenMode.Existing);
        using var walker = new BatchWalker(file, 0, file.Length, verifiesChecksums: false);
        Offset end = baseOffset;
        while (walker.MoveNext())
        {
            end = walker.Header.NextOffset;
        }

        return end;
    }
}
