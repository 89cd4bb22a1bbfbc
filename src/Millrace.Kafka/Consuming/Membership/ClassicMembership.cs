using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Membership by the classic protocol: let go of what has to go, join, sync, heartbeats until something changes, and again. With cooperative assignors
/// (KIP-429) only what the leader takes away goes, after the sync, and the rest stays through it all.
/// <code>
/// Unjoined ──► Preparing ──► Joining ──► Assigning (leader) ──► Syncing ──► Stable ──► Preparing ...
///     ▲                                                                       │
///     └───────────────────────────── membership lost ◄────────────────────────┘
/// </code>
/// </summary>
internal sealed partial class ClassicMembership(ConsumerSettings settings, Backoff retryBackoff, TimeSpan requestTimeout, ILogger logger)
    : Membership(settings, retryBackoff, requestTimeout, logger)
{
    private const string ProtocolType = "consumer";

    /// <summary>Bound of a reason's length, as Java's client has it.</summary>
    private const int MaxReasonLength = 255;

    /// <summary>The coordinator itself waits so long for others; its answer comes a little later.</summary>
    private static readonly TimeSpan JoinGrace = TimeSpan.FromSeconds(5);

    private readonly bool _isCooperative = Assignors.AreCooperative(settings.Assignors);
    private MemberPhase _phase = MemberPhase.Unjoined;
    private string _memberId = "";
    private int _generation = -1;
    private string? _protocolName;
    private string? _rejoinReason;
    private string? _sentReason;
    private GroupCall? _farewell;
    private TimeSpan? _letGoBy;
    private GroupCall? _call;
    private GroupCall? _heartbeat;
    private int _heartbeatGeneration;
    private TimeSpan _nextHeartbeatAt;
    private TimeSpan _lastAnswerAt;
    private JoinGroupResponse? _joined;
    private LeaderTopics? _leaderTopics;
    private IReadOnlyCollection<string>? _topicsToFind;
    private List<SyncGroupAssignment> _assignments = [];
    private IReadOnlyCollection<TopicPartition> _claimed = [];
    private IReadOnlyCollection<string>? _sentTopics;
    private IReadOnlyCollection<TopicPartition>? _lastAssignment;
    private int _lastGeneration = -1;

    public MemberPhase Phase => _phase;

    public override bool IsInPlace => _phase == MemberPhase.Stable && _rejoinReason is null && IsInForce && AreNoticesOver;

    private bool IsMember => _generation >= 0;

    private bool IsStatic => Settings.GroupInstanceId is not null;

    /// <summary>
    /// While the member is one: also while it lets go of partitions, and while the leader shares out. While it joins only if it has something to lose;
    /// joins and heartbeats have connections of their own, since a join waits for others.
    /// </summary>
    private bool IsHeartbeating => IsMember && _phase switch
    {
        MemberPhase.Preparing or MemberPhase.Assigning or MemberPhase.Syncing or MemberPhase.Stable or MemberPhase.Closing => true,
        MemberPhase.Joining => OwnedPartitions.Count > 0,
        _ => false,
    };

    protected override bool Step(ClusterView view, TimeSpan now, MembershipEffects effects)
    {
        if (IsClosing && _phase is not (MemberPhase.Closing or MemberPhase.Leaving))
        {
            BeginClosing(now);
            return true;
        }

        if (IsHeartbeating && now - _lastAnswerAt > Settings.SessionTimeout)
        {
            Expire(now);
            return true;
        }

        if (_letGoBy <= now)
        {
            _letGoBy = null;
            CancelNotice();
        }

        if (_farewell is not null)
        {
            effects.Calls.Add(_farewell);
            _farewell = null;
        }

        SendHeartbeat(now, effects);
        switch (_phase)
        {
            case MemberPhase.Unjoined when Topics is not null && !IsAway && AreNoticesOver && RetryAt <= now:
                _phase = MemberPhase.Preparing;
                return true;
            case MemberPhase.Preparing when !IsLettingGo && RetryAt <= now && _call is null:
                SendJoin(effects);
                return false;
            case MemberPhase.Assigning when _topicsToFind is not null:
                effects.TopicsToFind = _topicsToFind;
                effects.TopicsToTrack.AddRange(_topicsToFind);
                _topicsToFind = null;
                return false;
            case MemberPhase.Syncing when _call is null:
                SendSync(effects);
                return false;
            case MemberPhase.Stable:
                if (_leaderTopics is { } seen && !seen.Matches(view))
                {
                    _rejoinReason ??= "the partitions of a topic changed";
                }

                return _rejoinReason is not null && BeginRejoin();
            case MemberPhase.Closing when AreNoticesOver:
                Leave(effects);
                return false;
            default:
                return false;
        }
    }

    protected override void AddTimes(TimeSpan now, MembershipEffects effects)
    {
        if (IsHeartbeating)
        {
            effects.WakeNoLaterThan(_lastAnswerAt + Settings.SessionTimeout + TimeSpan.FromMilliseconds(1));
            if (_heartbeat is null)
            {
                effects.WakeNoLaterThan(_nextHeartbeatAt);
            }
        }

        if (_letGoBy is { } deadline)
        {
            effects.WakeNoLaterThan(deadline);
        }

        if (_phase is MemberPhase.Unjoined or MemberPhase.Preparing && RetryAt > now)
        {
            effects.WakeNoLaterThan(RetryAt);
        }
    }

    public override void Lose(string reason, TimeSpan now)
    {
        if (_phase == MemberPhase.Stable || OwnedPartitions.Count > 0)
        {
            LogMessages.GroupMembershipLost(Logger, GroupId, _memberId, _generation, reason);
        }

        _generation = -1;
        _letGoBy = null;
        _leaderTopics = null;
        LoseAll();

        // A join that is under way tells of partitions that are not owned any more; what it brings is new to the member then.
        if (_phase is not (MemberPhase.Joining or MemberPhase.Closing or MemberPhase.Leaving))
        {
            _phase = MemberPhase.Unjoined;
            _call = null;
            _rejoinReason ??= Truncate($"the membership was lost: {reason}");
        }
    }

    protected override void OnSubscriptionChanged() => _rejoinReason ??= "the subscription changed";

    protected override void OnAway(string reason)
    {
        // A static member keeps its place until its session ends, as Java's does; its partitions are gone for it all the same.
        _phase = MemberPhase.Unjoined;
        Lose(reason, TimeSpan.Zero);
        _rejoinReason = "the application polls again";
        BecomeNew(reason);
    }

    private void Expire(TimeSpan now)
    {
        string reason = $"No heartbeat was answered for {Settings.SessionTimeout} ({nameof(ConsumerOptions.SessionTimeout)}).";
        Lose(reason, now);
        if (_phase == MemberPhase.Unjoined)
        {
            BecomeNew(reason);
        }
    }

    /// <summary>
    /// Joins under another id the next time. The coordinator may still have this one, and would give it the generation that it had: offsets of what was
    /// lost, which a transaction may commit yet, would be accepted, though it is read again.
    /// </summary>
    private void BecomeNew(string reason)
    {
        if (!IsStatic && _memberId.Length > 0)
        {
            _farewell = LeaveCall(_memberId, reason);
        }

        _memberId = "";
    }

    protected override void OnNoticeStarted(RebalanceCall call, TimeSpan now) =>
        _letGoBy = call.Notice == RebalanceNotice.Revoked ? now + Settings.RebalanceTimeout : null;

    protected override void OnNoticeEnded(RebalanceCall call, TimeSpan now)
    {
        _letGoBy = null;
        if (call.Notice == RebalanceNotice.Revoked && OwnedPartitions.Count == 0 && !_isCooperative)
        {
            // The generation is good for heartbeats until the join; commits are over with the call.
            EndCurrent();
        }
    }

    /// <summary>All of it goes before the join; with cooperative assignors only what the member does not want any more.</summary>
    private bool BeginRejoin()
    {
        LogMessages.GroupRejoining(Logger, GroupId, _memberId, _generation, _rejoinReason!);
        _phase = MemberPhase.Preparing;
        Succeed();
        if (!_isCooperative)
        {
            RevokeAll();
            if (Told.Count == 0)
            {
                EndCurrent();
            }

            return true;
        }

        TopicPartition[] unwanted = [.. Kept.Where(partition => !Topics!.Contains(partition.Topic))];
        if (unwanted.Length > 0)
        {
            Notify(RebalanceNotice.Revoked, unwanted);
        }

        return true;
    }

    private void BeginClosing(TimeSpan now)
    {
        bool isIn = IsMember && IsInForce;
        if (isIn)
        {
            LogMessages.GroupClosing(Logger, GroupId, _memberId, _generation);
            RevokeAll();
        }
        else
        {
            LoseAll();
        }

        _phase = MemberPhase.Closing;
        _call = null;
        _lastAnswerAt = now;
    }

    /// <summary>Tells the coordinator, so that others need not wait for the session to end. A static member keeps its place (KIP-345).</summary>
    private void Leave(MembershipEffects effects)
    {
        _generation = -1;
        if (IsStatic || _memberId.Length == 0)
        {
            End = MembershipEnd.Left;
            return;
        }

        _phase = MemberPhase.Leaving;
        _call = LeaveCall(_memberId, "the consumer was closed");
        effects.Calls.Add(_call);
    }

    private static string Truncate(string reason) => reason.Length <= MaxReasonLength ? reason : reason[..MaxReasonLength];
}
