using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// One partition of a coordinator's topic: appends records, and says of each append that has to be on the disk, in the order of the log, whether it is.
/// </summary>
/// <remarks>
/// The order is what makes a rebalance safe: the record of a generation stands behind every commit of the generation before it, so that a member
/// that has its assignment finds those commits. A log that was offline may have come back with less, or with what was taken for lost; so this ends with the leader
/// epoch in which it began, and another one takes its place when the log has been read again.
/// </remarks>
internal sealed class CoordinatorPartition : IThreadPoolWorkItem
{
    private readonly Lock _gate = new();
    private readonly PartitionLog _log;
    private readonly BrokerRuntime _runtime;
    private readonly ILogger _logger;
    private readonly int _leaderEpoch;
    private volatile bool _isLoaded;

    // Guarded by the gate.
    private readonly Queue<Pending> _undecided = new();
    private bool _isDrainQueued;
    private bool _isRetired;

    /// <summary>Begins with the log as it is now; what it holds is to be read after this.</summary>
    public CoordinatorPartition(PartitionLog log, BrokerRuntime runtime, ILogger logger)
    {
        _log = log;
        _runtime = runtime;
        _logger = logger;
        _leaderEpoch = log.LeaderEpoch;
        _log.Progressed += QueueDrain;
    }

    /// <summary>Called once for an append: with <see cref="ErrorCode.None"/> when the records are on the disk; after an error they may be there or not.</summary>
    public delegate void Decided(ErrorCode error, Offset baseOffset);

    private readonly record struct Pending(Offset BaseOffset, AppendedRecords Records, Decided Decided, Action Abandoned);

    public TopicPartition TopicPartition => _log.TopicPartition;

    public int LeaderEpoch => _log.LeaderEpoch;

    /// <summary>Whether the log is the one that this began with.</summary>
    public bool IsCurrent => _log.LeaderEpoch == _leaderEpoch;

    /// <summary>Whether all that the log holds is known, and requests may be answered from it.</summary>
    public bool Serves => _isLoaded && IsCurrent;

    /// <summary>Whether it can be written to.</summary>
    public bool IsOnline => _log.IsOnline;

    /// <summary>The log is read, and what follows from it is done.</summary>
    public void MarkLoaded() => _isLoaded = true;

    /// <summary>Nothing more is appended through this; what was is decided all the same.</summary>
    public void Retire()
    {
        lock (_gate)
        {
            _isRetired = true;
            ReleaseIfDone();
        }

        QueueDrain(_log);
    }

    /// <summary>
    /// Appends the batch, and returns why it is refused; then nothing was written. If it is not, <paramref name="decided"/> is called once, on another
    /// thread and in the order of the appends.
    /// </summary>
    /// <param name="batch">The records.</param>
    /// <param name="decided">Takes the outcome.</param>
    /// <param name="abandoned">Called where <paramref name="decided"/> has thrown, which is a bug: tells who waits for the outcome that it is not known.</param>
    public ErrorCode Append(Memory<byte> batch, Decided decided, Action abandoned)
    {
        lock (_gate)
        {
            // Both under the gate: of two appends, the one with the lower offsets must be the first in the queue.
            if (_isRetired)
            {
                return ErrorCode.CoordinatorNotAvailable;
            }

            switch (_log.Append(batch.Span, AppendDurability.Disk, int.MaxValue, leaderEpoch: _leaderEpoch))
            {
                case AppendResult.Appended appended:
                    _undecided.Enqueue(new Pending(appended.BaseOffset, new AppendedRecords(_log, appended.LastOffset, appended.LeaderEpoch), decided, abandoned));
                    return ErrorCode.None;
                case AppendResult.Rejected { Rejection: AppendRejection.MessageTooLarge }:
                    return ErrorCode.MessageTooLarge;
                default:
                    return ErrorCode.CoordinatorNotAvailable;
            }
        }
    }

    /// <summary>Appends a batch that need not be on the disk, such as one of a producer's transaction.</summary>
    public AppendResult AppendToCache(Memory<byte> batch) =>
        _log.Append(batch.Span, AppendDurability.PageCache, int.MaxValue, AppendOrigin.Coordinator, leaderEpoch: _leaderEpoch);

    /// <summary>Runs on the pool; at most one at a time.</summary>
    void IThreadPoolWorkItem.Execute()
    {
        while (true)
        {
            Pending next;
            ErrorCode outcome;
            lock (_gate)
            {
                // The flag falls under the gate: progress that is published after this look finds it down, and queues another drain.
                if (!TryDecide(out next, out outcome))
                {
                    _isDrainQueued = false;
                    ReleaseIfDone();
                    return;
                }
            }

            Tell(next, outcome);
        }
    }

    /// <summary>Nothing that goes wrong there may end the process, as an exception on a thread of the pool does, or keep the outcome from those behind it.</summary>
    private void Tell(in Pending pending, ErrorCode outcome)
    {
        try
        {
            pending.Decided(outcome, pending.BaseOffset);
        }
        catch (Exception bug)
        {
            LogMessages.CoordinatorFailed(_logger, bug, $"the outcome of a write to {TopicPartition}");
            pending.Abandoned();
        }
    }

    private void ReleaseIfDone()
    {
        if (_isRetired && _undecided.Count == 0)
        {
            _log.Progressed -= QueueDrain;
        }
    }

    private bool TryDecide(out Pending next, out ErrorCode outcome)
    {
        outcome = ErrorCode.None;
        if (!_undecided.TryPeek(out next))
        {
            return false;
        }

        // First the state, then the disk: a partition that failed after the sync of these records has kept them.
        bool wereOnTheirWay = next.Records.AreOnTheirWay;
        if (!next.Records.AreOnDisk)
        {
            if (wereOnTheirWay)
            {
                return false;
            }

            outcome = ErrorCode.CoordinatorNotAvailable;
        }

        _undecided.Dequeue();
        return true;
    }

    /// <summary>
    /// The log reports progress on its flusher, or on a thread that is in the middle of <see cref="Append"/> and may hold the lock of a group:
    /// neither may run what waits here.
    /// </summary>
    private void QueueDrain(PartitionLog log)
    {
        lock (_gate)
        {
            if (_isDrainQueued || _undecided.Count == 0)
            {
                return;
            }

            _isDrainQueued = true;
        }

        _runtime.Queue(this);
    }
}
