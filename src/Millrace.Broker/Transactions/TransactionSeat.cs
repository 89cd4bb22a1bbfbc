using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>What a request about a transactional id is answered with.</summary>
internal readonly record struct TransactionAnswer(ErrorCode Error, ProducerIdentity Producer)
{
    public static TransactionAnswer Refused(ErrorCode error) => new(error, ProducerIdentity.None);
}

/// <summary>A transactional id with its lock, the requests that wait, and the markers that are on their way.</summary>
internal sealed class TransactionSeat(TransactionMachine machine)
{
    private readonly Dictionary<long, TaskCompletionSource<TransactionAnswer>> _waiting = [];
    private long _lastRequestId = TransactionMachine.NoRequest;

    public Lock Gate { get; } = new();

    public TransactionMachine Machine { get; } = machine;

    public List<TransactionEffect> Effects { get; } = [];

    /// <summary>The id is forgotten; who still holds this looks it up again.</summary>
    public bool IsDead { get; set; }

    /// <summary>Markers that could not be written yet, since their partition is offline.</summary>
    public MarkersDue? Overdue { get; set; }

    /// <summary>The last decision. Its markers, and those of <see cref="EarlierDecisions"/>, are written or on their way, unless <see cref="Overdue"/> says so.</summary>
    public TransactionState? Decision { get; set; }

    /// <summary>Decisions before that one whose markers may be missing somewhere, oldest first.</summary>
    public IReadOnlyList<OwedMarkers> EarlierDecisions { get; set; } = [];

    /// <summary>Partitions of the decisions that were offline at the start: their markers may be missing there. Until it is known, each record names those decisions.</summary>
    public List<PartitionLog> Doubtful { get; } = [];

    /// <summary>Markers that are written and not known to be on the disk, the last one of each partition. Until they are, a decision that comes next names theirs.</summary>
    public List<AppendedRecords> UnsyncedMarkers { get; } = [];

    /// <summary>What the last record names of earlier decisions.</summary>
    public IReadOnlyList<OwedMarkers> Recorded { get; set; } = [];

    /// <summary>
    /// The leader epoch that each partition of the open transaction had when it came into it. Where it has risen since, the partition was offline and may have lost
    /// records that were not on the disk. Of a topic that was deleted meanwhile, another one of its name has partitions of its own.
    /// </summary>
    public Dictionary<PartitionLog, int> Epochs { get; } = [];

    /// <summary>When markers are tried again, or put on the disk.</summary>
    public TimeSpan? MarkersWakeAt { get; set; }

    /// <summary>What the wake-ups were last told.</summary>
    public TimeSpan? WakesAt { get; set; }

    public long Park(TaskCompletionSource<TransactionAnswer> completion)
    {
        _waiting.Add(++_lastRequestId, completion);
        return _lastRequestId;
    }

    /// <summary>Ends the seat: what is known of its id is read again. Who waits is told to come again.</summary>
    public void Retire()
    {
        IsDead = true;
        RefuseWaiting();
    }

    /// <summary>Tells who waits to come again.</summary>
    public void RefuseWaiting()
    {
        foreach (TaskCompletionSource<TransactionAnswer> completion in _waiting.Values)
        {
            completion.SetResult(TransactionAnswer.Refused(ErrorCode.CoordinatorNotAvailable));
        }

        _waiting.Clear();
    }

    public void Answer(TransactionAnswered answered)
    {
        if (_waiting.Remove(answered.RequestId, out TaskCompletionSource<TransactionAnswer>? completion))
        {
            completion.SetResult(new TransactionAnswer(answered.Error, answered.Producer));
        }
    }
}
