using Microsoft.Extensions.Logging;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>One attempt of a processor at one record. Never gives up: a processor's records are its state.</summary>
internal sealed class ProcessorPipeline(
    string name, PartitionProcessor processor, RetryBackoff backoff, TimeProvider time, ILogger logger) : IRecordPipeline
{
    // On a thread of its own: what a processor does before its first wait must not hold up the rebalance.
    public ValueTask OnAssignedAsync(AssignedPartition partition, CancellationToken cancellationToken) =>
        new(Task.Run(() => processor.OnAssignedAsync(partition, cancellationToken).AsTask(), cancellationToken));

    public void OnReleased(TopicPartition partition)
    {
        try
        {
            processor.OnReleased(partition);
        }
#pragma warning disable CA1031 // The partition is gone whatever the processor makes of it.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            LogMessages.ReleaseFailed(logger, failure, name, partition);
        }
    }

    public async Task<DeliveryOutcome> HandleAsync(ConsumerRecord record, DeliveryProgress progress, Ownership ownership)
    {
        long started = time.GetTimestamp();
        string? errorType = null;
        try
        {
            await processor.ProcessAsync(record, ownership.Leaving);
            return DeliveryOutcome.Completed;
        }
#pragma warning disable CA1031 // A processor may throw anything, and every failure has an outcome.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            if (ownership.Leaving.IsCancellationRequested)
            {
                LogMessages.Abandoned(logger, name, record.TopicPartition, record.Offset.Value);
                return DeliveryOutcome.Abandoned;
            }

            errorType = failure.GetType().FullName;
            TimeSpan delay = backoff.DelayAfter(progress.Attempt);
            Diagnostics.RecordRetry(name, record.TopicPartition.Topic, errorType);
            LogMessages.ProcessorFailed(logger, failure, name, record.TopicPartition, record.Offset.Value, failure.Message, progress.Attempt, delay);
            return new DeliveryOutcome.RetryAfter(delay, progress.Failed(time.GetUtcNow()));
        }
        finally
        {
            Diagnostics.RecordProcessed(name, record.TopicPartition.Topic, time.GetElapsedTime(started), errorType);
        }
    }
}
