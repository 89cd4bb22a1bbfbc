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
internal sealed class SimulatedCommitter : IAsyncDisposable
{
    private const int MaxRunningCount = 4;

    private readonly SimulatedStorage _storage;
    private readonly Random _random;
    private readonly BrokerSabotage _sabotage;
    private readonly ITimer _timer;
    private readonly List<PartitionLog> _queue = [];
    private readonly List<(PartitionLog Log, SyncWork Work)> _running = [];
    private readonly List<SyncWork> _late = [];
    private bool _isHousekeepingDue;

    public SimulatedCommitter(LogDirectory log, TimeProvider time, SimulatedStorage storage, Random random, BrokerSabotage sabotage)
    {
        Log = log;
        _storage = storage;
        _random = random;
        _sabotage = sabotage;
        TimeSpan interval = new GroupCommitterOptions().RecoveryPointInterval;
        _timer = time.CreateTimer(_ => _isHousekeepingDue |= log.AreRecoveryPointsStale || log.HasDueReopening, null, interval, interval);
        log.Attach(_queue.Add);
    }

    public LogDirectory Log { get; }

    public bool HasWork => _queue.Count + _running.Count + _late.Count > 0 || _isHousekeepingDue;

    public void RunOne()
    {
        if (_isHousekeepingDue && _random.Next(4) == 0)
        {
            _isHousekeepingDue = false;
            Log.WriteRecoveryPoints();
            Log.ReopenDue();
        }
        else if (_running.Count > 0 && (_queue.Count == 0 || _running.Count == MaxRunningCount || _random.Next(2) == 0))
        {
            (PartitionLog log, SyncWork work) = Take(_running);
            Exception? error = work.TryRun();
            log.EndSync(work, error);
            _isHousekeepingDue |= work.CompletesSegment;
            if (error is IOException && _random.Next(2) == 0)
            {
                DropCleanPages($"{Log.Path}/{log.TopicPartition}");
            }
        }
        else if (_queue.Count > 0)
        {
            PartitionLog next = Take(_queue);
            if (_sabotage != BrokerSabotage.LoseSyncs || _random.Next(10) > 0)
            {
                Begin(next);
            }
        }
        else if (_late.Count > 0)
        {
            Take(_late).TryRun();
        }
    }

    public ValueTask DisposeAsync()
    {
        Log.Detach();
        _timer.Dispose();
        while (_queue.Count + _running.Count + _late.Count > 0)
        {
            _isHousekeepingDue = false;
            RunOne();
        }

        return ValueTask.CompletedTask;
    }

    private void Begin(PartitionLog log)
    {
        if (log.BeginSync() is not { } work)
        {
            return;
        }

        if (IsSabotaged(log.TopicPartition.Topic))
        {
            log.EndSync(work, error: null);
            _late.Add(work);
        }
        else
        {
            _running.Add((log, work));
        }
    }

    /// <summary>After a failed sync pages are taken for clean that the disk never got; then memory gets scarce.</summary>
    private void DropCleanPages(string directory)
    {
        foreach (StorageEntry file in _storage.List(directory))
        {
            _storage.DropCleanPages($"{directory}/{file.Name}");
        }
    }

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
