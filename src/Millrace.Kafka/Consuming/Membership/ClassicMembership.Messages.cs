using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>What it asks the coordinator, and what it makes of the answers.</content>
internal sealed partial class ClassicMembership
{
    private const short SubscriptionVersion = 3;
    private const short AssignmentVersion = 1;

    public override void Answered(GroupCall call, IMessage response, BrokerAddress address, TimeSpan now)
    {
        if (call == _heartbeat)
        {
            _heartbeat = null;
            _nextHeartbeatAt = now + Settings.HeartbeatInterval;
            TakeHeartbeat(((HeartbeatResponse)response).ErrorCode, now);
            return;
        }

        // The answer to a question that nobody waits for any more.
        if (call != _call)
        {
            return;
        }

        _call = null;
        switch (response)
        {
            case JoinGroupResponse joined:
                TakeJoin(joined, address, now);
                break;
            case SyncGroupResponse synced:
                TakeSync(synced, address, now);
                break;
            case LeaveGroupResponse:
                End = MembershipEnd.Left;
                break;
        }
    }

    public override void Failed(GroupCall call, Exception failure, TimeSpan now)
    {
        if (call == _heartbeat)
        {
            _heartbeat = null;
            TimeSpan pause = RetryBackoff.After(1);
            _nextHeartbeatAt = now + pause;
            LogMessages.GroupStepRetried(Logger, GroupId, "a heartbeat", pause, failure.Message);
            return;
        }

        if (call != _call)
        {
            return;
        }

        _call = null;
        if (_phase == MemberPhase.Leaving)
        {
            // No harm: its session ends.
            LogMessages.GroupStepRetried(Logger, GroupId, call.Step, TimeSpan.Zero, failure.Message);
            End = MembershipEnd.Left;
            return;
        }

        FailJoin(call.Step, failure, now);
    }

    public override void TopicsFound(ClusterView view, Exception? failure, TimeSpan now)
    {
        if (_phase != MemberPhase.Assigning)
        {
            return;
        }

        try
        {
            if (failure is not null)
            {
                FailJoin("the look at the group's topics", failure, now);
                return;
            }

            Share(view);
            _phase = MemberPhase.Syncing;
        }
        catch (KafkaException refused)
        {
            FailJoin("the assignment", refused, now);
        }
    }

    private void SendHeartbeat(TimeSpan now, MembershipEffects effects)
    {
        if (!IsHeartbeating || _heartbeat is not null || _nextHeartbeatAt > now)
        {
            return;
        }

        // An answer that takes as long as a session is as good as none.
        TimeSpan timeout = Settings.SessionTimeout < RequestTimeout ? Settings.SessionTimeout : RequestTimeout;
        var request = new HeartbeatRequest
        {
            GroupId = GroupId, GenerationId = _generation, MemberId = _memberId, GroupInstanceId = Settings.GroupInstanceId,
        };
        _heartbeatGeneration = _generation;
        _heartbeat = new GroupCall<HeartbeatRequest, HeartbeatResponse>(
            request, "a heartbeat", ConnectionPurpose.General, timeout, static response => response.ErrorCode);
        effects.Calls.Add(_heartbeat);
        effects.NeedsMetadata |= _leaderTopics is { IsComplete: false };
    }

    private void TakeHeartbeat(ErrorCode error, TimeSpan now)
    {
        if (!IsHeartbeating || _heartbeatGeneration != _generation)
        {
            return;
        }

        switch (error)
        {
            case ErrorCode.None:
                _lastAnswerAt = now;
                break;
            case ErrorCode.RebalanceInProgress:
                _lastAnswerAt = now;

                // Anywhere else the member is at it already; brokers before 2.7 say so also while the assignment is awaited.
                _rejoinReason ??= _phase == MemberPhase.Stable ? "the group rebalances" : null;
                break;
            case ErrorCode.FencedInstanceId:
                Fence();
                break;
            case var _ when KafkaErrors.IsRetriable(error):
                _nextHeartbeatAt = now + RetryBackoff.After(1);
                break;
            case var _ when _phase == MemberPhase.Joining:
                // The next generation may stand already, with its answer under way: the join will tell. If it does not, the session ends.
                break;
            default:
                // A generation that is over leaves the member known: it keeps its id.
                _memberId = error == ErrorCode.UnknownMemberId ? "" : _memberId;
                Lose(KafkaErrors.Describe(error), now);
                break;
        }
    }

