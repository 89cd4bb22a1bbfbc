using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>
/// What waits for the coordinators after the partition came back: it may have lost the marker of a transaction that has ended, or was not there when the broker
/// started and ended those that nobody goes on with.
/// </content>
public sealed partial class PartitionLog
{
    // Guarded by the writer lock.
    private bool _awaitsSettlement;

    /// <summary>
    /// Whether it came back with open transactions of which nobody has said since whether they go on. Until then nothing is written in a transaction: it could
    /// become part of one that is over.
    /// </summary>
    public bool AwaitsSettlement
    {
        get
        {
            lock (_writerLock)
            {
                return _awaitsSettlement;
            }
        }
    }

    /// <summary>Those of its open transactions that are over have their markers, if it is still in this leader epoch.</summary>
    public void Settle(int leaderEpoch)
    {
        lock (_writerLock)
        {
            _awaitsSettlement &= LeaderEpoch != leaderEpoch;
        }
    }

    private AppendResult.Rejected? CheckSettled(List<RecordBatchHeader> headers) =>
        _awaitsSettlement && headers.Exists(static header => header.IsTransactional) ? Unsettled() : null;

    private AppendResult.Rejected? CheckLeaderEpoch(int? leaderEpoch) =>
        leaderEpoch is null || leaderEpoch == LeaderEpoch
            ? null
            : new AppendResult.Rejected(AppendRejection.Offline, $"The log of {TopicPartition} went offline and came back meanwhile.");

    private AppendResult.Rejected Unsettled() => new(
        AppendRejection.TransactionsUnsettled, $"{TopicPartition} came back a moment ago, and it is not known yet which of its transactions go on.");
}
