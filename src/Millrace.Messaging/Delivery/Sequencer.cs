using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// The delivery of one partition to one endpoint, as a synchronous state machine: which record may run next, and up to
/// where everything is done.
/// </summary>
/// <remarks>
/// <para>A <b>lane</b> is one key: a queue that exists while the key has work. Only the head of a lane runs, so the
/// records of a key run one after the other, in offset order, through every retry. Records without a key have no lane
/// and run freely.</para>
/// <para>The <b>window</b> holds every record from the floor on, completed or not, in offset order. The <b>floor</b> is
/// the offset of its first incomplete record, which is what may be committed: everything below it is done.</para>
/// <para>Time is a parameter, counted from any fixed start.</para>
/// </remarks>
/// <param name="topicPartition">The partition.</param>
/// <param name="isOpen">Whether records may run from the start; otherwise from <see cref="Open"/> on.</param>
internal sealed class Sequencer(TopicPartition topicPartition, bool isOpen = true)
{
    private readonly Queue<Delivery> _window = new();
    private readonly Dictionary<LaneKey, Lane> _lanes = [];
    private readonly Queue<Delivery> _ready = new();
    private readonly PriorityQueue<Delivery, (TimeSpan Due, long Offset)> _delayed = new();
    private Offset? _position;
    private Offset? _committed;
    private int _floorLeaderEpoch = -1;
    private int _generation;

    public TopicPartition TopicPartition { get; } = topicPartition;

    /// <summary>The offset after the last record that was taken in. Null before the first.</summary>
    public Offset? Position => _position;

    /// <summary>The next offset to commit: everything below it is completed. Null before the first record.</summary>
    public Offset? Floor => _window.TryPeek(out Delivery? first) ? first.Offset : _position;

    /// <summary>The records from the floor on that are held in memory, completed ones included.</summary>
    public int WindowCount => _window.Count;

    /// <summary>The records that are not completed.</summary>
    public int IncompleteCount { get; private set; }

    public int RunningCount { get; private set; }

    public int LaneCount => _lanes.Count;

    public int DelayedCount => _delayed.Count;

    public bool HasReady => IsOpen && _ready.Count > 0;

    /// <summary>When the next delayed record is due; null when none is.</summary>
    public TimeSpan? NextDue => _delayed.TryPeek(out _, out (TimeSpan Due, long Offset) next) ? next.Due : null;

    /// <summary>Whether records may run: before that they are taken in, and wait.</summary>
    public bool IsOpen { get; private set; } = isOpen;

    /// <summary>Whether the partition is leaving: nothing starts any more, what runs may still complete.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>Takes in the next record of the partition.</summary>
    public void Enqueue(ConsumerRecord record)
    {
        Invariant.Holds(!IsClosed);
        if (record.Offset < _position) BeginAgain();
        _committed ??= record.Offset;
        _position = record.Offset.Next;

        Lane? lane = record.Key is { } key ? LaneOf(new LaneKey(key)) : null;
        Delivery delivery = new(this, record, lane, _generation);
        _window.Enqueue(delivery);
        IncompleteCount++;
        if (lane is not null)
        {
            lane.Deliveries.Enqueue(delivery);
            if (lane.Deliveries.Count > 1) return;
        }

        MakeReady(delivery);
    }

    /// <summary>Gives the record that waited longest, and counts it as running.</summary>
    public bool TryStart([NotNullWhen(true)] out Delivery? delivery)
    {
        if (IsClosed || !IsOpen || !_ready.TryDequeue(out delivery))
        {
            delivery = null;
            return false;
        }

        Invariant.Holds(delivery.State == DeliveryState.Ready);
        delivery.State = DeliveryState.Running;
        RunningCount++;
        return true;
    }

    /// <summary>Ends the attempt of a running record.</summary>
    public void Finish(Delivery delivery, DeliveryOutcome outcome, TimeSpan now)
    {
        Invariant.Holds(delivery.Sequencer == this);
        Invariant.Holds(delivery.State == DeliveryState.Running);
        RunningCount--;
        // It belongs to a log that is no more: there is nothing to count it into.
        if (delivery.Generation != _generation) return;
        switch (outcome)
        {
            case DeliveryOutcome.Complete or DeliveryOutcome.DeadLetter:
                Complete(delivery);
                break;
            case DeliveryOutcome.RetryAfter retry:
                delivery.State = DeliveryState.Delayed;
                delivery.Progress = retry.Next;
                _delayed.Enqueue(delivery, (now + retry.Delay, delivery.Offset.Value));
                break;
            case DeliveryOutcome.Abandon:
                // Not ready again: an abandoned record belongs to the partition's next owner.
                Invariant.Holds(IsClosed);
                delivery.State = DeliveryState.Queued;
                break;
        }
    }

    /// <summary>Makes the delayed records ready that are due.</summary>
    public void Advance(TimeSpan now)
    {
        while (_delayed.TryPeek(out Delivery? delivery, out (TimeSpan Due, long Offset) next) && next.Due <= now)
        {
            _delayed.Dequeue();
            MakeReady(delivery);
        }
    }

    /// <summary>What to commit: the floor, and the leader epoch of the last record below it. Null while that has not risen.</summary>
    public TopicPartitionOffset? CommitDue() =>
        Floor > _committed ? new TopicPartitionOffset(TopicPartition, Floor.Value, _floorLeaderEpoch) : null;

    public void MarkCommitted(Offset offset)
    {
        Invariant.Holds(_committed is not null && offset <= Floor);
        _committed = Offset.Max(offset, _committed.Value);
    }

    public void Open() => IsOpen = true;

    public void Close() => IsClosed = true;

    /// <summary>
    /// The partition's log is another one now: its topic was made anew, or lost its end, and the consumer was set back. What was taken in
    /// before is not in that log, so nothing of it is started, counted or committed any more; what runs may end.
    /// </summary>
    private void BeginAgain()
    {
        _generation++;
        _window.Clear();
        _lanes.Clear();
        _ready.Clear();
        _delayed.Clear();
        _committed = null;
        _floorLeaderEpoch = -1;
        IncompleteCount = 0;
    }

    private void Complete(Delivery delivery)
    {
        delivery.MarkCompleted();
        IncompleteCount--;
        while (_window.TryPeek(out Delivery? first) && first.State == DeliveryState.Completed)
        {
            _floorLeaderEpoch = first.LeaderEpoch;
            _window.Dequeue();
        }

        if (delivery.Lane is not { } lane) return;

        Delivery head = lane.Deliveries.Dequeue();
        Invariant.Holds(head == delivery);
        // At the tail of the queue: a key with many records takes turns with the others.
        if (lane.Deliveries.TryPeek(out Delivery? next)) MakeReady(next);
        else _lanes.Remove(lane.Key);
    }

    private void MakeReady(Delivery delivery)
    {
        delivery.State = DeliveryState.Ready;
        _ready.Enqueue(delivery);
    }

    private Lane LaneOf(LaneKey key)
    {
        if (_lanes.TryGetValue(key, out Lane? lane)) return lane;
        lane = new Lane(key);
        _lanes.Add(key, lane);
        return lane;
    }
}
