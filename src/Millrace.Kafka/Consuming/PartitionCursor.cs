using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Where the position of a partition comes from.</summary>
internal enum PositionSource
{
    /// <summary>It is known.</summary>
    Known,

    /// <summary>The group's commit; without one, the reset.</summary>
    Committed,

    /// <summary>The reset that the options ask for.</summary>
    Reset,
}

/// <summary>One assigned partition: what was handed out, what waits, what is asked for next.</summary>
internal sealed class PartitionCursor(TopicPartition partition, long firstVersion)
{
    public TopicPartition Partition { get; } = partition;

    /// <summary>Rises whenever the position jumps, over assignments too, so that answers to older questions are told apart.</summary>
    public long Version { get; private set; } = firstVersion;

    public PositionSource Source { get; private set; } = PositionSource.Committed;

    /// <summary>The next offset to hand out.</summary>
    public Offset Position { get; set; }

    /// <summary>The next offset to ask the broker for: behind everything that waits.</summary>
    public Offset FetchOffset { get; set; }

    public Queue<FetchedBatch> Batches { get; } = new();

    public bool IsPaused { get; set; }

    /// <summary>A rebalance callback is under way: nothing is handed out.</summary>
    public bool IsHeld { get; set; }

    /// <summary>Something that only a seek mends. Told once, then the partition rests.</summary>
    public bool IsStuck { get; private set; }

    /// <summary>What is to be told by the next poll.</summary>
    public Exception? Fault { get; private set; }

    public TimeSpan RetryAt { get; set; }

    public int FailureCount { get; set; }

    public long BufferedByteCount { get; set; }

    /// <summary>Jumps to an offset.</summary>
    public void MoveTo(Offset offset)
    {
        Forget();
        Source = PositionSource.Known;
        Position = offset;
        FetchOffset = offset;
    }

    /// <summary>Has the position looked up.</summary>
    public void LookUp(PositionSource source)
    {
        Forget();
        Source = source;
    }

    /// <summary>Stops until a seek.</summary>
    public void Stick(Exception fault)
    {
        IsStuck = true;
        Fault = fault;
    }

    public Exception? TakeFault()
    {
        Exception? fault = Fault;
        Fault = null;
        return fault;
    }

    private void Forget()
    {
        Version++;
        Batches.Clear();
        BufferedByteCount = 0;
        IsStuck = false;
        Fault = null;
        RetryAt = TimeSpan.Zero;
        FailureCount = 0;
    }
}
