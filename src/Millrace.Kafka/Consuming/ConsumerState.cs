using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// The consumer's state machine: positions, what is fetched next, what is handed out next. Synchronous; not thread-safe; time and the
/// cluster are parameters.
/// </summary>
internal sealed partial class ConsumerState(ConsumerSettings settings, Backoff retryBackoff, TimeSpan metadataMaxAge)
{
    private const long VersionsPerAssignment = 1L << 32;

    /// <summary>
    /// Pictures of the cluster with a leader older than the epoch of a position after which it is believed: the position is of a topic that was deleted and created anew. One broker may
    /// lag behind, but brokers are asked in random order.
    /// </summary>
    private const int MaxOlderViews = 10;

    private readonly Dictionary<TopicPartition, PartitionCursor> _cursors = [];
    private readonly List<PartitionCursor> _order = [];
    private readonly HashSet<TopicPartition> _lost = [];
    private readonly BufferedBytes _buffered = new();
    private long _assignmentCount;
    private long _handedOutAs;
    private Exception? _refusal;

    public IReadOnlyCollection<TopicPartition> Assignment => [.. _order.Select(cursor => cursor.Partition)];

    public PartitionCursor? Find(TopicPartition partition) => _cursors.GetValueOrDefault(partition);

    /// <summary>
    /// The latest assignment (<see cref="AssignmentOf"/>) when the application last got records; that of now where it never got any. A partition whose assignment is not newer
    /// has been here without a gap since those records were handed out.
    /// </summary>
    public long HandedOutAs => _handedOutAs > 0 ? _handedOutAs : _assignmentCount;

    /// <summary>Replaces the assignment. Held partitions hand nothing out before <see cref="Release"/>.</summary>
    public void Assign(IEnumerable<TopicPartitionOffset> partitions, bool isHeld)
    {
        _order.ForEach(static cursor => cursor.Drop());
        _cursors.Clear();
        _order.Clear();
        _lost.Clear();
        Add(partitions, isHeld);
    }

    /// <summary>Adds partitions to the assignment; those that are in it already go on as they are.</summary>
    public void Add(IEnumerable<TopicPartitionOffset> partitions, bool isHeld)
    {
        _assignmentCount++;
        foreach (TopicPartitionOffset start in partitions)
        {
            var cursor = new PartitionCursor(start.TopicPartition, _assignmentCount * VersionsPerAssignment, _buffered)
            {
                IsHeld = isHeld || _lost.Contains(start.TopicPartition), CameLate = _handedOutAs > 0,
            };
            if (!_cursors.TryAdd(cursor.Partition, cursor))
            {
                continue;
            }

            _order.Add(cursor);
            if (start.Offset >= Offset.Zero)
            {
                cursor.MoveTo(start.Offset, start.LeaderEpoch);
            }
            else
            {
                cursor.LookUp(settings.GroupId is null ? PositionSource.Reset : PositionSource.Committed);
            }
        }
    }

    /// <summary>Takes partitions out of the assignment, with what was fetched of them. The others go on as they are.</summary>
    public void Remove(IEnumerable<TopicPartition> partitions)
    {
        foreach (TopicPartition partition in partitions)
        {
            _lost.Remove(partition);
            if (_cursors.Remove(partition, out PartitionCursor? cursor))
            {
                _order.Remove(cursor);
                cursor.Drop();
            }
        }
    }

    /// <summary>These partitions hand nothing out before <see cref="Release"/>; all of them where none are named.</summary>
    public void Hold(IReadOnlyCollection<TopicPartition>? partitions = null) => SetHeld(partitions, isHeld: true);

    public void Release(IReadOnlyCollection<TopicPartition>? partitions = null) => SetHeld(partitions, isHeld: false);

    /// <summary>These partitions are gone. They are held, also if they are added only now, until the application has heard of it and they are removed.</summary>
    public void Lose(IReadOnlyCollection<TopicPartition> partitions)
    {
        _lost.UnionWith(partitions);
        Hold(partitions);
    }

    /// <summary>
    /// Which assignment of the partition this is, or null where it is not assigned or lost: a partition that goes and comes back has another number, a larger one.
    /// </summary>
    public long? AssignmentOf(TopicPartition partition) =>
        _cursors.TryGetValue(partition, out PartitionCursor? cursor) && !_lost.Contains(partition) ? cursor.Version / VersionsPerAssignment : null;

    public bool Seek(TopicPartition partition, Offset offset, int leaderEpoch = -1)
    {
        if (!_cursors.TryGetValue(partition, out PartitionCursor? cursor))
        {
            return false;
        }

        cursor.MoveTo(offset, leaderEpoch);
        return true;
    }

    /// <summary>Has the beginning or the end looked up, and goes on there.</summary>
    public bool Seek(TopicPartition partition, PositionSource source)
    {
        if (!_cursors.TryGetValue(partition, out PartitionCursor? cursor))
        {
            return false;
        }

        cursor.LookUp(source);
        return true;
    }

