using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

// The start: what the state topic says, and what the partitions have open, are brought together before any client is served.
internal sealed partial class TransactionCoordinator
{
    /// <summary>
    /// Reads the state topic; when this completes, every decision has its markers (but for partitions that are offline), no transaction is open that nobody can end,
    /// and, after a loss of power, every producer of before is shut out, on the disk.
    /// </summary>
    public static async Task<TransactionCoordinator> OpenAsync(BrokerServices services, GroupCoordinator groups, ProducerIds producerIds, ILogger logger)
    {
        Dictionary<string, RecordedTransaction> recorded = new(StringComparer.Ordinal);
        TransactionCoordinator coordinator = new(services, groups, producerIds, recorded, logger);
        await coordinator.RecoverAsync(recorded, isAfterPowerLoss: !services.Log.Recovery.HasKeptWrites);
        return coordinator;
    }

    private async Task RecoverAsync(Dictionary<string, RecordedTransaction> recorded, bool isAfterPowerLoss)
    {
        // A partition that turned out to be damaged half-way has told part of the truth: its ids are not served.
        Dictionary<string, List<AppendedRecords>> markers = new(StringComparer.Ordinal);
        HashSet<string> givenUp = isAfterPowerLoss ? [.. recorded.Keys] : FindGivenUp(recorded);
        int markerCount = EndOpenTransactions(recorded, givenUp, markers);
        List<Task<ErrorCode>> writes = RestoreAll(recorded.Values.Where(transaction => _topic.Serves(transaction.State.TransactionalId)), givenUp, markers);
        foreach (Task<ErrorCode> write in writes)
        {
            await write;
        }

        if (recorded.Count > 0)
        {
            LogMessages.TransactionsReplayed(_logger, recorded.Count, markerCount, writes.Count);
        }
    }

    /// <summary>
    /// The transactional ids that have a transaction open of which the state topic has lost the trace. What else they have open is part of it: to commit that would commit half
    /// of a transaction. And the client may not be answered by what the topic still knows, which is the end of the one before.
    /// </summary>
    private HashSet<string> FindGivenUp(Dictionary<string, RecordedTransaction> recorded)
    {
        Dictionary<long, RecordedTransaction> owners = OwnersOf(recorded.Values);
        HashSet<string> givenUp = new(StringComparer.Ordinal);
        foreach ((PartitionLog partition, OpenTransaction open) in OpenTransactions())
        {
            if (owners.TryGetValue(open.Producer.Id, out RecordedTransaction owner)
                && OpenTransactionRules.Judge(open, partition.TopicPartition, owner, isAfterPowerLoss: false, isEverythingKnown: true).Fate == OpenTransactionFate.GivenUp)
            {
                givenUp.Add(owner.State.TransactionalId);
            }
        }

        return givenUp;
    }

    private List<Task<ErrorCode>> RestoreAll(
        IEnumerable<RecordedTransaction> recorded, HashSet<string> givenUp, Dictionary<string, List<AppendedRecords>> markers)
    {
        List<Task<ErrorCode>> writes = [];
        foreach (RecordedTransaction transaction in recorded)
        {
            string transactionalId = transaction.State.TransactionalId;
            Restore(transaction, markers.GetValueOrDefault(transactionalId, []), fences: givenUp.Contains(transactionalId), writes);
        }

        return writes;
    }

    /// <summary>Returns how many markers were written; those of each transactional id are added to <paramref name="markers"/>.</summary>
    /// <param name="givenUp">The ids whose open transactions are given up.</param>
    private int EndOpenTransactions(
        Dictionary<string, RecordedTransaction> recorded, HashSet<string> givenUp, Dictionary<string, List<AppendedRecords>> markers)
    {
        // First what is open, then who is known: who opens a transaction was known before.
        List<(PartitionLog Partition, OpenTransaction Open)> all = OpenTransactions();
        Dictionary<long, RecordedTransaction> owners = OwnersOf(recorded.Values);
        Dictionary<long, TransactionSeat> others = LiveOwners();
        bool isEverythingKnown = _topic.KnowsAll;
        int markerCount = 0;
        foreach ((PartitionLog partition, OpenTransaction open) in all)
        {
            RecordedTransaction? owner = owners.TryGetValue(open.Producer.Id, out RecordedTransaction found) ? found : null;
            if (owner is null && others.ContainsKey(open.Producer.Id))
            {
                continue;
            }

            string? transactionalId = owner?.State.TransactionalId;
            bool isGivenUp = transactionalId is not null && givenUp.Contains(transactionalId);
            OpenTransactionVerdict verdict = OpenTransactionRules.Judge(open, partition.TopicPartition, owner, isGivenUp, isEverythingKnown);
            if (verdict.Fate != OpenTransactionFate.LeftOpen && TryEnd(partition, verdict, transactionalId, markers))
            {
                markerCount++;
            }
        }

        return markerCount;
    }

