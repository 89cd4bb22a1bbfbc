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
    private long? _missingByteCount;
    private int _leaderQuestionCount;
    private TimeSpan _askForLeadersAt;

    /// <summary>Whether a fetch waits until less is buffered.</summary>
    public bool WaitsForRoom => _missingByteCount is not null;

    /// <summary>Whether a fetch waits until less is buffered, and there is room for it by now.</summary>
    public bool HasRoomAgain => FreeByteCount >= _missingByteCount;

    /// <summary>Whether a partition that would be fetched had no leader when that was last planned.</summary>
    public bool MissesLeader { get; private set; }

    private long FreeByteCount => settings.PrefetchByteCount - _buffered.Count - _reservedByteCount;

    /// <summary>Collects the fetches that may start: at most two at each broker, none while too much is waiting.</summary>
    public void PlanFetches(ClusterView view, TimeSpan now, ConsumerEffects effects)
    {
        _drafts.Clear();
        _missingByteCount = null;
        MissesLeader = false;
        for (int i = 0; i < _order.Count; i++)
        {
            // A broker fills an answer from the front: without a session, the next fetch asks for other partitions first.
            PartitionCursor cursor = _order[(int)((uint)(_planStart + i) % (uint)_order.Count)];
            if (FetchableFrom(cursor, view, now, effects, out int leaderEpoch) is { } broker)
            {
                Draft(cursor, broker, leaderEpoch, now, effects);
            }
        }

        AskForLeaders(now, effects);
        _planStart += _drafts.Count > 0 ? 1 : 0;
        long share = ShareOfOneFetch();
        foreach (FetchPlan plan in _drafts)
        {
            if (TryReserve(plan, share))
            {
                plan.Targets.ForEach(target => target.Cursor.Join(plan, target.LeaderEpoch));
                plan.IsUnderWay = true;
                effects.Start(plan);
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
            bool isAsked = target.Cursor.Plan == plan && target.Cursor.IsUnderWay;
            target.Cursor.Leave(plan);
            if (hasFailed && isAsked)
            {
                // A follower that cannot be reached: back to the leader (KIP-392). A position that has jumped since has nothing to do with it.
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
            effects.NeedsPositions |= !cursor.IsAskedAbout;
            return null;
        }

        if (!cursor.IsTakeable)
        {
            cursor.LeaveFrames();
            return null;
        }

        if (cursor.IsUnderWay)
        {
            return null;
        }

        if (!view.TryGetLeader(cursor.Partition, out BrokerDescription? leader, out leaderEpoch))
        {
            // At once where it has just gone, then from time to time.
            effects.NeedsMetadata |= !cursor.IsLeaderMissing;
            cursor.IsLeaderMissing = true;
            MissesLeader = true;
            return null;
        }

        cursor.IsLeaderMissing = false;

        if (HasAnotherTopic(cursor, view, effects))
        {
            return null;
        }

        if (leaderEpoch > cursor.ValidatedEpoch && cursor.FetchEpoch >= 0)
        {
            if (leaderEpoch < cursor.FetchEpoch)
            {
                cursor.Doubt(view);
            }

            if (!IsBelievable(cursor, leaderEpoch))
            {
                effects.NeedsMetadata = true;
                Delay(cursor, now);
                effects.WakeNoLaterThan(cursor.RetryAt);
                return null;
            }

            effects.NeedsValidation |= !cursor.IsAskedAbout;
            return null;
        }

        return PreferredReplica(cursor, view, now) ?? leader;
    }

    /// <summary>Has metadata asked for again while a leader is missing, less and less often (KIP-580). A new leader is seen at once all the same: who has the answer wakes the consumer.</summary>
    private void AskForLeaders(TimeSpan now, ConsumerEffects effects)
    {
        if (!MissesLeader)
        {
            _leaderQuestionCount = 0;
            _askForLeadersAt = TimeSpan.Zero;
            return;
        }

        if (effects.NeedsMetadata || _askForLeadersAt <= now)
        {
            effects.NeedsMetadata = true;
            _askForLeadersAt = now + retryBackoff.After(++_leaderQuestionCount);
        }

        effects.WakeNoLaterThan(_askForLeadersAt);
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

    /// <summary>
    /// The most that one fetch keeps room for. A fetch that waits, perhaps at a broker that hangs, keeps it until its answer is in: there is to be room for the others, two at each of the
    /// brokers that are asked. With one broker it is half of what may wait: the next fetch leaves while the other half is handed out.
    /// </summary>
    private long ShareOfOneFetch()
    {
        int brokerCount = 0;
        foreach (Node node in _nodes.Values)
        {
            bool isAsked = node.Main.IsUnderWay || node.Aside.IsUnderWay || _drafts.Contains(node.Main);
            brokerCount += isAsked ? 1 : 0;
        }

        return Math.Max(1, settings.PrefetchByteCount / (2 * Math.Max(1, brokerCount)));
    }

    /// <summary>Keeps room for what a fetch may bring. What is paused or held gives way to it, since nobody knows when it is handed out: it is fetched again then.</summary>
    private bool TryReserve(FetchPlan plan, long share)
    {
        long wanted = Math.Min(share, Math.Min(settings.FetchMaxByteCount, plan.Targets.Count * (long)settings.PartitionFetchMaxByteCount));

        // A fetch of less than this is not worth its way.
        long least = Math.Min(wanted, settings.PartitionFetchMaxByteCount);
        for (int i = 0; FreeByteCount < least && i < _order.Count; i++)
        {
            if (!_order[i].IsTakeable)
            {
                _order[i].DropWaiting();
            }
        }

        // What was opened as well, where the partition is about to go.
        for (int i = 0; FreeByteCount < least && i < _order.Count; i++)
        {
            if (_order[i].IsHeld)
            {
                _order[i].GiveWay();
            }
        }

        if (FreeByteCount < least)
        {
            _missingByteCount = Math.Min(_missingByteCount ?? least, least);
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

        bool isFollower = cursor.PreferredReplica == plan.NodeId;
        if (answer.DivergingEpoch is { } diverging)
        {
            if (isFollower)
            {
                LeaveFollower(cursor, now);
                return;
            }

            Truncate(cursor, new EpochEnd(diverging.Epoch, new Offset(diverging.EndOffset)), cursor.AskedEpoch, effects);
            return;
        }

        int failureCount = cursor.FailureCount;
        cursor.Recover();
        cursor.SetValidated(cursor.AskedEpoch);
        cursor.Watermarks = new PartitionWatermarks(new Offset(answer.LogStartOffset), new Offset(answer.HighWatermark), new Offset(answer.LastStableOffset));
        if (answer.PreferredReadReplica >= 0 && answer.PreferredReadReplica != plan.NodeId)
        {
            // Not as a success: the replica may refuse again, and the two must not spin.
            cursor.FailureCount = failureCount;
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
            cursor.FailureCount = failureCount;
            Delay(cursor, now);
            return;
        }

        cursor.Add(fetched);
    }

    /// <summary>Acts on an error of one partition in a fetch.</summary>
    private void Fail(PartitionCursor cursor, FetchPlan plan, FetchPartitionResponse answer, TimeSpan now, ConsumerEffects effects)
    {
        ErrorCode error = answer.ErrorCode;
        bool isFollower = cursor.PreferredReplica == plan.NodeId;
        if (error == ErrorCode.OffsetOutOfRange && isFollower)
        {
            LeaveFollower(cursor, now);
            return;
        }

        cursor.ClearPreferredReplica();
        if (error == ErrorCode.OffsetOutOfRange)
        {
            FailOutOfRange(plan.Address, cursor, now);
            return;
        }

        bool isRetriable = KafkaErrors.IsRetriable(error) || error is ErrorCode.FencedLeaderEpoch or ErrorCode.UnknownLeaderEpoch or ErrorCode.UnknownServerError
            or ErrorCode.UnknownTopicId or ErrorCode.InconsistentTopicId;
        if (!isRetriable)
        {
            // Somebody may grant it: told each time, and tried again.
            cursor.Tell(new KafkaBrokerException(
                $"{plan.Address} refused Fetch of {cursor.Partition} at {cursor.FetchOffset}. {KafkaErrors.Describe(error)}", error));
            Delay(cursor, now);
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
        Delay(cursor, now);
    }

    /// <summary>A follower may lag behind: what its log does not hold means nothing, and the leader is asked. At once the first time; then with a pause, since the leader may send us there again.</summary>
    private void LeaveFollower(PartitionCursor cursor, TimeSpan now)
    {
        cursor.ClearPreferredReplica();
        if (cursor.FailureCount++ > 0)
        {
            cursor.RetryAt = now + retryBackoff.After(cursor.FailureCount);
        }
    }

    private void FailOutOfRange(BrokerAddress leader, PartitionCursor cursor, TimeSpan now)
    {
        // What was fetched before is still good, and the position is judged when it gets there.
        if (cursor.HasBuffered)
        {
            Delay(cursor, now);
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
