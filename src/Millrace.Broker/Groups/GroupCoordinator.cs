using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// Holds every group of this broker: brings requests, time and the outcome of writes to each <see cref="ClassicGroup"/> under the lock of that group, and carries
/// its effects out. Requests that wait hold no thread.
/// </summary>
/// <remarks>
/// Locks, always in this order: a transactional id, a group, its partition of the offsets topic, that partition's log; and a group, the wake-ups. What the log
/// reports comes without any lock.
/// </remarks>
internal sealed partial class GroupCoordinator : IDisposable
{
    private readonly ConcurrentDictionary<string, Seat> _seats = new(StringComparer.Ordinal);
    private readonly GroupSettings _settings;
    private readonly TimeProvider _time;
    private readonly Func<string> _nextMemberSuffix;
    private readonly ILogger _logger;
    private readonly TopicCatalog _topics;
    private readonly OffsetsTopic _offsetsTopic;
    private readonly WakeUps<Seat> _wakeUps;
    private readonly ITimer _expiry;
    private volatile bool _isStopped;

    private GroupCoordinator(BrokerServices services, ILogger logger)
    {
        GroupSettings settings = services.Configuration.Groups;
        TimeProvider time = services.Time;
        _settings = settings;
        _topics = services.Topics;
        _time = time;
        _nextMemberSuffix = () => services.Runtime.NewId().ToString();
        _logger = logger;
        _wakeUps = new WakeUps<Seat>(time, Wake);

        Dictionary<string, GroupSnapshot> snapshots = new(StringComparer.Ordinal);
        _offsetsTopic = OffsetsTopic.Open(services.Topics, settings.OffsetsTopicPartitionCount, services.Runtime, logger, entry => Replay(entry, snapshots));
        foreach ((string groupId, GroupSnapshot snapshot) in snapshots)
        {
            // A partition that turned out to be damaged half-way has told part of the truth: its groups are not served.
            if (_offsetsTopic.Serves(groupId))
            {
                Restore(groupId, snapshot);
            }
        }

        _expiry = time.CreateTimer(
            static state => ((GroupCoordinator)state!).ExpireOffsets(), this, settings.OffsetsRetentionCheckInterval, settings.OffsetsRetentionCheckInterval);
        LogMessages.OffsetsReplayed(logger, snapshots.Count, Offsets.Groups.Count());
    }

    /// <summary>What groups have committed, as far as it is on the disk.</summary>
    public CommittedOffsets Offsets { get; } = new();

    /// <summary>What groups are committing at this moment.</summary>
    public CommitsOnTheirWay OnTheirWay { get; } = new();

    /// <summary>Where groups are kept.</summary>
    public CoordinatorTopic Topic => _offsetsTopic.Topic;

    public int GroupCount => _seats.Count;

    /// <summary>Whether no group can be used any more, since the broker stops.</summary>
    public bool IsStopped => _isStopped;

    /// <summary>Reads the offsets topic; when this returns, every group answers as before the broker stopped.</summary>
    public static GroupCoordinator Open(BrokerServices services, ILogger logger) => new(services, logger);

    /// <summary>Whether this broker can coordinate the group now; creates the offsets topic when it is the first to need it.</summary>
    public bool CanCoordinate(string groupId) => !_isStopped && _offsetsTopic.EnsureCreated() && _offsetsTopic.Serves(groupId);

    /// <summary>
    /// Reads what a group has committed. False where that cannot be told: while its partition is not served, and where it was read again meanwhile, so that what was not found may be there.
    /// </summary>
    public bool TryRead(string groupId, Action read)
    {
        if (!_offsetsTopic.Serves(groupId, out CoordinatorPartition? before))
        {
            return false;
        }

        read();
        return _offsetsTopic.Serves(groupId, out CoordinatorPartition? after) && ReferenceEquals(before, after);
    }

    public Task<JoinAnswer> JoinAsync(string groupId, JoinInput request)
    {
        if (!CanCoordinate(groupId))
        {
            return Task.FromResult(JoinAnswer.Refused(ErrorCode.CoordinatorNotAvailable, request.MemberId));
        }

        TaskCompletionSource<JoinAnswer> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        while (!_isStopped)
        {
            Seat seat = _seats.GetOrAdd(groupId, NewSeat);
            bool isTaken = seat.Use(this, (group, now, effects) =>
            {
                // Under the lock: a group whose partition is about to be read again is ended under it.
                if (!_offsetsTopic.Serves(groupId))
                {
                    completion.SetResult(JoinAnswer.Refused(ErrorCode.CoordinatorNotAvailable, request.MemberId));
                    return;
                }

                long requestId = seat.Park(completion);
                group.Join(request with { RequestId = requestId }, now, effects);
            });
            if (isTaken)
            {
                return completion.Task;
            }
        }

        return Task.FromResult(JoinAnswer.Refused(ErrorCode.CoordinatorNotAvailable, request.MemberId));
    }

