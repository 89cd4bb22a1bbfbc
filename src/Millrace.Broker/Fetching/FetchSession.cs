using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// The partitions that a client fetches again and again, so that each of its requests names only what has changed, and each response too (KIP-227).
/// Safe for several threads, though a client has at most one request of a session under way.
/// </summary>
internal sealed class FetchSession(int id, bool namesTopicsById)
{
    private const int FirstEpoch = 1;

    private readonly Lock _lock = new();

    // In the order in which they are read. A partition that gave records goes to the end, so that a busy one does not starve those behind it.
    private readonly LinkedList<SessionPartition> _order = [];
    private readonly Dictionary<FetchKey, LinkedListNode<SessionPartition>> _byKey = [];

    public int Id { get; } = id;

    public bool NamesTopicsById { get; } = namesTopicsById;

    /// <summary>That the next request has to carry.</summary>
    public int NextEpoch { get; private set; } = FirstEpoch;

    /// <summary>When it was used last, by the table's clock.</summary>
    public long LastUsed { get; set; }

    public int PartitionCount => _byKey.Count;

    /// <summary>0 begins a session and -1 ends one: neither comes again.</summary>
    internal static int EpochAfter(int epoch) => epoch == int.MaxValue ? FirstEpoch : epoch + 1;

    /// <summary>Takes the partitions that a request adds, changes or drops.</summary>
    public void Update(FetchRequest request)
    {
        lock (_lock)
        {
            UpdateUnderLock(request);
        }
    }

    /// <summary>The next request's partitions and epoch. Gives what is to be fetched.</summary>
    public IReadOnlyList<FetchTarget> Continue(FetchRequest request)
    {
        lock (_lock)
        {
            UpdateUnderLock(request);
            NextEpoch = EpochAfter(NextEpoch);
            return [.. _order.Select(static partition => new FetchTarget(partition.Key, partition.Asked))];
        }
    }

    /// <summary>
    /// Takes note of what a partition is answered with. Says whether the client has to be told: of records, an error, or offsets that have moved since
    /// it was told last.
    /// </summary>
    public bool TakeNote(FetchTarget target, FetchPartitionResponse response)
    {
        lock (_lock)
        {
            return !_byKey.TryGetValue(target.Key, out LinkedListNode<SessionPartition>? node) || TakeNote(node, target, response);
        }
    }

    private void UpdateUnderLock(FetchRequest request)
    {
        foreach (FetchTopic topic in request.Topics)
        {
            foreach (FetchPartition asked in topic.Partitions)
            {
                AddOrChange(FetchKey.Of(topic, asked.Index), asked);
            }
        }

        foreach (ForgottenTopic topic in request.ForgottenTopics)
        {
            foreach (int partition in topic.Partitions)
            {
                Forget(FetchKey.Of(topic, partition));
            }
        }
    }

    private bool TakeNote(LinkedListNode<SessionPartition> node, FetchTarget target, FetchPartitionResponse response)
    {
        SessionPartition partition = node.Value;
        bool hasMoved = partition.HighWatermark != response.HighWatermark || partition.LogStartOffset != response.LogStartOffset;

        // After an error the offsets are unknown (-1), so that the next answer is told, whatever it is.
        partition.HighWatermark = response.HighWatermark;
        partition.LogStartOffset = response.LogStartOffset;
        if (target.ByteCount > 0)
        {
            _order.Remove(node);
            _order.AddLast(node);
        }

        return hasMoved || target.ByteCount > 0 || response.ErrorCode != ErrorCode.None || response.DivergingEpoch is not null;
    }

    private void AddOrChange(FetchKey key, FetchPartition asked)
    {
        if (_byKey.TryGetValue(key, out LinkedListNode<SessionPartition>? node))
        {
            node.Value.Asked = asked;
        }
        else
        {
            _byKey.Add(key, _order.AddLast(new SessionPartition(key, asked)));
        }
    }

    private void Forget(FetchKey key)
    {
        if (_byKey.Remove(key, out LinkedListNode<SessionPartition>? node))
        {
            _order.Remove(node);
        }
    }

    /// <summary>What the client asks of a partition, and what it was told of it last; -1 for nothing yet.</summary>
    private sealed class SessionPartition(FetchKey key, FetchPartition asked)
    {
        public FetchKey Key { get; } = key;
        public FetchPartition Asked { get; set; } = asked;
        public long HighWatermark { get; set; } = -1;
        public long LogStartOffset { get; set; } = -1;
    }
}
