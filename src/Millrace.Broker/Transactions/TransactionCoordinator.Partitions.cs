using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

// What the coordinator does to the partitions of a transaction: puts them on the disk before it decides, and writes the markers afterwards.
internal sealed partial class TransactionCoordinator
{
    /// <summary>
    /// The first of the two barriers: what the transaction has written, and the markers of the decision before, all at once. The latter because the next decision
    /// takes the place of that one, from which its markers could be written again. Markers that cannot be on the disk now are not waited for: the next decision names theirs.
    /// </summary>
    private void PassBarrier(TransactionSeat seat, PartitionsLeft left)
    {
        Dictionary<TopicPartition, PartitionEnd> ends = [];
        List<AppendedRecords> written = [];
        foreach (TopicPartition touched in left.Partitions)
        {
            // Records of a partition that was deleted meanwhile are gone with it, committed or not.
            if (_services.Topics.Find(touched) is PartitionLog partition)
            {
                // The epoch on both sides of the end. An end of a newer one must not be taken for one of the older: that is seen behind it. And what comes in a newer
                // one is not of this transaction: so what is written down is the older.
                int endEpoch = partition.LeaderEpoch;
                Offset end = partition.LogEndOffset;
                int epoch = seat.Epochs.GetValueOrDefault(partition, partition.LeaderEpoch);

                // Of one that is offline since the start nothing is known: neither whether the records are there, nor where it ends.
                ends[touched] = partition.HasBeenRead ? new PartitionEnd(end, endEpoch, partition.TopicId) : PartitionEnd.None;
                if (left.MustBeOnDisk && (!partition.HasBeenRead || epoch != partition.LeaderEpoch))
                {
                    Lose(seat, left, partition);
                    return;
                }

                if (left.MustBeOnDisk)
                {
                    written.Add(new AppendedRecords(partition, end + -1, epoch));
                }
            }
        }

        seat.UnsyncedMarkers.RemoveAll(IsSettled);
        List<AppendedRecords> unsynced =
        [
            .. written.Where(static records => !records.AreOnDisk || !records.Partition.IsOnline),
            .. seat.UnsyncedMarkers.Where(static marker => marker.AreOnTheirWay),
        ];
        if (unsynced.Count == 0)
        {
            seat.Machine.Synced(left.Number, ends, Now, seat.Effects);
            return;
        }

        unsynced.ForEach(static records => records.Partition.WantSync());
        _ = AwaitBarrierAsync(seat, left, ends, written, unsynced);
    }

    private async Task AwaitBarrierAsync(
        TransactionSeat seat, PartitionsLeft left, Dictionary<TopicPartition, PartitionEnd> ends, List<AppendedRecords> written, List<AppendedRecords> unsynced)
    {
        Task waiting = _services.Waits.WaitAsync(new DiskWait(unsynced), Timeout.InfiniteTimeSpan, CancellationToken.None).AsTask();

        // Never on the thread that began to wait: it carries out the effects of this very seat.
        await waiting.ConfigureAwait(ConfigureAwaitOptions.ForceYielding | ConfigureAwaitOptions.ContinueOnCapturedContext);
        try
        {
            Use(seat, machine =>
            {
                if (written.Find(records => !records.AreOnDisk && !IsGone(records.Partition)).Partition is { } lost)
                {
                    Lose(seat, left, lost);
                }
                else
                {
                    machine.Synced(left.Number, ends, Now, seat.Effects);
                }
            });
        }
        catch (Exception bug)
        {
            // Nobody awaits this.
            LogMessages.CoordinatorFailed(_logger, bug, "the end of a transaction whose records are on the disk");
            Abandon(seat);
        }
    }

    /// <summary>What was written to a partition in the transaction is not on the disk and may never be: so it cannot be committed.</summary>
    private void Lose(TransactionSeat seat, PartitionsLeft left, PartitionLog partition)
    {
        TransactionMachine machine = seat.Machine;
        LogMessages.TransactionBarrierFailed(_logger, machine.Current.TransactionalId, partition.TopicPartition, partition.OfflineReason ?? "it was offline meanwhile");
        machine.Synced(left.Number, ends: null, Now, seat.Effects);
        machine.PartitionLost(partition.TopicPartition, Now, seat.Effects);
    }

    private void RememberEpochs(TransactionSeat seat, IEnumerable<TopicPartition> partitions)
    {
        foreach (TopicPartition touched in partitions)
        {
            RememberEpoch(seat, touched);
        }
    }

    private void RememberEpoch(TransactionSeat seat, TopicPartition touched)
    {
        if (_services.Topics.Find(touched) is PartitionLog partition)
        {
            seat.Epochs.TryAdd(partition, partition.LeaderEpoch);
        }
    }

    /// <summary>Writes each marker to the page cache. The lock of the seat is held: nothing else of this id happens meanwhile.</summary>
    private void WriteMarkers(TransactionSeat seat, MarkersDue due)
    {
        if (!ReferenceEquals(seat.Decision, due.Decision))
        {
            seat.EarlierDecisions = OwedBy(seat);
            seat.Decision = due.Decision;
        }

        // They are those of the transaction that is over.
        seat.Epochs.Clear();
        List<TopicPartition> missing = [.. due.Partitions.Where(partition => !TryWriteMarker(partition, due.Decision, seat.UnsyncedMarkers))];
        TimeSpan now = _wakeUps.Now;
        if (missing.Count == 0)
        {
            seat.Overdue = null;
            seat.MarkersWakeAt = seat.UnsyncedMarkers.Count == 0 ? null : now + TransactionSettings.MarkerSyncDelay;
            seat.Machine.MarkersWritten(due.Number, Now, seat.Effects);
        }
        else
        {
            seat.Overdue = due with { Partitions = missing };
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

        // A marker that is on its way to the same partition already, as the one that it got when it came back, is followed by another one: that does no harm.
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

    /// <summary>Puts on the disk what nobody else has put there, and tries again what could not be written.</summary>
    private void CareForMarkers(TransactionSeat seat)
    {
        seat.UnsyncedMarkers.RemoveAll(IsSettled);
        seat.UnsyncedMarkers.ForEach(static marker => marker.Partition.WantSync());
        NoteOwed(seat);
        seat.MarkersWakeAt = seat.UnsyncedMarkers.Count == 0 ? null : _wakeUps.Now + TransactionSettings.MarkerSyncDelay;
        if (seat.Overdue is MarkersDue due)
        {
            WriteMarkers(seat, due);
        }
    }
}