    public Task<SyncAnswer> SyncAsync(string groupId, SyncInput request)
    {
        TaskCompletionSource<SyncAnswer> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool isKnown = TryUse(groupId, (seat, group, now, effects) =>
        {
            long requestId = seat.Park(completion);
            group.Sync(request with { RequestId = requestId }, now, effects);
        });
        return isKnown ? completion.Task : Task.FromResult(SyncAnswer.Refused(OfUnknown(groupId)));
    }

    public ErrorCode Heartbeat(string groupId, MemberName name, int generation)
    {
        ErrorCode answer = ErrorCode.None;
        bool isKnown = TryUse(groupId, (_, group, now, _) => answer = group.Heartbeat(name, generation, now));
        return isKnown ? answer : OfUnknown(groupId);
    }

    public ErrorCode[] Leave(string groupId, IReadOnlyList<MemberName> names)
    {
        ErrorCode[] answers = [];
        if (!TryUse(groupId, (_, group, now, effects) => answers = group.Leave(names, now, effects)))
        {
            answers = new ErrorCode[names.Count];
            Array.Fill(answers, OfUnknown(groupId));
        }

        return answers;
    }

    /// <summary>
    /// Commits offsets. The order in the log is that of the calls; the task completes when they are on the disk and can be read back.
    /// <see cref="ErrorCode.GroupIdNotFound"/> where a generation is named and the group does not exist.
    /// </summary>
    public Task<ErrorCode> CommitAsync(
        string groupId, MemberName name, int generation, IReadOnlyList<KeyValuePair<TopicPartition, CommittedOffset>> offsets)
    {
        if (!CanCoordinate(groupId))
        {
            return Task.FromResult(ErrorCode.CoordinatorNotAvailable);
        }

        Task<ErrorCode>? committed = null;
        bool isKnown = TryUse(groupId, (_, group, now, _) =>
        {
            // Under the group's lock: a commit that was checked against this generation stands in the log before the record of the next one.
            ErrorCode error = group.CheckCommit(name, generation, now);
            committed = error == ErrorCode.None ? AppendAsync(groupId, offsets) : Task.FromResult(error);
        });
        if (isKnown)
        {
            return committed!;
        }

        if (!IsAbsent(groupId))
        {
            return Task.FromResult(ErrorCode.CoordinatorNotAvailable);
        }

        if (generation >= 0)
        {
            return Task.FromResult(Offsets.Contains(groupId) ? ErrorCode.UnknownMemberId : ErrorCode.GroupIdNotFound);
        }

        return AppendAsync(groupId, offsets);
    }

    /// <summary>
    /// Answers every request that waits, and refuses those that come. What is on its way to the disk is answered when it is there.
    /// </summary>
    public void Stop()
    {
        // First the flag: whoever adds a seat after the loop has passed finds it up and does not use the seat.
        _isStopped = true;
        foreach (Seat seat in _seats.Values)
        {
            seat.Kill(this);
        }
    }

    public void Dispose()
    {
        Stop();
        _expiry.Dispose();
        _wakeUps.Dispose();
    }

    private ErrorCode OfUnknown(string groupId) => IsUnavailable(groupId) ? ErrorCode.CoordinatorNotAvailable : ErrorCode.UnknownMemberId;

    /// <summary>Whether a group that is not found may be there all the same: the broker stops, or has to read its partition first.</summary>
    public bool IsUnavailable(string groupId) => _isStopped || !_offsetsTopic.Serves(groupId);

    /// <summary>
    /// Whether nobody is in a group that could not be used. One that cannot be used has members all the same, maybe, while the broker stops or reads its partition again: then they say what may
    /// be committed for it, and what may go.
    /// </summary>
    private bool IsAbsent(string groupId) => !IsUnavailable(groupId) && !_seats.ContainsKey(groupId);

    private Seat NewSeat(string groupId) => new(new ClassicGroup(groupId, _settings, _nextMemberSuffix));

    private bool TryUse(string groupId, Action<Seat, ClassicGroup, TimeSpan, List<GroupEffect>> use)
    {
        while (_offsetsTopic.Serves(groupId) && _seats.TryGetValue(groupId, out Seat? seat))
        {
            if (seat.Use(this, (group, now, effects) => use(seat, group, now, effects)))
            {
                return true;
            }

            if (_isStopped)
            {
                return false;
            }
        }

        return false;
    }

