using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

// The join phase: who is in, who leads, which protocol.
internal sealed partial class ClassicGroup
{
    /// <summary>Answers at once, or parks the request until the join phase ends.</summary>
    public void Join(JoinInput request, TimeSpan now, List<GroupEffect> effects)
    {
        if (State == GroupState.Dead)
        {
            Refuse(request, ErrorCode.CoordinatorNotAvailable, request.MemberId, effects);
        }
        else if (request.SessionTimeout < _settings.MinSessionTimeout || request.SessionTimeout > _settings.MaxSessionTimeout)
        {
            Refuse(request, ErrorCode.InvalidSessionTimeout, request.MemberId, effects);
        }
        else if (!HasRoomFor(MemberIdOf(request)))
        {
            TurnAway(request, now, effects);
        }
        else if (!AgreesOnProtocol(request))
        {
            Refuse(request, ErrorCode.InconsistentGroupProtocol, request.MemberId, effects);
        }
        else if (request.MemberId.Length == 0)
        {
            JoinWithoutId(request, now, effects);
        }
        else if (request.InstanceId is null && _pendingMembers.Remove(request.MemberId))
        {
            Add(request, request.MemberId, now, effects);
        }
        else if (Find(new MemberName(request.MemberId, request.InstanceId), out GroupMember? member) is var fault and not ErrorCode.None)
        {
            Refuse(request, fault, request.MemberId, effects);
        }
        else
        {
            Rejoin(request, member!, now, effects);
        }
    }

    private static void Refuse(JoinInput request, ErrorCode error, string memberId, List<GroupEffect> effects) =>
        effects.Add(new JoinAnswered(request.RequestId, JoinAnswer.Refused(error, memberId)));

    /// <summary>
    /// While members rejoin, places go to those who come first: a group whose limit was lowered loses the members that come last.
    /// </summary>
    private bool HasRoomFor(string memberId)
    {
        bool isMember = _members.TryGetValue(memberId, out GroupMember? member);
        return State switch
        {
            GroupState.Empty => true,
            GroupState.PreparingRebalance => member?.ParkedJoin is not null || CountJoined() < _settings.MaxSize,
            _ => isMember || _members.Count < _settings.MaxSize,
        };
    }

    private void TurnAway(JoinInput request, TimeSpan now, List<GroupEffect> effects)
    {
        Refuse(request, ErrorCode.GroupMaxSizeReached, memberId: "", effects);
        string memberId = MemberIdOf(request);
        bool leaves = _pendingMembers.Remove(memberId);
        if (_members.TryGetValue(memberId, out GroupMember? member))
        {
            Remove(member, effects);
            leaves = true;
        }

        if (leaves)
        {
            CompleteJoinIfAllJoined(now, effects);
        }
    }

    /// <summary>The protocol type is the group's, and at least one offered protocol is one that every member has.</summary>
    private bool AgreesOnProtocol(JoinInput request)
    {
        if (_members.Count == 0)
        {
            return request.ProtocolType.Length > 0 && request.Protocols.Count > 0;
        }

        if (request.ProtocolType != _protocolType)
        {
            return false;
        }

        foreach (GroupProtocol protocol in request.Protocols)
        {
            if (EveryMemberSupports(protocol.Name))
            {
                return true;
            }
        }

        return false;
    }

    private bool EveryMemberSupports(string protocol)
    {
        foreach (GroupMember member in _members.Values)
        {
            if (!member.Supports(protocol))
            {
                return false;
            }
        }

        return true;
    }

    private void JoinWithoutId(JoinInput request, TimeSpan now, List<GroupEffect> effects)
    {
        if (request.InstanceId is string instanceId)
        {
            JoinByInstance(request, instanceId, now, effects);
            return;
        }

        if (!request.RequiresKnownMemberId)
        {
            Add(request, NewMemberId(request.ClientId), now, effects);
            return;
        }

        if (_pendingMembers.Count >= GroupSettings.MaxPendingMembers)
        {
            Refuse(request, ErrorCode.GroupMaxSizeReached, memberId: "", effects);
            return;
        }

        // KIP-394: the id goes out before the member counts. A client that gives up and comes again would otherwise leave
        // a member behind at each attempt, and every rebalance would wait for them all.
        string memberId = NewMemberId(request.ClientId);
        _pendingMembers[memberId] = Arm(now + request.SessionTimeout);
        Refuse(request, ErrorCode.MemberIdRequired, memberId, effects);
    }

    private string NewMemberId(string name) => $"{name}-{_nextMemberSuffix()}";

