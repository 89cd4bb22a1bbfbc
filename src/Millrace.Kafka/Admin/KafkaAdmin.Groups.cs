using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>Groups, their members and their offsets.</content>
public sealed partial class KafkaAdmin
{
    /// <summary>The protocol that members of consumer groups speak with each other.</summary>
    private const string ConsumerProtocolType = "consumer";

    /// <summary>Lists the groups of all coordinators.</summary>
    /// <param name="states">Only groups in one of these states; empty or null: all. Needs Kafka 2.6.</param>
    /// <param name="types">Only groups of one of these types; empty or null: all. Needs Kafka 3.8.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">No broker tells which brokers there are.</exception>
    public Task<ClusterListing<GroupListing>> ListGroupsAsync(
        IReadOnlyCollection<GroupState>? states = null,
        IReadOnlyCollection<GroupType>? types = null,
        CancellationToken cancellationToken = default)
    {
        const short firstVersionWithStates = 4;
        const short firstVersionWithTypes = 5;
        short lowest = types is { Count: > 0 } ? firstVersionWithTypes : states is { Count: > 0 } ? firstVersionWithStates : (short)0;
        return _calls.EveryBrokerAsync<GroupListing>(
            ApiKey.ListGroups,
            async (broker, token) =>
            {
                var request = new ListGroupsRequest
                {
                    StatesFilter = [.. (states ?? []).Select(state => state.ToString())],
                    TypesFilter = [.. (types ?? []).Select(type => type.ToString().ToLowerInvariant())],
                };
                ListGroupsResponse response = await _calls.SendAsync<ListGroupsRequest, ListGroupsResponse>(broker, request, token, lowest);
                ThrowOn(response.ErrorCode, message: null, broker, ApiKey.ListGroups);
                return response.Groups.Select(group => new GroupListing(group.GroupId, group.ProtocolType, ToState(group.GroupState), ToType(group.GroupType)));
            },
            cancellationToken);
    }

    /// <summary>
    /// Describes groups: their state, and their members with what each reads. Groups whose coordinator assigns (KIP-848) and classic ones are
    /// told apart by asking: first for the one, then for the other.
    /// </summary>
    /// <param name="groupIds">The groups.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Each group; one that does not exist fails with <see cref="ErrorCode.GroupIdNotFound"/>.</returns>
    public Task<IReadOnlyDictionary<string, AdminResult<GroupDescription>>> DescribeGroupsAsync(
        IReadOnlyCollection<string> groupIds, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(groupIds);
        return _calls.EachAsync<string, GroupDescription>(
            ApiKey.DescribeGroups,
            groupIds,
            (round, token) => _calls.AskCoordinatorsAsync(round, AdminCalls.CoordinatorType.Group, DescribeGroupsAsync, token),
            cancellationToken);
    }

    /// <summary>Deletes groups that nobody is in, with what they have committed.</summary>
    /// <param name="groupIds">The groups.</param>
    /// <param name="cancellationToken">Ends the wait; groups may still be deleted.</param>
    /// <returns>What became of each group; one with members fails with <see cref="ErrorCode.NonEmptyGroup"/>.</returns>
    public Task<IReadOnlyDictionary<string, AdminResult>> DeleteGroupsAsync(
        IReadOnlyCollection<string> groupIds, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(groupIds);
        return _calls.EachDoneAsync<string>(
            ApiKey.DeleteGroups,
            groupIds,
            (round, token) => _calls.AskCoordinatorsAsync(round, AdminCalls.CoordinatorType.Group, DeleteAsync, token),
            cancellationToken);

        async Task DeleteAsync(AdminRound<string, bool> round, BrokerConnection coordinator, IReadOnlyList<string> targets, CancellationToken token)
        {
            DeleteGroupsResponse response = await _calls.SendAsync<DeleteGroupsRequest, DeleteGroupsResponse>(
                coordinator, new DeleteGroupsRequest { GroupIds = [.. targets] }, token);
            foreach (DeletableGroupResult result in response.Results)
            {
                Conclude(round, result.GroupId, result.ErrorCode, message: null, coordinator, ApiKey.DeleteGroups);
            }
        }
    }

