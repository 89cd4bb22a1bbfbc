using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// What one endpoint runs in this process, as a synchronous state machine: its partitions' sequencers, the bound on
/// what runs at once, and which partitions take no more records in. Partitions take turns, records of one partition
/// go first come, first served.
/// </summary>
/// <param name="maxConcurrency">The most records that run at once, over all partitions.</param>
/// <param name="maxQueuedRecords">The incomplete records that a partition may hold before it is paused.</param>
/// <param name="maxWindowRecords">
/// The records from the floor on, completed or not, that a partition may hold before it is paused: how far others may run
/// ahead of one stuck key.
/// </param>
internal sealed class EndpointScheduler(int maxConcurrency, int maxQueuedRecords, int maxWindowRecords)
{
    private readonly Dictionary<TopicPartition, Entry> _entries = [];
    private readonly Queue<Entry> _turns = new();

    /// <summary>The records with a handler, those of partitions that left included: they hold their slots to the end.</summary>
    public int RunningCount { get; private set; }

    public IEnumerable<Sequencer> Sequencers => _entries.Values.Select(entry => entry.Sequencer);

    /// <summary>When the next delayed record is due; null when none is.</summary>
    public TimeSpan? NextDue => _entries.Values.Min(entry => entry.Sequencer.NextDue);

    public Sequencer Add(TopicPartition topicPartition, bool isOpen = true)
    {
        Sequencer sequencer = new(topicPartition, isOpen);
        _entries.Add(topicPartition, new Entry(sequencer));
        return sequencer;
    }

    /// <summary>Lets the records of a partition run.</summary>
    public void Open(Sequencer sequencer)
    {
        sequencer.Open();
        if (_entries.TryGetValue(sequencer.TopicPartition, out Entry? entry) && entry.Sequencer == sequencer) TakeTurn(entry);
    }

    /// <summary>
    /// Drops a partition: nothing of it starts or is committed any more. Its running records may still finish.
    /// </summary>
    public bool Remove(TopicPartition topicPartition)
    {
        if (!_entries.Remove(topicPartition, out Entry? entry)) return false;
        entry.Sequencer.Close();
        return true;
    }

    public bool TryGet(TopicPartition topicPartition, [NotNullWhen(true)] out Sequencer? sequencer)
    {
        sequencer = _entries.GetValueOrDefault(topicPartition)?.Sequencer;
        return sequencer is not null;
    }

    /// <summary>Takes in a record; false when its partition is not (or no longer) here.</summary>
    public bool Enqueue(ConsumerRecord record)
    {
        if (!_entries.TryGetValue(record.TopicPartition, out Entry? entry) || entry.Sequencer.IsClosed) return false;
        entry.Sequencer.Enqueue(record);
        TakeTurn(entry);
        return true;
    }

    /// <summary>Gives the next record to run, while the bound allows one.</summary>
    public bool TryStart([NotNullWhen(true)] out Delivery? delivery)
    {
        delivery = null;
        if (RunningCount >= maxConcurrency) return false;
        while (_turns.TryDequeue(out Entry? entry))
        {
            entry.HasTurn = false;
            if (!entry.Sequencer.TryStart(out delivery)) continue;
            TakeTurn(entry);
            RunningCount++;
            return true;
        }

        return false;
    }

    /// <summary>Ends an attempt, of a partition that left as well.</summary>
    public void Finish(Delivery delivery, DeliveryOutcome outcome, TimeSpan now)
    {
        RunningCount--;
        delivery.Sequencer.Finish(delivery, outcome, now);
        if (_entries.TryGetValue(delivery.Sequencer.TopicPartition, out Entry? entry)) TakeTurn(entry);
    }

    /// <summary>Makes the delayed records ready that are due.</summary>
    public void Advance(TimeSpan now)
    {
        foreach (Entry entry in _entries.Values)
        {
            entry.Sequencer.Advance(now);
            TakeTurn(entry);
        }
    }

    /// <summary>What to commit: the floors that have risen since they were last committed.</summary>
    public List<TopicPartitionOffset> CommitsDue() => [.. Sequencers.Select(sequencer => sequencer.CommitDue()).OfType<TopicPartitionOffset>()];

    /// <summary>
    /// Whether a partition must stop or may go on taking records in. A full one pauses; half of that resumes, so that
    /// the two do not alternate with every record.
    /// </summary>
    public FlowChange UpdateFlow(TopicPartition topicPartition)
    {
        if (!_entries.TryGetValue(topicPartition, out Entry? entry)) return FlowChange.None;
        (int queued, int window) = (entry.Sequencer.IncompleteCount, entry.Sequencer.WindowCount);
        bool changes = entry.IsPaused
            ? queued <= maxQueuedRecords / 2 && window <= maxWindowRecords / 2
            : queued >= maxQueuedRecords || window >= maxWindowRecords;
        if (!changes) return FlowChange.None;
        entry.IsPaused = !entry.IsPaused;
        return entry.IsPaused ? FlowChange.Pause : FlowChange.Resume;
    }

    private void TakeTurn(Entry entry)
    {
        if (entry.HasTurn || !entry.Sequencer.HasReady) return;
        entry.HasTurn = true;
        _turns.Enqueue(entry);
    }

    private sealed class Entry(Sequencer sequencer)
    {
        public Sequencer Sequencer { get; } = sequencer;

        public bool HasTurn { get; set; }

        public bool IsPaused { get; set; }
    }
}

/// <summary>What backpressure asks of a partition's consumer.</summary>
internal enum FlowChange
{
    None,
    Pause,
    Resume,
}
