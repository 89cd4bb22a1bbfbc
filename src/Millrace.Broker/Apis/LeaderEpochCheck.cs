using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Compares the leader epoch that a client knows with the partition's own (KIP-320), so that neither acts on the other's past.</summary>
internal static class LeaderEpochCheck
{
    private const int NotGiven = -1;

    public static ErrorCode Judge(PartitionLog partition, int clientEpoch)
    {
        if (clientEpoch == NotGiven || clientEpoch == partition.LeaderEpoch)
        {
            return ErrorCode.None;
        }

        return clientEpoch < partition.LeaderEpoch ? ErrorCode.FencedLeaderEpoch : ErrorCode.UnknownLeaderEpoch;
    }
}
