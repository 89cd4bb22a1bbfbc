using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>A record that is not in a batch yet: its topic is unknown, or the buffer is full.</summary>
internal sealed class PendingAppend(ProducerRecord record, long byteCount, TimeSpan deadline)
{
    public ProducerRecord Record { get; } = record;

    /// <summary>What the record takes of the buffer.</summary>
    public long ByteCount { get; } = byteCount;

    public TimeSpan Deadline { get; } = deadline;

    public TaskCompletionSource<RecordMetadata> Completion { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Null until the topic is known.</summary>
    public TopicDescription? Topic { get; set; }

    /// <summary>The place in the queue where it waits; null once it is in a batch or given up.</summary>
    public LinkedListNode<PendingAppend>? Place { get; set; }
}

/// <summary>Batches that go to one broker in one request.</summary>
internal sealed record ProduceBundle(int NodeId, BrokerAddress Address, List<ProducerBatch> Batches);

/// <summary>What the accumulator wants done outside of its lock.</summary>
internal sealed class ProducerEffects
{
    public readonly record struct Answer(ProducerBatch Batch, Offset? BaseOffset, DateTimeOffset? Timestamp, Exception? Failure);

    public List<Answer> Answers { get; } = [];

    public List<(PendingAppend Pending, Exception Failure)> GivenUp { get; } = [];

    public List<(TopicPartition Partition, short Epoch)> Resets { get; } = [];

    public List<ProduceBundle> Bundles { get; } = [];

    /// <summary>Brokers that batches wait for and that are not connected.</summary>
    public HashSet<BrokerAddress> WantedConnections { get; } = [];

    public bool NeedsMetadata { get; set; }

    public bool NeedsIdentity { get; set; }

    /// <summary>When to look again, if nothing happens before; null if nothing is due.</summary>
    public TimeSpan? WakeAt { get; private set; }

    public void WakeNoLaterThan(TimeSpan time) => WakeAt = WakeAt is { } earlier && earlier < time ? earlier : time;
}
