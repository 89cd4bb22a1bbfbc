using System.Collections.Concurrent;
using System.Collections.ObjectModel;

namespace Millrace.Log;

/// <summary>The settings of one topic as they are now; all its partitions hold the same one.</summary>
internal sealed class TopicSettingsCell(TopicLogSettings settings)
{
    private TopicLogSettings _current = settings;

    public TopicLogSettings Current
    {
        get => Volatile.Read(ref _current);
        set => Volatile.Write(ref _current, value);
    }
}

/// <summary>The settings of all topics: the node's defaults, and what topics have of their own, kept in one file.</summary>
internal sealed class TopicSettingsStore
{
    private readonly IStorage _storage;
    private readonly string _directory;
    private readonly ConcurrentDictionary<string, TopicSettingsCell> _cells = new(StringComparer.Ordinal);

    // Guards the file; the dictionary in it is replaced as a whole.
    private readonly Lock _lock = new();
    private SortedDictionary<string, SortedDictionary<string, string>> _overridesByTopic;

    private TopicSettingsStore(
        IStorage storage,
        string directory,
        TopicLogSettings defaults,
        SortedDictionary<string, SortedDictionary<string, string>> overridesByTopic)
    {
        _storage = storage;
        _directory = directory;
        Defaults = defaults;
        _overridesByTopic = overridesByTopic;
    }

    public TopicLogSettings Defaults { get; }

    /// <exception cref="LogDirectoryException">The file is damaged. Defaults in its place could have records deleted that were to stay.</exception>
    public static TopicSettingsStore Open(IStorage storage, string directory, TopicLogSettings defaults)
    {
        if (AtomicFile.TryRead(storage, directory, FileNames.TopicSettings) is not { } text)
        {
            return new TopicSettingsStore(storage, directory, defaults, new(StringComparer.Ordinal));
        }

        string? fault = TopicSettingsFile.FindFault(text, out SortedDictionary<string, SortedDictionary<string, string>> overridesByTopic);
        foreach ((string topic, SortedDictionary<string, string> overrides) in overridesByTopic)
        {
            if (fault is null && !TopicSettingTable.TryApply(defaults, overrides, out _, out string? error))
            {
                fault = $"has settings of {topic} that this program does not take: {error}";
            }
        }

        return fault is null
            ? new TopicSettingsStore(storage, directory, defaults, overridesByTopic)
            : throw new LogDirectoryException(
                LogDirectoryFailure.Damaged,
                $"{directory}/{FileNames.TopicSettings} {fault.TrimEnd('.')}. Nothing was changed. Restore the file from a copy; or delete it to "
                + "give every topic the default settings, by which records may be deleted that were to stay.");
    }

    public TopicSettingsCell CellOf(string topic) => _cells.GetOrAdd(topic, static (topic, store) => new TopicSettingsCell(store.Read(topic)), this);

    /// <summary>Without keeping anything in memory for a topic that has no partition.</summary>
    public TopicLogSettings SettingsOf(string topic) => _cells.TryGetValue(topic, out TopicSettingsCell? cell) ? cell.Current : Read(topic);

    /// <summary>Forgets the cell of a topic that has no partition; one that is made later reads what is written down.</summary>
    public void ForgetCell(string topic) => _cells.TryRemove(topic, out _);

    public IReadOnlyDictionary<string, string> Overrides(string topic) =>
        Volatile.Read(ref _overridesByTopic).TryGetValue(topic, out SortedDictionary<string, string>? overrides)
            ? overrides
            : ReadOnlyDictionary<string, string>.Empty;

    /// <exception cref="ArgumentException">A setting is wrong; the message says which, and what is allowed.</exception>
    public void SetOverrides(string topic, IReadOnlyDictionary<string, string> overrides)
    {
        if (!FileNames.IsTopicName(topic))
        {
            throw new ArgumentException($"'{topic}' cannot be the name of a topic.", nameof(topic));
        }

        if (!TopicSettingTable.TryApply(Defaults, overrides, out TopicLogSettings? settings, out string? error))
        {
            throw new ArgumentException(error, nameof(overrides));
        }

        lock (_lock)
        {
            var next = new SortedDictionary<string, SortedDictionary<string, string>>(_overridesByTopic, StringComparer.Ordinal);
            bool hadNone = !next.Remove(topic);
            if (overrides.Count > 0)
            {
                next.Add(topic, TopicSettingTable.Normalize(overrides));
            }
            else if (hadNone)
            {
                return;
            }

            // Durable before anybody acts by them: a log that was compacted by settings that are gone after a crash would be a surprise.
            Write(next);
            Volatile.Write(ref _overridesByTopic, next);

            // A cell that is made after the line above reads the new settings itself.
            CellOf(topic).Current = settings;
        }
    }

    private void Write(SortedDictionary<string, SortedDictionary<string, string>> next)
    {
        try
        {
            AtomicFile.Write(_storage, _directory, FileNames.TopicSettings, TopicSettingsFile.Format(next));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Whoever is told that nothing has changed must not find records deleted by the new settings after the next start.
            AtomicFile.TryRestore(_storage, _directory, FileNames.TopicSettings, TopicSettingsFile.Format(_overridesByTopic));
            throw;
        }
    }

    private TopicLogSettings Read(string topic)
    {
        bool isRight = TopicSettingTable.TryApply(Defaults, Overrides(topic), out TopicLogSettings? settings, out string? error);
        return isRight ? settings! : throw new InvalidOperationException(error);
    }
}
