using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>What stands behind an endpoint's lanes: handlers of messages, or a processor of records.</summary>
internal interface IRecordPipeline
{
    /// <summary>Prepares a partition. None of its records is handled before a call has completed.</summary>
    ValueTask OnAssignedAsync(AssignedPartition partition, CancellationToken cancellationToken);

    /// <summary>Forgets a partition. Called when no preparation of it is under way. Never throws.</summary>
    void OnReleased(TopicPartition partition);

    /// <summary>Runs one attempt at one record. Never throws: a failure is an outcome.</summary>
    /// <param name="record">The record.</param>
    /// <param name="progress">What earlier attempts left.</param>
    /// <param name="ownership">Tells the attempt to end, and the pipeline to write nothing any more.</param>
    Task<DeliveryOutcome> HandleAsync(ConsumerRecord record, DeliveryProgress progress, Ownership ownership);
}

/// <summary>What an endpoint runs on: its consumer group and its bounds.</summary>
/// <param name="Name">The endpoint's name.</param>
/// <param name="GroupId">Its consumer group: the name, behind the application's prefix.</param>
/// <param name="Topics">What it reads.</param>
/// <param name="MaxConcurrency">The most records that run at once.</param>
/// <param name="Delivery">Whether a record is committed before or after it is handled.</param>
internal sealed record EndpointRun(string Name, string GroupId, IReadOnlyList<string> Topics, int MaxConcurrency, DeliveryMode Delivery);
