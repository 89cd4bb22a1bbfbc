using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>What runs behind an endpoint when it is not handlers: the record itself, partition by partition.</summary>
/// <remarks>
/// <para>For packages that build on messaging; programs write handlers. Records of one key are processed one after the
/// other in offset order, keys run in parallel up to <see cref="ProcessorOptions.MaxConcurrency"/>, and what has completed
/// is committed by contiguous floors, at least once.</para>
/// <para>One instance serves all partitions; its methods are called for several of them at once.</para>
/// </remarks>
public abstract class PartitionProcessor
{
    /// <summary>
    /// The partition is this process's. Completes before any record of it is processed; a call that throws is repeated with
    /// back-off, and nothing of the partition is processed before one completes.
    /// </summary>
    /// <param name="partition">The partition.</param>
    /// <param name="cancellationToken">Cancelled when the partition leaves, or the host stops.</param>
    public virtual ValueTask OnAssignedAsync(AssignedPartition partition, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <summary>
    /// The partition is gone: what it was made of may be forgotten. Called after <see cref="OnAssignedAsync"/> has ended, and after its last record, unless one did
    /// not end in time.
    /// </summary>
    /// <param name="partition">The partition.</param>
    public virtual void OnReleased(TopicPartition partition)
    {
    }

    /// <summary>
    /// Processes a record. A call that completes acknowledges it; one that throws is repeated with back-off for ever, while
    /// the record's key waits and others go on; one that is cancelled leaves the record to the partition's next owner.
    /// </summary>
    /// <param name="record">The record.</param>
    /// <param name="cancellationToken">Cancelled when the partition leaves, and when the host stops and does not wait any longer.</param>
    public abstract Task ProcessAsync(ConsumerRecord record, CancellationToken cancellationToken);
}
