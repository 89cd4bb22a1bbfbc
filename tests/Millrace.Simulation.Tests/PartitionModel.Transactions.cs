using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <content>Transactions: which are open, which were aborted, and what is stable.</content>
internal sealed partial class PartitionModel
{
    private const int TransactionalProducerCount = 2;
    private const long FirstTransactionalId = 200;

    private readonly record struct ModelTransaction(long ProducerId, Offset FirstOffset);

    /// <summary>The offset below which the outcome of every transaction is known.</summary>
    public Offset LastStableOffset(Offset highWatermark) =>
        Transactions(static _ => { }) is [var first, ..] ? Offset.Min(first.FirstOffset, highWatermark) : highWatermark;

    /// <summary>The producers whose transactions are open, and where those began, in that order.</summary>
    public IReadOnlyList<(long ProducerId, Offset FirstOffset)> OpenTransactions =>
        [.. Transactions(static _ => { }).Select(static open => (open.ProducerId, open.FirstOffset))];

    /// <summary>Those that have records in a range, found by looking at all.</summary>
    public IReadOnlyList<AbortedTransaction> AbortedTransactions(Offset from, Offset upTo)
    {
        var aborted = new List<AbortedTransaction>();
        Transactions(aborted.Add);
        return [.. aborted.Where(transaction => transaction.FirstOffset < upTo && transaction.LastOffset >= from)];
    }

    /// <summary>Makes the marker that ends a transaction, or that of a producer that has none open.</summary>
    public (ProducerIdentity Producer, bool IsCommit, ModelBatch Batch) PrepareMarker(Random random, long now)
    {
        long producerId = FirstTransactionalId + random.Next(TransactionalProducerCount);
        RecordBatchHeader? last = _batches.LastOrDefault(batch => batch.Header.Producer.Id == producerId && !batch.Header.IsControl)?.Header;
        var producer = new ProducerIdentity(producerId, last?.Producer.Epoch ?? 0);
        bool isCommit = random.Next(2) == 0;
        byte[] bytes = new EndTransactionMarker(isCommit, CoordinatorEpoch: 0).ToBatch(producer, now).ToArray();
        _inFlight = Assign(bytes, AppendDurability.PageCache);
        return (producer, isCommit, _inFlight);
    }

    private bool IsOpen(long producerId) => Transactions(static _ => { }).Any(open => open.ProducerId == producerId);

    /// <summary>Goes through the log; returns the transactions that are open at its end.</summary>
    private List<ModelTransaction> Transactions(Action<AbortedTransaction> onAborted)
    {
        var open = new List<ModelTransaction>();
        foreach (ModelBatch batch in _batches)
        {
            RecordBatchHeader header = batch.Header;
            int index = open.FindIndex(transaction => transaction.ProducerId == header.Producer.Id);
            if (header is { IsTransactional: true, IsControl: false } && index < 0)
            {
                open.Add(new ModelTransaction(header.Producer.Id, header.BaseOffset));
            }
            else if (header.IsControl && index >= 0)
            {
                ModelTransaction ended = open[index];
                open.RemoveAt(index);
                EndTransactionMarker.TryRead(batch.Bytes, out EndTransactionMarker marker);
                if (!marker.IsCommit)
                {
                    Offset stable = open.Count == 0 ? header.NextOffset : open[0].FirstOffset;
                    onAborted(new AbortedTransaction(ended.ProducerId, ended.FirstOffset, header.LastOffset, stable));
                }
            }
        }

        return open;
    }
}
