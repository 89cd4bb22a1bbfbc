using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// What the partition remembers of idempotent and transactional producers, by Kafka's rules (KIP-98, KIP-890): epochs, the last five
/// batches of each, open transactions. Follows from the batches of the log alone, so a scan rebuilds it; a snapshot saves the scan.
/// </summary>
internal sealed class ProducerStates
{
    private readonly int _maximumProducerCount;
    private readonly Dictionary<long, ProducerState> _producers = [];

    // Every producer is in one of the two. Of the idle ones, the one that wrote last is at the end; those that wrote since the last look
    // at the clock are all behind those that did not.
    private readonly LinkedList<ProducerState> _idle = new();

    // By the first offset of their transaction: a transaction that begins has the greatest.
    private readonly LinkedList<ProducerState> _inTransaction = new();

    /// <param name="maximumProducerCount">Beyond it the idle producer that was silent longest is forgotten; one with an open transaction never is.</param>
    public ProducerStates(int maximumProducerCount) => _maximumProducerCount = maximumProducerCount;

    public int Count => _producers.Count;

    /// <summary>Where the oldest open transaction begins.</summary>
    public Offset? FirstOpenTransactionOffset => _inTransaction.First?.Value.TransactionFirstOffset;

    /// <summary>In the order in which they began.</summary>
    public IReadOnlyList<OpenTransaction> OpenTransactions =>
        [.. _inTransaction.Select(static producer => new OpenTransaction(
            new ProducerIdentity(producer.Id, producer.Epoch), producer.TransactionFirstOffset!.Value, producer.LastTimestamp))];

    public IReadOnlyList<ActiveProducer> ActiveProducers =>
        [.. All.Select(static producer => new ActiveProducer(
            new ProducerIdentity(producer.Id, producer.Epoch),
            producer.LastSequence,
            producer.LastTimestamp,
            producer.CoordinatorEpoch,
            producer.TransactionFirstOffset))];

    private bool HasRoom => _producers.Count < _maximumProducerCount || _idle.Count > 0;

    /// <summary>The idle ones from the longest silent on, then those in a transaction.</summary>
    private IEnumerable<ProducerState> All => _idle.Concat(_inTransaction);

    /// <summary>Judges a batch that is not yet written.</summary>
    /// <param name="earlier">The batch of the same producer that precedes it in the same append.</param>
    /// <param name="verifiedAt">The end of the log before the coordinator was asked whether the transaction is open; null if it was not asked.</param>
    /// <param name="original">A duplicate's earlier self.</param>
    public ProducerVerdict Check(
        in RecordBatchHeader header, AppendOrigin origin, RecordBatchHeader? earlier, Offset? verifiedAt, out SequencedBatch original)
    {
        original = default;
        if (!_producers.TryGetValue(header.Producer.Id, out ProducerState? producer) && earlier is null)
        {
            // Nothing is known of it, perhaps because all that it wrote is gone: any sequence is a beginning.
            return HasRoom ? ProducerVerdict.Accept : ProducerVerdict.TooManyProducers;
        }

        if (origin == AppendOrigin.Client && producer is not null && producer.TryFind(header, out original))
        {
            return ProducerVerdict.Duplicate;
        }

        (short epoch, int lastSequence) = earlier is { } batch
            ? (batch.Producer.Epoch, batch.LastSequence)
            : (producer!.Epoch, producer.LastSequence);
        if (header.Producer.Epoch < epoch)
        {
            return ProducerVerdict.Fenced;
        }

        int expected = header.Producer.Epoch > epoch ? 0 : Sequence.Add(lastSequence, 1);
        if (origin == AppendOrigin.Client && header.BaseSequence != expected)
        {
            return ProducerVerdict.OutOfOrder;
        }

        bool isOpen = producer?.TransactionFirstOffset is not null || earlier is { IsTransactional: true };
        if (isOpen)
        {
            return !header.IsTransactional ? ProducerVerdict.OutsideOfTransaction
                : header.Producer.Epoch > epoch ? ProducerVerdict.OlderTransactionOpen
                : ProducerVerdict.Accept;
        }

        // A marker between the coordinator's answer and this append may have ended the very transaction that the answer was about.
        bool mayHaveEnded = header.IsTransactional && producer?.LastMarkerOffset >= verifiedAt;
        return mayHaveEnded ? ProducerVerdict.TransactionEnded : ProducerVerdict.Accept;
    }

    /// <summary>
    /// Judges a marker that is not yet written. It may have a newer epoch than the records: so the coordinator shuts out whoever still
    /// writes with theirs (KIP-890). Where it must have one, a marker with the epoch of the open transaction is a late one of the transaction before.
    /// </summary>
    public ProducerVerdict CheckMarker(ProducerIdentity identity, int coordinatorEpoch, bool raisesEpoch)
    {
        if (!_producers.TryGetValue(identity.Id, out ProducerState? producer))
        {
            return HasRoom ? ProducerVerdict.Accept : ProducerVerdict.TooManyProducers;
        }

        bool isLate = raisesEpoch && identity.Epoch == producer.Epoch && producer.TransactionFirstOffset is not null;
        return identity.Epoch < producer.Epoch || isLate ? ProducerVerdict.Fenced
            : coordinatorEpoch < producer.CoordinatorEpoch ? ProducerVerdict.CoordinatorFenced
            : ProducerVerdict.Accept;
    }