    private void Add(JoinInput request, string memberId, TimeSpan now, List<GroupEffect> effects)
    {
        if (_members.Count == 0)
        {
            _protocolType = request.ProtocolType;
        }

        GroupMember member = new(memberId, request.ClientId, request.ClientHost, request.InstanceId)
        {
            SessionTimeout = request.SessionTimeout,
            RebalanceTimeout = request.RebalanceTimeout,
            Protocols = request.Protocols,
            IsNew = true,
            ParkedJoin = request.RequestId,
            Deadline = Arm(now + GroupSettings.NewMemberJoinTimeout),
        };
        _members.Add(memberId, member);
        if (request.InstanceId is string instanceId)
        {
            _staticMembers.Add(instanceId, memberId);
        }

        _leader ??= memberId;
        _memberJoinedDuringDelay |= _isInitialRebalance;
        RebalanceOrCompleteJoin(now, effects);
    }

    private void Rejoin(JoinInput request, GroupMember member, TimeSpan now, List<GroupEffect> effects)
    {
        bool isUnchanged = member.Offers(request.Protocols);
        bool answersFromCurrentGeneration = State switch
        {
            // The first answer got lost on its way: the generation stands.
            GroupState.CompletingRebalance => isUnchanged,

            // A leader that joins again asks for a new assignment: what it assigns may have changed without its metadata.
            GroupState.Stable => isUnchanged && _leader != member.MemberId,
            _ => false,
        };

        if (answersFromCurrentGeneration)
        {
            if (!member.IsParked)
            {
                ExpectSignOfLife(member, now);
            }

            effects.Add(new JoinAnswered(request.RequestId, CurrentGenerationFor(member)));
            return;
        }

        // The member has sent its request again, over another connection: the first one answers to nobody.
        Release(member, ErrorCode.RebalanceInProgress, effects);
        Park(request, member, now);
        RebalanceOrCompleteJoin(now, effects);
    }

    private void Park(JoinInput request, GroupMember member, TimeSpan now)
    {
        member.SessionTimeout = request.SessionTimeout;
        member.RebalanceTimeout = request.RebalanceTimeout;
        member.Protocols = request.Protocols;
        member.ParkedJoin = request.RequestId;
        member.Deadline = member.IsNew ? Arm(now + GroupSettings.NewMemberJoinTimeout) : null;
    }

    private void RebalanceOrCompleteJoin(TimeSpan now, List<GroupEffect> effects)
    {
        if (State == GroupState.PreparingRebalance)
        {
            CompleteJoinIfAllJoined(now, effects);
        }
        else
        {
            PrepareRebalance(now, effects);
        }
    }

    private void PrepareRebalance(TimeSpan now, List<GroupEffect> effects)
    {
        bool wasEmpty = State == GroupState.Empty;
        AbandonAssignment(ErrorCode.RebalanceInProgress, now, effects);
        State = GroupState.PreparingRebalance;
        Note(GroupNote.RebalanceStarted, effects);

        _isInitialRebalance = wasEmpty && _settings.InitialRebalanceDelay > TimeSpan.Zero;
        _memberJoinedDuringDelay = false;
        if (_isInitialRebalance)
        {
            _joinDeadline = Arm(now + _settings.InitialRebalanceDelay);
            TimeSpan budget = RebalanceTimeout() - _settings.InitialRebalanceDelay;
            _delayBudget = budget > TimeSpan.Zero ? budget : TimeSpan.Zero;
            return;
        }

        if (wasEmpty)
        {
            // With no delay the first member does not wait for others either, not even for those that hold an id already.
            CompleteJoin(now, effects);
            return;
        }

        _joinDeadline = Arm(now + RebalanceTimeout());
        CompleteJoinIfAllJoined(now, effects);
    }

    /// <summary>Nobody in this generation gets an assignment any more.</summary>
    private void AbandonAssignment(ErrorCode error, TimeSpan now, List<GroupEffect> effects)
    {
        _assignmentInFlight = null;
        _syncDeadline = null;
        foreach (GroupMember member in _members.Values)
        {
            member.OwesSync = false;

            // Whoever has taken a static member's place meanwhile is part of the next generation, and learns its own id with it.
            member.Replacement = null;
            if (member.ParkedSync is long sync)
            {
                member.ParkedSync = null;
                effects.Add(new SyncAnswered(sync, SyncAnswer.Refused(error)));
                ExpectSignOfLife(member, now);
            }
        }
    }

    private int CountJoined()
    {
        int count = 0;
        foreach (GroupMember member in _members.Values)
        {
            count += member.ParkedJoin is null ? 0 : 1;
        }

        return count;
    }

    private void CompleteJoinIfAllJoined(TimeSpan now, List<GroupEffect> effects)
    {
        if (State == GroupState.PreparingRebalance && !_isInitialRebalance && _pendingMembers.Count == 0 && CountJoined() == _members.Count)
        {
            CompleteJoin(now, effects);
        }
    }