    /// <summary>Takes static members out of a group without waiting for their session to end (KIP-345). From Kafka 2.4 on.</summary>
    /// <param name="groupId">The group.</param>
    /// <param name="groupInstanceIds">The ids that the members keep from start to start.</param>
    /// <param name="cancellationToken">Ends the wait; members may still be taken out.</param>
    public Task<IReadOnlyDictionary<string, AdminResult>> RemoveStaticMembersAsync(
        string groupId, IReadOnlyCollection<string> groupInstanceIds, CancellationToken cancellationToken = default)
    {
        const short firstVersionWithInstanceIds = 3;
        ArgumentException.ThrowIfNullOrEmpty(groupId);
        ArgumentNullException.ThrowIfNull(groupInstanceIds);
        return _calls.EachDoneAsync<string>(
            ApiKey.LeaveGroup,
            groupInstanceIds,
            async (round, token) =>
            {
                BrokerConnection coordinator = await _calls.CoordinatorAsync(groupId, token);
                var request = new LeaveGroupRequest
                {
                    GroupId = groupId,
                    Members = [.. round.Open.Select(instanceId => new LeavingMember { GroupInstanceId = instanceId, Reason = "removed by an operator" })],
                };
                LeaveGroupResponse response = await _calls.SendAsync<LeaveGroupRequest, LeaveGroupResponse>(
                    coordinator, request, token, firstVersionWithInstanceIds);
                ThrowOn(response.ErrorCode, message: null, coordinator, ApiKey.LeaveGroup);
                foreach (LeavingMemberResponse member in response.Members)
                {
                    Conclude(round, member.GroupInstanceId ?? "", member.ErrorCode, message: null, coordinator, ApiKey.LeaveGroup);
                }
            },
            cancellationToken);
    }

