using System.Diagnostics.CodeAnalysis;
using Millrace.Broker;
using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <summary>Threads and chance of a broker, from a seed.</summary>
internal sealed class SimulatedRuntime(SimulatedThread thread, SimulatedStorage storage, Random random, BrokerSabotage sabotage) : BrokerRuntime
{
    /// <summary>Null until the log is open.</summary>
    public SimulatedCommitter? Committer { get; private set; }

    public override IAsyncDisposable StartCommitter(LogDirectory log, TimeProvider time) => Committer = new SimulatedCommitter(log, time, storage, random, sabotage);

    public override void Queue(IThreadPoolWorkItem work) => thread.Post(static work => ((IThreadPoolWorkItem)work!).Execute(), work);

    public override void Randomize(Span<byte> bytes) => random.NextBytes(bytes);
}

/// <summary>The flushers of a log, one step at a time: what happens between the begin and the end of a sync is up to chance.</summary>
internal sealed class SimulatedCommitter : IAsyncDisposable, ICommitter
{
    private const int MaxRunningCount = 4;

    private readonly SimulatedStorage _storage;
    private readonly Random _random;
    private readonly BrokerSabotage _sabotage;
    private readonly ITimer _timer;
    private readonly CommitQueue _queue;
    private readonly List<CommitTask> _running = [];
    private readonly List<CommitTask> _late = [];

    // Taken from the queue as soon as it has something: then it is known whether there is.
    private CommitTask? _next;

    public SimulatedCommitter(LogDirectory log, TimeProvider time, SimulatedStorage storage, Random random, BrokerSabotage sabotage)
    {
        Log = log;
        _storage = storage;
        _random = random;
        _sabotage = sabotage;
        _queue = new CommitQueue(log, MaxRunningCount - 1);
        TimeSpan interval = new GroupCommitterOptions().RecoveryPointInterval;
        _timer = time.CreateTimer(_ => QueueHousekeeping(), null, interval, interval);
        log.Attach(this);
    }

    public LogDirectory Log { get; }

    /// <summary>Rounds of the journal that have ended.</summary>
    public int RoundCount { get; private set; }

    public bool HasWork => (_next ??= _queue.TryTake()) is not null || _running.Count + _late.Count > 0;

    public void RunOne()
    {
        _next ??= _queue.TryTake();
        if (_running.Count > 0 && (_next is null || _running.Count == MaxRunningCount || _random.Next(2) == 0))
        {
            End(Take(_running));
        }
        else if (_next is { } task)
        {
            _next = null;
            Begin(task);
        }
        else if (_late.Count > 0)
        {
            Take(_late).Run();
        }
    }

    public ValueTask DisposeAsync()
    {
        Log.Detach();
        _timer.Dispose();
        while (_queue.HasWork || _running.Count > 0 || _next is not null || _late.Count > 0)
        {
            RunOne();
        }

        return ValueTask.CompletedTask;
    }

    void ICommitter.Queue(ReadOnlySpan<PartitionLog> logs, bool mayBlock)
    {
        bool isForHere = mayBlock && _next is null && _running.Count == 0 && _queue.IsIdle && _random.Next(2) == 0;
        foreach (PartitionLog partition in logs)
        {
            if (_sabotage != BrokerSabotage.LoseSyncs || _random.Next(10) > 0)
            {
                _queue.Add(partition);
            }
        }

        if (isForHere && _queue.TryTake() is { } task)
        {
            // As by the thread that has appended.
            Begin(task);
            _running.ToList().ForEach(End);
            _running.Clear();
        }
    }

    private void QueueHousekeeping()
    {
        if (Log.NeedsHousekeeping)
        {
            _queue.AddHousekeeping();
        }
    }

    private void Begin(CommitTask task)
    {
        bool hasBegun = task.TryBegin();
        _queue.Begun(task);
        if (!hasBegun)
        {
            _queue.Ended(task);
        }
        else if (IsSabotaged(task))
        {
            task.End();
            _queue.Ended(task);
            if (task is FilesTask)
            {
                // A round is never written: the next one has its buffer.
                _late.Add(task);
            }
        }
        else
        {
            _running.Add(task);
        }
    }

