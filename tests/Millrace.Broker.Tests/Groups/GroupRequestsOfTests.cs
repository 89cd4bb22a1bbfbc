using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

/// <summary>The requests of a member, with what most tests do not care about left out.</summary>
internal static class GroupRequestsOfTests
{
    public static JoinGroupRequest Join(string group, string memberId = "", string? instanceId = null, int sessionSeconds = 10, string metadata = "") => new()
    {
        GroupId = group,
        MemberId = memberId,
        GroupInstanceId = instanceId,
        SessionTimeoutMilliseconds = sessionSeconds * 1000,
        RebalanceTimeoutMilliseconds = 60_000,
        ProtocolType = "consumer",
        Protocols = [new JoinGroupProtocol { Name = "range", Metadata = Encoding.UTF8.GetBytes(metadata) }],
    };

    public static Task<JoinGroupResponse> JoinAsync(this TestClient client, JoinGroupRequest request, short version = 9) =>
        client.SendAsync<JoinGroupRequest, JoinGroupResponse>(request, version);

    /// <summary>Joins as a client of today does: asks for an id, and comes back with it.</summary>
    public static async Task<JoinGroupResponse> JoinAsync(this TestClient client, string group, int sessionSeconds = 10)
    {
        JoinGroupResponse first = await client.JoinAsync(Join(group, sessionSeconds: sessionSeconds));
        Assert.Equal(ErrorCode.MemberIdRequired, first.ErrorCode);
        return await client.JoinAsync(Join(group, first.MemberId, sessionSeconds: sessionSeconds));
    }

    public static SyncGroupRequest Sync(string group, JoinGroupResponse joined, params (string MemberId, string Assignment)[] assignments) => new()
    {
        GroupId = group,
        GenerationId = joined.GenerationId,
        MemberId = joined.MemberId,
        Assignments = [.. assignments.Select(pair => new SyncGroupAssignment { MemberId = pair.MemberId, Assignment = Encoding.UTF8.GetBytes(pair.Assignment) })],
    };

    public static Task<SyncGroupResponse> SyncAsync(this TestClient client, SyncGroupRequest request, short version = 5) =>
        client.SendAsync<SyncGroupRequest, SyncGroupResponse>(request, version);

    public static async Task<ErrorCode> HeartbeatAsync(this TestClient client, string group, JoinGroupResponse joined, short version = 4) =>
        (await client.SendAsync<HeartbeatRequest, HeartbeatResponse>(
            new HeartbeatRequest { GroupId = group, MemberId = joined.MemberId, GenerationId = joined.GenerationId }, version)).ErrorCode;

    public static OffsetCommitRequest Commit(string group, string topic, long offset, string memberId = "", int generation = -1, string? metadata = "", int partition = 0, int epoch = -1) => new()
    {
        GroupId = group,
        MemberId = memberId,
        GenerationId = generation,
        Topics =
        [
            new OffsetCommitTopic
            {
                Name = topic,
                Partitions = [new OffsetCommitPartition { Index = partition, CommittedOffset = offset, CommittedMetadata = metadata, CommittedLeaderEpoch = epoch }],
            },
        ],
    };

    public static async Task<ErrorCode> CommitAsync(this TestClient client, OffsetCommitRequest request, short version = 9) =>
        (await client.SendAsync<OffsetCommitRequest, OffsetCommitResponse>(request, version)).Topics[0].Partitions[0].ErrorCode;

    public static async Task<OffsetFetchPartitionResponse> FetchOffsetAsync(this TestClient client, string group, string topic, int partition = 0, short version = 9)
    {
        List<OffsetFetchTopic> topics = [new OffsetFetchTopic { Name = topic, Partitions = [partition] }];
        OffsetFetchRequest request = version >= 8
            ? new OffsetFetchRequest { Groups = [new OffsetFetchGroup { GroupId = group, Topics = topics }] }
            : new OffsetFetchRequest { GroupId = group, Topics = topics };
        OffsetFetchResponse response = await client.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(request, version);
        ErrorCode error = version >= 8 ? response.Groups[0].ErrorCode : response.ErrorCode;
        Assert.Equal(ErrorCode.None, error);
        return (version >= 8 ? response.Groups[0].Topics : response.Topics)[0].Partitions[0];
    }
}
