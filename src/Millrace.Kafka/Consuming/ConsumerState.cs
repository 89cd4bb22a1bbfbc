using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>One partition in a fetch, as it was when it was asked for.</summary>
internal readonly record struct FetchTarget(TopicPartition Partition, Offset Offset, int LeaderEpoch, long Version);

/// <summary>One fetch from one broker.</summary>
internal sealed record FetchPlan(int NodeId, BrokerAddress Address, List<FetchTarget> Targets);

/// <summary>What the consumer's state wants done outside of its lock.</summary>
internal sealed class ConsumerEffects
{
    public List<FetchPlan> Fetches { get; } = [];

    public bool NeedsMetadata { get; set; }

    public bool NeedsPositions { get; set; }

    public TimeSpan? WakeAt { get; private set; }

    public void WakeNoLaterThan(TimeSpan time) => WakeAt = WakeAt is { } earlier && earlier < time ? earlier : time;
}

/// <summary>
/// The consumer's state machine: positions, what is fetched next, what is handed out next. Synchronous; not thread-safe; time and the
/// cluster are parameters.
/// </summary>
internal sealed class ConsumerState(ConsumerSettings settings, Backoff retryBackoff)
{
    private const long VersionsPerAssignment = 1L << 32;

    private readonly Dictionary<TopicPartition, PartitionCursor> _cursors = [];
    private readonly List<PartitionCursor> _order = [];
    private readonly HashSet<int> _busyNodes = [];
    private readonly Dictionary<int, (int FailureCount, TimeSpan RetryAt)> _nodeFailures = [];
    private int _takeStart;
    private long _assignmentCount;
    private long _bufferedByteCount;

    public IReadOnlyCollection<TopicPartition> Assignment => [.. _order.Select(cursor => cursor.Partition)];

    public bool Contains(TopicPartition partition) => _cursors.ContainsKey(partition);

    public PartitionCursor? Find(TopicPartition partition) => _cursors.GetValueOrDefault(partition);

    /// <summary>Replaces the assignment. Held partitions hand nothing out before <see cref="Release"/>.</summary>
    public void Assign(IEnumerable<TopicPartitionOffset> partitions, bool isHeld)
    {
        _cursors.Clear();
        _order.Clear();
        _bufferedByteCount = 0;
        Add(partitions, isHeld);
    }

