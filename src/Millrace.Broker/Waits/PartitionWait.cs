using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>How a wait ended.</summary>
internal enum WaitOutcome
{
    /// <summary>What was waited for is there.</summary>
    Satisfied,

    /// <summary>The deadline came first.</summary>
    TimedOut,

    /// <summary>The broker stops: answer with what there is.</summary>
    Stopping,

    /// <summary>The client is gone: nobody reads the answer.</summary>
    Aborted,
}

/// <summary>
/// A request that waits for partitions to move: a fetch for bytes below the high watermark, a produce for its records to be on the disk.
/// It ends once, by whoever comes first: progress, the deadline, the stop of the broker, or the end of the connection.
/// </summary>
internal abstract class PartitionWait
{
    // Continuations run elsewhere: whoever reports progress (a flusher, another connection's append) must not run this request's answer on its way.
    private readonly TaskCompletionSource<WaitOutcome> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The partitions whose progress can satisfy this wait.</summary>
    public abstract IReadOnlyList<TopicPartition> Partitions { get; }

    /// <summary>Whether the stop of the broker ends the wait. A produce is not ended: its records are on the way to the disk.</summary>
    public abstract bool EndsAtStop { get; }

    public bool IsCompleted => _completion.Task.IsCompleted;

    internal Task<WaitOutcome> Completion => _completion.Task;

    /// <summary>Looks at the partitions as they are now. Without effects, since it may run on several threads at once and after the end.</summary>
    public abstract bool IsSatisfied();

    /// <summary>Ends the wait; false if it has ended before.</summary>
    internal bool TryComplete(WaitOutcome outcome) => _completion.TrySetResult(outcome);
}
