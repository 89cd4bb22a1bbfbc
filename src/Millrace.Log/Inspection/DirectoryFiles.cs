using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>One of the files with an offset a partition, as it is found.</summary>
/// <param name="Offsets">Null where the file is there and cannot be read.</param>
internal sealed record OffsetCheckpointFile(string Name, string? Text, Dictionary<TopicPartition, Offset>? Offsets)
{
    public bool IsMissing => Text is null;

    /// <summary>Null where it is unknown; 0 where the file has no line of the partition.</summary>
    public Offset? Of(TopicPartition partition)
    {
        Offset offset = Offsets?.GetValueOrDefault(partition) ?? OffsetCheckpoint.Unknown;
        return offset == OffsetCheckpoint.Unknown ? null : offset;
    }

    public static OffsetCheckpointFile Read(IStorage storage, string directory, string name)
    {
        string? text = AtomicFile.TryRead(storage, directory, name);
        Dictionary<TopicPartition, Offset>? offsets = [];
        if (text is not null)
        {
            _ = OffsetCheckpoint.TryParse(text, out offsets);
        }

        return new OffsetCheckpointFile(name, text, offsets);
    }
}

/// <summary>
/// What the small files of a data directory say, read without changing any. First the checkpoints, then the partitions: in a directory in use a
/// log only grows behind what a checkpoint says of it.
/// </summary>
internal sealed class DirectoryFiles
{
    private readonly IStorage _storage;
    private readonly LogSettings _settings;
    private readonly TopicSettingsStore? _topicSettings;
    private readonly ILookup<string, TopicPartition> _partitionsByTopic;
    private readonly Dictionary<string, (Guid Id, TopicPartition Of)> _topicIds = new(StringComparer.Ordinal);

    /// <exception cref="LogDirectoryException">It is no data directory of ours, or of a version that this program does not read.</exception>
    public DirectoryFiles(LogSettings settings, IStorage storage)
    {
        _storage = storage;
        _settings = settings;
        string path = settings.Path;
        if (!storage.DirectoryExists(path))
        {
            throw new LogDirectoryException(LogDirectoryFailure.Foreign, $"There is no directory {path}. Name the data directory of a broker.");
        }

        string properties = AtomicFile.TryRead(storage, path, FileNames.MetaProperties) ?? throw new LogDirectoryException(
            LogDirectoryFailure.Foreign,
            $"{path} is not a data directory of Millrace: it has no {FileNames.MetaProperties}. Name the directory that was given to 'millrace serve --data'.");
        MetaProperties.Parse(properties, path);
        try
        {
            _topicSettings = TopicSettingsStore.Open(storage, path, settings.TopicDefaults);
        }
        catch (LogDirectoryException exception)
        {
            TopicSettingsFault = exception.Message;
        }

        RecoveryPoints = OffsetCheckpointFile.Read(storage, path, FileNames.RecoveryPoints);
        LogStarts = OffsetCheckpointFile.Read(storage, path, FileNames.LogStartOffsets);
        HighWatermarks = OffsetCheckpointFile.Read(storage, path, FileNames.HighWatermarks);
        CleanedOffsets = OffsetCheckpointFile.Read(storage, path, FileNames.CleanedOffsets);
        SparseOffsets = OffsetCheckpointFile.Read(storage, path, FileNames.SparseOffsets);
        WasCleanlyStopped = storage.FileExists($"{path}/{FileNames.CleanShutdown}");
        Entries = storage.List(path);
        Partitions = [.. Entries.Where(static entry => entry.IsDirectory).Select(PartitionOf).OfType<TopicPartition>()];
        _partitionsByTopic = Partitions.ToLookup(static partition => partition.Topic, StringComparer.Ordinal);
    }

    public IReadOnlyList<StorageEntry> Entries { get; }

    public IReadOnlyList<TopicPartition> Partitions { get; }

    public OffsetCheckpointFile RecoveryPoints { get; }

    public OffsetCheckpointFile LogStarts { get; }

    public OffsetCheckpointFile HighWatermarks { get; }

    /// <summary>Where compaction has not been yet: below there may be gaps.</summary>
    public OffsetCheckpointFile CleanedOffsets { get; }

    /// <summary>The same while a compaction is under way, or was interrupted.</summary>
    public OffsetCheckpointFile SparseOffsets { get; }

    public bool WasCleanlyStopped { get; }

    /// <summary>What the next start writes back into partitions; null if that is nothing. Its bytes cannot be read any more, only what they are.</summary>
    public JournalReplay? Journal { get; private set; }

    /// <summary>Reads the journal that a crash has left in a directory that nobody uses.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public void ReadJournal()
    {
        if (!WasCleanlyStopped)
        {
            using JournalReplay? journal = JournalReplay.TryRead(_storage, _settings.Path);
            Journal = journal;
        }
    }

    /// <summary>Below it offsets may be missing, as a start takes it: anywhere, where one of the files cannot be read.</summary>
    public static Offset SparseBelow(TopicPartition partition, OffsetCheckpointFile sparse, OffsetCheckpointFile cleaned) =>
        sparse.Offsets is not null && cleaned.Offsets is not null
            ? Offset.Max(sparse.Of(partition) ?? Offset.Zero, cleaned.Of(partition) ?? Offset.Zero)
            : new Offset(long.MaxValue);

    /// <summary>What is wrong with the settings of topics, or null.</summary>
    public string? TopicSettingsFault { get; }

    public LogSettings SettingsOf(string topic) => _topicSettings is { } store ? _settings.For(store.CellOf(topic).Current) : _settings;

    /// <summary>The topic id that another partition of the topic has; null if none says.</summary>
    public (Guid Id, TopicPartition Of)? TopicIdBeside(TopicPartition partition)
    {
        if (_topicIds.TryGetValue(partition.Topic, out (Guid Id, TopicPartition Of) known) && known.Of != partition)
        {
            return known;
        }

        foreach (TopicPartition sibling in _partitionsByTopic[partition.Topic].Where(sibling => sibling != partition))
        {
            string? text = AtomicFile.TryRead(_storage, $"{_settings.Path}/{sibling}", FileNames.PartitionMetadata);
            if (text is not null && TopicIds.TryParseMetadata(text, out Guid id))
            {
                _topicIds[partition.Topic] = (id, sibling);
                return (id, sibling);
            }
        }

        return null;
    }

    private static TopicPartition? PartitionOf(StorageEntry entry) =>
        FileNames.TryParsePartition(entry.Name, out TopicPartition partition) ? partition : null;
}
