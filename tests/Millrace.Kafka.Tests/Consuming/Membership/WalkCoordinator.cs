using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>The coordinator of one group of a <see cref="GroupWalk"/>: the rules of Kafka's for dynamic members, in as few words as it takes.</summary>
internal sealed class WalkCoordinator(WalkSabotage sabotage)
{
    private readonly List<Seat> _seats = [];
    private readonly HashSet<string> _idsTold = [];
    private readonly List<(GroupCall Call, IMessage Response)> _answers = [];
    private TimeSpan _now;
    private TimeSpan _roundEndsAt;
    private State _state;
    private int _generation;
    private int _lastId;

    private enum State
    {
        Preparing,
        Completing,
        Stable,
    }

    public bool Knows(WalkMember member) => _seats.Exists(seat => seat.Member == member && seat.Id == member.Id);

    public IReadOnlyList<(GroupCall Call, IMessage Response)> TakeAnswers()
    {
        (GroupCall, IMessage)[] answers = [.. _answers];
        _answers.Clear();
        return answers;
    }

    /// <summary>Sessions end, and rounds that take too long. Who waits for an answer has no session that could end.</summary>
    public void Tick(TimeSpan now)
    {
        _now = now;
        foreach (Seat silent in _seats.Where(seat => seat.Join is null && seat.Sync is null && now - seat.HeardAt > WalkMember.SessionTimeout).ToArray())
        {
            Evict(silent.Id);
        }

        if (_state != State.Stable && _seats.Count > 0 && _roundEndsAt < now)
        {
            EvictWhoIsLate();
        }
    }

    /// <summary>The time of the round is over for who has not joined, or not asked for his assignment.</summary>
    public void EvictWhoIsLate()
    {
        switch (_state)
        {
            case State.Preparing:
                _seats.RemoveAll(static seat => seat.Join is null);
                Complete();
                break;
            case State.Completing when _seats.RemoveAll(static seat => seat.Sync is null) > 0:
                Prepare();
                break;
        }
    }

    public void Evict(string id)
    {
        if (_seats.Find(seat => seat.Id == id) is { } seat)
        {
            _seats.Remove(seat);
            Answer(seat.Join, new JoinGroupResponse { ErrorCode = ErrorCode.UnknownMemberId });
            Answer(seat.Sync, new SyncGroupResponse { ErrorCode = ErrorCode.UnknownMemberId });
            Prepare();
        }
    }

    public void Take(WalkMember member, GroupCall call)
    {
        switch (call.Request)
        {
            case JoinGroupRequest join:
                TakeJoin(member, call, join);
                break;
            case SyncGroupRequest sync:
                TakeSync(call, sync);
                break;
            case HeartbeatRequest heartbeat:
                ErrorCode error = Check(heartbeat.MemberId, heartbeat.GenerationId);
                Answer(call, new HeartbeatResponse { ErrorCode = error });
                break;
            case LeaveGroupRequest leave:
                Answer(call, new LeaveGroupResponse());
                Evict(leave.Members[0].MemberId);
                break;
            default:
                throw new NotSupportedException(call.Step);
        }
    }

    public override string ToString() => $"Generation {_generation}, {_state}: " + string.Join(", ", _seats.Select(static seat =>
        $"{seat.Id}{(seat.Join is null ? "" : " joins")}{(seat.Sync is null ? "" : " syncs")}"));

    private void TakeJoin(WalkMember member, GroupCall call, JoinGroupRequest join)
    {
        if (join.MemberId.Length == 0)
        {
            string id = $"{member.Name}-{++_lastId}";
            _idsTold.Add(id);
            Answer(call, new JoinGroupResponse { ErrorCode = ErrorCode.MemberIdRequired, MemberId = id });
            return;
        }

        byte[] metadata = MetadataOf(join);
        Seat? seat = _seats.Find(candidate => candidate.Id == join.MemberId);
        if (seat is null)
        {
            if (!_idsTold.Remove(join.MemberId))
            {
                Answer(call, new JoinGroupResponse { ErrorCode = ErrorCode.UnknownMemberId });
                return;
            }

            member.Id = join.MemberId;
            seat = new Seat(member, join.MemberId);
            _seats.Add(seat);
        }
        else if (_state != State.Preparing && IsAnsweredAtOnce(seat, metadata))
        {
            seat.HeardAt = _now;
            Answer(call, Joined(seat, join));
            return;
        }

        seat.HeardAt = _now;
        seat.Metadata = metadata;
        seat.Join = call;
        Prepare();
    }

