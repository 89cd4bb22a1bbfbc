using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// The log of one partition. Safe for any number of threads: appends take one lock, reads take none.
/// </summary>
public sealed partial class PartitionLog
{
    private readonly Lock _writerLock = new();
    private readonly OpenFiles _files;
    private readonly string _directory;
    private readonly LogSettings _settings;
    private readonly ILogger _logger;
    private readonly LogDirectory _owner;
    private readonly TopicSettingsCell _topicSettings;

    // Guarded by the writer lock.
    private GroupCommit _commit;
    private ProducerStates _producers;
    private bool _isClosed;

    // Published to readers. The segments are replaced as a whole, before the end moves into a new one.
    private LeaderEpochs _leaderEpochs;
    private Offset? _keptRecoveryPoint;
    private LogSegment[] _segments;
    private long _logEndOffset;
    private long _syncedOffset;
    private StrongBox<Guid> _topicId;
    private long _storedOffset;
    private long _highWatermark;
    private long _lastStableOffset;
    private string? _offlineReason;
    private bool _hasBeenRead;
    private int _isOfflineReported;

    internal PartitionLog(LogDirectory owner, string directory, LogSettings settings, OpenFiles files, ILogger logger, RecoveredPartition recovered)
    {
        _owner = owner;
        _topicSettings = owner.SettingsCellOf(recovered.TopicPartition.Topic);
        _directory = directory;
        _settings = settings;
        _files = files;
        _logger = logger;
        TopicPartition = recovered.TopicPartition;
        _topicId = new StrongBox<Guid>(recovered.TopicId);
        _logStartOffset = recovered.LogStartOffset.Value;
        CheckpointedLogStart = recovered.CheckpointedLogStart ?? recovered.LogStartOffset;
        SparseBelow = recovered.SparseBelow;
        CleanedUpTo = recovered.CleanedUpTo;
        _segments = [.. recovered.Segments];
        Array.ForEach(_segments, segment => segment.CreatedAt = owner.Now);
        _leaderEpochs = recovered.LeaderEpochs;
        _producers = recovered.Producers;
        _offlineReason = recovered.OfflineReason;
        _hasBeenRead = recovered.OfflineReason is null;
        _keptRecoveryPoint = recovered.OfflineReason is null ? null : recovered.RecoveryPoint ?? OffsetCheckpoint.Unknown;
        _newestSnapshot = recovered.NewestSnapshot;
        _straySnapshot = recovered.StraySnapshot;
        _commit = new GroupCommit(recovered.LogEndOffset);
        Publish();
        _syncedStableOffset = LastStableOffset;
    }

    public TopicPartition TopicPartition { get; }

    /// <summary>Of the topic; empty as long as a partition that was offline from the start has not been read.</summary>
    public Guid TopicId => Volatile.Read(ref _topicId).Value;

    /// <summary>The settings of its topic as they are now.</summary>
    public TopicLogSettings Settings => _topicSettings.Current;

    /// <summary>The offset that the next record gets.</summary>
    public Offset LogEndOffset => new(Volatile.Read(ref _logEndOffset));

    /// <summary>Bytes of record batches in its segments.</summary>
    public long LogByteCount => Volatile.Read(ref _segments).Sum(static segment => (long)segment.ByteCount);

    /// <summary>Everything below is on the disk.</summary>
    public Offset SyncedOffset => new(Volatile.Read(ref _syncedOffset));

    /// <summary>Everything below is on the disk in its own files; what lies between this and <see cref="SyncedOffset"/> is in the journal.</summary>
    internal Offset StoredOffset => new(Volatile.Read(ref _storedOffset));

    /// <summary>Everything below may be read: it never passes the first batch of <see cref="AppendDurability.Disk"/> that is not synced.</summary>
    public Offset HighWatermark => new(Volatile.Read(ref _highWatermark));

    /// <summary>
    /// Everything below may be read by who wants committed records only: it is below the high watermark, and of each transaction in it is
    /// known how it ended. Never falls.
    /// </summary>
    public Offset LastStableOffset => new(Volatile.Read(ref _lastStableOffset));

    /// <summary>Rises at every start that no clean stop preceded.</summary>
    public int LeaderEpoch => Volatile.Read(ref _leaderEpochs).Current;

    public IReadOnlyList<LeaderEpochStart> LeaderEpochs => Volatile.Read(ref _leaderEpochs).Starts;

    public bool IsOnline => OfflineReason is null;

    /// <summary>
    /// False of a partition that is offline since it was opened: its offsets, epochs and producers are not those of its files, which are not known yet.
    /// </summary>
    public bool HasBeenRead => Volatile.Read(ref _hasBeenRead);

