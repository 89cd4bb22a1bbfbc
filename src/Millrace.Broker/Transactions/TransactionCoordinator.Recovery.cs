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
        Dictionary<string, List<AppendedRecords>> markers = new(StringComparer.Ordinal);
        int markerCount = EndOpenTransactions(recorded, isAfterPowerLoss, markers);
        List<Task<ErrorCode>> writes = [];
        foreach ((string transactionalId, RecordedTransaction transaction) in recorded)
        {
            // A partition that turned out to be damaged half-way has told part of the truth: its ids are not served.
            if (_topic.Serves(transactionalId))
            {
                Restore(transaction, markers.GetValueOrDefault(transactionalId, []), isAfterPowerLoss, writes);
            }
        }

        await Task.WhenAll(writes);
        if (recorded.Count > 0)
        {
            LogMessages.TransactionsReplayed(_logger, recorded.Count, markerCount, writes.Count);
        }
    }

    /// <summary>Returns how many markers were written; those of each transactional id are added to <paramref name="markers"/>.</summary>
    private int EndOpenTransactions(
        Dictionary<string, RecordedTransaction> recorded, bool isAfterPowerLoss, Dictionary<string, List<AppendedRecords>> markers)
    {
        Dictionary<long, RecordedTransaction> owners = OwnersOf(recorded.Values);
        bool isEverythingKnown = _topic.ServesAll;
        int markerCount = 0;
        foreach (PartitionLog partition in _services.Log.Partitions)
        {
            if (!partition.IsOnline)
            {
                continue;
            }

            foreach (OpenTransaction open in partition.OpenTransactions)
            {
                RecordedTransaction? owner = owners.TryGetValue(open.Producer.Id, out RecordedTransaction found) ? found : null;
                OpenTransactionVerdict verdict = OpenTransactionRules.Judge(open, partition.TopicPartition, owner, isAfterPowerLoss, isEverythingKnown);
                if (verdict.Fate != OpenTransactionFate.LeftOpen && TryEnd(partition, verdict, owner?.State.TransactionalId, markers))
                {
                    markerCount++;
                }
            }
        }

        return markerCount;
    }

    private bool TryEnd(
        PartitionLog partition, OpenTransactionVerdict verdict, string? transactionalId, Dictionary<string, List<AppendedRecords>> markers)
    {
        bool isCommit = verdict.Fate == OpenTransactionFate.Committed;
        int coordinatorEpoch = transactionalId is null ? 0 : _topic.CoordinatorEpoch(transactionalId);
        if (partition.AppendMarker(verdict.Producer, isCommit, coordinatorEpoch) is not AppendResult.Appended appended)
        {
            LogMessages.TransactionNotEnded(_logger, partition.TopicPartition, verdict.Producer.Id, verdict.Producer.Epoch);
            return false;
        }

        TellGroups(partition.TopicPartition, verdict.Producer.Id, isCommit);
        if (transactionalId is not null)
        {
            if (!markers.TryGetValue(transactionalId, out List<AppendedRecords>? own))
            {
                markers.Add(transactionalId, own = []);
            }

            own.Add(new AppendedRecords(partition, appended.LastOffset, appended.LeaderEpoch));
        }

        return true;
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
        }

        return owners;
    }

    private void Restore(RecordedTransaction transaction, List<AppendedRecords> markers, bool isAfterPowerLoss, List<Task<ErrorCode>> writes)
    {
        TransactionState state = transaction.State;
        TransactionState restored = state;
        bool isOverdue = state.IsDecided && state.Partitions.Keys.Any(IsOffline);
        if (state.IsDecided && !isOverdue)
        {
            restored = restored.Complete(Now.Timestamp);
        }

        if (isAfterPowerLoss && !isOverdue)
        {
            restored = restored.Fence(Now.Timestamp);
            writes.Add(WriteAsync(restored));
        }
        else if (restored != state)
        {
            _topic.Note(restored);
        }

        TransactionSeat seat = new(new TransactionMachine(restored, NewProducerId, _settings.IdExpiration, Now));
        seat.Decision = transaction.Decision;
        seat.UnsyncedMarkers.AddRange(markers);
        _seats[state.TransactionalId] = seat;
        Use(seat, machine =>
        {
            RememberEpochs(seat, restored.Partitions.Keys);
            machine.Resume(fences: isAfterPowerLoss, seat.Effects);
        });
    }

    private bool IsOffline(TopicPartition partition) => _services.Topics.Find(partition) is { IsOnline: false };

    private Task<ErrorCode> WriteAsync(TransactionState state)
    {
        TaskCompletionSource<ErrorCode> written = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ErrorCode refusal = _topic.Append(state, (error, _) => written.SetResult(error));
        return refusal == ErrorCode.None ? written.Task : Task.FromResult(refusal);
    }
}
