using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Batches that go to one broker in one request.</summary>
internal sealed record ProduceBundle(int NodeId, BrokerAddress Address, List<ProducerBatch> Batches);

/// <summary>What the callers of a batch's records are to be told.</summary>
/// <param name="Batch">The batch.</param>
/// <param name="BaseOffset">Where it was written; null if that is not known, or not so.</param>
/// <param name="Timestamp">The broker's time, where the topic takes it.</param>
/// <param name="Failure">Null if it was written.</param>
/// <param name="IsDoneWith">Whether nobody needs the batch afterwards.</param>
internal readonly record struct ProducerAnswer(ProducerBatch Batch, Offset? BaseOffset, DateTimeOffset? Timestamp, Exception? Failure, bool IsDoneWith);

/// <summary>What the accumulator wants done outside of its lock.</summary>
internal sealed class ProducerEffects
{
    /// <summary>Whether records that waited are in batches now, which nobody has looked at yet.</summary>
    public bool HasAdmitted { get; set; }

    /// <summary>Those of their callers who wait for that alone.</summary>
    public List<ProduceOperation> Admitted { get; } = [];

    /// <summary>Records that come into no batch.</summary>
    public List<(WaitingRecord Waiting, Exception Failure)> GivenUp { get; } = [];

    public List<(TopicPartition Partition, short Epoch)> Resets { get; } = [];

    /// <summary>Batches that a broker found too large, and that are sent in two parts.</summary>
    public List<(TopicPartition Partition, int RecordCount, int ByteCount)> Splits { get; } = [];

    public List<ProduceBundle> Bundles { get; } = [];

    /// <summary>Brokers that batches wait for and that are not connected.</summary>
    public HashSet<BrokerAddress> WantedConnections { get; } = [];

    public bool NeedsMetadata { get; set; }

    public bool NeedsIdentity { get; set; }

    /// <summary>Batches wait for the coordinator to know of their partitions.</summary>
    public bool NeedsTransactionPartitions { get; set; }

    /// <summary>When to look again, if nothing happens before; null if nothing is due.</summary>
    public TimeSpan? WakeAt { get; private set; }

    /// <summary>Begins anew.</summary>
    public void Clear()
    {
        HasAdmitted = false;
        Admitted.Clear();
        GivenUp.Clear();
        Resets.Clear();
        Splits.Clear();
        Bundles.Clear();
        WantedConnections.Clear();
        NeedsMetadata = false;
        NeedsIdentity = false;
        NeedsTransactionPartitions = false;
        WakeAt = null;
    }

    public void WakeNoLaterThan(TimeSpan time) => WakeAt = WakeAt is { } earlier && earlier < time ? earlier : time;
}