    /// <summary>Who asks again without news gets the generation that there is; a leader of a stable group never does.</summary>
    private bool IsAnsweredAtOnce(Seat seat, byte[] metadata) => (_state == State.Stable && sabotage == WalkSabotage.IgnoresRejoins)
        || (seat.Metadata.AsSpan().SequenceEqual(metadata) && (_state == State.Completing || seat != _seats[0]));

    private byte[] MetadataOf(JoinGroupRequest join)
    {
        if (sabotage != WalkSabotage.DropsClaims)
        {
            return join.Protocols[0].Metadata;
        }

        ConsumerProtocolSubscription subscription = MembershipHarness.SubscriptionOf(join);
        subscription.OwnedPartitions = [];
        return MessageCodec.WriteData(subscription, version: 3);
    }

    private void Prepare()
    {
        if (_state != State.Preparing)
        {
            _state = State.Preparing;
            _roundEndsAt = _now + WalkMember.RebalanceTimeout;
        }

        foreach (Seat seat in _seats)
        {
            Answer(seat.Sync, new SyncGroupResponse { ErrorCode = ErrorCode.RebalanceInProgress });
            seat.Sync = null;
        }

        if (_seats.TrueForAll(static seat => seat.Join is not null)
            || (sabotage == WalkSabotage.CompletesWithoutAll && _seats.Exists(static seat => seat.Join is not null)))
        {
            Complete();
        }
    }

    private void Complete()
    {
        if (_seats.Count == 0)
        {
            return;
        }

        _state = State.Completing;
        _roundEndsAt = _now + WalkMember.RebalanceTimeout;
        _generation++;

        // The first that has joined leads.
        Seat leader = _seats.First(static seat => seat.Join is not null);
        _seats.Remove(leader);
        _seats.Insert(0, leader);
        Seat[] joined = [.. _seats.Where(static seat => seat.Join is not null)];
        foreach (Seat seat in joined)
        {
            seat.Assignment = [];
            seat.HeardAt = _now;
            Answer(seat.Join, Joined(seat, (JoinGroupRequest)seat.Join!.Request));
        }

        Array.ForEach(joined, static seat => seat.Join = null);
    }

    private JoinGroupResponse Joined(Seat seat, JoinGroupRequest join) => new()
    {
        GenerationId = _generation,
        ProtocolName = join.Protocols[0].Name,
        MemberId = seat.Id,
        Leader = _seats[0].Id,
        Members = seat != _seats[0] ? [] :
        [
            .. _seats.Where(each => sabotage != WalkSabotage.CompletesWithoutAll || each.Join is not null)
                .Select(static each => new JoinGroupMember { MemberId = each.Id, Metadata = each.Metadata }),
        ],
    };

    private void TakeSync(GroupCall call, SyncGroupRequest sync)
    {
        ErrorCode error = Check(sync.MemberId, sync.GenerationId);
        if (error != ErrorCode.None)
        {
            Answer(call, new SyncGroupResponse { ErrorCode = error });
            return;
        }

        Seat seat = _seats.Find(candidate => candidate.Id == sync.MemberId)!;
        seat.Sync = call;
        if (_state == State.Completing && seat == _seats[0])
        {
            _state = State.Stable;
            foreach (Seat each in _seats)
            {
                each.Assignment = sync.Assignments.FirstOrDefault(given => given.MemberId == each.Id)?.Assignment ?? [];
            }
        }

        if (_state == State.Stable)
        {
            foreach (Seat each in _seats.Where(static each => each.Sync is not null))
            {
                Answer(each.Sync, new SyncGroupResponse { Assignment = each.Assignment });
                each.Sync = null;
                each.HeardAt = _now;
            }
        }
    }

    private ErrorCode Check(string id, int generation)
    {
        if (_seats.Find(seat => seat.Id == id) is not { } known)
        {
            return ErrorCode.UnknownMemberId;
        }

        if (generation != _generation)
        {
            return ErrorCode.IllegalGeneration;
        }

        known.HeardAt = _now;
        return _state == State.Preparing ? ErrorCode.RebalanceInProgress : ErrorCode.None;
    }

    private void Answer(GroupCall? call, IMessage response)
    {
        if (call is not null)
        {
            _answers.Add((call, response));
        }
    }

    private sealed class Seat(WalkMember member, string id)
    {
        public WalkMember Member { get; } = member;

        public string Id { get; } = id;

        public TimeSpan HeardAt { get; set; }

        public GroupCall? Join { get; set; }

        public GroupCall? Sync { get; set; }

        public byte[] Metadata { get; set; } = [];

        public byte[] Assignment { get; set; } = [];
    }
}