    private void SendJoin(MembershipEffects effects)
    {
        var request = new JoinGroupRequest
        {
            GroupId = GroupId,
            SessionTimeoutMilliseconds = (int)Settings.SessionTimeout.TotalMilliseconds,
            RebalanceTimeoutMilliseconds = (int)Settings.RebalanceTimeout.TotalMilliseconds,
            MemberId = _memberId,
            GroupInstanceId = Settings.GroupInstanceId,
            ProtocolType = ProtocolType,
            Protocols = [.. Settings.Assignors.Select(assignor => new JoinGroupProtocol
            {
                Name = Assignors.NameOf(assignor),
                Metadata = MessageCodec.WriteData(
                    new ConsumerProtocolSubscription
                    {
                        Topics = [.. Topics!],
                        UserData = Assignors.UserDataFor(assignor, _lastAssignment, assignor == PartitionAssignor.Sticky ? _lastGeneration : _generation),
                        OwnedPartitions = MemberSubscription.Group(OwnedPartitions),
                        GenerationId = _generation,
                        RackId = Rack,
                    },
                    SubscriptionVersion),
            })],
            Reason = _rejoinReason is null ? null : Truncate(_rejoinReason),
        };

        // What was wished for up to here is granted by this join.
        _sentReason = _rejoinReason;
        _rejoinReason = null;
        _leaderTopics = null;
        _sentTopics = Topics;
        _claimed = [.. OwnedPartitions];
        _phase = MemberPhase.Joining;
        _call = new GroupCall<JoinGroupRequest, JoinGroupResponse>(
            request, "JoinGroup", ConnectionPurpose.Group, RoundTimeout, static response => response.ErrorCode);
        effects.Calls.Add(_call);
    }

    private TimeSpan RoundTimeout
    {
        get
        {
            TimeSpan round = Settings.RebalanceTimeout + JoinGrace;
            return round > RequestTimeout ? round : RequestTimeout;
        }
    }

    private void TakeJoin(JoinGroupResponse joined, BrokerAddress address, TimeSpan now)
    {
        if (joined.ErrorCode == ErrorCode.MemberIdRequired && _memberId.Length == 0)
        {
            _memberId = joined.MemberId;
            _rejoinReason ??= _sentReason;
            _phase = MemberPhase.Preparing;
            return;
        }

        if (joined.ErrorCode != ErrorCode.None)
        {
            FailJoin("JoinGroup", Refused("JoinGroup", joined.ErrorCode, address), now);
            return;
        }

        _memberId = joined.MemberId;
        _generation = joined.GenerationId;
        _protocolName = joined.ProtocolName;
        _joined = joined;
        _lastAnswerAt = now;
        _nextHeartbeatAt = now + Settings.HeartbeatInterval;
        _assignments = [];
        if (joined.Leader != joined.MemberId)
        {
            _phase = MemberPhase.Syncing;
            return;
        }

        _phase = MemberPhase.Assigning;
        _topicsToFind = [.. joined.Members.SelectMany(member => Read(member)?.Topics ?? []).Distinct()];
    }

    /// <summary>
    /// The leader's work: reads what the members want, and shares it out. A static leader that has come back to a group that needs nothing only looks at
    /// the topics from now on (KIP-814).
    /// </summary>
    private void Share(ClusterView view)
    {
        JoinGroupResponse joined = _joined!;
        PartitionAssignor assignor = Assignors.ByName(joined.ProtocolName)
            ?? throw new KafkaProtocolException($"The coordinator of group '{GroupId}' chose the assignor '{joined.ProtocolName}', which this member did not offer.");
        MemberSubscription[] members =
        [
            .. joined.Members.Select(member => Read(member) is { } subscription
                ? MemberSubscription.From(member, subscription, assignor)
                : MemberSubscription.Unreadable(member.MemberId, member.GroupInstanceId)),
        ];
        _leaderTopics = LeaderTopics.From(members.SelectMany(member => member.Topics).Distinct(), view);
        if (joined.SkipAssignment)
        {
            return;
        }

        var counts = _leaderTopics.PartitionCounts.Where(pair => pair.Value > 0).ToDictionary(pair => pair.Key, pair => pair.Value);
        _assignments =
        [
            .. Assignors.Assign(assignor, members, counts).Select(pair => new SyncGroupAssignment
            {
                MemberId = pair.Key,
                Assignment = MessageCodec.WriteData(
                    new ConsumerProtocolAssignment { AssignedPartitions = MemberSubscription.Group(pair.Value) }, AssignmentVersion),
            }),
        ];
    }

    private ConsumerProtocolSubscription? Read(JoinGroupMember member)
    {
        if (ConsumerProtocolSubscription.TryRead(member.Metadata, out ConsumerProtocolSubscription? subscription, out string? fault))
        {
            return subscription;
        }

        LogMessages.SubscriptionUnreadable(Logger, GroupId, member.MemberId, fault);
        return null;
    }

    private void SendSync(MembershipEffects effects)
    {
        var request = new SyncGroupRequest
        {
            GroupId = GroupId,
            GenerationId = _generation,
            MemberId = _memberId,
            GroupInstanceId = Settings.GroupInstanceId,
            ProtocolType = ProtocolType,
            ProtocolName = _protocolName,
            Assignments = _assignments,
        };
        _assignments = [];
        _joined = null;
        _call = new GroupCall<SyncGroupRequest, SyncGroupResponse>(
            request, "SyncGroup", ConnectionPurpose.Group, RoundTimeout, static response => response.ErrorCode);
        effects.Calls.Add(_call);
    }