    public void SetPaused(IEnumerable<TopicPartition> partitions, bool isPaused)
    {
        foreach (TopicPartition partition in partitions)
        {
            if (_cursors.TryGetValue(partition, out PartitionCursor? cursor))
            {
                cursor.IsPaused = isPaused;
            }
        }
    }

    /// <summary>How many offsets lie between a position and the end that can be read; null while either is not known.</summary>
    public long? Lag(TopicPartition partition)
    {
        if (Find(partition) is not { Source: PositionSource.Known, Watermarks: { } ends } cursor)
        {
            return null;
        }

        Offset end = settings.IsolationLevel == IsolationLevel.ReadCommitted && ends.LastStable >= Offset.Zero ? ends.LastStable : ends.HighWatermark;
        return end >= Offset.Zero ? Math.Max(0, end - cursor.Position) : null;
    }

    /// <summary>Cursors whose position has to be looked up now, and that nobody asks about.</summary>
    public List<(TopicPartition Partition, PositionSource Source, long Version)> MissingPositions(TimeSpan now) =>
        [.. _order
            .Where(cursor => cursor.Source != PositionSource.Known && !cursor.IsStuck && !cursor.IsAskedAbout && cursor.RetryAt <= now)
            .Select(cursor => (cursor.Partition, cursor.Source, cursor.Version))];

    /// <summary>The same, for who looks them up: each is asked about until its answer, or its failure, comes.</summary>
    public List<(TopicPartition Partition, PositionSource Source, long Version)> BeginLookUps(TimeSpan now)
    {
        List<(TopicPartition Partition, PositionSource Source, long Version)> missing = MissingPositions(now);
        missing.ForEach(item => _cursors[item.Partition].BeginQuestion());
        return missing;
    }

    /// <summary>Takes over a position that was looked up, unless the partition has moved on since.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="version">The version of the position that was missing.</param>
    /// <param name="offset">The position.</param>
    /// <param name="leaderEpoch">The leader epoch that was told with it; -1 if none was.</param>
    /// <param name="validatedEpoch">The epoch of the leader that told it, in whose log it is; -1 if it was not told by the leader.</param>
    public void SetPosition(TopicPartition partition, long version, Offset offset, int leaderEpoch = -1, int validatedEpoch = -1)
    {
        if (Current(partition, version) is { } cursor)
        {
            bool isCommitted = cursor.Source == PositionSource.Committed;
            cursor.MoveTo(offset, leaderEpoch);
            cursor.CommitFloor = isCommitted && cursor.CameLate ? offset : cursor.CommitFloor;
            cursor.SetValidated(validatedEpoch);
        }
    }

    /// <summary>Nothing is committed: the reset decides.</summary>
    public void SetNotCommitted(TopicPartition partition, long version)
    {
        if (Current(partition, version) is not { } cursor)
        {
            return;
        }

        if (settings.AutoOffsetReset == AutoOffsetReset.None)
        {
            cursor.Stick(new KafkaOffsetOutOfRangeException(
                $"Group '{settings.GroupId}' has committed nothing for {partition}, and {nameof(ConsumerOptions.AutoOffsetReset)} is None. Seek to go on.", partition));
            return;
        }

        cursor.LookUp(PositionSource.Reset);
    }

    /// <summary>A position could not be looked up, or compared with a leader's log; later.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="version">The version of the position that was asked about.</param>
    /// <param name="now">The time.</param>
    /// <param name="refusal">What the next poll tells meanwhile, where waiting alone may not help.</param>
    /// <returns>How much later.</returns>
    public TimeSpan DelayPosition(TopicPartition partition, long version, TimeSpan now, Exception? refusal)
    {
        if (Current(partition, version) is not { } cursor)
        {
            return TimeSpan.Zero;
        }

        cursor.EndQuestion();
        if (refusal is not null)
        {
            cursor.Tell(refusal);
        }

        return Delay(cursor, now);
    }

    /// <summary>Brokers refuse the client, so that nothing is learned of the partitions: that is told once to who reads them.</summary>
    public void Refuse(Exception refusal) => _refusal = refusal;

    /// <summary>Positions that wait to be compared with the log of a new leader.</summary>
    public List<ValidationTarget> BeginValidation(ClusterView view, TimeSpan now)
    {
        var targets = new List<ValidationTarget>();
        foreach (PartitionCursor cursor in _order)
        {
            // Nor while a fetch is under way: its answer may move what is compared, and what the leader says of the epoch before it would be taken for a truncation.
            bool isAskable = cursor is { Source: PositionSource.Known, IsStuck: false, IsTakeable: true, FetchEpoch: >= 0, IsAskedAbout: false, IsUnderWay: false } && cursor.RetryAt <= now;
            if (isAskable && view.TryGetLeader(cursor.Partition, out BrokerDescription? leader, out int epoch) && epoch > cursor.ValidatedEpoch && IsBelievable(cursor, epoch))
            {
                cursor.BeginQuestion();
                targets.Add(new ValidationTarget(cursor.Partition, cursor.Version, leader.Address, epoch, cursor.FetchEpoch));
            }
        }

        return targets;
    }