    private void Wake(Seat seat)
    {
        try
        {
            seat.Use(this, static (group, now, effects) => group.Tick(now, effects));
        }
        catch (Exception bug)
        {
            // Thrown on a thread of the pool, it would end the process.
            LogMessages.CoordinatorFailed(_logger, bug, $"a deadline of group {seat.Group.GroupId}");
            seat.Abandon();
        }
    }

    private void Replay(OffsetsEntry entry, Dictionary<string, GroupSnapshot> snapshots)
    {
        switch (entry.Record)
        {
            case OffsetsRecord.Commit commit:
                ReplayCommit(commit, entry);
                break;
            case OffsetsRecord.TransactionEnd end:
                EndTransaction(entry.ProducerId!.Value, entry.Partition, end.IsCommit);
                break;
            case OffsetsRecord.Group { Snapshot: GroupSnapshot snapshot } group:
                snapshots[group.GroupId] = snapshot;
                break;
            case OffsetsRecord.Group deleted:
                snapshots.Remove(deleted.GroupId);
                break;
        }
    }

    private void Restore(string groupId, GroupSnapshot snapshot)
    {
        ClassicGroup group = ClassicGroup.Restore(groupId, _settings, _nextMemberSuffix, snapshot, _wakeUps.Now);
        Seat seat = new(group) { EmptySince = snapshot.StateTimestamp };
        while (!_seats.TryAdd(groupId, seat))
        {
            // Somebody came before the group was read, and was told to come again.
            if (_seats.TryRemove(groupId, out Seat? stale))
            {
                stale.Kill(this);
            }
        }

        seat.Use(this, static (_, _, _) => { });
    }

    private Task<ErrorCode> AppendAsync(string groupId, IReadOnlyList<KeyValuePair<TopicPartition, CommittedOffset>> offsets)
    {
        if (offsets.Count == 0)
        {
            return Task.FromResult(ErrorCode.None);
        }

        RecordBatchBuilder batch = new();
        foreach ((TopicPartition partition, CommittedOffset offset) in offsets)
        {
            OffsetsRecord.AppendCommit(batch, groupId, partition, offset);
        }

        TaskCompletionSource<ErrorCode> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        OnTheirWay.Begin(groupId, offsets);
        ErrorCode refusal = _offsetsTopic.Append(
            groupId,
            batch,
            decided: (error, position) =>
            {
                if (error == ErrorCode.None)
                {
                    foreach ((TopicPartition partition, CommittedOffset offset) in offsets)
                    {
                        Offsets.Apply(groupId, partition, offset, position);
                        position = position.Next;
                    }
                }

                OnTheirWay.End(groupId, offsets);
                completion.SetResult(error);
            },
            abandoned: () =>
            {
                OnTheirWay.End(groupId, offsets);
                completion.TrySetResult(ErrorCode.CoordinatorNotAvailable);
            });
        if (refusal == ErrorCode.None)
        {
            return completion.Task;
        }

        OnTheirWay.End(groupId, offsets);
        return Task.FromResult(refusal == ErrorCode.MessageTooLarge ? ErrorCode.InvalidCommitOffsetSize : refusal);
    }

    /// <summary>Carries effects out; the lock of the seat is held. An effect may give rise to others.</summary>
    private void CarryOut(Seat seat)
    {
        for (int index = 0; index < seat.Effects.Count; index++)
        {
            switch (seat.Effects[index])
            {
                case JoinAnswered answered:
                    seat.Answer(answered);
                    break;
                case SyncAnswered answered:
                    seat.Answer(answered);
                    break;
                case SnapshotTaken taken:
                    Persist(seat, taken);
                    break;
                case GroupNoted noted:
                    Note(seat.Group.GroupId, noted);
                    break;
            }
        }

        seat.Effects.Clear();
        if (seat.Group.IsForgettable)
        {
            // Somebody may hold this seat already and wait for its lock: a dead group tells him to look it up again.
            seat.Group.Kill(seat.Effects);
            _seats.TryRemove(KeyValuePair.Create(seat.Group.GroupId, seat));
        }

        if (seat.Group.WakeAt != seat.WakesAt)
        {
            seat.WakesAt = seat.Group.WakeAt;
            _wakeUps.Set(seat, seat.WakesAt);
        }
    }

    private void Persist(Seat seat, SnapshotTaken taken)
    {
        string groupId = seat.Group.GroupId;
        RecordBatchBuilder batch = new();
        seat.EmptySince = UtcNow();
        OffsetsRecord.AppendGroup(batch, groupId, taken.Snapshot, seat.EmptySince);
        ErrorCode refusal = _offsetsTopic.Append(
            groupId,
            batch,
            decided: (error, _) => seat.Use(this, (group, now, effects) => Persisted(group, taken, error, now, effects)),
            abandoned: seat.Abandon);
        if (refusal != ErrorCode.None)
        {
            ErrorCode error = refusal == ErrorCode.MessageTooLarge ? ErrorCode.UnknownServerError : refusal;
            Persisted(seat.Group, taken, error, _wakeUps.Now, seat.Effects);
        }
    }

