using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

// What the coordinator does to the partitions of a transaction: puts them on the disk before it decides, and writes the markers afterwards.
internal sealed partial class TransactionCoordinator
{
    /// <summary>
    /// The first of the two barriers: what the transaction has written, and the markers of the decision before, all at once. The latter because the next decision
    /// takes the place of that one, from which its markers could be written again.
    /// </summary>
    private void PassBarrier(TransactionSeat seat, PartitionsLeft left)
    {
        Dictionary<TopicPartition, Offset> ends = [];
        List<AppendedRecords> unsynced = [];
        foreach (TopicPartition touched in left.Partitions)
        {
            // Records of a partition that was deleted meanwhile are gone with it, committed or not.
            if (_services.Topics.Find(touched) is PartitionLog partition)
            {
                // First the end, then the epoch: an end that is of a newer epoch shows that one, too.
                Offset end = partition.LogEndOffset;
                int epoch = seat.Epochs.GetValueOrDefault(touched, partition.LeaderEpoch);
                ends[touched] = end;
                if (left.MustBeOnDisk && epoch != partition.LeaderEpoch)
                {
                    Lose(seat, left, partition);
                    return;
                }

                if (left.MustBeOnDisk)
                {
                    unsynced.Add(new AppendedRecords(partition, end + -1, epoch));
                }
            }
        }

        if (FindDoubtful(seat) is { } doubtful)
        {
            Lose(seat, left, doubtful);
            return;
        }

        seat.UnsyncedMarkers.RemoveAll(IsSettled);
        unsynced.AddRange(seat.UnsyncedMarkers);
        unsynced.RemoveAll(static records => records.AreOnDisk && records.Partition.IsOnline);
        if (unsynced.Count == 0)
        {
            seat.Machine.Synced(left.Number, ends, Now, seat.Effects);
            return;
        }

        unsynced.ForEach(static records => records.Partition.WantSync());
        _ = AwaitBarrierAsync(seat, left, ends, unsynced);
    }

    private async Task AwaitBarrierAsync(
        TransactionSeat seat, PartitionsLeft left, Dictionary<TopicPartition, Offset> ends, List<AppendedRecords> unsynced)
    {
        Task waiting = _services.Waits.WaitAsync(new DiskWait(unsynced), Timeout.InfiniteTimeSpan, CancellationToken.None).AsTask();

        // Never on the thread that began to wait: it carries out the effects of this very seat.
        await waiting.ConfigureAwait(ConfigureAwaitOptions.ForceYielding | ConfigureAwaitOptions.ContinueOnCapturedContext);
        Use(seat, machine =>
        {
            if (unsynced.Find(static records => !records.AreOnDisk).Partition is { } lost)
            {
                Lose(seat, left, lost);
            }
            else
            {
                machine.Synced(left.Number, ends, Now, seat.Effects);
            }
        });
    }

    /// <summary>
    /// What was written to a partition is not on the disk and may never be. If it was written in this transaction, that cannot be committed. If it is a marker of the one
    /// before, no new decision may take the place of that one's, until the partition is back or deleted.
    /// </summary>
    private void Lose(TransactionSeat seat, PartitionsLeft left, PartitionLog partition)
    {
        TransactionMachine machine = seat.Machine;
        LogMessages.TransactionBarrierFailed(_logger, machine.Current.TransactionalId, partition.TopicPartition, partition.OfflineReason ?? "it was offline meanwhile");
        machine.Synced(left.Number, ends: null, Now, seat.Effects);
        if (left.MustBeOnDisk && left.Partitions.Contains(partition.TopicPartition))
        {
            machine.PartitionLost(partition.TopicPartition, Now, seat.Effects);
        }
    }

    private void RememberEpochs(TransactionSeat seat, IEnumerable<TopicPartition> partitions)
    {
        foreach (TopicPartition touched in partitions)
        {
            if (_services.Topics.Find(touched) is PartitionLog partition)
            {
                seat.Epochs.TryAdd(touched, partition.LeaderEpoch);
            }
        }
    }

    /// <summary>
    /// The marker is on the disk, or nobody can read it any more; or its partition lost it while it was offline, and got another one when it came back, if there was still
    /// something to end.
    /// </summary>
    private bool IsSettled(AppendedRecords marker) =>
        marker.AreOnDisk || IsGone(marker.Partition)
        || (!marker.AreOnTheirWay && marker.Partition is { IsOnline: true, AwaitsSettlement: false } && !marker.AreOnDisk);

    private bool IsGone(PartitionLog partition) => !ReferenceEquals(_services.Topics.Find(partition.TopicPartition), partition);

