using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>One partition in a fetch, as it was when it was asked for.</summary>
internal readonly record struct FetchTarget(PartitionCursor Cursor, Guid TopicId, Offset Offset, int FetchedEpoch, int LeaderEpoch)
{
    public TopicPartition Partition => Cursor.Partition;
}

/// <summary>
/// One of the two fetches that can be under way at a broker. The first asks for all partitions and, with a session, says only what has changed. The other, on a connection of its
/// own and for a short time, asks for those that were sought, resumed or assigned since: they would wait as long as the first one does.
/// </summary>
/// <param name="nodeId">The broker.</param>
/// <param name="isAside">Whether it is the second one.</param>
/// <param name="partitionMaxByteCount">The most bytes of one partition in one answer.</param>
internal sealed class FetchPlan(int nodeId, bool isAside, int partitionMaxByteCount)
{
    public int NodeId { get; } = nodeId;

    public bool IsAside { get; } = isAside;

    public BrokerAddress Address { get; private set; }

    /// <summary>Kept from one fetch to the next: the list is filled anew each time.</summary>
    public List<FetchTarget> Targets { get; } = [];

    public FetchSession Session { get; } = new(hasSession: !isAside, partitionMaxByteCount);

    /// <summary>From when it is planned to when its answer is in. Until then it belongs to who sends it.</summary>
    public bool IsUnderWay { get; set; }

    /// <summary>The most bytes that it may bring, kept free for it.</summary>
    public int MaxByteCount { get; set; }

    public void Begin(BrokerAddress address)
    {
        Address = address;
        Targets.Clear();
    }
}
