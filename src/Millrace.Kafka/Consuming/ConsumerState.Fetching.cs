using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>What is fetched next, and what follows from an answer.</content>
internal sealed partial class ConsumerState
{
    private readonly Dictionary<int, Node> _nodes = [];
    private readonly List<FetchPlan> _drafts = [];
    private int _planStart;
    private long _reservedByteCount;
    private bool _isStarved;

    /// <summary>Whether a fetch waits until less is buffered, and there is room for it by now.</summary>
    public bool HasRoomAgain => _isStarved && FreeByteCount >= SmallestFetchByteCount;

    private long FreeByteCount => settings.PrefetchByteCount - _buffered.Count - _reservedByteCount;

    /// <summary>A fetch of less than this is not worth its way. Half of what may wait: the next fetch leaves while the other half is handed out.</summary>
    private long SmallestFetchByteCount => Math.Min(settings.PartitionFetchMaxByteCount, Math.Max(1, settings.PrefetchByteCount / 2));

    /// <summary>Collects the fetches that may start: at most two at each broker, none while too much is waiting.</summary>
    public void PlanFetches(ClusterView view, TimeSpan now, ConsumerEffects effects)
    {
        _drafts.Clear();
        _isStarved = false;
        for (int i = 0; i < _order.Count; i++)
        {
            // A broker fills an answer from the front: without a session, the next fetch asks for other partitions first.
            PartitionCursor cursor = _order[(int)((uint)(_planStart + i) % (uint)_order.Count)];
            if (FetchableFrom(cursor, view, now, effects, out int leaderEpoch) is { } broker)
            {
                Draft(cursor, broker, leaderEpoch, now, effects);
            }
        }

        _planStart += _drafts.Count > 0 ? 1 : 0;
        foreach (FetchPlan plan in _drafts)
        {
            if (TryReserve(plan))
            {
                plan.Targets.ForEach(target => target.Cursor.Join(plan, target.LeaderEpoch));
                plan.IsUnderWay = true;
                effects.Start(plan);
            }
            else
            {
                _isStarved = true;
            }
        }
    }

    /// <summary>Takes over an answer, or a failure of the whole fetch. Returns the pause before the next one from this broker.</summary>
    public TimeSpan EndFetch(FetchPlan plan, FetchResponse? response, FetchSessionVerdict verdict, TimeSpan now, ConsumerEffects effects)
    {
        _reservedByteCount -= plan.MaxByteCount;
        plan.IsUnderWay = false;
        if (response is not null && verdict == FetchSessionVerdict.Good)
        {
            foreach (FetchTopicResponse topic in response.Topics)
            {
                if (plan.Session.NameOf(topic) is { } name)
                {
                    topic.Partitions.ForEach(partition => Accept(plan, new TopicPartition(name, partition.Index), partition, response, now, effects));
                }
            }
        }

        effects.NeedsMetadata |= verdict == FetchSessionVerdict.TopicsChanged;
        Node node = _nodes[plan.NodeId];
        bool hasFailed = verdict == FetchSessionVerdict.Failed || (verdict != FetchSessionVerdict.Good && node.HasLostSession);
        node.HasLostSession = verdict is FetchSessionVerdict.Begun or FetchSessionVerdict.TopicsChanged;
        foreach (FetchTarget target in plan.Targets)
        {
            target.Cursor.Leave(plan);
            if (hasFailed)
            {
                // A follower that cannot be reached: back to the leader (KIP-392).
                target.Cursor.ClearPreferredReplica();
            }
        }

        node.FailureCount = hasFailed ? node.FailureCount + 1 : 0;
        TimeSpan pause = hasFailed ? retryBackoff.After(node.FailureCount) : TimeSpan.Zero;
        node.RetryAt = now + pause;
        return pause;
    }

    /// <summary>The broker to fetch a partition from now; null if it cannot be fetched now.</summary>
    private BrokerDescription? FetchableFrom(PartitionCursor cursor, ClusterView view, TimeSpan now, ConsumerEffects effects, out int leaderEpoch)
    {
        leaderEpoch = -1;
        if (cursor.IsStuck)
        {
            return null;
        }

        if (cursor.RetryAt > now)
        {
            effects.WakeNoLaterThan(cursor.RetryAt);
            return null;
        }

        if (cursor.Source != PositionSource.Known)
        {
            effects.NeedsPositions = true;
            return null;
        }

        if (cursor.IsPaused || cursor.IsUnderWay)
        {
            return null;
        }

        if (!view.TryGetLeader(cursor.Partition, out BrokerDescription? leader, out leaderEpoch))
        {
            effects.NeedsMetadata = true;
            return null;
        }

        if (HasAnotherTopic(cursor, view, effects))
        {
            return null;
        }

        if (leaderEpoch > cursor.ValidatedEpoch && cursor.FetchEpoch >= 0)
        {
            effects.NeedsValidation = true;
            return null;
        }

        return PreferredReplica(cursor, view, now) ?? leader;
    }