    private void JoinTimeIsUp(TimeSpan now, List<GroupEffect> effects)
    {
        if (_isInitialRebalance && _memberJoinedDuringDelay && _delayBudget > TimeSpan.Zero)
        {
            // Members are still arriving: wait once more, until the budget of the first member's rebalance timeout is used up.
            TimeSpan delay = _delayBudget < _settings.InitialRebalanceDelay ? _delayBudget : _settings.InitialRebalanceDelay;
            _delayBudget -= delay;
            _memberJoinedDuringDelay = false;
            _joinDeadline = Arm(now + delay);
            return;
        }

        CompleteJoin(now, effects);
    }

    /// <summary>Closes the join phase: those who did not rejoin are out, and the others are the next generation.</summary>
    private void CompleteJoin(TimeSpan now, List<GroupEffect> effects)
    {
        _joinDeadline = null;
        _isInitialRebalance = false;
        RemoveMembersThatDidNotRejoin(effects);
        if (_members.Count > 0 && !ElectJoinedLeader())
        {
            // Only static members are left, and none of them has come: nobody could assign. Their sessions end, or one of them comes.
            _joinDeadline = Arm(now + LongerOf(RebalanceTimeout(), GroupSettings.ShortestJoinPhase));
            return;
        }

        Generation++;
        if (_members.Count == 0)
        {
            State = GroupState.Empty;
            _protocolName = null;
            Note(GroupNote.BecameEmpty, effects);
            Write(TakeSnapshot(static _ => []), effects);
            return;
        }

        State = GroupState.CompletingRebalance;
        _protocolName = Vote();
        Note(GroupNote.GenerationFormed, effects);
        _syncDeadline = Arm(now + RebalanceTimeout());
        foreach (GroupMember member in _members.Values)
        {
            member.Assignment = [];
            if (member.ParkedJoin is not long request)
            {
                // A static member that is away keeps its place, for as long as its session lasts.
                continue;
            }

            member.ParkedJoin = null;
            member.IsNew = false;
            member.OwesSync = true;
            ExpectSignOfLife(member, now);
            effects.Add(new JoinAnswered(request, CurrentGenerationFor(member)));
        }
    }

    private void RemoveMembersThatDidNotRejoin(List<GroupEffect> effects)
    {
        for (int index = _members.Count - 1; index >= 0; index--)
        {
            GroupMember member = _members.GetAt(index).Value;
            if (member.ParkedJoin is null && member.InstanceId is null)
            {
                _members.RemoveAt(index);
                Note(GroupNote.MemberDidNotRejoin, effects, member.MemberId);
            }
        }

        if (_leader is null || !_members.ContainsKey(_leader))
        {
            _leader = _members.Count == 0 ? null : _members.GetAt(0).Key;
        }
    }

    /// <summary>A leader that has not rejoined is replaced by the member longest in the group that has. False if none has.</summary>
    private bool ElectJoinedLeader()
    {
        if (_members[_leader!].ParkedJoin is not null)
        {
            return true;
        }

        foreach (GroupMember member in _members.Values)
        {
            if (member.ParkedJoin is not null)
            {
                _leader = member.MemberId;
                return true;
            }
        }

        return false;
    }

    private static TimeSpan LongerOf(TimeSpan left, TimeSpan right) => left > right ? left : right;

    /// <summary>
    /// Every member votes for the first of its protocols that all members have. The most votes win; of equals, the one that the member
    /// longest in the group brought up.
    /// </summary>
    private string Vote()
    {
        OrderedDictionary<string, int> votes = new(StringComparer.Ordinal);

        // Once for all: what every member has, each has.
        HashSet<string> common = _members.GetAt(0).Value.Protocols.Select(static protocol => protocol.Name).Where(EveryMemberSupports).ToHashSet(StringComparer.Ordinal);
        foreach (GroupMember member in _members.Values)
        {
            foreach (GroupProtocol protocol in member.Protocols)
            {
                if (common.Contains(protocol.Name))
                {
                    votes[protocol.Name] = votes.GetValueOrDefault(protocol.Name) + 1;
                    break;
                }
            }
        }

        KeyValuePair<string, int> winner = default;
        foreach (KeyValuePair<string, int> candidate in votes)
        {
            winner = candidate.Value > winner.Value ? candidate : winner;
        }

        return winner.Key;
    }

    private JoinAnswer CurrentGenerationFor(GroupMember member) => new(
        ErrorCode.None, member.MemberId, Generation, _protocolType, _protocolName, _leader!, _leader == member.MemberId ? DescribeMembers() : []);

    private List<JoinedMember> DescribeMembers()
    {
        List<JoinedMember> members = new(_members.Count);
        foreach (GroupMember joined in _members.Values)
        {
            members.Add(new JoinedMember(joined.MemberId, joined.InstanceId, joined.MetadataFor(_protocolName)));
        }

        return members;
    }
}
