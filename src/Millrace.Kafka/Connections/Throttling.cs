using System.Collections.Frozen;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>
/// From which version of an API on it is the client that waits out a throttle time (KIP-219). In earlier ones the broker has waited before it answered; where an API has
/// no row, every version is the client's.
/// </summary>
internal static class Throttling
{
    private static readonly FrozenDictionary<ApiKey, short> FirstVersions = new Dictionary<ApiKey, short>
    {
        [ApiKey.Produce] = 6,
        [ApiKey.Fetch] = 8,
        [ApiKey.ListOffsets] = 3,
        [ApiKey.Metadata] = 6,
        [ApiKey.OffsetCommit] = 4,
        [ApiKey.OffsetFetch] = 4,
        [ApiKey.FindCoordinator] = 2,
        [ApiKey.JoinGroup] = 3,
        [ApiKey.Heartbeat] = 2,
        [ApiKey.LeaveGroup] = 2,
        [ApiKey.SyncGroup] = 2,
        [ApiKey.DescribeGroups] = 2,
        [ApiKey.ListGroups] = 2,
        [ApiKey.ApiVersions] = 2,
        [ApiKey.CreateTopics] = 3,
        [ApiKey.DeleteTopics] = 2,
        [ApiKey.DeleteRecords] = 1,
        [ApiKey.InitProducerId] = 1,
        [ApiKey.AddPartitionsToTxn] = 1,
        [ApiKey.AddOffsetsToTxn] = 1,
        [ApiKey.EndTxn] = 1,
        [ApiKey.TxnOffsetCommit] = 1,
        [ApiKey.DescribeAcls] = 1,
        [ApiKey.CreateAcls] = 1,
        [ApiKey.DeleteAcls] = 1,
        [ApiKey.DescribeConfigs] = 2,
        [ApiKey.AlterConfigs] = 1,
        [ApiKey.AlterReplicaLogDirs] = 1,
        [ApiKey.DescribeLogDirs] = 1,
        [ApiKey.CreatePartitions] = 1,
        [ApiKey.DeleteGroups] = 1,
    }.ToFrozenDictionary();

    public static bool IsForClient(ApiKey key, short version) => !FirstVersions.TryGetValue(key, out short first) || version >= first;
}
