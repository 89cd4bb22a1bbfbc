using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What a file of a data directory holds, by its name.</summary>
public enum LogFileKind
{
    Unknown,

    /// <summary>Record batches: a segment, or what was cut off one.</summary>
    Batches,
    OffsetIndex,
    TimeIndex,
    TransactionIndex,
    ProducerSnapshot,
    LeaderEpochs,
    OffsetCheckpoint,

    /// <summary>What partitions were to have synced together.</summary>
    CommitJournal,

    /// <summary>Text that a person reads as it is.</summary>
    Text,
}

/// <summary>A batch as it lies in a file, whole or not.</summary>
/// <param name="Header">As it stands there; only what <paramref name="Verdict"/> lets one believe.</param>
/// <param name="Bytes">The whole batch, valid until the next one is read; empty where its length cannot be believed, or is large and the checksum is wrong.</param>
public readonly record struct LoggedBatch(long Position, RecordBatchHeader Header, BatchVerdict Verdict, ReadOnlyMemory<byte> Bytes)
{
    /// <summary>What the verdict says, in words.</summary>
    public string Judgement => Verdict == BatchVerdict.Valid ? "whole" : Sentences.Describe(Verdict);
}

/// <summary>Reads single files of a data directory for people, whatever state they are in; changes nothing.</summary>
public static class LogFile
{
    public static LogFileKind KindOf(string path)
    {
        string name = NameOf(path);
        return name switch
        {
            FileNames.LeaderEpochs => LogFileKind.LeaderEpochs,
            FileNames.RecoveryPoints or FileNames.LogStartOffsets or FileNames.HighWatermarks or FileNames.CleanedOffsets or FileNames.SparseOffsets => LogFileKind.OffsetCheckpoint,
            _ when FileNames.JournalHalves.Contains(name, StringComparer.Ordinal) => LogFileKind.CommitJournal,
            FileNames.PartitionMetadata or FileNames.MetaProperties or FileNames.TopicSettings or FileNames.CleanShutdown => LogFileKind.Text,
            _ => KindOfSuffix(name[Math.Max(name.LastIndexOf('.'), 0)..]),
        };
    }

    /// <summary>Reads <c>orders-3</c>.</summary>
    public static bool TryParsePartition(string name, out TopicPartition partition) => FileNames.TryParsePartition(name, out partition);

    /// <summary>The segments of a partition's directory that may hold an offset or later ones, in their order.</summary>
    public static IReadOnlyList<string> SegmentsFrom(IStorage storage, string directory, Offset from)
    {
        List<(Offset Offset, StorageEntry Entry)> segments = [.. new PartitionListing(storage.List(directory)).WithSuffix(FileNames.LogSuffix)];
        int first = Math.Max(segments.FindLastIndex(segment => segment.Offset <= from), 0);
        return [.. segments.Skip(first).Select(segment => $"{directory}/{segment.Entry.Name}")];
    }

    /// <summary>
    /// The batches of a file that reach an offset. Goes on behind a damaged one where its length can be believed; where it cannot, that one is the last.
    /// </summary>
    public static IEnumerable<LoggedBatch> ReadBatches(IStorage storage, string path, Offset from)
    {
        using IStorageFile file = storage.Open(path, StorageOpenMode.Reading);
        using var walker = new BatchWalker(file, 0, file.Length, verifiesChecksums: true);
        while (true)
        {
            bool isValid = walker.MoveNext();
            if (!isValid && walker.Verdict == BatchVerdict.Valid)
            {
                yield break;
            }

            if (!isValid || walker.Header.LastOffset >= from)
            {
                yield return new LoggedBatch(walker.Position, walker.Header, walker.Verdict, walker.Batch);
            }

            if (!isValid && !walker.TrySkip())
            {
                yield break;
            }
        }
    }

    /// <summary>The content of a file that holds no batches, line by line.</summary>
    public static IEnumerable<string> Describe(IStorage storage, string path) => KindOf(path) switch
    {
        LogFileKind.OffsetIndex => IndexText.Offsets(NameOf(path), InspectedFile.ReadAll(storage, path)),
        LogFileKind.TimeIndex => IndexText.Times(NameOf(path), InspectedFile.ReadAll(storage, path)),
        LogFileKind.TransactionIndex => IndexText.Transactions(InspectedFile.ReadAll(storage, path)),
        LogFileKind.ProducerSnapshot => SnapshotText.Describe(InspectedFile.ReadAll(storage, path)),
        LogFileKind.LeaderEpochs => CheckpointText.LeaderEpochs(ReadText(storage, path)),
        LogFileKind.OffsetCheckpoint => CheckpointText.Offsets(ReadText(storage, path)),
        LogFileKind.CommitJournal => JournalText.Describe(storage, path),
        LogFileKind.Text => ReadText(storage, path).TrimEnd('\n').Split('\n'),
        _ => [$"{NameOf(path)} has no name of a file that a log has."],
    };

    private static LogFileKind KindOfSuffix(string suffix) => suffix switch
    {
        FileNames.LogSuffix or FileNames.CutSuffix => LogFileKind.Batches,
        FileNames.IndexSuffix => LogFileKind.OffsetIndex,
        FileNames.TimeIndexSuffix => LogFileKind.TimeIndex,
        FileNames.TransactionIndexSuffix => LogFileKind.TransactionIndex,
        FileNames.SnapshotSuffix => LogFileKind.ProducerSnapshot,
        _ => LogFileKind.Unknown,
    };

    private static string NameOf(string path) => path[(path.LastIndexOf('/') + 1)..];

    private static string ReadText(IStorage storage, string path) => System.Text.Encoding.UTF8.GetString(InspectedFile.ReadAll(storage, path));
}