    private void Persisted(ClassicGroup group, SnapshotTaken taken, ErrorCode error, TimeSpan now, List<GroupEffect> effects)
    {
        if (error != ErrorCode.None)
        {
            // For a generation without members nothing else follows: at worst a restart finds the one before, and expires its members again.
            LogMessages.GroupNotWritten(_logger, group.GroupId, taken.Snapshot.Generation, error);
        }

        group.Persisted(taken.Number, error, now, effects);
    }

    private void Note(string groupId, GroupNoted noted)
    {
        switch (noted.Note)
        {
            case GroupNote.GenerationStable:
                LogMessages.GroupStable(_logger, groupId, noted.Generation, noted.MemberCount);
                Diagnostics.Rebalanced();
                break;
            case GroupNote.BecameEmpty:
                LogMessages.GroupEmpty(_logger, groupId, noted.Generation);
                break;
            case GroupNote.MemberExpired:
                LogMessages.MemberTakenOut(_logger, groupId, noted.Subject, "which was not heard of for its session timeout");
                break;
            case GroupNote.MemberDidNotRejoin:
                LogMessages.MemberTakenOut(_logger, groupId, noted.Subject, "which did not rejoin in time");
                break;
            case GroupNote.MemberDidNotSync:
                LogMessages.MemberTakenOut(_logger, groupId, noted.Subject, "which did not ask for its assignment in time");
                break;
            default:
                LogMessages.GroupNoted(_logger, groupId, noted.Note, noted.Generation, noted.MemberCount);
                break;
        }
    }

    /// <summary>A group with its lock, and the requests that wait in it.</summary>
    private sealed class Seat(ClassicGroup group)
    {
        private readonly Lock _gate = new();
        private readonly Dictionary<long, TaskCompletionSource<JoinAnswer>> _joins = [];
        private readonly Dictionary<long, TaskCompletionSource<SyncAnswer>> _syncs = [];
        private long _lastRequestId;

        public ClassicGroup Group { get; } = group;
        public List<GroupEffect> Effects { get; } = [];

        /// <summary>When the group's last record was written, in milliseconds since 1970: of an empty group, when it became so.</summary>
        public long EmptySince { get; set; } = GroupSnapshot.UnknownTimestamp;

        /// <summary>What the wake-ups were last told.</summary>
        public TimeSpan? WakesAt { get; set; }

        /// <summary>Brings something to the group and carries out what follows. False, and nothing happened, if the group or the coordinator has ended.</summary>
        public bool Use(GroupCoordinator coordinator, Action<ClassicGroup, TimeSpan, List<GroupEffect>> use)
        {
            lock (_gate)
            {
                if (Group.State == GroupState.Dead || coordinator._isStopped)
                {
                    return false;
                }

                use(Group, coordinator._wakeUps.Now, Effects);
                coordinator.CarryOut(this);
                return true;
            }
        }

        public void Kill(GroupCoordinator coordinator)
        {
            lock (_gate)
            {
                Group.Kill(Effects);
                coordinator.CarryOut(this);
            }
        }

        /// <summary>What was to follow is not known to have: nobody may wait for it.</summary>
        public void Abandon()
        {
            lock (_gate)
            {
                Effects.Clear();
                foreach (TaskCompletionSource<JoinAnswer> join in _joins.Values)
                {
                    join.TrySetResult(JoinAnswer.Refused(ErrorCode.CoordinatorNotAvailable, memberId: ""));
                }

                foreach (TaskCompletionSource<SyncAnswer> sync in _syncs.Values)
                {
                    sync.TrySetResult(SyncAnswer.Refused(ErrorCode.CoordinatorNotAvailable));
                }

                _joins.Clear();
                _syncs.Clear();
            }
        }

        public long Park(TaskCompletionSource<JoinAnswer> completion)
        {
            _joins.Add(++_lastRequestId, completion);
            return _lastRequestId;
        }

        public long Park(TaskCompletionSource<SyncAnswer> completion)
        {
            _syncs.Add(++_lastRequestId, completion);
            return _lastRequestId;
        }

        public void Answer(JoinAnswered answered)
        {
            if (_joins.Remove(answered.RequestId, out TaskCompletionSource<JoinAnswer>? completion))
            {
                completion.SetResult(answered.Answer);
            }
        }

        public void Answer(SyncAnswered answered)
        {
            if (_syncs.Remove(answered.RequestId, out TaskCompletionSource<SyncAnswer>? completion))
            {
                completion.SetResult(answered.Answer);
            }
        }
    }
}