    /// <summary>Reads what groups have committed.</summary>
    /// <param name="groupIds">The groups; one that does not exist has committed nothing.</param>
    /// <param name="partitions">The partitions to look at; null: all.</param>
    /// <param name="requireStable">Whether commits of transactions that are under way are waited for (KIP-447). From Kafka 2.5 on; older brokers do not wait.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<IReadOnlyDictionary<string, AdminResult<GroupOffsets>>> ListGroupOffsetsAsync(
        IReadOnlyCollection<string> groupIds,
        IReadOnlyCollection<TopicPartition>? partitions = null,
        bool requireStable = false,
        CancellationToken cancellationToken = default)
    {
        const short firstVersionWithAllTopics = 2;
        const short firstBatchedVersion = 8;
        ArgumentNullException.ThrowIfNull(groupIds);
        List<OffsetFetchTopic>? topics = partitions is null ? null : ByTopic(partitions, static partition => partition, (topic, items) => new OffsetFetchTopic
        {
            Name = topic, Partitions = [.. items.Select(item => item.Partition)],
        });
        return _calls.EachAsync<string, GroupOffsets>(
            ApiKey.OffsetFetch,
            groupIds,
            (round, token) => _calls.AskCoordinatorsAsync(round, AdminCalls.CoordinatorType.Group, FetchAsync, token),
            cancellationToken);

        async Task FetchAsync(AdminRound<string, GroupOffsets> round, BrokerConnection coordinator, IReadOnlyList<string> targets, CancellationToken token)
        {
            if (coordinator.VersionOf(OffsetFetchRequest.Api, firstVersionWithAllTopics) >= firstBatchedVersion)
            {
                var batch = new OffsetFetchRequest
                {
                    Groups = [.. targets.Select(groupId => new OffsetFetchGroup { GroupId = groupId, Topics = topics })], RequireStable = requireStable,
                };
                OffsetFetchResponse response = await _calls.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(coordinator, batch, token);
                response.Groups.ForEach(group => Conclude(round, group, partitions, coordinator));
                return;
            }

            foreach (string groupId in targets)
            {
                OffsetFetchResponse response = await _calls.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(
                    coordinator, new OffsetFetchRequest { GroupId = groupId, Topics = topics, RequireStable = requireStable }, token, firstVersionWithAllTopics);
                Conclude(round, new OffsetFetchGroupResponse { GroupId = groupId, Topics = response.Topics, ErrorCode = response.ErrorCode }, partitions, coordinator);
            }
        }
    }

    /// <summary>Commits offsets for a group that nobody is in: where it will go on when members come.</summary>
    /// <param name="groupId">The group; it is made if it does not exist.</param>
    /// <param name="offsets">The next offset to read of each partition.</param>
    /// <param name="cancellationToken">Ends the wait; offsets may still be committed.</param>
    /// <returns>What became of each partition; while the group has members, <see cref="ErrorCode.UnknownMemberId"/>.</returns>
    public Task<IReadOnlyDictionary<TopicPartition, AdminResult>> AlterGroupOffsetsAsync(
        string groupId, IReadOnlyCollection<TopicPartitionOffset> offsets, CancellationToken cancellationToken = default)
    {
        const short firstVersionOfKafka = 2;
        ArgumentException.ThrowIfNullOrEmpty(groupId);
        ArgumentNullException.ThrowIfNull(offsets);
        var byPartition = offsets.ToDictionary(offset => offset.TopicPartition);
        return _calls.EachDoneAsync<TopicPartition>(
            ApiKey.OffsetCommit,
            byPartition.Keys,
            async (round, token) =>
            {
                BrokerConnection coordinator = await _calls.CoordinatorAsync(groupId, token);
                var request = new OffsetCommitRequest
                {
                    GroupId = groupId,
                    Topics = ByTopic(round.Open.Select(partition => byPartition[partition]), static offset => offset.TopicPartition, (topic, items) =>
                        new OffsetCommitTopic { Name = topic, Partitions = [.. items.Select(ToCommit)] }),
                };
                OffsetCommitResponse response = await _calls.SendAsync<OffsetCommitRequest, OffsetCommitResponse>(
                    coordinator, request, token, firstVersionOfKafka);
                foreach (OffsetCommitTopicResponse topic in response.Topics)
                {
                    foreach (OffsetCommitPartitionResponse partition in topic.Partitions)
                    {
                        var name = new TopicPartition(topic.Name, partition.Index);
                        Conclude(round, name, partition.ErrorCode, message: null, coordinator, ApiKey.OffsetCommit);
                    }
                }
            },
            cancellationToken);
    }

    /// <summary>Deletes what a group has committed for partitions of topics that none of its members subscribes to (KIP-496). From Kafka 2.4 on.</summary>
    /// <param name="groupId">The group.</param>
    /// <param name="partitions">The partitions.</param>
    /// <param name="cancellationToken">Ends the wait; commits may still be deleted.</param>
    /// <returns>What became of each partition; while a member subscribes to its topic, <see cref="ErrorCode.GroupSubscribedToTopic"/>.</returns>
    public Task<IReadOnlyDictionary<TopicPartition, AdminResult>> DeleteGroupOffsetsAsync(
        string groupId, IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(groupId);
        ArgumentNullException.ThrowIfNull(partitions);
        return _calls.EachDoneAsync<TopicPartition>(
            ApiKey.OffsetDelete,
            partitions,
            async (round, token) =>
            {
                BrokerConnection coordinator = await _calls.CoordinatorAsync(groupId, token);
                var request = new OffsetDeleteRequest
                {
                    GroupId = groupId,
                    Topics = ByTopic(round.Open, static partition => partition, (topic, items) => new OffsetDeleteTopic
                    {
                        Name = topic, Partitions = [.. items.Select(item => new OffsetDeletePartition { Index = item.Partition })],
                    }),
                };
                OffsetDeleteResponse response = await _calls.SendAsync<OffsetDeleteRequest, OffsetDeleteResponse>(coordinator, request, token);
                ThrowOn(response.ErrorCode, message: null, coordinator, ApiKey.OffsetDelete);
                foreach (OffsetDeleteTopicResponse topic in response.Topics)
                {
                    foreach (OffsetDeletePartitionResponse partition in topic.Partitions)
                    {
                        Conclude(round, new TopicPartition(topic.Name, partition.Index), partition.ErrorCode, message: null, coordinator, ApiKey.OffsetDelete);
                    }
                }
            },
            cancellationToken);
    }

    private async Task DescribeGroupsAsync(
        AdminRound<string, GroupDescription> round, BrokerConnection coordinator, IReadOnlyList<string> targets, CancellationToken cancellationToken)
    {
        var classic = new List<string>(targets);
        if (coordinator.Offers(ApiKey.ConsumerGroupDescribe))
        {
            ConsumerGroupDescribeResponse response = await _calls.SendAsync<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse>(
                coordinator, new ConsumerGroupDescribeRequest { GroupIds = [.. targets] }, cancellationToken);
            foreach (DescribedConsumerGroup group in response.Groups)
            {
                // A classic group is not found under this protocol, and a broker that has it switched off refuses it although it offers it.
                if (group.ErrorCode is ErrorCode.GroupIdNotFound or ErrorCode.UnsupportedVersion)
                {
                    continue;
                }

                classic.Remove(group.GroupId);
                if (!round.FailOn(group.ErrorCode, group.GroupId, group.ErrorMessage, coordinator, ApiKey.ConsumerGroupDescribe))
                {
                    round.Succeed(group.GroupId, Describe(group, coordinator.Address));
                }
            }
        }

        if (classic.Count > 0)
        {
            await DescribeClassicGroupsAsync(round, coordinator, classic, cancellationToken);
        }
    }

    private async Task DescribeClassicGroupsAsync(
        AdminRound<string, GroupDescription> round, BrokerConnection coordinator, IReadOnlyList<string> targets, CancellationToken cancellationToken)
    {
        DescribeGroupsResponse response = await _calls.SendAsync<DescribeGroupsRequest, DescribeGroupsResponse>(
            coordinator, new DescribeGroupsRequest { Groups = [.. targets] }, cancellationToken);
        foreach (DescribedGroup group in response.Groups)
        {
            // Before version 6 a group that does not exist is dead, and no error.
            GroupState state = ToState(group.GroupState);
            ErrorCode error = group.ErrorCode == ErrorCode.None && state == GroupState.Dead ? ErrorCode.GroupIdNotFound : group.ErrorCode;
            if (round.FailOn(error, group.GroupId, group.ErrorMessage, coordinator, ApiKey.DescribeGroups))
            {
                continue;
            }

            bool isOfConsumers = group.ProtocolType is ConsumerProtocolType;
            round.Succeed(group.GroupId, new GroupDescription(
                group.GroupId,
                GroupType.Classic,
                state,
                group.ProtocolType,
                group.ProtocolData,
                coordinator.Address,
                [.. group.Members.Select(member => Describe(member, isOfConsumers))]));
        }
    }

    private static GroupDescription Describe(DescribedConsumerGroup group, BrokerAddress coordinator) => new(
        group.GroupId,
        GroupType.Consumer,
        ToState(group.GroupState),
        ConsumerProtocolType,
        group.AssignorName,
        coordinator,
        [
            .. group.Members.Select(member => new GroupMemberDescription(
                member.MemberId,
                member.InstanceId,
                member.ClientId,
                member.ClientHost,
                member.SubscribedTopicNames,
                [.. member.Assignment.TopicPartitions.SelectMany(topic => topic.Partitions.Select(partition => new TopicPartition(topic.TopicName, partition)))])),
        ]);

    private static GroupMemberDescription Describe(DescribedGroupMember member, bool isOfConsumers)
    {
        // Opaque to the broker, and now and then malformed: then the member is listed without them.
        IReadOnlyList<string> topics = isOfConsumers
            && ConsumerProtocolSubscription.TryRead(member.MemberMetadata, out ConsumerProtocolSubscription? subscription, out _) ? subscription.Topics : [];
        IReadOnlyList<TopicPartition> assignment = isOfConsumers
            && MessageCodec.TryReadData(member.MemberAssignment, acceptNewer: true, out ConsumerProtocolAssignment? assigned, out _)
            ? [.. assigned.AssignedPartitions.SelectMany(topic => topic.Partitions.Select(partition => new TopicPartition(topic.Topic, partition)))]
            : [];
        return new GroupMemberDescription(member.MemberId, member.GroupInstanceId, member.ClientId, member.ClientHost, topics, assignment);
    }

    private static void Conclude(
        AdminRound<string, GroupOffsets> round, OffsetFetchGroupResponse group, IReadOnlyCollection<TopicPartition>? asked, BrokerConnection coordinator)
    {
        if (round.FailOn(group.ErrorCode, group.GroupId, message: null, coordinator, ApiKey.OffsetFetch))
        {
            return;
        }

        var offsets = new Dictionary<TopicPartition, TopicPartitionOffset>();

        // What is not told does not count as without a commit.
        Dictionary<TopicPartition, KafkaException> failures = (asked ?? []).Distinct().ToDictionary(
            static partition => partition,
            partition => (KafkaException)new KafkaProtocolException($"{coordinator.Address} left {partition} of group '{group.GroupId}' out of its answer to OffsetFetch."));
        foreach (OffsetFetchTopicResponse topic in group.Topics)
        {
            foreach (OffsetFetchPartitionResponse partition in topic.Partitions)
            {
                var name = new TopicPartition(topic.Name, partition.Index);
                failures.Remove(name);
                if (partition.ErrorCode != ErrorCode.None)
                {
                    failures[name] = AdminErrors.Of(
                        partition.ErrorCode, $"{coordinator.Address} answered OffsetFetch for {name} of group '{group.GroupId}'", message: null);
                }
                else if (partition.CommittedOffset >= 0)
                {
                    offsets[name] = new TopicPartitionOffset(
                        name, new Offset(partition.CommittedOffset), partition.CommittedLeaderEpoch, partition.Metadata);
                }
            }
        }

        // An open transaction that holds a commit back is waited for.
        if (failures.Values.FirstOrDefault(failure => failure.ErrorCode == ErrorCode.UnstableOffsetCommit) is { } unstable)
        {
            round.Fail(group.GroupId, unstable);
        }
        else
        {
            round.Succeed(group.GroupId, new GroupOffsets(offsets, failures));
        }
    }

    private static OffsetCommitPartition ToCommit(TopicPartitionOffset offset) => new()
    {
        Index = offset.TopicPartition.Partition,
        CommittedOffset = offset.Offset.Value,
        CommittedLeaderEpoch = offset.LeaderEpoch,
        CommittedMetadata = offset.Metadata ?? "",
    };

    private static GroupState ToState(string name) => Enum.TryParse(name, ignoreCase: true, out GroupState state) ? state : GroupState.Unknown;

    private static GroupType ToType(string name) => Enum.TryParse(name, ignoreCase: true, out GroupType type) ? type : GroupType.Unknown;
}
