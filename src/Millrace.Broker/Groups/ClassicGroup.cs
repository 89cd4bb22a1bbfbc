using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// One consumer group of the classic protocol, as a synchronous state machine: a request or a moment goes in, the state changes, and the effects come out.
/// It knows no clock, no lock, no socket and no disk; the caller brings the time and carries the effects out in their order.
/// </summary>
/// <remarks>
/// <code>
///            first join                 all joined, or time is up          assignment on disk
///   Empty ───────────────► Preparing ───────────────────────► Completing ───────────────────► Stable
///     ▲                     │    ▲                                │                              │
///     └── nobody rejoined ──┘    └──── join, leave, expiry, missing sync, failed write ──────────┘
/// </code>
/// Time is a distance from an arbitrary start, which only grows.
/// </remarks>
internal sealed partial class ClassicGroup
{
    private readonly OrderedDictionary<string, GroupMember> _members = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TimeSpan> _pendingMembers = new(StringComparer.Ordinal);

    /// <summary>The member ids of static members, by instance id.</summary>
    private readonly Dictionary<string, string> _staticMembers = new(StringComparer.Ordinal);
    private readonly GroupSettings _settings;
    private readonly Func<string> _nextMemberSuffix;

    private string _protocolType = "";
    private string? _protocolName;
    private string? _leader;

    /// <summary>Ends the join phase.</summary>
    private TimeSpan? _joinDeadline;

    /// <summary>Ends the wait for members that have not sent SyncGroup.</summary>
    private TimeSpan? _syncDeadline;

    /// <summary>The first rebalance of an empty group waits for more members before it looks whether all have joined.</summary>
    private bool _isInitialRebalance;
    private bool _memberJoinedDuringDelay;
    private TimeSpan _delayBudget;

    /// <summary>The leader's assignment while it is on its way to the disk.</summary>
    private Dictionary<string, byte[]>? _assignmentInFlight;
    private long _assignmentWrite;
    private long _lastSnapshotNumber;

    private TimeSpan? _wakeAt;

    /// <summary>An empty group.</summary>
    /// <param name="groupId">Names the group in what it reports.</param>
    /// <param name="settings">The coordinator's settings.</param>
    /// <param name="nextMemberSuffix">Gives the unique part of a new member's id.</param>
    public ClassicGroup(string groupId, GroupSettings settings, Func<string> nextMemberSuffix)
    {
        GroupId = groupId;
        _settings = settings;
        _nextMemberSuffix = nextMemberSuffix;
    }

    public string GroupId { get; }
    public GroupState State { get; private set; }
    public int Generation { get; private set; }
    public string? Leader => _leader;
    public string? ProtocolName => _protocolName;
    public int PendingMemberCount => _pendingMembers.Count;
    public IReadOnlyCollection<GroupMember> Members => _members.Values;

    /// <summary>
    /// <see cref="Tick"/> must be called no later than this. It may lie before the earliest deadline, since a heartbeat only moves deadlines
    /// away and does not look for the new earliest one; <see cref="Tick"/> makes it exact again.
    /// </summary>
    public TimeSpan? WakeAt => _wakeAt;

    /// <summary>Holds nothing that a new object would not: nobody in it, nothing written about it.</summary>
    public bool IsForgettable => State == GroupState.Empty && Generation == 0 && _pendingMembers.Count == 0;

    /// <summary>The group as a restart finds it. A group with members resumes as stable, and gives each of them a whole session to be heard of; those inside the broker's own process expire at once, unless they are static: then they come back by their name.</summary>
    public static ClassicGroup Restore(
        string groupId, GroupSettings settings, Func<string> nextMemberSuffix, GroupSnapshot snapshot, TimeSpan now)
    {
        ClassicGroup group = new(groupId, settings, nextMemberSuffix)
        {
            Generation = snapshot.Generation,
            _protocolType = snapshot.ProtocolType,
            _protocolName = snapshot.ProtocolName,
            _leader = snapshot.Leader,
            State = snapshot.Members.Count == 0 ? GroupState.Empty : GroupState.Stable,
        };

        foreach (MemberSnapshot saved in snapshot.Members)
        {
            GroupMember member = new(saved.MemberId, saved.ClientId, saved.ClientHost, saved.InstanceId)
            {
                SessionTimeout = saved.SessionTimeout,
                RebalanceTimeout = saved.RebalanceTimeout,
                Protocols = snapshot.ProtocolName is null ? [] : [new GroupProtocol(snapshot.ProtocolName, saved.Subscription)],
                Assignment = saved.Assignment,
            };
            group._members[saved.MemberId] = member;
            if (saved.InstanceId is string instanceId)
            {
                group._staticMembers[instanceId] = saved.MemberId;
            }

            // A client inside the broker's process ended with it: waiting for its session would only hold up who comes next.
            if (saved.ClientHost == ConnectionIdentity.InMemoryHost && saved.InstanceId is null)
            {
                member.Deadline = group.Arm(now);
            }
            else
            {
                group.ExpectSignOfLife(member, now);
            }
        }

        if (group._leader is null || !group._members.ContainsKey(group._leader))
        {
            group._leader = group._members.Count == 0 ? null : group._members.GetAt(0).Key;
        }

        return group;
    }