    /// <summary>What happened, where, and what to do; null while the partition is online.</summary>
    public string? OfflineReason => Volatile.Read(ref _offlineReason);

    /// <summary>
    /// Raised after the high watermark, the last stable or the synced offset moved, or the partition went offline; on the thread that did it, outside of
    /// every lock. Handlers read the new values here and return at once.
    /// </summary>
    public event Action<PartitionLog>? Progressed;

    /// <summary>
    /// Checks the batches, gives them their offsets and the leader epoch in place, and writes them. With
    /// <see cref="AppendDurability.Disk"/> a sync is on its way when this returns, but not done.
    /// </summary>
    /// <param name="batches">One or more whole batches, changed in place: base offset and leader epoch.</param>
    /// <param name="maximumBatchByteCount">In place of the topic's own limit (max.message.bytes).</param>
    /// <param name="verifiedAt">
    /// For a transactional batch: <see cref="LogEndOffset"/> as it was before the coordinator said that its transaction is open. A batch
    /// that a marker has overtaken since is refused: it would open a transaction that nobody ends. Null: the coordinator was not asked.
    /// </param>
    /// <param name="leaderEpoch">In which the caller knows the log. In another one nothing is written: it may have lost records. Null: in any.</param>
    /// <param name="held">Takes the sync that is wanted by it. Null: it is queued at once.</param>
    public AppendResult Append(
        Span<byte> batches,
        AppendDurability durability,
        int? maximumBatchByteCount = null,
        AppendOrigin origin = AppendOrigin.Client,
        Offset? verifiedAt = null,
        int? leaderEpoch = null,
        HeldSyncs? held = null)
    {
        var headers = new List<RecordBatchHeader>(1);
        TopicLogSettings topic = Settings;
        int limit = Math.Min(maximumBatchByteCount ?? topic.MaximumBatchByteCount, _settings.MaximumBatchByteCount);
        long now = _owner.Now;
        if (BatchDoor.Check(batches, new DoorRules(limit, origin, topic, now), headers) is { } refused)
        {
            return refused;
        }

        bool isStamped = topic.TimestampType == MessageTimestampType.LogAppendTime;
        if (isStamped)
        {
            Stamp(batches, headers, now);
        }

        AppendResult result;
        CommitEffects effects = CommitEffects.None;
        lock (_writerLock)
        {
            result = CheckState(batches.Length)
                ?? CheckLeaderEpoch(leaderEpoch)
                ?? CheckSettled(headers)
                ?? CheckProducers(headers, origin, verifiedAt, durability, ref effects)
                ?? Write(batches, headers, durability, ref effects);
        }

        if (held is not null && effects.HasFlag(CommitEffects.QueueSync))
        {
            effects &= ~CommitEffects.QueueSync;
            held.Add(this);
        }

        Run(effects);
        return isStamped && result is AppendResult.Appended appended ? appended with { LogAppendTime = now } : result;
    }

    /// <summary>Gives the batches the time of their append.</summary>
    private static void Stamp(Span<byte> batches, List<RecordBatchHeader> headers, long now)
    {
        for (int index = 0; index < headers.Count; index++)
        {
            int byteCount = headers[index].TotalByteCount;
            RecordBatch.AssignLogAppendTime(batches[..byteCount], now);
            headers[index] = RecordBatchHeader.Read(batches);
            batches = batches[byteCount..];
        }
    }

    /// <summary>
    /// The end of the newest epoch that is not newer than the one asked for (KIP-320); null where nothing is known of it. One that is older than all that are known has, as in
    /// Kafka, ended where the oldest begins: its records are deleted.
    /// </summary>
    public (int Epoch, Offset EndOffset)? EndOfLeaderEpoch(int epoch)
    {
        while (true)
        {
            // The epochs are published before the offsets that belong to them.
            LeaderEpochs epochs = Volatile.Read(ref _leaderEpochs);
            (int Epoch, Offset EndOffset)? end = epochs.EndOf(epoch, LogEndOffset)
                ?? (epoch >= 0 && epochs.Starts is [{ } oldest, ..] && epoch < oldest.Epoch ? (epoch, oldest.StartOffset) : null);
            if (ReferenceEquals(epochs, Volatile.Read(ref _leaderEpochs)))
            {
                return end;
            }
        }
    }