    /// <summary>
    /// Whether a topic of the same name has taken the place of the one that was read (KIP-516): offsets of the old one mean nothing in it.
    /// </summary>
    private bool HasAnotherTopic(PartitionCursor cursor, ClusterView view, ConsumerEffects effects)
    {
        Guid id = view.Topics[cursor.Partition.Topic].TopicId;
        if (id == cursor.TopicId || id == Guid.Empty)
        {
            return false;
        }

        Guid before = cursor.TopicId;
        cursor.TopicId = id;
        if (before == Guid.Empty)
        {
            return false;
        }

        effects.Tell(new ConsumerNotice.Recreated(cursor.Partition, before, id));
        cursor.ForgetEpochs();
        if (settings.AutoOffsetReset == AutoOffsetReset.None)
        {
            cursor.Drop();
            cursor.Stick(new KafkaOffsetOutOfRangeException(
                $"Topic '{cursor.Partition.Topic}' was deleted and created again, so position {cursor.Position} of {cursor.Partition} means nothing in it, and " +
                $"{nameof(ConsumerOptions.AutoOffsetReset)} is None. Seek to go on.",
                cursor.Partition));
            return true;
        }

        cursor.LookUp(PositionSource.Reset);
        effects.NeedsPositions = true;
        return true;
    }

    private static BrokerDescription? PreferredReplica(PartitionCursor cursor, ClusterView view, TimeSpan now)
    {
        if (cursor.PreferredReplica < 0)
        {
            return null;
        }

        if (now < cursor.PreferredUntil && view.Brokers.TryGetValue(cursor.PreferredReplica, out BrokerDescription? replica))
        {
            return replica;
        }

        // Asked again from time to time: the leader may know a closer one by now.
        cursor.ClearPreferredReplica();
        return null;
    }

    private void Draft(PartitionCursor cursor, BrokerDescription broker, int leaderEpoch, TimeSpan now, ConsumerEffects effects)
    {
        if (!_nodes.TryGetValue(broker.Id, out Node? node))
        {
            _nodes.Add(broker.Id, node = new Node(broker.Id, settings.PartitionFetchMaxByteCount));
        }

        if (node.RetryAt > now)
        {
            effects.WakeNoLaterThan(node.RetryAt);
            return;
        }

        FetchPlan plan = node.Main.IsUnderWay ? node.Aside : node.Main;
        if (plan.IsUnderWay)
        {
            return;
        }

        if (!_drafts.Contains(plan))
        {
            _drafts.Add(plan);
            plan.Begin(broker.Address);
        }

        plan.Targets.Add(new FetchTarget(cursor, cursor.TopicId, cursor.FetchOffset, cursor.FetchEpoch, leaderEpoch));
    }

    /// <summary>Keeps room for what a fetch may bring. What is paused gives way to it, since nobody knows when it is handed out: it is fetched again then.</summary>
    private bool TryReserve(FetchPlan plan)
    {
        long wanted = Math.Min(settings.FetchMaxByteCount, plan.Targets.Count * (long)settings.PartitionFetchMaxByteCount);
        long least = Math.Min(wanted, SmallestFetchByteCount);
        for (int i = 0; FreeByteCount < least && i < _order.Count; i++)
        {
            if (_order[i].IsPaused)
            {
                _order[i].DropWaiting();
            }
        }

        if (FreeByteCount < least)
        {
            return false;
        }

        plan.MaxByteCount = (int)Math.Min(wanted, FreeByteCount);
        _reservedByteCount += plan.MaxByteCount;
        return true;
    }

