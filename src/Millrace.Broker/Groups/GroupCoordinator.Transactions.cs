using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

// What is committed for groups in the transactions of producers.
internal sealed partial class GroupCoordinator
{
    /// <summary>What groups get when the transactions end in which it was committed.</summary>
    public PendingOffsets Pending { get; } = new();

    /// <summary>Where what a group commits is kept; null if it is not served. Creates the offsets topic when it is the first to need it.</summary>
    public TopicPartition? OffsetsPartitionOf(string groupId) => CanCoordinate(groupId) ? _offsetsTopic.Find(groupId)?.TopicPartition : null;

    /// <summary>
    /// Commits offsets in a transaction of a producer, which is open and includes <see cref="OffsetsPartitionOf"/> the group. They are in the log on return, and on the
    /// disk before the transaction is committed.
    /// </summary>
    public ErrorCode CommitInTransaction(
        string groupId, MemberName name, int generation, ProducerIdentity producer, IReadOnlyList<KeyValuePair<TopicPartition, CommittedOffset>> offsets)
    {
        ErrorCode outcome = ErrorCode.None;
        bool isKnown = TryUse(groupId, (_, group, now, _) =>
        {
            // Under the group's lock, as every commit: it stands in the log before the record of the next generation.
            ErrorCode error = group.CheckCommit(name, generation, now, isTransactional: true);
            outcome = error == ErrorCode.None ? AppendInTransaction(groupId, producer, offsets) : error;
        });
        return isKnown ? outcome
            : !IsAbsent(groupId) ? ErrorCode.CoordinatorNotAvailable
            : generation >= 0 ? ErrorCode.IllegalGeneration
            : AppendInTransaction(groupId, producer, offsets);
    }

    /// <summary>A marker has ended the transaction of a producer in a partition of the offsets topic.</summary>
    public void EndTransaction(long producerId, int offsetsPartition, bool isCommit) =>
        Pending.End(producerId, offsetsPartition, isCommit ? pending => Offsets.Apply(pending.GroupId, pending.Partition, pending.Offset, pending.Position) : null);

    private void ReplayCommit(OffsetsRecord.Commit commit, OffsetsEntry entry)
    {
        if (entry.ProducerId is long producerId && commit.Offset is not null)
        {
            Pending.Add(producerId, entry.Partition, new PendingOffset(commit.GroupId, commit.Partition, commit.Offset, entry.Position));
            return;
        }

        if (commit.Offset is null)
        {
            Pending.Delete(commit.GroupId, commit.Partition, entry.Position);
        }

        Offsets.Apply(commit.GroupId, commit.Partition, commit.Offset, entry.Position);
    }

    private ErrorCode AppendInTransaction(string groupId, ProducerIdentity producer, IReadOnlyList<KeyValuePair<TopicPartition, CommittedOffset>> offsets)
    {
        if (_offsetsTopic.Find(groupId) is not CoordinatorPartition partition)
        {
            return ErrorCode.CoordinatorNotAvailable;
        }

        RecordBatchBuilder batch = new();
        foreach ((TopicPartition committed, CommittedOffset offset) in offsets)
        {
            OffsetsRecord.AppendCommit(batch, groupId, committed, offset);
        }

        OnTheirWay.Begin(groupId, offsets);
        try
        {
            return AppendInTransaction(groupId, producer, offsets, partition, batch.Build(producer, NoSequence, isTransactional: true));
        }
        finally
        {
            OnTheirWay.End(groupId, offsets);
        }
    }

    private ErrorCode AppendInTransaction(
        string groupId,
        ProducerIdentity producer,
        IReadOnlyList<KeyValuePair<TopicPartition, CommittedOffset>> offsets,
        CoordinatorPartition partition,
        Memory<byte> batch)
    {
        switch (partition.AppendToCache(batch))
        {
            case AppendResult.Appended appended:
                Offset position = appended.BaseOffset;
                foreach ((TopicPartition committed, CommittedOffset offset) in offsets)
                {
                    Pending.Add(producer.Id, partition.TopicPartition.Partition, new PendingOffset(groupId, committed, offset, position));
                    position = position.Next;
                }

                return ErrorCode.None;
            case AppendResult.Rejected { Rejection: AppendRejection.MessageTooLarge }:
                return ErrorCode.InvalidCommitOffsetSize;
            case AppendResult.Rejected { Rejection: AppendRejection.InvalidProducerEpoch }:
                return ErrorCode.InvalidProducerEpoch;
            default:
                return ErrorCode.CoordinatorNotAvailable;
        }
    }

    /// <summary>A producer does not count what is committed on its behalf.</summary>
    private const int NoSequence = -1;
}