    private AppendResult.Rejected? CheckState(int byteCount)
    {
        if (OfflineReason is { } reason)
        {
            return new AppendResult.Rejected(AppendRejection.Offline, reason);
        }

        if (_isClosed)
        {
            return new AppendResult.Rejected(AppendRejection.Offline, $"The log of {TopicPartition} is closed.");
        }

        int segmentByteCount = Settings.SegmentByteCount;
        if (byteCount > segmentByteCount)
        {
            string detail = $"The batches have {byteCount} bytes; a segment has {segmentByteCount}.";
            return new AppendResult.Rejected(AppendRejection.MessageTooLarge, detail);
        }

        return null;
    }

    private AppendResult? CheckProducers(
        List<RecordBatchHeader> headers, AppendOrigin origin, Offset? verifiedAt, AppendDurability durability, ref CommitEffects effects)
    {
        SequencedBatch? firstOriginal = null;
        SequencedBatch lastOriginal = default;
        int duplicateCount = 0;
        for (int index = 0; index < headers.Count; index++)
        {
            RecordBatchHeader header = headers[index];
            if (header.Producer.IsNone)
            {
                continue;
            }

            RecordBatchHeader? earlier = EarlierInThisAppend(headers, index);
            ProducerVerdict verdict = _producers.Check(header, origin, earlier, verifiedAt, out SequencedBatch original);
            if (verdict == ProducerVerdict.Duplicate)
            {
                duplicateCount++;
                firstOriginal ??= original;
                lastOriginal = original;
            }
            else if (verdict != ProducerVerdict.Accept)
            {
                return Refuse(verdict, header.Producer, header.BaseSequence);
            }
        }

        if (firstOriginal is not { } first)
        {
            return null;
        }

        if (duplicateCount < headers.Count)
        {
            return Refuse(ProducerVerdict.OutOfOrder, headers[0].Producer, headers[0].BaseSequence);
        }

        if (durability == AppendDurability.Disk && _commit.SyncedOffset <= lastOriginal.LastOffset)
        {
            effects |= _commit.SyncWanted();
        }

        return new AppendResult.Duplicate(first.BaseOffset, lastOriginal.LastOffset, LeaderEpoch, IsFlushed(lastOriginal.LastOffset));
    }

    private static AppendResult.Rejected Refuse(ProducerVerdict verdict, ProducerIdentity producer, int sequence)
    {
        (AppendRejection rejection, string detail) = verdict switch
        {
            ProducerVerdict.OutOfOrder =>
                (AppendRejection.OutOfOrderSequence, $"Sequence {sequence} of producer {producer.Id} does not follow its last batch."),
            ProducerVerdict.Fenced =>
                (AppendRejection.InvalidProducerEpoch, $"Producer {producer.Id} has written with a newer epoch than {producer.Epoch}."),
            ProducerVerdict.CoordinatorFenced =>
                (AppendRejection.CoordinatorFenced, $"A newer coordinator has ended a transaction of producer {producer.Id}."),
            ProducerVerdict.OutsideOfTransaction =>
                (AppendRejection.InvalidTransactionState, $"Producer {producer.Id} has a transaction open, and this batch is not part of it."),
            ProducerVerdict.OlderTransactionOpen =>
                (AppendRejection.InvalidTransactionState, $"A transaction of an older epoch of producer {producer.Id} is not ended yet."),
            ProducerVerdict.TransactionEnded =>
                (AppendRejection.InvalidTransactionState, $"The transaction of producer {producer.Id} has ended meanwhile."),
            ProducerVerdict.TooManyProducers =>
                (AppendRejection.TooManyProducers, $"Too many transactions are open to remember producer {producer.Id} as well."),
            _ => throw new ArgumentOutOfRangeException(nameof(verdict), verdict, message: null),
        };
        return new AppendResult.Rejected(rejection, detail);
    }

    private static RecordBatchHeader? EarlierInThisAppend(List<RecordBatchHeader> headers, int index)
    {
        for (int earlier = index - 1; earlier >= 0; earlier--)
        {
            if (headers[earlier].Producer.Id == headers[index].Producer.Id)
            {
                return headers[earlier];
            }
        }

        return null;
    }

