using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A batch that a producer has written here.</summary>
internal readonly record struct SequencedBatch(short Epoch, int BaseSequence, int LastSequence, Offset BaseOffset, Offset LastOffset)
{
    public static SequencedBatch Of(in RecordBatchHeader header) =>
        new(header.Producer.Epoch, header.BaseSequence, header.LastSequence, header.BaseOffset, header.LastOffset);
}

internal enum SequenceVerdict
{
    Accept,
    Duplicate,
    OutOfOrder,
    Fenced,
}

/// <summary>
/// What the partition remembers of idempotent producers, by Kafka's rules (KIP-98): the epoch and the last five batches of each.
/// Follows from the batches of the log alone, so a scan rebuilds it.
/// </summary>
internal sealed class ProducerStates
{
    /// <summary>A producer has at most this many requests in flight, so an older batch cannot be a retry.</summary>
    public const int RememberedBatchCount = 5;

    private readonly int _maximumProducerCount;
    private readonly Dictionary<long, LinkedListNode<Producer>> _producers = [];

    // The producer that wrote last is at the end.
    private readonly LinkedList<Producer> _byLastWrite = new();

    public ProducerStates(int maximumProducerCount) => _maximumProducerCount = maximumProducerCount;

    public int Count => _producers.Count;

    /// <summary>
    /// Judges a batch that is not yet written. <paramref name="earlier"/> is the batch of the same producer that precedes it in the same
    /// append. A duplicate's earlier self is in <paramref name="original"/>.
    /// </summary>
    public SequenceVerdict Check(in RecordBatchHeader header, SequencedBatch? earlier, out SequencedBatch original)
    {
        original = default;
        if (!_producers.TryGetValue(header.Producer.Id, out LinkedListNode<Producer>? node) && earlier is null)
        {
            // Nothing is known of it, perhaps because all that it wrote is gone: any sequence is a beginning.
            return SequenceVerdict.Accept;
        }

        if (node is not null && node.Value.TryFind(header, out original))
        {
            return SequenceVerdict.Duplicate;
        }

        SequencedBatch last = earlier ?? node!.Value.Last;
        if (header.Producer.Epoch < last.Epoch)
        {
            return SequenceVerdict.Fenced;
        }

        int expected = header.Producer.Epoch > last.Epoch ? 0 : Sequence.Add(last.LastSequence, 1);
        return header.BaseSequence == expected ? SequenceVerdict.Accept : SequenceVerdict.OutOfOrder;
    }

    /// <summary>Takes note of a batch that is in the log.</summary>
    public void Record(in RecordBatchHeader header)
    {
        if (header.Producer.IsNone)
        {
            return;
        }

        if (_producers.TryGetValue(header.Producer.Id, out LinkedListNode<Producer>? node))
        {
            _byLastWrite.Remove(node);
        }
        else
        {
            if (_producers.Count == _maximumProducerCount)
            {
                _producers.Remove(_byLastWrite.First!.Value.Id);
                _byLastWrite.RemoveFirst();
            }

            node = new LinkedListNode<Producer>(new Producer(header.Producer.Id));
            _producers.Add(header.Producer.Id, node);
        }

        _byLastWrite.AddLast(node);
        node.Value.Add(SequencedBatch.Of(header));
    }

    private sealed class Producer(long id)
    {
        private readonly SequencedBatch[] _batches = new SequencedBatch[RememberedBatchCount];
        private int _count;
        private int _next;

        public long Id => id;

        public SequencedBatch Last => _batches[(_next + RememberedBatchCount - 1) % RememberedBatchCount];

        public void Add(SequencedBatch batch)
        {
            if (_count > 0 && Last.Epoch != batch.Epoch)
            {
                // Sequences start again in a new epoch: the old ones must not be taken for duplicates.
                _count = 0;
            }

            _batches[_next] = batch;
            _next = (_next + 1) % RememberedBatchCount;
            _count = Math.Min(_count + 1, RememberedBatchCount);
        }

        public bool TryFind(in RecordBatchHeader header, out SequencedBatch found)
        {
            for (int age = 1; age <= _count; age++)
            {
                SequencedBatch batch = _batches[(_next + RememberedBatchCount - age) % RememberedBatchCount];
                if (batch.Epoch == header.Producer.Epoch && batch.BaseSequence == header.BaseSequence
                    && batch.LastSequence == header.LastSequence)
                {
                    found = batch;
                    return true;
                }
            }

            found = default;
            return false;
        }
    }
}
