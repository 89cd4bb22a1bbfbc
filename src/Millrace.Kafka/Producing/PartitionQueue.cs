using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// The batches of one partition, in order: those under way first, then those that wait. At most the first few have sequences; whoever
/// waits with a sequence was sent before.
/// </summary>
internal sealed class PartitionQueue(TopicPartition partition)
{
    public TopicPartition Partition { get; } = partition;

    public LinkedList<ProducerBatch> Waiting { get; } = new();

    public List<ProducerBatch> InFlight { get; } = [];

    /// <summary>The identity of the sequences given out here. The epoch is this partition's own: brokers keep it by partition.</summary>
    public ProducerIdentity Identity { get; set; } = ProducerIdentity.None;

    public int NextSequence { get; set; }

    /// <summary>
    /// The sequence has a hole that nothing will fill. No new sequence is given out until every batch that has one is settled; then the
    /// epoch rises and the sequence starts at zero (KIP-360).
    /// </summary>
    public bool MustReset { get; set; }

    /// <summary>The epoch cannot rise by itself: the next identity comes from the broker.</summary>
    public bool NeedsNewProducerId { get; set; }

    public long NextOrdinal { get; set; }

    public bool IsActive { get; set; }

    public ProducerBatch? Open => Waiting.Last?.Value is { IsClosed: false } batch ? batch : null;

    public bool HasWork => Waiting.Count > 0 || InFlight.Count > 0;

    /// <summary>Whether every batch that was given a sequence is settled.</summary>
    public bool IsSettled => InFlight.Count == 0 && Waiting.First?.Value is not { HasSequence: true };

    /// <summary>Whether no older batch is still unsettled.</summary>
    public bool IsOldest(ProducerBatch batch) =>
        InFlight.TrueForAll(other => other.Ordinal >= batch.Ordinal)
        && (Waiting.First is null || Waiting.First.Value.Ordinal >= batch.Ordinal);

    /// <summary>Puts a batch that was sent back into its place in the order.</summary>
    public void Requeue(ProducerBatch batch)
    {
        LinkedListNode<ProducerBatch>? next = Waiting.First;
        while (next is not null && next.Value.Ordinal < batch.Ordinal)
        {
            next = next.Next;
        }

        if (next is null)
        {
            Waiting.AddLast(batch);
        }
        else
        {
            Waiting.AddBefore(next, batch);
        }
    }
}