    private AppendResult Write(Span<byte> batches, List<RecordBatchHeader> headers, AppendDurability durability, ref CommitEffects effects)
    {
        Offset baseOffset = _commit.LogEndOffset;
        Offset nextOffset = baseOffset;
        foreach (RecordBatchHeader header in headers)
        {
            nextOffset += header.LastOffsetDelta + 1L;
        }

        try
        {
            LogSegment active = _segments[^1];
            active.BeginAppends(baseOffset);
            if (!active.HasRoomFor(batches.Length, nextOffset + -1, Settings.SegmentByteCount) || IsAged(active, headers))
            {
                active = Roll(baseOffset, ref effects);
            }

            WriteBatches(active, batches, headers, baseOffset);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // What of the bytes is in the file is unknown, and so is whether a second try would do better. Recovery judges the tail.
            effects |= TakeOffline($"Writing to {_directory} failed: {exception.Message} {Sentences.AfterDiskError}");
            return new AppendResult.Rejected(AppendRejection.Offline, OfflineReason!);
        }

        bool isFlushed = IsFlushDue(nextOffset, Settings);
        effects |= _commit.Appended(baseOffset, nextOffset, isFlushed ? AppendDurability.Disk : durability) | Publish();
        return new AppendResult.Appended(baseOffset, nextOffset + -1, LeaderEpoch: LeaderEpoch, IsFlushed: isFlushed);
    }

    private void WriteBatches(LogSegment segment, Span<byte> batches, List<RecordBatchHeader> headers, Offset offset)
    {
        int position = segment.ByteCount;
        foreach (RecordBatchHeader header in headers)
        {
            Span<byte> batch = batches[..header.TotalByteCount];
            RecordBatch.Assign(batch, offset, LeaderEpoch);
            RecordBatchHeader assigned = header with { BaseOffset = offset, LeaderEpoch = LeaderEpoch };
            segment.Write(batch, assigned, position);
            if (_producers.Observe(assigned, batch) is { IsCommitted: false } ended)
            {
                segment.WriteAborted(ended.ToAborted());
            }

            position += batch.Length;
            offset = assigned.NextOffset;
            batches = batches[batch.Length..];
        }

        segment.Publish(position);
    }

    private LogSegment Roll(Offset baseOffset, ref CommitEffects effects)
    {
        // The old segment is complete: have it synced soon, so that the recovery point moves beyond it.
        effects |= _commit.SyncWanted();
        _segments[^1].BeginAppends(baseOffset);
        _segments[^1].Complete();
        LazyFile? snapshot = WriteSnapshot(baseOffset);
        LogSegment next;
        try
        {
            if (baseOffset <= LogStartOffset && snapshot is not null)
            {
                // A log that was cut at its start: what lies before goes with the new segment, and nothing else says what is known of the producers.
                snapshot.SyncIfDirty();
                _files.Storage.SyncDirectory(_directory);
            }

            next = LogSegment.Create(_files, _directory, baseOffset, _settings.For(Settings), _owner.Now);
        }
        catch
        {
            snapshot?.Dispose();
            throw;
        }

        next.NewSnapshot = snapshot;

        // Readers see the segment before any offset in it: one that saw the end first would look for it in the old segment.
        Volatile.Write(ref _segments, [.. _segments, next]);
        return next;
    }

    /// <summary>Shows the offsets to everybody: first how far the log goes, then how much of it may be seen.</summary>
    private CommitEffects Publish()
    {
        Volatile.Write(ref _logEndOffset, _commit.LogEndOffset.Value);
        Volatile.Write(ref _storedOffset, _commit.StoredOffset.Value);
        Volatile.Write(ref _syncedOffset, _commit.SyncedOffset.Value);
        Volatile.Write(ref _highWatermark, _commit.HighWatermark.Value);

        // A transaction begins at the end of the log, never below the high watermark: so this does not fall. Where records were deleted
        // from under an open transaction, the log's start is stable.
        Offset stable = Offset.Min(_producers.FirstOpenTransactionOffset ?? _commit.HighWatermark, _commit.HighWatermark);
        stable = Offset.Max(stable, LogStartOffset);
        bool hasMoved = stable != LastStableOffset;
        Volatile.Write(ref _lastStableOffset, stable.Value);
        return hasMoved ? CommitEffects.Progressed : CommitEffects.None;
    }

    /// <summary>The writer lock is held; the effects are run after it is released.</summary>
    private CommitEffects TakeOffline(string reason)
    {
        if (_offlineReason is not null)
        {
            return CommitEffects.None;
        }

        Volatile.Write(ref _offlineReason, reason);
        return _commit.Failed();
    }

    private void Run(CommitEffects effects)
    {
        if (effects.HasFlag(CommitEffects.QueueSync))
        {
            _owner.QueueSync(this);
        }

        if (effects.HasFlag(CommitEffects.Progressed))
        {
            if (OfflineReason is { } reason && Interlocked.Exchange(ref _isOfflineReported, 1) == 0)
            {
                LogMessages.PartitionOffline(_logger, TopicPartition, reason);
                _owner.DoubtWrites();
                _owner.WentOffline(this);
            }

            Progressed?.Invoke(this);
        }
    }
}
