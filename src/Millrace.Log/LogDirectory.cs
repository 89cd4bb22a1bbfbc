using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// A data directory: the lock, <c>meta.properties</c>, the checkpoints, the marker of a clean stop, and all partitions.
/// </summary>
public sealed partial class LogDirectory : IDisposable
{
    private readonly LogSettings _settings;
    private readonly IStorage _storage;
    private readonly OpenFiles _files;
    private readonly ILogger _logger;
    private readonly IDisposable _directoryLock;
    private readonly ConcurrentDictionary<TopicPartition, PartitionLog> _partitions = new();
    private readonly Lock _creationLock = new();

    // Guards the checkpoint files and what was written to them last. Taken before a partition's lock, never inside one.
    private readonly Lock _checkpointLock = new();
    private Dictionary<TopicPartition, Offset> _writtenRecoveryPoints = [];
    private bool _isReleased;
    private bool _areWritesDoubted;

    private ICommitter? _committer;
    private bool _isClosed;

    internal LogDirectory(
        LogSettings settings,
        TopicSettingsStore topicSettings,
        OpenFiles files,
        TimeProvider time,
        Random random,
        ILogger logger,
        IDisposable directoryLock,
        MetaProperties properties,
        RecoveryReport recovery)
    {
        Time = time;
        _reopenings = new ReopenSchedule(time);
        _random = random;
        _settings = settings;
        _topicSettings = topicSettings;
        _files = files;
        _storage = files.Storage;
        _logger = logger;
        _directoryLock = directoryLock;
        ClusterId = properties.ClusterId;
        DirectoryId = properties.DirectoryId;
        Recovery = recovery;
        Journal = new CommitJournal(settings, _storage, time, logger);
    }

    public string Path => _settings.Path;

    /// <summary>Made when the directory was, and the same for ever.</summary>
    public string ClusterId { get; }

    public Guid DirectoryId { get; }

    public RecoveryReport Recovery { get; }

    internal TimeProvider Time { get; }

    /// <summary>The journal in which partitions share syncs.</summary>
    internal CommitJournal Journal { get; }

    /// <summary>The broker's clock, in milliseconds since 1970, as records have it.</summary>
    internal long Now => Time.GetUtcNow().ToUnixTimeMilliseconds();

    public IReadOnlyCollection<PartitionLog> Partitions => (IReadOnlyCollection<PartitionLog>)_partitions.Values;

    /// <summary>Whether there is something for a flusher to look after.</summary>
    internal bool NeedsHousekeeping => AreRecoveryPointsStale || HasDueReopening || Journal.HasOld;