    /// <summary>Adds partitions to the assignment; those that are in it already go on as they are.</summary>
    public void Add(IEnumerable<TopicPartitionOffset> partitions, bool isHeld)
    {
        _assignmentCount++;
        foreach (TopicPartitionOffset start in partitions)
        {
            var cursor = new PartitionCursor(start.TopicPartition, _assignmentCount * VersionsPerAssignment) { IsHeld = isHeld };
            if (!_cursors.TryAdd(cursor.Partition, cursor))
            {
                continue;
            }

            _order.Add(cursor);
            if (start.Offset >= Offset.Zero)
            {
                cursor.MoveTo(start.Offset);
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
            if (_cursors.Remove(partition, out PartitionCursor? cursor))
            {
                _order.Remove(cursor);
                _bufferedByteCount -= cursor.BufferedByteCount;
            }
        }
    }

    /// <summary>These partitions hand nothing out before <see cref="Release"/>; all of them where none are named.</summary>
    public void Hold(IReadOnlyCollection<TopicPartition>? partitions = null) => SetHeld(partitions, isHeld: true);

    public void Release(IReadOnlyCollection<TopicPartition>? partitions = null) => SetHeld(partitions, isHeld: false);

    /// <summary>
    /// Which assignment of the partition this is, or null where it is not assigned: a partition that goes and comes back has another number.
    /// </summary>
    public long? AssignmentOf(TopicPartition partition) =>
        _cursors.TryGetValue(partition, out PartitionCursor? cursor) ? cursor.Version / VersionsPerAssignment : null;

    public bool Seek(TopicPartition partition, Offset offset)
    {
        if (!_cursors.TryGetValue(partition, out PartitionCursor? cursor))
        {
            return false;
        }

        _bufferedByteCount -= cursor.BufferedByteCount;
        cursor.MoveTo(offset);
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

    /// <summary>Cursors whose position has to be looked up now.</summary>
    public List<(TopicPartition Partition, PositionSource Source, long Version)> MissingPositions(TimeSpan now) =>
        [.. _order
            .Where(cursor => cursor.Source != PositionSource.Known && !cursor.IsStuck && cursor.RetryAt <= now)
            .Select(cursor => (cursor.Partition, cursor.Source, cursor.Version))];

    /// <summary>Takes over a position that was looked up, unless the partition has moved on since.</summary>
    public void SetPosition(TopicPartition partition, long version, Offset offset)
    {
        if (Current(partition, version) is { } cursor)
        {
            cursor.MoveTo(offset);
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

    /// <summary>A position could not be looked up; later.</summary>
    public void DelayPosition(TopicPartition partition, long version, TimeSpan now)
    {
        if (Current(partition, version) is { } cursor)
        {
            cursor.RetryAt = now + retryBackoff.After(++cursor.FailureCount);
        }
    }

    public void Stick(TopicPartition partition, long version, Exception fault) => Current(partition, version)?.Stick(fault);

    /// <summary>Collects the fetches that may start: one at a time at each broker, none while enough is waiting.</summary>
    public void PlanFetches(ClusterView view, TimeSpan now, ConsumerEffects effects)
    {
        var plans = new Dictionary<int, FetchPlan>();
        foreach (PartitionCursor cursor in _order)
        {
            if (cursor.IsStuck)
            {
                continue;
            }

            if (cursor.RetryAt > now)
            {
                effects.WakeNoLaterThan(cursor.RetryAt);
                continue;
            }

            if (cursor.Source != PositionSource.Known)
            {
                effects.NeedsPositions = true;
                continue;
            }

            if (cursor.IsPaused || _bufferedByteCount >= settings.PrefetchByteCount)
            {
                continue;
            }

            if (!view.TryGetLeader(cursor.Partition, out BrokerDescription? leader, out int leaderEpoch))
            {
                effects.NeedsMetadata = true;
                continue;
            }

            if (_busyNodes.Contains(leader.Id))
            {
                continue;
            }

            if (_nodeFailures.TryGetValue(leader.Id, out (int FailureCount, TimeSpan RetryAt) failure) && failure.RetryAt > now)
            {
                effects.WakeNoLaterThan(failure.RetryAt);
                continue;
            }

            if (!plans.TryGetValue(leader.Id, out FetchPlan? plan))
            {
                plan = new FetchPlan(leader.Id, leader.Address, []);
                plans.Add(leader.Id, plan);
                effects.Fetches.Add(plan);
            }

            plan.Targets.Add(new FetchTarget(cursor.Partition, cursor.FetchOffset, leaderEpoch, cursor.Version));
        }

        foreach (FetchPlan plan in effects.Fetches)
        {
            _busyNodes.Add(plan.NodeId);
        }

        // The broker fills an answer from the front: the next fetch asks for other partitions first.
        if (_order.Count > 1)
        {
            PartitionCursor first = _order[0];
            _order.RemoveAt(0);
            _order.Add(first);
        }
    }

    /// <summary>A fetch is over. Returns the pause before the next one from this broker.</summary>
    public TimeSpan EndFetch(int nodeId, bool hasFailed, TimeSpan now)
    {
        _busyNodes.Remove(nodeId);
        if (!hasFailed)
        {
            _nodeFailures.Remove(nodeId);
            return TimeSpan.Zero;
        }

        int failureCount = _nodeFailures.GetValueOrDefault(nodeId).FailureCount + 1;
        TimeSpan pause = retryBackoff.After(failureCount);
        _nodeFailures[nodeId] = (failureCount, now + pause);
        return pause;
    }

    /// <summary>Takes over what was fetched, unless the partition has moved on since it was asked for.</summary>
    public void AddFetched(in FetchTarget target, List<FetchedBatch> batches, KafkaCorruptBatchException? fault)
    {
        if (Current(target.Partition, target.Version) is not { } cursor || cursor.FetchOffset != target.Offset)
        {
            return;
        }

        cursor.FailureCount = 0;
        foreach (FetchedBatch batch in batches)
        {
            // A batch is returned whole when its middle was asked for; one that ends before that is none of ours.
            if (batch.Header.NextOffset <= cursor.FetchOffset)
            {
                continue;
            }

            cursor.Batches.Enqueue(batch);
            cursor.BufferedByteCount += batch.ByteCount;
            _bufferedByteCount += batch.ByteCount;
            cursor.FetchOffset = batch.Header.NextOffset;
        }

        if (fault is not null)
        {
            cursor.Stick(fault);
        }
    }

    /// <summary>Acts on an error of one partition in a fetch. Returns whether metadata has to be refreshed.</summary>
    public bool FailFetched(in FetchTarget target, ErrorCode error, TimeSpan now)
    {
        if (Current(target.Partition, target.Version) is not { } cursor || cursor.FetchOffset != target.Offset)
        {
            return false;
        }

        if (error == ErrorCode.OffsetOutOfRange)
        {
            // What was fetched before is still good; the position is judged when it gets there.
            if (cursor.Batches.Count > 0)
            {
                cursor.RetryAt = now + retryBackoff.After(++cursor.FailureCount);
                return false;
            }

            if (settings.AutoOffsetReset == AutoOffsetReset.None)
            {
                cursor.Stick(new KafkaOffsetOutOfRangeException(
                    $"Position {cursor.Position} of {cursor.Partition} is outside of its log, and {nameof(ConsumerOptions.AutoOffsetReset)} is None. " +
                    "Records were deleted before they were read, or the log was truncated. Seek to go on.",
                    cursor.Partition));
                return false;
            }

            cursor.LookUp(PositionSource.Reset);
            return false;
        }

        bool isRetriable = KafkaErrors.IsRetriable(error) || error is ErrorCode.FencedLeaderEpoch or ErrorCode.UnknownLeaderEpoch or ErrorCode.UnknownServerError;
        if (!isRetriable)
        {
            cursor.Stick(new KafkaBrokerException($"Fetch of {cursor.Partition} at {cursor.FetchOffset} was refused. {KafkaErrors.Describe(error)}", error));
            return false;
        }

        cursor.RetryAt = now + retryBackoff.After(++cursor.FailureCount);
        return true;
    }

    /// <summary>The first fault that nobody was told of yet.</summary>
    public Exception? TakeFault() => _order
        .Where(static cursor => cursor.Fault is not null && cursor is { IsHeld: false, Batches.Count: 0 })
        .Select(static cursor => cursor.TakeFault())
        .FirstOrDefault();

    /// <summary>Batches that have to be decoded before so many records can be taken.</summary>
    public List<FetchedBatch> Undecoded(int maxRecords)
    {
        var batches = new List<FetchedBatch>();
        long recordCount = 0;
        foreach (PartitionCursor cursor in InTakeOrder())
        {
            foreach (FetchedBatch batch in cursor.Batches)
            {
                if (recordCount >= maxRecords)
                {
                    return batches;
                }

                recordCount += batch.Header.RecordCount;
                if (!batch.IsDecoded)
                {
                    batches.Add(batch);
                }
            }
        }

        return batches;
    }

    /// <summary>Hands out decoded records, partition after partition, another one first each time.</summary>
    public List<ConsumerRecord> Take(int maxRecords)
    {
        var records = new List<ConsumerRecord>();
        foreach (PartitionCursor cursor in InTakeOrder())
        {
            TakeFrom(cursor, maxRecords, records);
        }

        _takeStart++;
        return records;
    }

    private IEnumerable<PartitionCursor> InTakeOrder()
    {
        for (int i = 0; i < _order.Count; i++)
        {
            PartitionCursor cursor = _order[(int)((uint)(_takeStart + i) % (uint)_order.Count)];
            if (cursor is { IsPaused: false, IsHeld: false })
            {
                yield return cursor;
            }
        }
    }

    private void TakeFrom(PartitionCursor cursor, int maxRecords, List<ConsumerRecord> records)
    {
        while (records.Count < maxRecords && cursor.Batches.TryPeek(out FetchedBatch? batch) && batch.IsDecoded)
        {
            if (batch.Fault is not null)
            {
                _bufferedByteCount -= cursor.BufferedByteCount;
                cursor.BufferedByteCount = 0;
                cursor.Batches.Clear();
                cursor.FetchOffset = cursor.Position;
                cursor.Stick(batch.Fault);
                return;
            }

            while (records.Count < maxRecords && batch.NextIndex < batch.Records.Count)
            {
                Record record = batch.Records[batch.NextIndex++];
                if (record.Offset >= cursor.Position)
                {
                    records.Add(new ConsumerRecord(
                        cursor.Partition,
                        record.Offset,
                        batch.Header.LeaderEpoch,
                        ToTime(record.Timestamp),
                        record.Key,
                        record.Value,
                        record.Headers));
                    cursor.Position = record.Offset.Next;
                }
            }

            if (batch.NextIndex < batch.Records.Count)
            {
                return;
            }

            // Offsets that hold no record any more, or none for the application, are passed as well.
            cursor.Position = Offset.Max(cursor.Position, batch.Header.NextOffset);
            cursor.Batches.Dequeue();
            cursor.BufferedByteCount -= batch.ByteCount;
            _bufferedByteCount -= batch.ByteCount;
        }
    }

    private void SetHeld(IReadOnlyCollection<TopicPartition>? partitions, bool isHeld)
    {
        foreach (TopicPartition partition in partitions ?? _cursors.Keys.ToArray())
        {
            if (_cursors.TryGetValue(partition, out PartitionCursor? cursor))
            {
                cursor.IsHeld = isHeld;
            }
        }
    }

    private PartitionCursor? Current(TopicPartition partition, long version) =>
        _cursors.TryGetValue(partition, out PartitionCursor? cursor) && cursor.Version == version ? cursor : null;

    /// <summary>Timestamps are whatever the producer wrote; those that no date can say become the nearest one.</summary>
    private static DateTimeOffset ToTime(long timestamp)
    {
        const long minimum = -62_135_596_800_000;
        const long maximum = 253_402_300_799_999;
        return DateTimeOffset.FromUnixTimeMilliseconds(Math.Clamp(timestamp, minimum, maximum));
    }
}
