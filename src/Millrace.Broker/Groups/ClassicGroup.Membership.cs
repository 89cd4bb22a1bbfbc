using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

// What members of a generation do: fetch their assignment, show that they live, commit, leave.
internal sealed partial class ClassicGroup
{
    /// <summary>Answers at once, or parks the request until the leader's assignment is on disk.</summary>
    public void Sync(SyncInput request, TimeSpan now, List<GroupEffect> effects)
    {
        ErrorCode error = CheckSync(request);
        if (error != ErrorCode.None)
        {
            effects.Add(new SyncAnswered(request.RequestId, SyncAnswer.Refused(error)));
            return;
        }

        GroupMember member = _members[request.MemberId];
        SyncReceived(member);
        if (State == GroupState.Stable)
        {
            ExpectSignOfLife(member, now);
            effects.Add(new SyncAnswered(request.RequestId, AssignmentOf(member)));
            return;
        }

        // As in Rejoin: a request that is sent again takes the place of the first.
        Release(member, ErrorCode.RebalanceInProgress, effects);
        member.ParkedSync = request.RequestId;
        member.Deadline = null;
        if (_leader == member.MemberId && _assignmentInFlight is null)
        {
            TakeAssignment(request, effects);
        }
    }

    /// <summary>The snapshot of <paramref name="generation"/> is on disk, or could not be written.</summary>
    public void Persisted(int generation, ErrorCode error, TimeSpan now, List<GroupEffect> effects)
    {
        // While the write was under way a member may have joined or left: then the assignment is of the past, and those who waited for it know.
        if (State != GroupState.CompletingRebalance || generation != Generation || _assignmentInFlight is null)
        {
            return;
        }

        if (error != ErrorCode.None)
        {
            AbandonAssignment(error, now, effects);
            PrepareRebalance(now, effects);
            return;
        }

        foreach (GroupMember member in _members.Values)
        {
            member.Assignment = _assignmentInFlight.GetValueOrDefault(member.MemberId) ?? [];
        }

        _assignmentInFlight = null;
        State = GroupState.Stable;
        Note(GroupNote.GenerationStable, effects);
        foreach (GroupMember member in _members.Values)
        {
            if (member.ParkedSync is long sync)
            {
                member.ParkedSync = null;
                ExpectSignOfLife(member, now);
                effects.Add(new SyncAnswered(sync, AssignmentOf(member)));
            }
        }
    }

    /// <summary>Notes that the member lives, and tells it whether it must join again.</summary>
    public ErrorCode Heartbeat(string memberId, int generation, TimeSpan now)
    {
        if (State == GroupState.Dead)
        {
            return ErrorCode.CoordinatorNotAvailable;
        }

        if (!_members.TryGetValue(memberId, out GroupMember? member))
        {
            return ErrorCode.UnknownMemberId;
        }

        if (generation != Generation)
        {
            return ErrorCode.IllegalGeneration;
        }

        if (!member.IsParked)
        {
            ExpectSignOfLife(member, now);
        }

        return State == GroupState.PreparingRebalance ? ErrorCode.RebalanceInProgress : ErrorCode.None;
    }

    /// <summary>Takes members out at their own request. The answers are in the order of <paramref name="memberIds"/>.</summary>
    public ErrorCode[] Leave(IReadOnlyList<string> memberIds, TimeSpan now, List<GroupEffect> effects)
    {
        int memberCount = _members.Count;
        ErrorCode[] answers = new ErrorCode[memberIds.Count];
        for (int index = 0; index < memberIds.Count; index++)
        {
            answers[index] = LeaveOne(memberIds[index], effects);
        }

        if (_members.Count < memberCount && State is (GroupState.Stable or GroupState.CompletingRebalance))
        {
            PrepareRebalance(now, effects);
        }
        else
        {
            // The last one that the others waited for may have left, or have given its id back.
            CompleteJoinIfAllJoined(now, effects);
        }

        return answers;
    }

