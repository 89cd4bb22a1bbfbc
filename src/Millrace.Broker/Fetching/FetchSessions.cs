using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>What a fetch request turns out to be.</summary>
internal abstract record FetchContext
{
    private FetchContext()
    {
    }

    /// <summary>What is to be fetched.</summary>
    /// <param name="Session">Null: the client has none.</param>
    /// <param name="IsIncremental">Whether the request says only what is new, and the answer too; otherwise every partition is answered.</param>
    internal sealed record Accepted(IReadOnlyList<FetchTarget> Targets, FetchSession? Session, bool IsIncremental) : FetchContext;

    /// <summary>The client has to begin a new session.</summary>
    internal sealed record Refused(ErrorCode Error) : FetchContext;
}

/// <summary>
/// The fetch sessions of all clients (KIP-227), at most so many; a client that gets none goes on with full fetches. Safe for any number of threads.
/// </summary>
internal sealed class FetchSessions
{
    /// <summary>Kafka's <c>max.incremental.fetch.session.cache.slots</c>.</summary>
    public const int MaxSessionCount = 1000;

    /// <summary>Partitions of all sessions together.</summary>
    public const int MaxPartitionCount = 1_000_000;

    /// <summary>A session that was used within this time does not give way to a new one (Kafka's <c>min.incremental.fetch.session.eviction.ms</c>).</summary>
    public static readonly TimeSpan MinIdleTimeForEviction = TimeSpan.FromMinutes(2);

    // Session epochs with a meaning of their own.
    private const int InitialEpoch = 0;
    private const int FinalEpoch = -1;

    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly Random _random;

    // Guarded by the lock. The session that was used last is at the end.
    private readonly Dictionary<int, LinkedListNode<FetchSession>> _byId = [];
    private readonly LinkedList<FetchSession> _byUse = [];
    private int _partitionCount;

    public FetchSessions(TimeProvider time, Random random)
    {
        _time = time;
        _random = random;
    }

    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _byId.Count;
            }
        }
    }

    public FetchContext Begin(FetchRequest request, bool namesTopicsById)
    {
        switch (request.SessionEpoch)
        {
            case FinalEpoch:
                Close(request.SessionId);
                return new FetchContext.Accepted(TargetsOf(request), Session: null, IsIncremental: false);
            case InitialEpoch:
                Close(request.SessionId);
                return new FetchContext.Accepted(TargetsOf(request), Open(request, namesTopicsById), IsIncremental: false);
            default:
                return Continue(request, namesTopicsById);
        }
    }

    private static List<FetchTarget> TargetsOf(FetchRequest request)
    {
        List<FetchTarget> targets = [];
        foreach (FetchTopic topic in request.Topics)
        {
            foreach (FetchPartition asked in topic.Partitions)
            {
                targets.Add(new FetchTarget(FetchKey.Of(topic, asked.Index), asked));
            }
        }

        return targets;
    }

    private FetchSession? Open(FetchRequest request, bool namesTopicsById)
    {
        int partitionCount = request.Topics.Sum(static topic => topic.Partitions.Count);
        if (partitionCount is 0 or > MaxPartitionCount)
        {
            return null;
        }

        lock (_lock)
        {
            while (_byId.Count == MaxSessionCount || _partitionCount + partitionCount > MaxPartitionCount)
            {
                if (!TryEvictOldest())
                {
                    return null;
                }
            }

            var session = new FetchSession(NewId(), namesTopicsById) { LastUsed = _time.GetTimestamp() };
            session.Update(request);
            _byId.Add(session.Id, _byUse.AddLast(session));
            _partitionCount += session.PartitionCount;
            return session;
        }
    }

    private FetchContext Continue(FetchRequest request, bool namesTopicsById)
    {
        lock (_lock)
        {
            if (!_byId.TryGetValue(request.SessionId, out LinkedListNode<FetchSession>? node))
            {
                return new FetchContext.Refused(ErrorCode.FetchSessionIdNotFound);
            }

            FetchSession session = node.Value;
            if (request.SessionEpoch != session.NextEpoch)
            {
                return new FetchContext.Refused(ErrorCode.InvalidFetchSessionEpoch);
            }

            if (namesTopicsById != session.NamesTopicsById)
            {
                return new FetchContext.Refused(ErrorCode.FetchSessionTopicIdError);
            }

            int before = session.PartitionCount;
            IReadOnlyList<FetchTarget> targets = session.Continue(request);
            _partitionCount += session.PartitionCount - before;
            session.LastUsed = _time.GetTimestamp();
            _byUse.Remove(node);
            _byUse.AddLast(node);
            while (_partitionCount > MaxPartitionCount && TryEvictOldest())
            {
                // As where a new one wants room.
            }

            if (_partitionCount > MaxPartitionCount)
            {
                Remove(node);
                return new FetchContext.Refused(ErrorCode.FetchSessionIdNotFound);
            }

            if (targets.Count > 0)
            {
                return new FetchContext.Accepted(targets, session, IsIncremental: true);
            }

            // Nothing is left to remember.
            Remove(node);
            return new FetchContext.Accepted([], Session: null, IsIncremental: false);
        }
    }

    private void Close(int id)
    {
        lock (_lock)
        {
            if (_byId.TryGetValue(id, out LinkedListNode<FetchSession>? node))
            {
                Remove(node);
            }
        }
    }

    private bool TryEvictOldest()
    {
        LinkedListNode<FetchSession> oldest = _byUse.First!;
        if (_time.GetElapsedTime(oldest.Value.LastUsed) < MinIdleTimeForEviction)
        {
            return false;
        }

        Remove(oldest);
        return true;
    }

    private void Remove(LinkedListNode<FetchSession> node)
    {
        _byId.Remove(node.Value.Id);
        _byUse.Remove(node);
        _partitionCount -= node.Value.PartitionCount;
    }

    /// <summary>By chance, so that the id of a session from before a restart is not taken for one of now; never 0, which stands for none.</summary>
    private int NewId()
    {
        int id;
        do
        {
            id = _random.Next(1, int.MaxValue);
        }
        while (_byId.ContainsKey(id));
        return id;
    }
}
