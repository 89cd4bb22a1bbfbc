namespace Millrace.Kafka;

/// <summary>
/// Chooses the partition of a record that names none. Called on the path of every such record, under the producer's lock: it must be quick, and must
/// neither block nor call the producer. May be shared by producers, and then has to be safe for several threads.
/// </summary>
public interface IPartitioner
{
    /// <summary>The partition, or null to leave the record to the producer: one partition after the other, a batch at a time (KIP-480, KIP-794).</summary>
    /// <param name="record">The record.</param>
    /// <param name="partitionCount">How many partitions its topic has; at least 1. A topic may grow, and keys then move.</param>
    /// <returns>0 to <paramref name="partitionCount"/> - 1, or null. The producer takes the remainder of anything else.</returns>
    int? Choose(in SpanRecord record, int partitionCount);
}