    /// <summary>Whether a recovery point is written that is behind what is synced.</summary>
    internal bool AreRecoveryPointsStale
    {
        get
        {
            Dictionary<TopicPartition, Offset> written = Volatile.Read(ref _writtenRecoveryPoints);
            foreach ((TopicPartition partition, PartitionLog log) in _partitions)
            {
                if (!written.TryGetValue(partition, out Offset point) || point < log.RecoveryPoint)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Opens the directory, makes it if it is not there, and recovers every partition. A partition that is damaged is there, offline.</summary>
    /// <param name="random">Source of the ids of a new directory.</param>
    /// <exception cref="LogDirectoryException">It is locked, not writable, or not ours.</exception>
    public static LogDirectory Open(LogDirectoryOptions options, IStorage storage, TimeProvider time, Random random, ILogger logger)
    {
        LogSettings settings = options.ToSettings();
        return new DirectoryOpening(settings, storage, time, random, new QuietLogger(logger)).Open();
    }

    public bool TryGet(TopicPartition topicPartition, [NotNullWhen(true)] out PartitionLog? log) =>
        _partitions.TryGetValue(topicPartition, out log);

    /// <summary>
    /// Makes an empty partition; on return its directory and everything in it survive the power. One that is there already is returned
    /// as it is, whatever its topic id.
    /// </summary>
    /// <exception cref="ArgumentException">The topic's name is none.</exception>
    public PartitionLog Create(TopicPartition topicPartition, Guid topicId)
    {
        if (!FileNames.IsTopicName(topicPartition.Topic) || topicPartition.Partition < 0)
        {
            throw new ArgumentException($"'{topicPartition}' cannot be the name of a partition.", nameof(topicPartition));
        }

        lock (_creationLock)
        {
            ObjectDisposedException.ThrowIf(_isClosed, this);
            if (_partitions.TryGetValue(topicPartition, out PartitionLog? existing))
            {
                return existing;
            }

            var log = new PartitionLog(this, PathOf(topicPartition), _settings, _files, _logger, CreateFiles(topicPartition, topicId, LeaderEpochs.First));
            _partitions[topicPartition] = log;
            return log;
        }
    }

    /// <summary>
    /// A clean stop: puts everything on the disk, writes the checkpoints and the marker that lets the next start trust them.
    /// Dispose the <see cref="GroupCommitter"/> first.
    /// </summary>
    /// <returns>Whether it came to that. If not, or if it was closed before, the next start recovers as after a crash.</returns>
    public bool Close()
    {
        lock (_creationLock)
        {
            if (_isClosed)
            {
                return false;
            }

            _isClosed = true;
        }

        string? fault = CloseCleanly();
        if (fault is null)
        {
            LogMessages.ClosedCleanly(_logger, Path);
        }
        else
        {
            LogMessages.ClosedUncleanly(_logger, Path, fault);
        }

        ReleaseFiles();
        return fault is null;
    }

    /// <summary>Without <see cref="Close"/> before it, as a crash: nothing is synced, there is no marker.</summary>
    public void Dispose()
    {
        lock (_creationLock)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
        }

        ReleaseFiles();
    }

    /// <summary>Has what appends wanted be done: by the committer's threads, or, where that is sooner, before this returns.</summary>
    /// <param name="mayBlock">Whether the caller's thread may wait for the disk.</param>
    public void Release(HeldSyncs held, bool mayBlock)
    {
        if (!held.Logs.IsEmpty)
        {
            Volatile.Read(ref _committer)?.Queue(held.Logs, mayBlock);
        }
    }

    internal void Attach(ICommitter committer)
    {
        Volatile.Write(ref _committer, committer);
        foreach (PartitionLog log in _partitions.Values)
        {
            if (log.IsSyncQueued)
            {
                committer.Queue([log], mayBlock: false);
            }
        }
    }

    internal void Detach() => Volatile.Write(ref _committer, null);

    /// <summary>
    /// Whoever had something to mend after a loss of power has done so, durably: from now on the end of this process alone loses nothing. Until this is said a start
    /// after a loss of power finds <see cref="RecoveryReport.HasKeptWrites"/> false again, so that one that is interrupted is made up for.
    /// </summary>
    /// <exception cref="IOException">The disk refused.</exception>
    public void TrustWrites()
    {
        lock (_checkpointLock)
        {
            ObjectDisposedException.ThrowIf(_isReleased, this);
            if (!_areWritesDoubted && !Recovery.HasKeptWrites && _storage.BootId is { } boot)
            {
                AtomicFile.Write(_storage, Path, FileNames.Boot, boot);
            }
        }
    }

    /// <summary>A partition has failed: what was written there and not synced may never reach the disk, though this process still reads it.</summary>
    internal void DoubtWrites()
    {
        try
        {
            lock (_checkpointLock)
            {
                _areWritesDoubted = true;
                _storage.DeleteFile($"{Path}/{FileNames.Boot}");
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogMessages.BootNotForgotten(_logger, $"{Path}/{FileNames.Boot}", exception.Message);
        }
    }

    internal void QueueSync(PartitionLog log) => Volatile.Read(ref _committer)?.Queue([log], mayBlock: false);

    /// <summary>Closes the files of a start that failed; the lock is the caller's.</summary>
    internal void ReleasePartitions()
    {
        foreach (PartitionLog log in _partitions.Values)
        {
            log.Dispose();
        }

        _files.Dispose();
    }

    internal void Add(RecoveredPartition recovered)
    {
        string path = PathOf(recovered.TopicPartition);
        var log = new PartitionLog(this, path, _settings, _files, _logger, recovered);
        _partitions[recovered.TopicPartition] = log;
        if (!log.IsOnline)
        {
            // What it has lost is mended when it comes back. If this process ends before that, it is for the next start to know.
            lock (_checkpointLock)
            {
                _areWritesDoubted = true;
            }

            WentOffline(log);
        }
    }

    internal string PathOf(TopicPartition topicPartition) => $"{Path}/{topicPartition}";

    /// <summary>Writes how far each partition is synced. A failure costs the next start time, nothing else.</summary>
    internal void WriteRecoveryPoints()
    {
        try
        {
            WriteRecoveryPointsOrThrow();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogMessages.RecoveryPointsNotWritten(_logger, exception.Message);
        }
    }

    internal void WriteRecoveryPointsOrThrow()
    {
        lock (_checkpointLock)
        {
            if (_isReleased)
            {
                return;
            }

            var points = new Dictionary<TopicPartition, Offset>();
            foreach (PartitionLog log in SortedPartitions())
            {
                points.Add(log.TopicPartition, log.RecoveryPoint);
            }

            AtomicFile.Write(_storage, Path, FileNames.RecoveryPoints, OffsetCheckpoint.Format(points));
            Volatile.Write(ref _writtenRecoveryPoints, points);
        }
    }

    private RecoveredPartition CreateFiles(TopicPartition topicPartition, Guid topicId, LeaderEpochs epochs)
    {
        string path = PathOf(topicPartition);
        _storage.CreateDirectory(path);
        AtomicFile.Write(_storage, path, FileNames.LeaderEpochs, epochs.Format());
        LogSegment segment = LogSegment.Create(_files, path, Offset.Zero, _settings.For(SettingsOf(topicPartition.Topic)), Now);
        try
        {
            // Last, and with it the names of the others are synced: a directory without it was never finished.
            AtomicFile.Write(_storage, path, FileNames.PartitionMetadata, TopicIds.FormatMetadata(topicId));
            _storage.SyncDirectory(Path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            segment.Dispose();
            UndoCreation(path);
            throw;
        }

        segment.HasNewFile = false;
        return new RecoveredPartition(topicPartition, topicId)
        {
            Segments = [segment],
            LeaderEpochs = epochs,
            Producers = new ProducerStates(_settings.MaximumProducerCount),
        };
    }

    /// <summary>
    /// What was refused is not to be there after the next start: the topic may be created again with fewer partitions, and would have this one behind a gap. Where the disk refuses that as well, it
    /// is as after a crash.
    /// </summary>
    private void UndoCreation(string path)
    {
        try
        {
            _storage.DeleteFile($"{path}/{FileNames.PartitionMetadata}");
            _storage.SyncDirectory(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogMessages.CreationNotUndone(_logger, path, exception.Message);
        }
    }

    /// <summary>Null, or why this was no clean stop.</summary>
    private string? CloseCleanly()
    {
        string? fault = ClosePartitions();
        try
        {
            WriteRecoveryPointsOrThrow();
            MoveLogStarts([]);
            AtomicFile.Write(_storage, Path, FileNames.HighWatermarks, Checkpoint(static log => log.HighWatermark));
            if (fault is null)
            {
                // Every partition has everything. Both survive the power together, or the deletion alone does not, and then the next start deletes.
                Journal.Delete();

                // Last: it vouches for everything else.
                AtomicFile.Write(_storage, Path, FileNames.CleanShutdown, FileNames.CleanShutdownContent);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            fault = exception.Message;
        }

        return fault;
    }

    /// <summary>Null, or which partition is not on the disk. Several at a time where the disk gains by it.</summary>
    private string? ClosePartitions()
    {
        PartitionLog? offline = null;
        StorageThreads.ForEach(_storage, [.. SortedPartitions()], log =>
        {
            if (!log.CloseCleanly())
            {
                Volatile.Write(ref offline, log);
            }
        });
        return offline is null ? null : $"{offline.TopicPartition} is offline.";
    }

    private string Checkpoint(Func<PartitionLog, Offset> offsetOf) =>
        OffsetCheckpoint.Format([.. SortedPartitions().Select(log => KeyValuePair.Create(log.TopicPartition, offsetOf(log)))]);

    private void ReleaseFiles()
    {
        // Before the lock on the directory goes: a flusher that is still at work after a Dispose would otherwise write into the files of the next owner.
        lock (_checkpointLock)
        {
            _isReleased = true;
        }

        ReleasePartitions();
        Journal.Dispose();
        _directoryLock.Dispose();
    }

    /// <summary>In one order always, so that the same seed does the same operations.</summary>
    private IEnumerable<PartitionLog> SortedPartitions() =>
        _partitions.Values.OrderBy(static log => log.TopicPartition.Topic, StringComparer.Ordinal)
            .ThenBy(static log => log.TopicPartition.Partition);
}
