using System.Collections.Concurrent;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>The instances of one partition, as its owner knows them. The records of one instance come one after the other, different instances side by side.</summary>
/// <param name="partition">The partition's number, in the inbox and in the histories.</param>
/// <param name="epoch">What this owner writes under.</param>
/// <param name="begun">Where its first record is.</param>
internal sealed class SagaPartition(int partition, int epoch, Offset begun)
{
    private readonly ConcurrentDictionary<string, SagaInstance> _instances = new();
    private int _failedWriteCount;
    private volatile bool _isLost;

    public int Partition { get; } = partition;

    public int Epoch { get; } = epoch;

    /// <summary>How many records do not count, since their writers had lost the partition.</summary>
    public int LateRecordCount { get; init; }

    public OwnWrites Writes { get; } = new(begun.Next);

    public int FailedWriteCount => Volatile.Read(ref _failedWriteCount);

    /// <summary>Whether another process has taken the partition over: nothing is written any more.</summary>
    public bool IsLost => _isLost;

    public ICollection<SagaInstance> Instances => _instances.Values;

    public IEnumerable<SagaInstance> Open => _instances.Values.Where(instance => instance.History is not null);

    public SagaInstance? Find(string instanceId) => _instances.GetValueOrDefault(instanceId);

    public void MarkLost() => _isLost = true;

    public void CountFailedWrite() => Interlocked.Increment(ref _failedWriteCount);

    public void Set(SagaInstance instance) => _instances[instance.InstanceId] = instance;
}

/// <summary>One instance. An ended one keeps no history in memory, only how it ended, so that a second start finds it.</summary>
internal sealed record SagaInstance
{
    private SagaInstance(string instanceId, SagaHistory? history, SagaState state, string? reason)
    {
        InstanceId = instanceId;
        History = history;
        State = state;
        Reason = reason;
    }

    public string InstanceId { get; }

    public SagaHistory? History { get; }

    public SagaState State { get; }

    public string? Reason { get; }

    public static SagaInstance Of(SagaHistory history) =>
        new(history.InstanceId, history.Ended is null ? history : null, history.State, history.Reason);

    /// <summary>An instance whose code and history disagree: it shows, and goes on when the right code runs.</summary>
    public static SagaInstance Refused(SagaHistory history, string difference) =>
        new(history.InstanceId, history, SagaState.NeedsAttention, difference);

    /// <summary>An instance whose history cannot be read.</summary>
    public static SagaInstance Unreadable(string instanceId, string problem) =>
        new(instanceId, history: null, SagaState.NeedsAttention, problem);

    public bool HasEnded => State is not (SagaState.Running or SagaState.Compensating);

    public SagaStatus ToStatus() => new(InstanceId, State, Reason, [.. History?.OpenSteps.Select(step => step.Name) ?? []]);
}
