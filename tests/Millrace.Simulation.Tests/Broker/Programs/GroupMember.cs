using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>
/// A member of a group that shares partitions: joins, shares them out if it leads, goes on where the group is, commits, and leaves or is gone. Its requests travel over
/// connections that are cut.
/// </summary>
internal sealed class GroupMember(BrokerSimulation world, ModelConsumerGroup group) : BrokerProgram(world)
{
    private const string Protocol = "shares";

    // The id and the generation in which it is a member; another id where a commit may still be on its way.
    private string _memberId = "";
    private int _generation;

    public override async Task RunAsync()
    {
        while (!World.IsEnding)
        {
            if (await JoinAsync() is { } joined && await SyncAsync(joined) is { } owned)
            {
                await WorkAsync(owned);
            }

            await World.PauseAsync();
        }

        await LeaveAsync();
    }

    /// <summary>Null: it is not in the group, and tries again.</summary>
    private async Task<JoinGroupResponse?> JoinAsync()
    {
        SimulatedLink link = await LinkAsync();
        JoinGroupRequest request = new()
        {
            GroupId = group.Id,
            SessionTimeoutMilliseconds = 10_000,
            RebalanceTimeoutMilliseconds = 10_000,
            MemberId = _memberId,
            ProtocolType = "consumer",
            Protocols = [new JoinGroupProtocol { Name = Protocol }],
        };
        JoinGroupResponse? response = await link.SendAsync<JoinGroupRequest, JoinGroupResponse>(request, 5);
        switch (response?.ErrorCode)
        {
            case ErrorCode.None:
                _memberId = response.MemberId;
                _generation = response.GenerationId;
                return response;
            case ErrorCode.MemberIdRequired:
                _memberId = response.MemberId;
                return null;
            case null or ErrorCode.CoordinatorNotAvailable or ErrorCode.RebalanceInProgress:
                return null;
            default:
                Require.That(response.ErrorCode == ErrorCode.UnknownMemberId, $"a member that joins is not answered with {response.ErrorCode}");
                _memberId = "";
                return null;
        }
    }

    private async Task<List<TopicPartition>?> SyncAsync(JoinGroupResponse joined)
    {
        SimulatedLink link = await LinkAsync();
        SyncGroupRequest request = new() { GroupId = group.Id, GenerationId = _generation, MemberId = _memberId };
        if (joined.Leader == _memberId)
        {
            request.Assignments.AddRange(joined.Members.Select((member, place) => new SyncGroupAssignment
            {
                MemberId = member.MemberId,
                Assignment = [.. Enumerable.Range(0, BrokerSimulation.Topics.Count).Where(number => number % joined.Members.Count == place).Select(static number => (byte)number)],
            }));
        }

        SyncGroupResponse? response = await link.SendAsync<SyncGroupRequest, SyncGroupResponse>(request, 3);
        if (response is not { ErrorCode: ErrorCode.None })
        {
            _memberId = response is { ErrorCode: ErrorCode.UnknownMemberId } ? "" : _memberId;
            return null;
        }

        group.Assigned(_generation, _memberId, response.Assignment);
        return [.. response.Assignment.Select(static number => BrokerSimulation.Topics[number])];
    }

    private async Task WorkAsync(List<TopicPartition> owned)
    {
        foreach (TopicPartition partition in owned)
        {
            await AskAsync(partition);
        }

        for (int count = World.Next(12); count > 0 && !World.IsEnding; count--)
        {
            await World.PauseAsync();
            bool isIn = owned.Count > 0 && World.Chance(70) ? await CommitAsync(owned[World.Next(owned.Count)]) : await BeatAsync();
            if (!isIn)
            {
                return;
            }
        }

        if (World.Chance(30))
        {
            await LeaveAsync();
        }
        else if (World.Chance(20))
        {
            // It is gone without a word.
            _memberId = "";
        }
    }

    private async Task AskAsync(TopicPartition partition)
    {
        SimulatedLink link = await LinkAsync();
        ModelGroup offsets = group[partition];
        int generation = World.Model[partition].Generation;
        long least = offsets.Promised;
        group.GoesOn(_generation);
        OffsetFetchRequest request = new() { GroupId = group.Id, Topics = [new OffsetFetchTopic { Name = partition.Topic, Partitions = [partition.Partition] }] };
        OffsetFetchResponse? response = await link.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(request, 7);
        if (response is { ErrorCode: ErrorCode.None } && generation == World.Model[partition].Generation)
        {
            offsets.Found(response.Topics[0].Partitions[0].CommittedOffset, World.Model[partition], least);
        }
    }

    /// <summary>False if it has to join again.</summary>
    private async Task<bool> CommitAsync(TopicPartition partition)
    {
        ModelGroup offsets = group[partition];
        SimulatedLink link = await LinkAsync();
        if (await EndAsync(link, partition) is not long end || end <= offsets.Furthest)
        {
            return true;
        }

        offsets.Try(end);
        bool isOver = group.IsOver(_generation);
        OffsetCommitRequest request = new()
        {
            GroupId = group.Id,
            GenerationId = _generation,
            MemberId = _memberId,
            Topics = [new OffsetCommitTopic { Name = partition.Topic, Partitions = [new OffsetCommitPartition { Index = partition.Partition, CommittedOffset = end }] }],
        };
        OffsetCommitResponse? response = await link.SendAsync<OffsetCommitRequest, OffsetCommitResponse>(request, 7);
        if (response is null)
        {
            // It may still arrive, and must not come after a later commit of this member: the next generation shuts it out.
            _memberId = "";
            return false;
        }

        offsets.Settle(end);
        ErrorCode error = World.Sabotage == BrokerSabotage.ForgetGenerations ? ErrorCode.None : response.Topics[0].Partitions[0].ErrorCode;
        if (error == ErrorCode.None)
        {
            Require.That(!isOver, $"no member of generation {_generation} of {group.Id} commits {end} of {partition} once one of a later generation has asked where to go on");
            offsets.Committed(end);
        }

        return Stays(error);
    }

    private async Task<bool> BeatAsync()
    {
        SimulatedLink link = await LinkAsync();
        HeartbeatResponse? response = await link.SendAsync<HeartbeatRequest, HeartbeatResponse>(
            new HeartbeatRequest { GroupId = group.Id, GenerationId = _generation, MemberId = _memberId }, 3);
        return response is null || Stays(response.ErrorCode);
    }

    private bool Stays(ErrorCode error)
    {
        _memberId = error == ErrorCode.UnknownMemberId ? "" : _memberId;
        return error is ErrorCode.None or ErrorCode.CoordinatorNotAvailable;
    }

    private async Task LeaveAsync()
    {
        SimulatedLink link = await LinkAsync();
        LeaveGroupRequest request = new() { GroupId = group.Id, Members = [new LeavingMember { MemberId = _memberId }] };
        _memberId = "";
        await link.SendAsync<LeaveGroupRequest, LeaveGroupResponse>(request, 3);
    }
}