    /// <summary>The leader has said where the epoch of the position ends in its log; null if it cannot be asked.</summary>
    public void EndValidation(in ValidationTarget target, EpochEnd? end, ConsumerEffects effects)
    {
        if (Current(target.Partition, target.Version) is not { } cursor)
        {
            return;
        }

        cursor.EndQuestion();
        cursor.Recover();
        if (end is not { } known || (known.Epoch >= cursor.FetchEpoch && known.Offset >= cursor.FetchOffset))
        {
            cursor.SetValidated(target.LeaderEpoch);
            return;
        }

        Truncate(cursor, known, target.LeaderEpoch, effects);
    }

    /// <summary>
    /// The leader's log does not hold what was fetched: it ends, or goes another way, at an offset before (KIP-320). What waits is fetched again. Where even handed-out records are
    /// gone, the application is told, or the position goes back to where the logs part, as the reset policy says. An epoch of which nothing was
    /// handed out or passed over may have no record: that the leader never saw it means nothing.
    /// </summary>
    private void Truncate(PartitionCursor cursor, EpochEnd end, int leaderEpoch, ConsumerEffects effects)
    {
        bool isEpochGone = end.Epoch < cursor.PositionEpoch && cursor.EpochStart is not null;
        Offset? divergence = end.IsKnown
            ? (isEpochGone ? Offset.Min(end.Offset, Offset.Min(cursor.Position, cursor.EpochStart ?? cursor.Position)) : end.Offset)
            : null;
        if (divergence is { } safe && safe >= cursor.Position && !isEpochGone)
        {
            cursor.Refetch();
            cursor.SetEpoch(Math.Min(end.Epoch, cursor.PositionEpoch));
            cursor.SetValidated(leaderEpoch);
            return;
        }

        effects.Tell(new ConsumerNotice.Truncated(cursor.Partition, cursor.Position, divergence ?? new Offset(-1)));
        if (settings.AutoOffsetReset == AutoOffsetReset.None)
        {
            cursor.Drop();
            cursor.Stick(new KafkaLogTruncatedException(
                $"The log of {cursor.Partition} was truncated: position {cursor.Position} (leader epoch {cursor.PositionEpoch}) is not in the leader's log, which parts from what was read at " +
                $"{(divergence is { } at ? $"offset {at}" : "an offset that the leader cannot tell")}. Records that were read are gone, or others are in their place. Seek to go on.",
                cursor.Partition,
                cursor.Position,
                divergence));
        }
        else if (divergence is { } offset)
        {
            // In the leader's log by what it has just said.
            cursor.MoveTo(offset, end.Epoch);
            cursor.SetValidated(leaderEpoch);
        }
        else
        {
            cursor.LookUp(PositionSource.Reset);
            effects.NeedsPositions = true;
        }
    }

    /// <summary>A leader older than the epoch of a position was replaced, and may not know so: that it does not know the epoch means nothing (KIP-320).</summary>
    private static bool IsBelievable(PartitionCursor cursor, int leaderEpoch) => leaderEpoch >= cursor.FetchEpoch || cursor.OlderViewCount > MaxOlderViews;

    private void SetHeld(IReadOnlyCollection<TopicPartition>? partitions, bool isHeld)
    {
        foreach (TopicPartition partition in partitions ?? _cursors.Keys.ToArray())
        {
            if (_cursors.TryGetValue(partition, out PartitionCursor? cursor))
            {
                cursor.IsHeld = isHeld || _lost.Contains(partition);
            }
        }
    }

    private TimeSpan Delay(PartitionCursor cursor, TimeSpan now)
    {
        TimeSpan pause = retryBackoff.After(++cursor.FailureCount);
        cursor.RetryAt = now + pause;
        return pause;
    }

    private PartitionCursor? Current(TopicPartition partition, long version) =>
        _cursors.TryGetValue(partition, out PartitionCursor? cursor) && cursor.Version == version ? cursor : null;
}

/// <summary>A position that is compared with the log of a leader.</summary>
internal readonly record struct ValidationTarget(TopicPartition Partition, long Version, BrokerAddress Leader, int LeaderEpoch, int FetchEpoch);

/// <summary>Where a leader epoch, the largest up to one that was asked for, ends in a leader's log.</summary>
internal readonly record struct EpochEnd(int Epoch, Offset Offset)
{
    public bool IsKnown => Epoch >= 0 && Offset >= Offset.Zero;
}