    private void Accept(FetchPlan plan, TopicPartition partition, FetchPartitionResponse answer, FetchResponse response, TimeSpan now, ConsumerEffects effects)
    {
        // An answer to a question from before a seek or another assignment is dropped.
        if (!_cursors.TryGetValue(partition, out PartitionCursor? cursor) || cursor.Plan != plan || !cursor.IsUnderWay)
        {
            return;
        }

        cursor.Leave(plan);
        if (answer.ErrorCode != ErrorCode.None)
        {
            effects.Tell(new ConsumerNotice.Refused(partition, answer.ErrorCode));
            Fail(cursor, plan, answer, now, effects);
            return;
        }

        if (answer.DivergingEpoch is { } diverging)
        {
            Truncate(cursor, new EpochEnd(diverging.Epoch, new Offset(diverging.EndOffset)), cursor.AskedEpoch, effects);
            return;
        }

        cursor.SetValidated(cursor.AskedEpoch);
        cursor.Watermarks = new PartitionWatermarks(new Offset(answer.LogStartOffset), new Offset(answer.HighWatermark), new Offset(answer.LastStableOffset));
        if (answer.PreferredReadReplica >= 0 && answer.PreferredReadReplica != plan.NodeId)
        {
            cursor.SetPreferredReplica(answer.PreferredReadReplica, now + metadataMaxAge);
            effects.Tell(new ConsumerNotice.Redirected(partition, answer.PreferredReadReplica));
        }

        if (answer.Records is not { IsEmpty: false } records)
        {
            return;
        }

        var fetched = new FetchedRecords(
            partition,
            records,
            response.Frame,
            cursor.FetchOffset,
            settings.IsolationLevel == IsolationLevel.ReadCommitted ? new AbortedFilter(answer.AbortedTransactions) : null);
        if (fetched.NextOffset <= cursor.FetchOffset && !fetched.IsDamaged)
        {
            // Batches that all end before the offset that was asked for: not again at once.
            fetched.Drop();
            cursor.RetryAt = now + retryBackoff.After(++cursor.FailureCount);
            return;
        }

        cursor.FailureCount = 0;
        cursor.Add(fetched);
    }

    /// <summary>Acts on an error of one partition in a fetch.</summary>
    private void Fail(PartitionCursor cursor, FetchPlan plan, FetchPartitionResponse answer, TimeSpan now, ConsumerEffects effects)
    {
        ErrorCode error = answer.ErrorCode;
        bool isFollower = cursor.PreferredReplica == plan.NodeId;
        cursor.ClearPreferredReplica();
        if (error == ErrorCode.OffsetOutOfRange)
        {
            FailOutOfRange(plan.Address, cursor, isFollower, now);
            return;
        }

        bool isRetriable = KafkaErrors.IsRetriable(error) || error is ErrorCode.FencedLeaderEpoch or ErrorCode.UnknownLeaderEpoch or ErrorCode.UnknownServerError
            or ErrorCode.UnknownTopicId or ErrorCode.InconsistentTopicId;
        if (!isRetriable)
        {
            cursor.Stick(new KafkaBrokerException(
                $"{plan.Address} refused Fetch of {cursor.Partition} at {cursor.FetchOffset}. {KafkaErrors.Describe(error)}", error));
            return;
        }

        if (answer.CurrentLeader is { } leader && leader.LeaderEpoch > cursor.AskedEpoch && leader.LeaderId >= 0)
        {
            // Straight to the new one (KIP-951), once: where it cannot be reached yet, with a pause.
            effects.Learn(cursor.Partition, leader);
            if (cursor.FailureCount++ == 0)
            {
                return;
            }
        }

        effects.NeedsMetadata = true;
        cursor.RetryAt = now + retryBackoff.After(++cursor.FailureCount);
    }

    private void FailOutOfRange(BrokerAddress leader, PartitionCursor cursor, bool isFollower, TimeSpan now)
    {
        // What was fetched before is still good, and the position is judged when it gets there. A follower may lag behind; only the leader knows.
        if (cursor.HasBuffered || isFollower)
        {
            cursor.RetryAt = isFollower && cursor.FailureCount == 0 ? TimeSpan.Zero : now + retryBackoff.After(cursor.FailureCount + 1);
            cursor.FailureCount++;
            return;
        }

        if (settings.AutoOffsetReset == AutoOffsetReset.None)
        {
            cursor.Stick(new KafkaOffsetOutOfRangeException(
                $"{leader} answered Fetch: position {cursor.Position} of {cursor.Partition} is outside of its log, and {nameof(ConsumerOptions.AutoOffsetReset)} is None. " +
                "Records were deleted before they were read, or the log was truncated. Seek to go on.",
                cursor.Partition));
            return;
        }

        cursor.LookUp(PositionSource.Reset);
    }

    /// <summary>What is known of fetching from one broker.</summary>
    private sealed class Node(int id, int partitionMaxByteCount)
    {
        public FetchPlan Main { get; } = new(id, isAside: false, partitionMaxByteCount);

        public FetchPlan Aside { get; } = new(id, isAside: true, partitionMaxByteCount);

        public int FailureCount { get; set; }

        public TimeSpan RetryAt { get; set; }

        public bool HasLostSession { get; set; }
    }
}
