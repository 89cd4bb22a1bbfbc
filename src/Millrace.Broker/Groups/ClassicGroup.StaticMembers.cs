using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

// Static members (KIP-345): known by a name of their own, they keep their place while they are away, and take it again under a new member id.
internal sealed partial class ClassicGroup
{
    /// <summary>
    /// Looks a member up. An instance id whose member has another id by now fences who still has the old one: two processes run under one name, and
    /// the one that came last is right.
    /// </summary>
    private ErrorCode Find(MemberName name, out GroupMember? member)
    {
        member = null;
        if (State == GroupState.Dead)
        {
            return ErrorCode.CoordinatorNotAvailable;
        }

        if (name.InstanceId is string instanceId)
        {
            if (!_staticMembers.TryGetValue(instanceId, out string? memberId))
            {
                return ErrorCode.UnknownMemberId;
            }

            if (memberId != name.MemberId)
            {
                return ErrorCode.FencedInstanceId;
            }
        }

        return _members.TryGetValue(name.MemberId, out member) ? ErrorCode.None : ErrorCode.UnknownMemberId;
    }

    /// <summary>The id of the member that sends this request, also where only its name is known to it; empty for a newcomer.</summary>
    private string MemberIdOf(JoinInput request) =>
        request.MemberId.Length == 0 && request.InstanceId is string instanceId ? _staticMembers.GetValueOrDefault(instanceId, "") : request.MemberId;

    /// <summary>A static member is known by its name, so that it needs no id to come back with.</summary>
    private void JoinByInstance(JoinInput request, string instanceId, TimeSpan now, List<GroupEffect> effects)
    {
        if (_staticMembers.TryGetValue(instanceId, out string? memberId))
        {
            TakePlace(request, _members[memberId], NewMemberId(instanceId), now, effects);
        }
        else
        {
            Add(request, NewMemberId(instanceId), now, effects);
        }
    }

    private void TakePlace(JoinInput request, GroupMember before, string memberId, TimeSpan now, List<GroupEffect> effects)
    {
        string leaderBefore = _leader!;
        bool wasStable = State == GroupState.Stable;
        Release(before, ErrorCode.FencedInstanceId, effects);
        GroupMember member = new(memberId, request.ClientId, request.ClientHost, before.InstanceId)
        {
            Assignment = before.Assignment,
            IsNew = before.IsNew,
            OwesSync = before.OwesSync,
        };
        Put(member, inPlaceOf: before);
        Park(request, member, now);
        Note(GroupNote.StaticMemberReplaced, effects, memberId);
        if (wasStable && Vote() == _protocolName)
        {
            // Nothing changes but an id: the assignment stands, as soon as a restart of ours would know the id too.
            long write = Write(TakeSnapshot(static member => member.Assignment), effects);
            member.Replacement = new MemberReplacement(write, before, leaderBefore, request.CanSkipAssignment);
        }
        else
        {
            // Where the leader may be at work on an assignment, it knows the old id only: the new one would get nothing.
            RebalanceOrCompleteJoin(now, effects);
        }
    }

    /// <summary>Puts one member where another one was, which is the leader's place if that one led.</summary>
    private void Put(GroupMember member, GroupMember inPlaceOf)
    {
        int index = _members.IndexOf(inPlaceOf.MemberId);
        _members.RemoveAt(index);
        _members.Insert(index, member.MemberId, member);
        _staticMembers[member.InstanceId!] = member.MemberId;
        if (_leader == inPlaceOf.MemberId)
        {
            _leader = member.MemberId;
        }
    }

    private void ReplacementPersisted(long number, ErrorCode error, TimeSpan now, List<GroupEffect> effects)
    {
        foreach (GroupMember member in _members.Values)
        {
            if (member.Replacement is { } replacement && replacement.Write == number)
            {
                ReplacementPersisted(member, replacement, error, now, effects);
                return;
            }
        }
    }

    private void ReplacementPersisted(GroupMember member, MemberReplacement replacement, ErrorCode error, TimeSpan now, List<GroupEffect> effects)
    {
        long request = member.ParkedJoin!.Value;
        member.ParkedJoin = null;
        member.Replacement = null;
        if (error != ErrorCode.None)
        {
            Put(replacement.Before, inPlaceOf: member);
            ExpectSignOfLife(replacement.Before, now);
            effects.Add(new JoinAnswered(request, JoinAnswer.Refused(error, memberId: "")));
            return;
        }

        ExpectSignOfLife(member, now);
        JoinAnswer current = CurrentGenerationFor(member);
        effects.Add(new JoinAnswered(request, replacement.CanSkipAssignment
            ? current with { SkipAssignment = _leader == member.MemberId }

            // A client that cannot be told to leave the assignment alone must not learn that it leads: it would assign, and find nobody who waits for it.
            : current with { Leader = replacement.LeaderBefore, Members = [] }));
    }
}
