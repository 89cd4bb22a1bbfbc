using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>What <c>__transaction_state</c> says of one transactional id.</summary>
/// <param name="State">Its last record.</param>
/// <param name="Decision">Its last record that decided how a transaction ends: some of its markers may have been lost with the power. Null where there is none.</param>
/// <param name="Owed">What its last record says of earlier decisions whose markers may be missing, oldest first.</param>
internal readonly record struct RecordedTransaction(TransactionState State, TransactionState? Decision, IReadOnlyList<OwedMarkers> Owed);

/// <summary>The internal topic <c>__transaction_state</c>: what every transactional id is doing.</summary>
internal sealed class TransactionTopic
{
    private readonly CoordinatorTopic _topic;

    private TransactionTopic(CoordinatorTopic topic) => _topic = topic;

    /// <summary>The topic itself, for who creates it.</summary>
    public CoordinatorTopic Topic => _topic;

    /// <inheritdoc cref="CoordinatorTopic.KnowsAll"/>
    public bool KnowsAll => _topic.KnowsAll;

    /// <summary>Opens the topic if it is there, and reads all of it.</summary>
    public static TransactionTopic Open(
        TopicCatalog topics, int newPartitionCount, BrokerRuntime runtime, ILogger logger, Dictionary<string, RecordedTransaction> recorded)
    {
        CoordinatorTopic topic = new(topics, TopicName.TransactionState, newPartitionCount, runtime, logger);
        topic.Open((_, header, batch) => Replay(header, batch, recorded));
        return new TransactionTopic(topic);
    }

    /// <inheritdoc cref="CoordinatorTopic.ReloadAsync"/>
    public Task ReloadAsync(PartitionLog log, Action unload, Dictionary<string, RecordedTransaction> recorded, Func<Task> restore) =>
        _topic.ReloadAsync(log, unload, (_, header, batch) => Replay(header, batch, recorded), restore);

    /// <inheritdoc cref="CoordinatorTopic.PartitionOf"/>
    public int PartitionOf(string transactionalId) => _topic.PartitionOf(transactionalId);

    /// <summary>
    /// Whether the id can be served: what is known of it is what the log says, and can go on there. While its partition is offline it is not: an epoch that could not be written, and is
    /// given out all the same, is given out once more when the log has been read again.
    /// </summary>
    public bool Serves(string transactionalId) => _topic.Serves(transactionalId) && _topic.IsOnline(transactionalId);

    /// <inheritdoc cref="CoordinatorTopic.EnsureCreated"/>
    public bool EnsureCreated() => _topic.EnsureCreated();

    /// <summary>Of the partition that holds what is known of the transactional id; it never falls.</summary>
    public int CoordinatorEpoch(string transactionalId) => _topic.Find(transactionalId)?.LeaderEpoch ?? 0;

    /// <inheritdoc cref="CoordinatorPartition.Append"/>
    public ErrorCode Append(TransactionState state, IReadOnlyList<OwedMarkers> owed, CoordinatorPartition.Decided decided, Action? abandoned = null)
    {
        RecordBatchBuilder batch = new();
        TransactionRecord.Append(batch, state, owed);
        return _topic.Find(state.TransactionalId)?.Append(batch.Build(), decided, abandoned ?? (static () => { })) ?? ErrorCode.CoordinatorNotAvailable;
    }

    /// <summary>
    /// Appends what need not be on the disk. Where the partition is offline this is lost: then the next start knows that it may not find
    /// everything that was written.
    /// </summary>
    public void Note(TransactionState state, IReadOnlyList<OwedMarkers> owed)
    {
        RecordBatchBuilder batch = new();
        TransactionRecord.Append(batch, state, owed);
        _topic.Find(state.TransactionalId)?.AppendToCache(batch.Build());
    }

    /// <inheritdoc cref="Note"/>
    public void NoteExpired(string transactionalId, long timestamp)
    {
        RecordBatchBuilder batch = new();
        TransactionRecord.AppendTombstone(batch, transactionalId, timestamp);
        _topic.Find(transactionalId)?.AppendToCache(batch.Build());
    }

    private static (Offset Offset, string Fault)? Replay(RecordBatchHeader header, ReadOnlyMemory<byte> batch, Dictionary<string, RecordedTransaction> recorded)
    {
        if (header.IsControl)
        {
            return null;
        }

        foreach (Record record in RecordBatchReader.Read(batch))
        {
            if (!TransactionRecord.TryRead(record, out TransactionRecord read, out string? error))
            {
                return (record.Offset, error);
            }

            if (read.State is not TransactionState state)
            {
                recorded.Remove(read.TransactionalId);
                continue;
            }

            TransactionState? decision = state.IsDecided ? state : recorded.GetValueOrDefault(read.TransactionalId).Decision;

            // A record behind the last decision may name that one, too, lest compaction takes it away.
            bool IsLast(OwedMarkers owed) => !state.IsDecided && decision is not null && owed.IsPartOf(OwedMarkers.Of(decision));
            recorded[read.TransactionalId] = new RecordedTransaction(state, decision, [.. read.Owed.Where(owed => !IsLast(owed))]);
        }

        return null;
    }
}