    private void TakeSync(SyncGroupResponse synced, BrokerAddress address, TimeSpan now)
    {
        if (synced.ErrorCode != ErrorCode.None)
        {
            FailJoin("SyncGroup", Refused("SyncGroup", synced.ErrorCode, address), now);
            return;
        }

        ConsumerProtocolAssignment? content = new();
        if (synced.Assignment.Length > 0 && !MessageCodec.TryReadData(synced.Assignment, acceptNewer: true, out content, out string? fault))
        {
            FailJoin("the assignment", new KafkaProtocolException($"The leader of group '{GroupId}' sent an assignment that cannot be read: {fault}"), now);
            return;
        }

        _lastAnswerAt = now;
        _phase = MemberPhase.Stable;
        Succeed();
        SetCurrent(_generation, _memberId);
        TakeOver([.. MemberSubscription.Flatten(content.AssignedPartitions)]);
    }

    /// <summary>
    /// Takes over the assignment of a new generation. A cooperative member lets go of what is not in it, and joins again at once, so that the leader
    /// can give it away; who joins all others anew that way is told why.
    /// </summary>
    private void TakeOver(HashSet<TopicPartition> assigned)
    {
        LogMessages.GroupJoined(Logger, GroupId, _memberId, _generation, _protocolName ?? "", assigned.Count);

        // What the member does not want any more, since its topics changed after the join; the next round has that mended.
        if (assigned.RemoveWhere(partition => !Topics!.Contains(partition.Topic)) > 0)
        {
            _rejoinReason ??= "the assignment does not match the subscription";
        }

        _lastAssignment = [.. assigned];
        _lastGeneration = _generation;
        TopicPartition[] revoked = [.. OwnedPartitions.Where(partition => !assigned.Contains(partition))];
        TopicPartition[] added = [.. assigned.Where(partition => !OwnedPartitions.Contains(partition))];
        if (revoked.Length > 0)
        {
            Notify(RebalanceNotice.Revoked, revoked);
        }

        // What the join claimed the leader holds back until a join does not claim it, also where it was lost while the join was under way.
        if (_claimed.Any(partition => !assigned.Contains(partition)))
        {
            _rejoinReason ??= "partitions were given up for others";
        }

        OwnedPartitions.UnionWith(added);
        Notify(RebalanceNotice.Assigned, added, _sentTopics);
    }

    private KafkaBrokerException Refused(string api, ErrorCode error, BrokerAddress address) => new(
        $"{address} refused {api} of member '{_memberId}' of group '{GroupId}': {KafkaErrors.Describe(error)}", error);

    /// <summary>A round failed: it begins again, at once or after a pause. What a retry alone does not mend is told.</summary>
    private void FailJoin(string step, Exception failure, TimeSpan now)
    {
        _phase = MemberPhase.Preparing;
        _rejoinReason ??= _sentReason;
        switch (failure)
        {
            case KafkaBrokerException { ErrorCode: ErrorCode.RebalanceInProgress } when step == "SyncGroup":
                // Another member came or went meanwhile. What this one owns it still owns.
                _rejoinReason ??= "the group rebalances";
                return;
            case KafkaBrokerException { ErrorCode: ErrorCode.FencedInstanceId }:
                Fence();
                return;
            case KafkaBrokerException { ErrorCode: ErrorCode.UnknownMemberId or ErrorCode.IllegalGeneration } broker:
                Retry(step, failure, now);
                _memberId = broker.ErrorCode == ErrorCode.UnknownMemberId ? "" : _memberId;
                Lose(failure.Message, now);
                return;
            case KafkaException { IsTransient: true }:
            case KafkaBrokerException { ErrorCode: ErrorCode.RebalanceInProgress or ErrorCode.MemberIdRequired }:
                Retry(step, failure, now);
                return;
            default:
                Retry(step, failure, now);
                Refuse(failure);
                return;
        }
    }

    /// <summary>Another consumer has come with the same instance id (KIP-345): two would take the place from each other for ever, so this one ends.</summary>
    private void Fence()
    {
        Fault = new KafkaInstanceFencedException(
            $"Member '{_memberId}' of group '{GroupId}' was fenced: another consumer has joined with its {nameof(ConsumerOptions.GroupInstanceId)} " +
            $"'{Settings.GroupInstanceId}'. Give each consumer a name of its own, and close this one.");
        LogMessages.GroupMembershipLost(Logger, GroupId, _memberId, _generation, Fault.Message);
        _generation = -1;
        _call = null;
        LoseAll();
        End = MembershipEnd.Fenced;
    }

    private GroupCall LeaveCall(string memberId, string reason) => new GroupCall<LeaveGroupRequest, LeaveGroupResponse>(
        new LeaveGroupRequest
        {
            GroupId = GroupId,
            MemberId = memberId,
            Members = [new LeavingMember { MemberId = memberId, GroupInstanceId = Settings.GroupInstanceId, Reason = Truncate(reason) }],
        },
        "leaving",

        // Not the connection of joins: one that nobody waits for any more may still hold it up.
        ConnectionPurpose.General,
        RequestTimeout,
        static response => response.ErrorCode);
}
