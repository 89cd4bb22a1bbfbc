using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// One partition of a coordinator's topic: appends records, and says of each append that has to be on the disk, in the order of the log, whether it is.
/// </summary>
/// <remarks>
/// The order is what makes a rebalance safe: the record of a generation stands behind every commit of the generation before it, so that a member
/// that has its assignment finds those commits.
/// </remarks>
internal sealed class CoordinatorPartition : IThreadPoolWorkItem
{
    private readonly Lock _gate = new();
    private readonly PartitionLog _log;

    // Guarded by the gate.
    private readonly Queue<Pending> _undecided = new();
    private bool _isDrainQueued;

    public CoordinatorPartition(PartitionLog log)
    {
        _log = log;
        _log.Progressed += _ => QueueDrain();
    }

    /// <summary>Called once for an append: with <see cref="ErrorCode.None"/> when the records are on the disk; after an error they may be there or not.</summary>
    public delegate void Decided(ErrorCode error, Offset baseOffset);

    private readonly record struct Pending(Offset BaseOffset, AppendedRecords Records, Decided Decided);

    public TopicPartition TopicPartition => _log.TopicPartition;

    public int LeaderEpoch => _log.LeaderEpoch;

    /// <summary>
    /// Appends the batch, and returns why it is refused; then nothing was written. If it is not, <paramref name="decided"/> is called once, on another
    /// thread and in the order of the appends.
    /// </summary>
    public ErrorCode Append(Memory<byte> batch, Decided decided)
    {
        lock (_gate)
        {
            // Both under the gate: of two appends, the one with the lower offsets must be the first in the queue.
            switch (_log.Append(batch.Span, AppendDurability.Disk, int.MaxValue))
            {
                case AppendResult.Appended appended:
                    _undecided.Enqueue(new Pending(appended.BaseOffset, new AppendedRecords(_log, appended.LastOffset, appended.LeaderEpoch), decided));
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
        _log.Append(batch.Span, AppendDurability.PageCache, int.MaxValue, AppendOrigin.Coordinator);

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
                    return;
                }
            }

            next.Decided(outcome, next.BaseOffset);
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
    private void QueueDrain()
    {
        lock (_gate)
        {
            if (_isDrainQueued || _undecided.Count == 0)
            {
                return;
            }

            _isDrainQueued = true;
        }

        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }
}