    /// <summary>Of the coordinator that has written the last marker of a producer; 0 where there is none.</summary>
    public int CoordinatorEpochOf(long producerId) => Math.Max(_producers.GetValueOrDefault(producerId)?.CoordinatorEpoch ?? 0, 0);

    /// <summary>Takes note of a batch that is in the log. Returns the transaction that it ends.</summary>
    /// <param name="batch">The bytes of it; of a batch that is no control batch they may be empty.</param>
    public CompletedTransaction? Observe(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        if (header.Producer.IsNone)
        {
            return null;
        }

        if (header.IsControl)
        {
            return ObserveControl(header, batch);
        }

        ProducerState producer = FindOrAdd(header.Producer.Id);
        producer.Add(SequencedBatch.Of(header));
        producer.LastTimestamp = header.MaxTimestamp;
        if (header.IsTransactional && producer.TransactionFirstOffset is null)
        {
            producer.TransactionFirstOffset = header.BaseOffset;
            MoveTo(_inTransaction, producer);
        }
        else
        {
            HeardOf(producer);
        }

        return null;
    }

    /// <summary>
    /// Forgets producers that have not written for so long by the broker's clock. The timestamps of records do not count: a producer that
    /// loads old records would be forgotten at once, and its retries written twice.
    /// </summary>
    public void Expire(long now, TimeSpan expiration)
    {
        for (LinkedListNode<ProducerState>? node = _idle.Last; node?.Value.LastHeard == ProducerState.NoTimestamp; node = node.Previous)
        {
            node.Value.LastHeard = now;
        }

        while (_idle.First is { } oldest && now - oldest.Value.LastHeard >= expiration.TotalMilliseconds)
        {
            Forget(oldest.Value);
        }
    }

    /// <summary>Takes no transaction for open any more.</summary>
    public void ForgetTransactions()
    {
        while (_inTransaction.First is { } node)
        {
            node.Value.TransactionFirstOffset = null;
            MoveTo(_idle, node.Value);
        }
    }

    /// <summary>The newest batch of each.</summary>
    public IReadOnlyDictionary<long, LastBatch> LastBatches() => _producers.ToDictionary(
        static producer => producer.Key,
        static producer => new LastBatch(producer.Value.Epoch, producer.Value.BatchCount == 0 ? null : producer.Value.Batch(1).LastOffset));

    /// <summary>The content of a <c>.snapshot</c> file.</summary>
    public byte[] WriteSnapshot() => ProducerSnapshot.Write(All, Count);

    /// <summary>False if the bytes are not whole, fail their checksum or contradict themselves.</summary>
    public static bool TryReadSnapshot(ReadOnlySpan<byte> bytes, int maximumProducerCount, [NotNullWhen(true)] out ProducerStates? states)
    {
        states = null;
        if (!ProducerSnapshot.TryRead(bytes, out List<ProducerState>? producers))
        {
            return false;
        }

        var read = new ProducerStates(maximumProducerCount);
        foreach (ProducerState producer in producers.OrderBy(static producer => producer.TransactionFirstOffset?.Value ?? -1))
        {
            if (!read._producers.TryAdd(producer.Id, producer))
            {
                return false;
            }

            (producer.TransactionFirstOffset is null ? read._idle : read._inTransaction).AddLast(producer.Node);
        }

        states = read;
        return true;
    }

    private CompletedTransaction? ObserveControl(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        if (EndTransactionMarker.TryRead(batch, out EndTransactionMarker marker))
        {
            return End(header, marker);
        }

        if (header.RecordCount == 0)
        {
            // What compaction has left of a marker stays for the epoch, which no other batch of the producer has.
            ProducerState producer = FindOrAdd(header.Producer.Id);
            producer.SetEpoch(header.Producer.Epoch);
            HeardOf(producer);
        }

        return null;
    }

    private CompletedTransaction? End(in RecordBatchHeader header, EndTransactionMarker marker)
    {
        ProducerState producer = FindOrAdd(header.Producer.Id);
        producer.SetEpoch(header.Producer.Epoch);
        producer.CoordinatorEpoch = marker.CoordinatorEpoch;
        producer.LastTimestamp = header.MaxTimestamp;
        producer.LastMarkerOffset = header.LastOffset;
        Offset? firstOffset = producer.TransactionFirstOffset;
        producer.TransactionFirstOffset = null;
        HeardOf(producer);
        if (firstOffset is not { } first)
        {
            return null;
        }

        Offset stable = FirstOpenTransactionOffset ?? header.NextOffset;
        return new CompletedTransaction(producer.Id, first, header.LastOffset, stable, marker.IsCommit);
    }

    private ProducerState FindOrAdd(long id)
    {
        if (!_producers.TryGetValue(id, out ProducerState? producer))
        {
            while (_producers.Count >= _maximumProducerCount && _idle.First is { } oldest)
            {
                Forget(oldest.Value);
            }

            producer = new ProducerState(id);
            _producers.Add(id, producer);
            _idle.AddLast(producer.Node);
        }

        return producer;
    }

    private void HeardOf(ProducerState producer)
    {
        producer.LastHeard = ProducerState.NoTimestamp;
        if (producer.TransactionFirstOffset is null)
        {
            MoveTo(_idle, producer);
        }
    }

    private static void MoveTo(LinkedList<ProducerState> list, ProducerState producer)
    {
        producer.Node.List!.Remove(producer.Node);
        list.AddLast(producer.Node);
    }

    private void Forget(ProducerState producer)
    {
        _producers.Remove(producer.Id);
        producer.Node.List!.Remove(producer.Node);
    }
}
