using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// The batches of one partition, in order: those under way first, then those that wait. At most the first few have sequences; whoever
/// waits with a sequence was sent before.
/// </summary>
internal sealed class PartitionQueue(TopicPartition partition)
{
    /// <summary>Brokers forget a producer that is silent (<c>producer.id.expiration.ms</c>, a day by itself). After this much of it the next batch leaves alone.</summary>
    private static readonly TimeSpan MaxTrustedSilence = TimeSpan.FromMinutes(10);

    public TopicPartition Partition { get; } = partition;

    public LinkedList<ProducerBatch> Waiting { get; } = new();

    public List<ProducerBatch> InFlight { get; } = [];

    /// <summary>Answers that wait for that of an older batch, so that callers are told in the order of their records.</summary>
    public List<ProducerAnswer> Answers { get; } = [];

    /// <summary>The identity of the sequences given out here. The epoch is this partition's own: brokers keep it by partition.</summary>
    public ProducerIdentity Identity { get; set; } = ProducerIdentity.None;

    public int NextSequence { get; set; }

    /// <summary>The producer id of the last batch that was written here, and when that was known.</summary>
    public (long ProducerId, TimeSpan At)? LastWritten { get; set; }

    /// <summary>
    /// The sequence has a hole that nothing will fill. No new sequence is given out until every batch that has one is settled; then the
    /// epoch rises and the sequence starts at zero (KIP-360).
    /// </summary>
    public bool MustReset { get; set; }

    /// <summary>
    /// Nothing from this batch on can be written under the sequences of the present epoch: the batch itself is known not to be, and
    /// brokers that know the producer take no sequence before the one that precedes it. Null while no such batch is known.
    /// </summary>
    public long? UnwrittenFrom { get; private set; }

    /// <summary>The epoch cannot rise by itself: the next identity comes from the broker.</summary>
    public bool NeedsNewProducerId { get; set; }

    /// <summary>The broker that takes no batch although one is due, and since when; null where batches leave, or none waits.</summary>
    public (int NodeId, TimeSpan Since)? Stall { get; private set; }

    public long NextOrdinal { get; set; }

    public bool IsActive { get; set; }

    /// <summary>The batch that the next record joins, if it fits.</summary>
    public ProducerBatch? Open => Waiting.Last?.Value is { IsClosed: false } batch ? batch : null;

    public bool HasWork => Waiting.Count > 0 || InFlight.Count > 0;

    /// <summary>
    /// Whether brokers hold the sequences of the identity against each other. One that knows nothing of a producer takes whatever sequence comes first: a batch that
    /// would leave beside the first one could be written without it.
    /// </summary>
    public bool IsKnownToBroker(TimeSpan now) => LastWritten is { } last && last.ProducerId == Identity.Id && now - last.At < MaxTrustedSilence;

    public void MarkStalled(int nodeId, TimeSpan now) => Stall = Stall is { } stall && stall.NodeId == nodeId ? stall : (nodeId, now);

    public void EndStall() => Stall = null;

    /// <summary>Whether every batch that was given a sequence is settled.</summary>
    public bool IsSettled => InFlight.Count == 0 && !Waiting.Any(static batch => batch.HasSequence);

    /// <summary>The next batch that may leave: while the sequence has a hole, only one that has its place in it.</summary>
    public ProducerBatch? Next => MustReset ? Waiting.FirstOrDefault(static batch => batch.HasSequence) : Waiting.First?.Value;

    /// <summary>Whether no older batch with a sequence is still unsettled.</summary>
    public bool IsOldest(ProducerBatch batch) =>
        InFlight.TrueForAll(other => other.Ordinal >= batch.Ordinal)
        && Waiting.All(other => !other.HasSequence || other.Ordinal >= batch.Ordinal);

    /// <summary>
    /// A sequence will never be written. The batches behind it that wait are not written either, whatever became of their answers, and
    /// may get new sequences; those under way follow when they are settled.
    /// </summary>
    public void MarkUnwrittenFrom(long ordinal)
    {
        MustReset = true;
        UnwrittenFrom = Math.Min(UnwrittenFrom ?? long.MaxValue, ordinal);
        foreach (ProducerBatch batch in Waiting)
        {
            ClearIfUnwritten(batch);
        }
    }

    public void ClearIfUnwritten(ProducerBatch batch)
    {
        if (batch.HasSequence && batch.Ordinal >= UnwrittenFrom)
        {
            batch.MayBeWritten = false;
            batch.ClearSequence();
        }
    }

    /// <summary>Begins the next epoch.</summary>
    public void Restart(ProducerIdentity identity)
    {
        Invariant.Holds(IsSettled, $"every sequence of {Partition} is settled before its epoch ends");
        MustReset = false;
        NeedsNewProducerId = false;
        UnwrittenFrom = null;
        NextSequence = 0;
        Identity = identity;
    }

    /// <summary>Moves what comes after a batch back in the order, so that the parts of that batch have places.</summary>
    public void MakeRoomAfter(long ordinal, int count)
    {
        foreach (ProducerBatch batch in InFlight.Concat(Waiting).Concat(Answers.Select(static answer => answer.Batch)))
        {
            if (batch.Ordinal > ordinal)
            {
                batch.MoveBack(count);
            }
        }

        NextOrdinal += count;
        if (UnwrittenFrom > ordinal)
        {
            UnwrittenFrom += count;
        }
    }

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
            Waiting.AddLast(batch.Node);
        }
        else
        {
            Waiting.AddBefore(next, batch.Node);
        }
    }
}