    /// <summary>As they are now, in one order always. A partition that is offline, or came back a moment ago, is settled by itself.</summary>
    private List<(PartitionLog Partition, OpenTransaction Open)> OpenTransactions() =>
    [
        .. from partition in _services.Log.Partitions.OrderBy(static log => log.TopicPartition, TopicPartition.Order)
           where partition is { IsOnline: true, AwaitsSettlement: false }
           from open in partition.OpenTransactions
           select (partition, open),
    ];

    private bool TryEnd(
        PartitionLog partition, OpenTransactionVerdict verdict, string? transactionalId, Dictionary<string, List<AppendedRecords>> markers)
    {
        if (End(partition, verdict, transactionalId, settles: false) is not { } marker)
        {
            return false;
        }

        if (transactionalId is not null)
        {
            if (!markers.TryGetValue(transactionalId, out List<AppendedRecords>? own))
            {
                markers.Add(transactionalId, own = []);
            }

            own.Add(marker);
        }

        return true;
    }

    /// <summary>Writes the marker of a verdict; null if the partition does not take it.</summary>
    private AppendedRecords? End(PartitionLog partition, OpenTransactionVerdict verdict, string? transactionalId, bool settles)
    {
        bool isCommit = verdict.Fate == OpenTransactionFate.Committed;

        // One that nobody owns is ended in the name of whoever has ended one of its producer here before: an older coordinator would be refused, and it would stay open for ever.
        int? coordinatorEpoch = transactionalId is null ? null : _topic.CoordinatorEpoch(transactionalId);
        if (partition.AppendMarker(verdict.Producer, isCommit, coordinatorEpoch, settles: settles) is not AppendResult.Appended appended)
        {
            LogMessages.TransactionNotEnded(_logger, partition.TopicPartition, verdict.Producer.Id, verdict.Producer.Epoch);
            return null;
        }

        TellGroups(partition.TopicPartition, verdict.Producer.Id, isCommit);
        return new AppendedRecords(partition, appended.LastOffset, appended.LeaderEpoch);
    }

    private static Dictionary<long, RecordedTransaction> OwnersOf(IEnumerable<RecordedTransaction> recorded)
    {
        Dictionary<long, RecordedTransaction> owners = [];
        foreach (RecordedTransaction transaction in recorded)
        {
            owners[transaction.State.Producer.Id] = transaction;
            if (transaction.Decision is { } decision)
            {
                owners[decision.Producer.Id] = transaction;
            }

            foreach (OwedMarkers owed in transaction.Owed)
            {
                owners[owed.Producer.Id] = transaction;
            }
        }

        return owners;
    }

    /// <param name="fences">Whether its producer is shut out.</param>
    private void Restore(RecordedTransaction transaction, List<AppendedRecords> markers, bool fences, List<Task<ErrorCode>> writes)
    {
        TransactionState state = transaction.State;
        TransactionState restored = state;
        bool isOverdue = state.IsDecided && state.Partitions.Keys.Any(IsOffline);
        if (state.IsDecided && !isOverdue)
        {
            restored = restored.Complete(Now.Timestamp);
        }

        if (fences && !isOverdue)
        {
            restored = restored.Fence(Now.Timestamp);
        }

        TransactionSeat seat = new(new TransactionMachine(restored, NewProducerId, _settings.IdExpiration, Now))
        {
            Decision = transaction.Decision,
            EarlierDecisions = transaction.Owed,
            Recorded = transaction.Owed,
        };
        seat.UnsyncedMarkers.AddRange(markers);
        seat.Doubtful.AddRange(PartitionsOf(transaction).Where(static partition => !partition.IsOnline || partition.AwaitsSettlement));
        if (fences && !isOverdue)
        {
            seat.Recorded = OwedBy(seat);
            writes.Add(WriteAsync(restored, seat.Recorded));
        }
        else if (restored != state)
        {
            Note(seat, restored);
        }

        Seat(state.TransactionalId, seat);
        Use(seat, machine =>
        {
            RememberEpochs(seat, restored.Partitions.Keys);
            machine.Resume(fences, seat.Effects);
            NoteOwed(seat);
        });
    }

    private void Seat(string transactionalId, TransactionSeat seat)
    {
        while (!_seats.TryAdd(transactionalId, seat))
        {
            // Somebody came before the id was read, and was told to come again.
            if (_seats.TryRemove(transactionalId, out TransactionSeat? stale))
            {
                Retire(stale);
            }
        }
    }

    /// <summary>In which markers of what was decided may be missing.</summary>
    private IEnumerable<PartitionLog> PartitionsOf(RecordedTransaction transaction) =>
        (transaction.Decision?.Partitions.Keys ?? []).Concat(transaction.Owed.SelectMany(static owed => owed.Partitions.Keys))
            .Distinct().Select(_services.Topics.Find).OfType<PartitionLog>();

    private bool IsOffline(TopicPartition partition) => _services.Topics.Find(partition) is { IsOnline: false };

    private Task<ErrorCode> WriteAsync(TransactionState state, IReadOnlyList<OwedMarkers> owed)
    {
        TaskCompletionSource<ErrorCode> written = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ErrorCode refusal = _topic.Append(state, owed, (error, _) => written.SetResult(error));
        return refusal == ErrorCode.None ? written.Task : Task.FromResult(refusal);
    }
}
