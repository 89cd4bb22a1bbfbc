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

    /// <summary>The snapshot of this number is on disk, or could not be written.</summary>
    public void Persisted(long number, ErrorCode error, TimeSpan now, List<GroupEffect> effects)
    {
        // While the write was under way a member may have joined or left: then the assignment is of the past, and those who waited for it know.
        if (_assignmentInFlight is null || number != _assignmentWrite)
        {
            ReplacementPersisted(number, error, now, effects);
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
    public ErrorCode Heartbeat(MemberName name, int generation, TimeSpan now)
    {
        if (Find(name, out GroupMember? member) is var fault and not ErrorCode.None)
        {
            return fault;
        }

        if (generation != Generation)
        {
            return ErrorCode.IllegalGeneration;
        }

        if (!member!.IsParked)
        {
            ExpectSignOfLife(member, now);
        }

        return State == GroupState.PreparingRebalance ? ErrorCode.RebalanceInProgress : ErrorCode.None;
    }

    /// <summary>
    /// Takes members out at their own request, or at that of an operator, who names static ones by their instance id alone. The answers are in the order
    /// of <paramref name="names"/>.
    /// </summary>
    public ErrorCode[] Leave(IReadOnlyList<MemberName> names, TimeSpan now, List<GroupEffect> effects)
    {
        int memberCount = _members.Count;
        ErrorCode[] answers = new ErrorCode[names.Count];
        for (int index = 0; index < names.Count; index++)
        {
            answers[index] = LeaveOne(names[index], effects);
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
    /// <param name="isTransactional">In a transaction a producer commits that older clients do not name a member for (KIP-447).</param>
    public ErrorCode CheckCommit(MemberName name, int generation, TimeSpan now, bool isTransactional = false)
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

        if (isTransactional && generation < 0 && name is { MemberId.Length: 0, InstanceId: null })
        {
            return ErrorCode.None;
        }

        if (Find(name, out GroupMember? member) is var fault and not ErrorCode.None)
        {
            return fault;
        }

        if (generation != Generation)
        {
            return ErrorCode.IllegalGeneration;
        }

        // In a transaction the offsets come from a member of this generation that may already have joined the next one, and count for what it read before.
        if (State == GroupState.CompletingRebalance && !isTransactional)
        {
            // The member knows the generation but not yet its partitions: it cannot own what it commits.
            return ErrorCode.RebalanceInProgress;
        }

        if (!member!.IsParked)
        {
            ExpectSignOfLife(member, now);
        }

        return ErrorCode.None;
    }

    private ErrorCode CheckSync(SyncInput request)
    {
        if (Find(new MemberName(request.MemberId, request.InstanceId), out _) is var fault and not ErrorCode.None)
        {
            return fault;
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
        _assignmentWrite = Write(TakeSnapshot(member => assignment.GetValueOrDefault(member.MemberId) ?? []), effects);
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

    private ErrorCode LeaveOne(MemberName name, List<GroupEffect> effects)
    {
        if (_pendingMembers.Remove(name.MemberId))
        {
            return ErrorCode.None;
        }

        bool isNamedByInstance = name.MemberId.Length == 0 && name.InstanceId is not null;
        MemberName full = isNamedByInstance ? name with { MemberId = _staticMembers.GetValueOrDefault(name.InstanceId!, "") } : name;
        ErrorCode fault = Find(full, out GroupMember? member);
        if (fault == ErrorCode.None)
        {
            Remove(member!, effects);
        }

        return fault;
    }

    private long Write(GroupSnapshot snapshot, List<GroupEffect> effects)
    {
        effects.Add(new SnapshotTaken(++_lastSnapshotNumber, snapshot));
        return _lastSnapshotNumber;
    }

    private GroupSnapshot TakeSnapshot(Func<GroupMember, byte[]> assignmentOf)
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
                assignmentOf(member),
                member.InstanceId));
        }

        return new GroupSnapshot(_protocolType, Generation, _protocolName, _leader, members);
    }
}