    /// <summary>A partition of which it is not known yet whether it has the marker of the last decision; null if there is none.</summary>
    private PartitionLog? FindDoubtful(TransactionSeat seat)
    {
        seat.Doubtful.RemoveAll(partition => IsGone(partition) || partition is { IsOnline: true, AwaitsSettlement: false });
        return seat.Doubtful.Count == 0 ? null : seat.Doubtful[0];
    }

    /// <summary>Writes each marker to the page cache. The lock of the seat is held: nothing else of this id happens meanwhile.</summary>
    private void WriteMarkers(TransactionSeat seat, MarkersDue due)
    {
        bool areAllWritten = true;
        seat.Decision = due.Decision;
        foreach ((TopicPartition partition, Offset _) in due.Decision.Partitions)
        {
            areAllWritten &= TryWriteMarker(partition, due.Decision, seat.UnsyncedMarkers);
        }

        TimeSpan now = _wakeUps.Now;
        if (areAllWritten)
        {
            seat.Overdue = null;
            seat.MarkersWakeAt = seat.UnsyncedMarkers.Count == 0 ? null : now + TransactionSettings.MarkerSyncDelay;
            seat.Machine.MarkersWritten(due.Number, Now, seat.Effects);
        }
        else
        {
            seat.Overdue = due;
            seat.MarkersWakeAt = now + TransactionSettings.MarkerRetryDelay;
            seat.Machine.MarkersDelayed(due.Number, Now, seat.Effects);
        }
    }

    /// <summary>False if the partition cannot take it now.</summary>
    private bool TryWriteMarker(TopicPartition target, TransactionState decision, List<AppendedRecords> unsyncedMarkers)
    {
        if (_services.Topics.Find(target) is not PartitionLog partition)
        {
            return true;
        }

        // A marker that is on its way to the same partition already, as those before a retry, is followed by another one: that does no harm.
        switch (partition.AppendMarker(decision.Producer, decision.IsCommit, _topic.CoordinatorEpoch(decision.TransactionalId)))
        {
            case AppendResult.Appended appended:
                unsyncedMarkers.RemoveAll(marker => ReferenceEquals(marker.Partition, partition));
                unsyncedMarkers.Add(new AppendedRecords(partition, appended.LastOffset, appended.LeaderEpoch));
                TellGroups(target, decision.Producer.Id, decision.IsCommit);
                return true;
            case AppendResult.Rejected { Rejection: AppendRejection.Offline or AppendRejection.TransactionsUnsettled or AppendRejection.TooManyProducers }:
                return false;
            default:
                // A newer producer or coordinator has been there: the transaction has ended.
                return true;
        }
    }

    /// <summary>
    /// Writes a marker that another coordinator sends, or a person who ends a transaction by hand. Where the producer is known here, under the lock of its id: so groups
    /// are told of this marker and of the coordinator's own in the order in which the log has them.
    /// </summary>
    public AppendResult WriteMarkerFor(PartitionLog partition, ProducerIdentity producer, EndTransactionMarker marker, bool raisesEpoch)
    {
        AppendResult? result = null;
        TransactionSeat? owner = _seats.Values.FirstOrDefault(seat => StateOf(seat).Producer.Id == producer.Id);
        if (owner is null || !Use(owner, _ => result = Write()))
        {
            result = Write();
        }

        return result!;

        AppendResult Write()
        {
            AppendResult written = partition.AppendMarker(producer, marker.IsCommit, marker.CoordinatorEpoch, raisesEpoch);
            if (written is AppendResult.Appended)
            {
                TellGroups(partition.TopicPartition, producer.Id, marker.IsCommit);
                partition.WantSync();
            }

            return written;
        }
    }

    private void TellGroups(TopicPartition partition, long producerId, bool isCommit)
    {
        if (partition.Topic == TopicName.ConsumerOffsets)
        {
            _groups.EndTransaction(producerId, partition.Partition, isCommit);
        }
    }

    /// <summary>Tries again what could not be written, and puts on the disk what nobody else has put there.</summary>
    private void CareForMarkers(TransactionSeat seat)
    {
        if (seat.Overdue is MarkersDue due)
        {
            WriteMarkers(seat, due);
            return;
        }

        seat.UnsyncedMarkers.RemoveAll(IsSettled);
        seat.UnsyncedMarkers.ForEach(static marker => marker.Partition.WantSync());
        seat.MarkersWakeAt = seat.UnsyncedMarkers.Count == 0 ? null : _wakeUps.Now + TransactionSettings.MarkerSyncDelay;
    }
}
