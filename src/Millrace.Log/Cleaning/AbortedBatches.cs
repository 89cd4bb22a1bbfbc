using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>Which batches belong to transactions that were aborted.</summary>
internal sealed class AbortedBatches
{
    private readonly Dictionary<long, List<AbortedTransaction>> _byProducer = [];

    /// <param name="transactions">In the order of their markers.</param>
    public AbortedBatches(IEnumerable<AbortedTransaction> transactions)
    {
        foreach (AbortedTransaction transaction in transactions)
        {
            if (!_byProducer.TryGetValue(transaction.ProducerId, out List<AbortedTransaction>? ofProducer))
            {
                ofProducer = [];
                _byProducer.Add(transaction.ProducerId, ofProducer);
            }

            ofProducer.Add(transaction);
        }
    }

    public bool Contains(in RecordBatchHeader header)
    {
        if (!header.IsTransactional || header.IsControl || !_byProducer.TryGetValue(header.Producer.Id, out List<AbortedTransaction>? transactions))
        {
            return false;
        }

        // The first one whose marker comes after the batch: those of one producer do not overlap.
        int low = 0;
        int high = transactions.Count;
        while (low < high)
        {
            int middle = low + (high - low) / 2;
            if (transactions[middle].LastOffset < header.BaseOffset)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low < transactions.Count && transactions[low].FirstOffset <= header.BaseOffset;
    }
}