    private void End(CommitTask task)
    {
        task.Run();
        task.End();
        _queue.Ended(task);
        RoundCount += task is RoundTask ? 1 : 0;
        if (task is FilesTask { Error: IOException } failed && _random.Next(2) == 0)
        {
            DropCleanPages($"{Log.Path}/{failed.Log.TopicPartition}");
        }
    }

    /// <summary>After a failed sync pages are taken for clean that the disk never got; then memory gets scarce.</summary>
    private void DropCleanPages(string directory)
    {
        foreach (StorageEntry file in _storage.Peek(directory))
        {
            _storage.DropCleanPages($"{directory}/{file.Name}");
        }
    }

    private bool IsSabotaged(CommitTask task) => task switch
    {
        FilesTask files => IsSabotaged(files.Log.TopicPartition.Topic),
        RoundTask round => round.Logs.Any(log => IsSabotaged(log.TopicPartition.Topic)),
        _ => false,
    };

    private bool IsSabotaged(string topic) => _sabotage switch
    {
        BrokerSabotage.AcknowledgeRecordsBeforeSync => !topic.StartsWith("__", StringComparison.Ordinal),
        BrokerSabotage.AcknowledgeOffsetsBeforeSync => topic == "__consumer_offsets",
        BrokerSabotage.AcknowledgeDecisionsBeforeSync => topic == "__transaction_state",
        _ => false,
    };

    private T Take<T>(List<T> list)
    {
        int number = _random.Next(list.Count);
        T taken = list[number];
        list.RemoveAt(number);
        return taken;
    }
}

/// <summary>What is broken on purpose, to show that the simulation can fail.</summary>
internal enum BrokerSabotage
{
    None,

    /// <summary>The disk says that it has flushed, and has not.</summary>
    FlushDoesNothing,

    /// <summary>The disk says that it has flushed the journal, and has not.</summary>
    JournalFlushDoesNothing,

    /// <summary>What the journal has is not written back at a start.</summary>
    ForgetJournal,

    /// <summary>acks=all is answered before the sync, and so is the first barrier of a transaction passed.</summary>
    AcknowledgeRecordsBeforeSync,

    /// <summary>A commit of offsets is answered before the sync.</summary>
    AcknowledgeOffsetsBeforeSync,

    /// <summary>The end of a transaction is answered before its decision is synced.</summary>
    AcknowledgeDecisionsBeforeSync,

    /// <summary>Batches that are sent again are not recognised.</summary>
    ForgetSequences,

    /// <summary>Who wants committed records gets all, and no list of aborted transactions.</summary>
    ForgetIsolation,

    /// <summary>The list of aborted transactions is lost on the way.</summary>
    ForgetAborted,

    /// <summary>Of a committed offset it is not known any more of which log it was.</summary>
    ForgetCommitOrigins,

    /// <summary>A process that is killed takes along what it had written, as if the power had failed; and nobody knows.</summary>
    KillLosesCache,

    /// <summary>A sync that is wanted is never done.</summary>
    LoseSyncs,

    /// <summary>A high watermark falls by one.</summary>
    LowerWatermarks,

    /// <summary>Where logs start is lost with the process.</summary>
    ForgetLogStarts,

    /// <summary>A deletion of a topic is acknowledged, and not done.</summary>
    ForgetDeletions,

    /// <summary>A commit is acknowledged whichever generation its member is in.</summary>
    ForgetGenerations,

    /// <summary>A producer that is shut out is told that its transaction has ended as it wanted.</summary>
    ForgetFencing,

    /// <summary>A search by time looks for a later one.</summary>
    ShiftTimes,

    /// <summary>The disk has flipped a bit that nobody has looked at yet.</summary>
    RotBits,
}

internal static class Require
{
    public static void That([DoesNotReturnIf(false)] bool condition, string what)
    {
        if (!condition)
        {
            throw new SimulationException("It does not hold that " + what);
        }
    }
}
