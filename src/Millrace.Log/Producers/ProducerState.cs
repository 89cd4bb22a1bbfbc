using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A batch that a producer has written here.</summary>
/// <param name="BaseSequence">-1 where it has none: the group coordinator writes on a producer's behalf without counting.</param>
internal readonly record struct SequencedBatch(short Epoch, int BaseSequence, int LastSequence, Offset BaseOffset, Offset LastOffset)
{
    public static SequencedBatch Of(in RecordBatchHeader header) =>
        new(header.Producer.Epoch, header.BaseSequence, header.LastSequence, header.BaseOffset, header.LastOffset);
}

/// <summary>What the partition remembers of one producer: its epoch, its last batches in that epoch, its open transaction.</summary>
internal sealed class ProducerState
{
    public const int NoCoordinatorEpoch = -1;
    public const int NoSequence = -1;
    public const long NoTimestamp = -1;

    /// <summary>A producer has at most this many requests in flight, so an older batch cannot be a retry.</summary>
    public const int RememberedBatchCount = 5;

    private readonly SequencedBatch[] _batches = new SequencedBatch[RememberedBatchCount];
    private int _next;

    public ProducerState(long id)
    {
        Id = id;
        Node = new LinkedListNode<ProducerState>(this);
    }

    public long Id { get; }

    /// <summary>Its place among the idle producers or those with an open transaction.</summary>
    public LinkedListNode<ProducerState> Node { get; }

    /// <summary>-1 until anything is known.</summary>
    public short Epoch { get; private set; } = -1;

    public int CoordinatorEpoch { get; set; } = NoCoordinatorEpoch;

    /// <summary>Of its newest batch or marker, as Kafka's snapshot keeps it.</summary>
    public long LastTimestamp { get; set; } = NoTimestamp;

    /// <summary>By the broker's clock, when it was first seen that it had written; -1 since its last write until that is seen.</summary>
    public long LastHeard { get; set; } = NoTimestamp;

    public Offset? TransactionFirstOffset { get; set; }

    /// <summary>Of the last marker that this process has seen; no request outlives a process.</summary>
    public Offset? LastMarkerOffset { get; set; }

    /// <summary>Batches remembered, all of <see cref="Epoch"/>.</summary>
    public int BatchCount { get; private set; }

    public int LastSequence => BatchCount == 0 ? NoSequence : Batch(1).LastSequence;

    /// <summary>One of the remembered batches, the newest being of age 1.</summary>
    public SequencedBatch Batch(int age) => _batches[(_next + RememberedBatchCount - age) % RememberedBatchCount];

    public void Add(SequencedBatch batch)
    {
        SetEpoch(batch.Epoch);
        _batches[_next] = batch;
        _next = (_next + 1) % RememberedBatchCount;
        BatchCount = Math.Min(BatchCount + 1, RememberedBatchCount);
    }

    /// <summary>Sequences start again in a new epoch: those of the old one must not be taken for duplicates.</summary>
    public void SetEpoch(short epoch)
    {
        if (epoch != Epoch)
        {
            Epoch = epoch;
            BatchCount = 0;
        }
    }

    public bool TryFind(in RecordBatchHeader header, out SequencedBatch found)
    {
        for (int age = 1; age <= BatchCount && header.Producer.Epoch == Epoch; age++)
        {
            found = Batch(age);
            if (found.BaseSequence == header.BaseSequence && found.LastSequence == header.LastSequence)
            {
                return true;
            }
        }

        found = default;
        return false;
    }
}
