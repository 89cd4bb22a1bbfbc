using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

// Partitions that were offline and came back: those that transactions have written to, and those of the state topic.
internal sealed partial class TransactionCoordinator
{
    /// <summary>
    /// Ends the transactions that a partition came back with and that are over: their markers were lost, or it was not there when the start ended those that nobody
    /// goes on with. Nothing is written to it in a transaction before that.
    /// </summary>
    public void Settle(PartitionLog partition)
    {
        int leaderEpoch = partition.LeaderEpoch;
        IReadOnlyList<OpenTransaction> all = partition.OpenTransactions;
        Dictionary<long, TransactionSeat> owners = all.Count == 0 ? [] : LiveOwners();
        foreach (OpenTransaction open in all)
        {
            bool isOwned = owners.TryGetValue(open.Producer.Id, out TransactionSeat? seat) && Use(seat, machine => Settle(seat, machine.Current, partition, open));
            if (!isOwned)
            {
                SettleUnowned(partition, open);
            }
        }

        partition.Settle(leaderEpoch);
    }

    /// <summary>
    /// Makes of the transactional ids of a partition of the state topic what its log says. What was not on the disk may be lost, as after a loss of power, and so the same
    /// follows for them: their producers are shut out, and their open transactions aborted.
    /// </summary>
    public Task ReloadAsync(PartitionLog log)
    {
        Dictionary<string, RecordedTransaction> recorded = new(StringComparer.Ordinal);
        Dictionary<string, List<AppendedRecords>> markers = new(StringComparer.Ordinal);
        return _topic.ReloadAsync(log, () => Unload(log.TopicPartition.Partition, markers), recorded, async () =>
        {
            HashSet<string> givenUp = [.. recorded.Keys];
            int markerCount = EndOpenTransactions(recorded, givenUp, markers);
            List<Task<ErrorCode>> writes = RestoreAll(recorded.Values, givenUp, markers);
            foreach (Task<ErrorCode> write in writes)
            {
                await write;
            }

            LogMessages.TransactionsReplayed(_logger, recorded.Count, markerCount, writes.Count);
        });
    }

    /// <summary>Forgets the ids of a partition. Their markers that are on the way to the disk are still waited for before the next decision.</summary>
    private void Unload(int statePartition, Dictionary<string, List<AppendedRecords>> markers)
    {
        foreach ((string transactionalId, TransactionSeat seat) in _seats)
        {
            if (_topic.PartitionOf(transactionalId) == statePartition && _seats.TryRemove(KeyValuePair.Create(transactionalId, seat)))
            {
                Retire(seat);
                markers[transactionalId] = [.. seat.UnsyncedMarkers];
            }
        }
    }

    private void Retire(TransactionSeat seat)
    {
        lock (seat.Gate)
        {
            seat.Retire();
            _wakeUps.Set(seat, at: null);
        }
    }

    private void Settle(TransactionSeat seat, TransactionState state, PartitionLog partition, OpenTransaction open)
    {
        RecordedTransaction known = new(state, seat.Decision, seat.EarlierDecisions);
        OpenTransactionVerdict verdict = OpenTransactionRules.Judge(open, partition.TopicPartition, known, isAfterPowerLoss: false, isEverythingKnown: true);
        if (verdict.Fate == OpenTransactionFate.LeftOpen || End(partition, verdict, state.TransactionalId, settles: true) is not { } marker)
        {
            return;
        }

        seat.UnsyncedMarkers.RemoveAll(earlier => ReferenceEquals(earlier.Partition, partition));
        seat.UnsyncedMarkers.Add(marker);
        seat.MarkersWakeAt ??= _wakeUps.Now + TransactionSettings.MarkerSyncDelay;
    }

    private void SettleUnowned(PartitionLog partition, OpenTransaction open)
    {
        OpenTransactionVerdict verdict = OpenTransactionRules.Judge(
            open, partition.TopicPartition, owner: null, isAfterPowerLoss: false, isEverythingKnown: _topic.KnowsAll);
        if (verdict.Fate != OpenTransactionFate.LeftOpen)
        {
            End(partition, verdict, transactionalId: null, settles: true);
        }
    }

    /// <summary>The transactional ids that are known now, by each producer id that they have, or have ended a transaction as.</summary>
    private Dictionary<long, TransactionSeat> LiveOwners()
    {
        Dictionary<long, TransactionSeat> owners = [];
        foreach (TransactionSeat seat in _seats.Values)
        {
            lock (seat.Gate)
            {
                owners[seat.Machine.Current.Producer.Id] = seat;
                if (seat.Decision is { } decision)
                {
                    owners[decision.Producer.Id] = seat;
                }

                foreach (OwedMarkers owed in seat.EarlierDecisions)
                {
                    owners[owed.Producer.Id] = seat;
                }
            }
        }

        return owners;
    }
}
