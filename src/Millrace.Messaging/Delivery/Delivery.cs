using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>One record on its way through an endpoint. Its state is the sequencer's; everyone else only reads.</summary>
internal sealed class Delivery(Sequencer sequencer, ConsumerRecord record, Lane? lane, int generation)
{
    public Sequencer Sequencer { get; } = sequencer;

    /// <summary>Which log of the partition it is from: the sequencer counts how often that began again.</summary>
    public int Generation { get; } = generation;

    public Offset Offset { get; } = record.Offset;

    public int LeaderEpoch { get; } = record.LeaderEpoch;

    /// <summary>
    /// The record; null once it is completed, so that a window behind one stuck key holds offsets and not their bodies.
    /// </summary>
    public ConsumerRecord? Record { get; private set; } = record;

    /// <summary>The queue of the record's key; null for a record without a key.</summary>
    public Lane? Lane { get; } = lane;

    public DeliveryState State { get; set; } = DeliveryState.Queued;

    /// <summary>What earlier attempts left for the one that is running or comes next.</summary>
    public DeliveryProgress Progress { get; set; } = DeliveryProgress.Start;

    public void MarkCompleted()
    {
        State = DeliveryState.Completed;
        Record = null;
    }
}

internal enum DeliveryState
{
    /// <summary>Behind another record of its key.</summary>
    Queued,

    /// <summary>Next in its lane, waiting for a slot.</summary>
    Ready,

    /// <summary>With the handler: the only state that holds a slot.</summary>
    Running,

    /// <summary>Failed, and waiting for its next attempt at the head of its lane, without a slot.</summary>
    Delayed,

    Completed,
}

/// <summary>The records of one key that are not completed, in offset order; it exists while there are any.</summary>
internal sealed class Lane(LaneKey key)
{
    public LaneKey Key { get; } = key;

    public Queue<Delivery> Deliveries { get; } = new();
}
