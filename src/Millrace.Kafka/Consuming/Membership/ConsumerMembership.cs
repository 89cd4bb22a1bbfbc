using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Membership by the protocol of KIP-848: one request carries it all. The coordinator shares out; a heartbeat's answer says what the member may have,
/// the member lets go of the rest, says so with the next heartbeat, and takes what is new. What it keeps goes on throughout.
/// </summary>
internal sealed class ConsumerMembership(
    Func<string> newMemberId, ConsumerSettings settings, Backoff retryBackoff, TimeSpan requestTimeout, ILogger logger)
    : Membership(settings, retryBackoff, requestTimeout, logger)
{
    private const int EpochToJoin = 0;
    private const int EpochToLeave = -1;
    private const int EpochToLeaveForAWhile = -2;
    private const int LeastHeartbeatsPerSession = 3;

    private string _memberId = newMemberId();
    private bool _mayBeKnown;
    private int _epoch;
    private GroupCall? _call;
    private GroupCall? _farewell;
    private GroupCall? _leave;
    private bool _isLeaving;
    private string? _awayReason;
    private bool _leftPlace;
    private TimeSpan? _placeFreeBy;
    private bool _sendsAll = true;
    private bool _isDue;
    private TimeSpan? _letGoBy;
    private TimeSpan _interval = settings.HeartbeatInterval;
    private TimeSpan _nextHeartbeatAt;
    private TimeSpan _lastAnswerAt;
    private TimeSpan _nextLookUpAt;
    private int _lookUpCount;
    private IReadOnlyCollection<string>? _sentTopics;
    private IReadOnlyCollection<string>? _heardTopics;
    private List<ConsumerGroupTopicPartitions>? _target;
    private readonly Dictionary<string, Guid> _topicIds = [];

    /// <summary>A share that new topics do not change is not sent again: the answer to the heartbeat that named them is all that comes.</summary>
    public override bool IsInPlace => (IsMember ? _target is null && ReferenceEquals(_heardTopics, Topics) : WantsNothing && _call is null) && !_isLeaving && AreNoticesOver;

    /// <summary>Its pattern matches no topic. It does not enter so: Kafka 3.7 to 3.9 refuse that. A member stays one, and tells the group.</summary>
    private bool WantsNothing => Topics is { Count: 0 };

    private bool IsMember => _epoch > EpochToJoin;

    /// <summary>How long an answer is waited for: the coordinator says how often it wants heartbeats, which may be less often than the options know.</summary>
    private TimeSpan Patience => Settings.SessionTimeout > LeastHeartbeatsPerSession * _interval ? Settings.SessionTimeout : LeastHeartbeatsPerSession * _interval;

    /// <summary>A join is on its way. Who leaves waits for its answer: while the connection is being made the one could overtake the other, and leave a member that nobody runs.</summary>
    private bool IsEntering => !IsMember && _call is not null;

    protected override bool Step(ClusterView view, TimeSpan now, MembershipEffects effects)
    {
        if (_farewell is not null)
        {
            effects.Calls.Add(_farewell);
            _farewell = null;
        }

        if (IsClosing && !_isLeaving)
        {
            BeginLeaving();
            return true;
        }

        if (IsAway && !_isLeaving && !IsEntering && _awayReason is { } reason)
        {
            _awayReason = null;
            LeaveAndLose(reason, now);
            return true;
        }

        if (IsMember && now - _lastAnswerAt > Patience)
        {
            LeaveAndLose($"No heartbeat was answered for {Patience} ({nameof(ConsumerOptions.SessionTimeout)}).", now);
            return true;
        }

        if (_letGoBy <= now)
        {
            _letGoBy = null;
            CancelNotice();
        }

        if (_target is not null && !_isLeaving && !IsLettingGo)
        {
            Reconcile(view, now, effects);
        }

        if (_call is null)
        {
            Send(now, effects);
        }

        return false;
    }

    protected override void AddTimes(TimeSpan now, MembershipEffects effects)
    {
        if (IsMember)
        {
            effects.WakeNoLaterThan(_lastAnswerAt + Patience + TimeSpan.FromMilliseconds(1));
        }

        if (_call is null && Topics is not null && !IsAway)
        {
            effects.WakeNoLaterThan(IsMember ? _nextHeartbeatAt : RetryAt > now ? RetryAt : now + _interval);
        }

        if (_letGoBy is { } deadline)
        {
            effects.WakeNoLaterThan(deadline);
        }

        if (_target is not null && _nextLookUpAt > now)
        {
            effects.WakeNoLaterThan(_nextLookUpAt);
        }
    }

    public override void Answered(GroupCall call, IMessage response, BrokerAddress address, TimeSpan now)
    {
        if (call != _call)
        {
            return;
        }

        _call = null;
        if (call == _leave)
        {
            End = MembershipEnd.Left;
            return;
        }

        var answer = (ConsumerGroupHeartbeatResponse)response;
        if (answer.ErrorCode != ErrorCode.None)
        {
            Fail(answer.ErrorCode, answer.ErrorMessage, address, now);
            return;
        }

        bool isNew = !IsMember;
        _lastAnswerAt = now;
        _interval = TimeSpan.FromMilliseconds(Math.Max(1, answer.HeartbeatIntervalMilliseconds));
        _nextHeartbeatAt = now + _interval;
        _sendsAll = false;
        _heardTopics = _sentTopics;
        Succeed();
        _leftPlace = false;
        _placeFreeBy = null;
        _memberId = string.IsNullOrEmpty(answer.MemberId) ? _memberId : answer.MemberId;
        _epoch = answer.MemberEpoch;
        SetCurrent(_epoch, _memberId);
        if (answer.Assignment is { } assignment)
        {
            _target = assignment.TopicPartitions;
        }

        if (isNew)
        {
            LogMessages.GroupEntered(Logger, GroupId, _memberId, _epoch);

            // The application waits to hear that it is in, though nothing may be free for it yet.
            _target ??= [];
        }
    }

    public override void Failed(GroupCall call, Exception failure, TimeSpan now)
    {
        if (call != _call)
        {
            return;
        }

        _call = null;
        _sendsAll = true;
        if (call == _leave)
        {
            // No harm: its session ends.
            LogMessages.GroupStepRetried(Logger, GroupId, call.Step, TimeSpan.Zero, failure.Message);
            End = MembershipEnd.Left;
            return;
        }

        if (failure is KafkaVersionException)
        {
            GiveUp(failure.Message, now);
            return;
        }

        Retry(call.Step, failure, now);
        _nextHeartbeatAt = RetryAt;
        if (failure is KafkaException { IsTransient: false })
        {
            Refuse(failure);
        }
    }

    public override void Lose(string reason, TimeSpan now)
    {
        if (IsMember)
        {
            LogMessages.GroupMembershipLost(Logger, GroupId, _memberId, _epoch, reason);
        }

        _epoch = EpochToJoin;
        _call = null;
        _target = null;
        _letGoBy = null;
        _sendsAll = true;
        LoseAll();
    }

    protected override void OnSubscriptionChanged() => _isDue = true;

    protected override void OnAway(string reason) => _awayReason = reason;

    /// <summary>
    /// Enters under another id the next time. The coordinator may still have this one, and would give it the epoch that it had: offsets of what was lost,
    /// which a transaction may commit yet, would be accepted, though it is read again.
    /// </summary>
    private void LeaveAndLose(string reason, TimeSpan now)
    {
        if (_mayBeKnown)
        {
            _farewell = CallOf(LeaveRequest());
            _leftPlace = Settings.GroupInstanceId is not null;
            _placeFreeBy = null;
        }

        Lose(reason, now);
        _memberId = newMemberId();
        _mayBeKnown = false;
    }

    protected override void OnNoticeStarted(RebalanceCall call, TimeSpan now) =>
        _letGoBy = call.Notice == RebalanceNotice.Revoked ? now + Settings.RebalanceTimeout : null;

    protected override void OnNoticeEnded(RebalanceCall call, TimeSpan now)
    {
        _letGoBy = null;
        _isDue |= call.Notice == RebalanceNotice.Revoked;
    }

    /// <summary>First lets go of what is not to be kept; once that is done takes what is new. What the picture of the cluster has no name for waits.</summary>
    private void Reconcile(ClusterView view, TimeSpan now, MembershipEffects effects)
    {
        Dictionary<Guid, string> names = view.Topics.Values
            .Where(topic => topic.TopicId != Guid.Empty)
            .DistinctBy(topic => topic.TopicId)
            .ToDictionary(topic => topic.TopicId, topic => topic.Name);
        foreach ((string name, Guid id) in _topicIds)
        {
            // What the member was given once it knows, though the picture may have lost it.
            names.TryAdd(id, name);
        }

        var wanted = new HashSet<TopicPartition>();
        List<Guid> unknown = [];
        foreach (ConsumerGroupTopicPartitions topic in _target!)
        {
            if (names.TryGetValue(topic.TopicId, out string? name))
            {
                _topicIds[name] = topic.TopicId;
                wanted.UnionWith(topic.Partitions.Select(partition => new TopicPartition(name, partition)));
            }
            else
            {
                unknown.Add(topic.TopicId);
            }
        }

        TopicPartition[] revoked = [.. OwnedPartitions.Where(partition => !wanted.Contains(partition))];
        if (revoked.Length > 0)
        {
            Notify(RebalanceNotice.Revoked, revoked);
            return;
        }

        TopicPartition[] added = [.. wanted.Where(partition => !OwnedPartitions.Contains(partition))];
        if (added.Length > 0 || unknown.Count == 0)
        {
            OwnedPartitions.UnionWith(added);
            effects.TopicsToTrack.AddRange(added.Select(partition => partition.Topic).Distinct());
            Notify(RebalanceNotice.Assigned, added, _heardTopics);
            LogMessages.GroupJoined(Logger, GroupId, _memberId, _epoch, Settings.GroupRemoteAssignor ?? "the coordinator's assignor", wanted.Count);
            _isDue |= added.Length > 0;
        }

        if (unknown.Count == 0)
        {
            _target = null;
            _lookUpCount = 0;
        }
        else if (_nextLookUpAt <= now)
        {
            effects.TopicIdsToFind = unknown;
            _nextLookUpAt = now + RetryBackoff.After(++_lookUpCount);
        }
    }

    private void Send(TimeSpan now, MembershipEffects effects)
    {
        if (_isLeaving && AreNoticesOver)
        {
            if (!_mayBeKnown)
            {
                End = MembershipEnd.Left;
                return;
            }

            _leave = CallOf(LeaveRequest());
            _call = _leave;
            effects.Calls.Add(_leave);
            return;
        }

        if (!IsMember)
        {
            if (Topics is not null && !WantsNothing && !IsAway && !_isLeaving && AreNoticesOver && RetryAt <= now)
            {
                // That it left may not have got through: then its place is free when its session is over.
                _placeFreeBy ??= _leftPlace ? now + Settings.SessionTimeout : null;
                _call = CallOf(FullRequest(EpochToJoin, []));
                _mayBeKnown = true;
                effects.Calls.Add(_call);
            }

            return;
        }

        if (_nextHeartbeatAt <= now || (_isDue && FailureCount == 0))
        {
            _call = CallOf(_sendsAll ? FullRequest(_epoch, OwnedById()) : ShortRequest());
            effects.Calls.Add(_call);
        }
    }

    private ConsumerGroupHeartbeatRequest FullRequest(int epoch, List<ConsumerGroupTopicPartitions> owned)
    {
        _isDue = false;
        _sentTopics = Topics;
        return new ConsumerGroupHeartbeatRequest
        {
            GroupId = GroupId,
            MemberId = _memberId,
            MemberEpoch = epoch,
            InstanceId = Settings.GroupInstanceId,
            RackId = Rack,
            RebalanceTimeoutMilliseconds = (int)Settings.RebalanceTimeout.TotalMilliseconds,
            SubscribedTopicNames = [.. Topics!],
            ServerAssignor = Settings.GroupRemoteAssignor,
            TopicPartitions = owned,
        };
    }

    /// <summary>Says what has changed: the topics, and what is owned where that is why the heartbeat goes out before its time.</summary>
    private ConsumerGroupHeartbeatRequest ShortRequest()
    {
        bool isChanged = _isDue;
        bool hasNewTopics = !ReferenceEquals(_sentTopics, Topics);
        _isDue = false;
        _sentTopics = Topics;
        return new ConsumerGroupHeartbeatRequest
        {
            GroupId = GroupId,
            MemberId = _memberId,
            MemberEpoch = _epoch,
            InstanceId = Settings.GroupInstanceId,
            SubscribedTopicNames = hasNewTopics ? [.. Topics!] : null,
            TopicPartitions = isChanged ? OwnedById() : null,
        };
    }

    private ConsumerGroupHeartbeatRequest LeaveRequest() => new()
    {
        GroupId = GroupId,
        MemberId = _memberId,
        MemberEpoch = Settings.GroupInstanceId is null ? EpochToLeave : EpochToLeaveForAWhile,
        InstanceId = Settings.GroupInstanceId,
    };

    private List<ConsumerGroupTopicPartitions> OwnedById() =>
    [
        .. OwnedPartitions.GroupBy(partition => partition.Topic).Select(topic => new ConsumerGroupTopicPartitions
        {
            TopicId = _topicIds[topic.Key],
            Partitions = [.. topic.Select(partition => partition.Partition).Order()],
        }),
    ];

    private GroupCall CallOf(ConsumerGroupHeartbeatRequest request)
    {
        TimeSpan timeout = Settings.SessionTimeout < RequestTimeout ? Settings.SessionTimeout : RequestTimeout;
        return new GroupCall<ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse>(
            request, "a heartbeat", ConnectionPurpose.Group, timeout, static response => response.ErrorCode);
    }

    private void Fail(ErrorCode error, string? message, BrokerAddress address, TimeSpan now)
    {
        _sendsAll = true;
        string text = $"{address} refused ConsumerGroupHeartbeat of member '{_memberId}' of group '{GroupId}': {KafkaErrors.Describe(error)} {message}".TrimEnd();
        var failure = new KafkaBrokerException(text, error);
        switch (error)
        {
            case ErrorCode.UnknownMemberId or ErrorCode.FencedMemberEpoch:
                // It joins anew under the id that it has.
                Lose(text, now);
                _mayBeKnown = error != ErrorCode.UnknownMemberId;
                Retry("a heartbeat", failure, now);
                break;
            case ErrorCode.FencedInstanceId:
                Lose(text, now);
                Fault = new KafkaInstanceFencedException(
                    $"Member '{_memberId}' of group '{GroupId}' was fenced: another consumer has joined with its {nameof(ConsumerOptions.GroupInstanceId)} " +
                    $"'{Settings.GroupInstanceId}'. Give each consumer a name of its own, and close this one.");
                End = MembershipEnd.Fenced;
                break;
            case ErrorCode.UnsupportedVersion or ErrorCode.UnsupportedAssignor or ErrorCode.GroupIdNotFound or ErrorCode.InconsistentGroupProtocol:
                GiveUp(text, now);
                break;
            default:
                Retry("a heartbeat", failure, now);
                _nextHeartbeatAt = RetryAt;
                if (!failure.IsTransient && !(error == ErrorCode.UnreleasedInstanceId && now < _placeFreeBy))
                {
                    Refuse(failure);
                }

                break;
        }
    }

    /// <summary>The coordinator does not offer the protocol, or not for this group, whatever it advertises: the classic one has to do.</summary>
    private void GiveUp(string reason, TimeSpan now)
    {
        Lose(reason, now);
        LogMessages.GroupProtocolRefused(Logger, GroupId, reason);
        End = MembershipEnd.NotOffered;
    }

    private void BeginLeaving()
    {
        _isLeaving = true;
        _target = null;
        if (IsMember)
        {
            RevokeAll();
        }
        else
        {
            LoseAll();
        }
    }
}