    /// <summary>Ends the group: whoever waits is told to look for the coordinator again.</summary>
    public void Kill(List<GroupEffect> effects)
    {
        foreach (GroupMember member in _members.Values)
        {
            Release(member, ErrorCode.CoordinatorNotAvailable, effects);
        }

        _members.Clear();
        _staticMembers.Clear();
        _pendingMembers.Clear();
        _leader = null;
        _assignmentInFlight = null;
        _joinDeadline = _syncDeadline = _wakeAt = null;
        State = GroupState.Dead;
    }

    /// <summary>Acts on every deadline that has come, and on those that follow at once from it.</summary>
    public void Tick(TimeSpan now, List<GroupEffect> effects)
    {
        do
        {
            ExpireMembers(now, effects);
            if (_joinDeadline <= now)
            {
                JoinTimeIsUp(now, effects);
            }

            if (_syncDeadline <= now)
            {
                SyncTimeIsUp(now, effects);
            }

            _wakeAt = EarliestDeadline();
        }
        while (_wakeAt <= now);
    }

    private void ExpireMembers(TimeSpan now, List<GroupEffect> effects)
    {
        foreach (GroupMember member in DueMembers(now))
        {
            // An earlier removal may have ended the join phase, which removes members or gives them new deadlines.
            if (_members.ContainsKey(member.MemberId) && member.Deadline <= now)
            {
                Note(GroupNote.MemberExpired, effects, member.MemberId);
                RemoveThenRebalance(member, now, effects);
            }
        }

        bool anyPendingExpired = false;
        foreach ((string memberId, TimeSpan deadline) in _pendingMembers)
        {
            // Removing from a dictionary while it is enumerated is allowed.
            anyPendingExpired |= deadline <= now && _pendingMembers.Remove(memberId);
        }

        if (anyPendingExpired)
        {
            CompleteJoinIfAllJoined(now, effects);
        }
    }

    private List<GroupMember> DueMembers(TimeSpan now)
    {
        List<GroupMember> due = [];
        foreach (GroupMember member in _members.Values)
        {
            if (member.Deadline <= now)
            {
                due.Add(member);
            }
        }

        return due;
    }

    private TimeSpan? EarliestDeadline()
    {
        TimeSpan? earliest = Earlier(_joinDeadline, _syncDeadline);
        foreach (GroupMember member in _members.Values)
        {
            earliest = Earlier(earliest, member.Deadline);
        }

        foreach (TimeSpan deadline in _pendingMembers.Values)
        {
            earliest = Earlier(earliest, deadline);
        }

        return earliest;
    }

    private static TimeSpan? Earlier(TimeSpan? left, TimeSpan? right) =>
        left is null ? right : right is null ? left : left < right ? left : right;

    private TimeSpan Arm(TimeSpan deadline)
    {
        _wakeAt = Earlier(_wakeAt, deadline);
        return deadline;
    }

    private void ExpectSignOfLife(GroupMember member, TimeSpan now) => member.Deadline = Arm(now + member.SessionTimeout);

    /// <summary>The longest that any member asks for.</summary>
    private TimeSpan RebalanceTimeout()
    {
        TimeSpan longest = TimeSpan.Zero;
        foreach (GroupMember member in _members.Values)
        {
            longest = member.RebalanceTimeout > longest ? member.RebalanceTimeout : longest;
        }

        return longest;
    }

    /// <summary>Takes the member out, and elects another leader where it was the leader. What it waits for is answered.</summary>
    private void Remove(GroupMember member, List<GroupEffect> effects)
    {
        Release(member, ErrorCode.UnknownMemberId, effects);
        _members.Remove(member.MemberId);
        if (member.InstanceId is string instanceId)
        {
            _staticMembers.Remove(instanceId);
        }

        if (_leader == member.MemberId)
        {
            _leader = _members.Count == 0 ? null : _members.GetAt(0).Key;
        }
    }

    private void RemoveThenRebalance(GroupMember member, TimeSpan now, List<GroupEffect> effects)
    {
        Remove(member, effects);
        if (State is GroupState.Stable or GroupState.CompletingRebalance)
        {
            PrepareRebalance(now, effects);
        }
        else
        {
            CompleteJoinIfAllJoined(now, effects);
        }
    }

    private static void Release(GroupMember member, ErrorCode error, List<GroupEffect> effects)
    {
        if (member.ParkedJoin is long join)
        {
            member.ParkedJoin = null;
            member.Replacement = null;
            string memberId = error == ErrorCode.UnknownMemberId ? "" : member.MemberId;
            effects.Add(new JoinAnswered(join, JoinAnswer.Refused(error, memberId)));
        }

        if (member.ParkedSync is long sync)
        {
            member.ParkedSync = null;
            effects.Add(new SyncAnswered(sync, SyncAnswer.Refused(error)));
        }
    }

    private void Note(GroupNote note, List<GroupEffect> effects, string subject = "") =>
        effects.Add(new GroupNoted(note, Generation, _members.Count, subject));
}
