using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Tells which batches of one answer belong to aborted transactions (KIP-98), for a reader that passes the answer's batches in order.
/// </summary>
/// <remarks>
/// The answer names the aborted transactions that overlap it, each by its producer and the first offset that it wrote, which may lie before the answer and before the offset that
/// was asked for. A producer's records are aborted from there up to its next marker: so a transaction is begun with the first batch that reaches its first offset, and ended by the marker,
/// and a later transaction of the same producer is another entry of the list.
/// </remarks>
internal sealed class AbortedFilter
{
    private readonly List<AbortedTransaction> _transactions;
    private readonly HashSet<long> _producers = [];
    private int _begun;

    public AbortedFilter(List<AbortedTransaction>? transactions)
    {
        _transactions = transactions ?? [];
        _transactions.Sort(static (left, right) => left.FirstOffset.CompareTo(right.FirstOffset));
    }

    /// <summary>Whether the batch is not for the application. May be asked more than once before <see cref="Pass"/>.</summary>
    public bool Passes(in RecordBatchHeader header)
    {
        while (_begun < _transactions.Count && _transactions[_begun].FirstOffset <= header.LastOffset.Value)
        {
            _producers.Add(_transactions[_begun++].ProducerId);
        }

        return header.IsControl || (header.IsTransactional && _producers.Contains(header.Producer.Id));
    }

    /// <summary>The reader goes on behind the batch.</summary>
    public void Pass(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        if (header.IsControl && _producers.Count > 0 && EndTransactionMarker.TryRead(batch, out EndTransactionMarker marker) && !marker.IsCommit)
        {
            _producers.Remove(header.Producer.Id);
        }
    }
}