    /// <summary>Whether a commit of this member in this generation counts; a commit of a live member also shows that it lives.</summary>
    public ErrorCode CheckCommit(string memberId, int generation, TimeSpan now)
    {
        if (State == GroupState.Dead)
        {
            return ErrorCode.CoordinatorNotAvailable;
        }

        if (generation < 0 && State == GroupState.Empty)
        {
            // A consumer that assigns its partitions itself, or a tool: it may write as long as nobody else is here.
            return ErrorCode.None;
        }

        if (!_members.TryGetValue(memberId, out GroupMember? member))
        {
            return ErrorCode.UnknownMemberId;
        }

        if (generation != Generation)
        {
            return ErrorCode.IllegalGeneration;
        }

        if (State == GroupState.CompletingRebalance)
        {
            // The member knows the generation but not yet its partitions: it cannot own what it commits.
            return ErrorCode.RebalanceInProgress;
        }

        if (!member.IsParked)
        {
            ExpectSignOfLife(member, now);
        }

        return ErrorCode.None;
    }

    private ErrorCode CheckSync(SyncInput request)
    {
        if (State == GroupState.Dead)
        {
            return ErrorCode.CoordinatorNotAvailable;
        }

        if (!_members.ContainsKey(request.MemberId))
        {
            return ErrorCode.UnknownMemberId;
        }

        if (request.Generation != Generation)
        {
            return ErrorCode.IllegalGeneration;
        }

        if ((request.ProtocolType is not null && request.ProtocolType != _protocolType) ||
            (request.ProtocolName is not null && request.ProtocolName != _protocolName))
        {
            return ErrorCode.InconsistentGroupProtocol;
        }

        return State == GroupState.PreparingRebalance ? ErrorCode.RebalanceInProgress : ErrorCode.None;
    }

    private void SyncReceived(GroupMember member)
    {
        member.OwesSync = false;
        foreach (GroupMember other in _members.Values)
        {
            if (other.OwesSync)
            {
                return;
            }
        }

        _syncDeadline = null;
    }

    private void TakeAssignment(SyncInput request, List<GroupEffect> effects)
    {
        Dictionary<string, byte[]> assignment = new(StringComparer.Ordinal);
        foreach ((string memberId, byte[] assigned) in request.Assignments)
        {
            if (_members.ContainsKey(memberId))
            {
                assignment[memberId] = assigned;
            }
        }

        _assignmentInFlight = assignment;
        effects.Add(new SnapshotTaken(TakeSnapshot(assignment)));
    }

    private SyncAnswer AssignmentOf(GroupMember member) => new(ErrorCode.None, _protocolType, _protocolName, member.Assignment);

    private void SyncTimeIsUp(TimeSpan now, List<GroupEffect> effects)
    {
        _syncDeadline = null;
        List<GroupMember> missing = [];
        foreach (GroupMember member in _members.Values)
        {
            if (member.OwesSync)
            {
                missing.Add(member);
            }
        }

        foreach (GroupMember member in missing)
        {
            Note(GroupNote.MemberDidNotSync, effects, member.MemberId);
            Remove(member, effects);
        }

        if (missing.Count > 0)
        {
            PrepareRebalance(now, effects);
        }
    }

    private ErrorCode LeaveOne(string memberId, List<GroupEffect> effects)
    {
        if (State == GroupState.Dead)
        {
            return ErrorCode.CoordinatorNotAvailable;
        }

        if (_pendingMembers.Remove(memberId))
        {
            return ErrorCode.None;
        }

        if (!_members.TryGetValue(memberId, out GroupMember? member))
        {
            return ErrorCode.UnknownMemberId;
        }

        Remove(member, effects);
        return ErrorCode.None;
    }

    private GroupSnapshot TakeSnapshot(Dictionary<string, byte[]>? assignment)
    {
        List<MemberSnapshot> members = new(_members.Count);
        foreach (GroupMember member in _members.Values)
        {
            members.Add(new MemberSnapshot(
                member.MemberId,
                member.ClientId,
                member.ClientHost,
                member.RebalanceTimeout,
                member.SessionTimeout,
                member.MetadataFor(_protocolName),
                assignment?.GetValueOrDefault(member.MemberId) ?? []));
        }

        return new GroupSnapshot(_protocolType, Generation, _protocolName, _leader, members);
    }
}
