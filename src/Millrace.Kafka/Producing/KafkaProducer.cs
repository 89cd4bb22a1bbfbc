namespace Millrace.Kafka;

/// <summary>
/// Writes records. Calls may come from any thread. Per partition, records are written in the order of the calls, and with
/// <see cref="ProducerOptions.EnableIdempotence"/> (the default) exactly once and in that order, whatever is retried.
/// </summary>
public sealed class KafkaProducer : IAsyncDisposable
{
    internal KafkaProducer()
    {
    }

    /// <summary>
    /// Writes one record and completes when it is acknowledged (<see cref="ProducerOptions.Acks"/>). To have many under way, call again
    /// before awaiting: the order of calls is the order of records.
    /// </summary>
    /// <param name="record">The record.</param>
    /// <param name="cancellationToken">
    /// While the record waits for metadata or for space in the buffer: it is not written. Afterwards only the wait ends, and the record may
    /// still be written.
    /// </param>
    /// <returns>Where the record lies.</returns>
    /// <exception cref="KafkaRecordTooLargeException">Larger than <see cref="ProducerOptions.MaxRequestByteCount"/>, or than the topic allows.</exception>
    /// <exception cref="KafkaTimeoutException">
    /// No metadata or no space within <see cref="ProducerOptions.MaxBlock"/>: not written. No acknowledgement within
    /// <see cref="ProducerOptions.DeliveryTimeout"/>: the message says whether it may have been written.
    /// </exception>
    /// <exception cref="KafkaProducerStateException">The broker forgot the producer's sequence, and the record may or may not be written.</exception>
    /// <exception cref="KafkaBrokerException">The broker refused the record for a reason that a retry does not change.</exception>
    /// <exception cref="KafkaClosedException">The producer was closed before the acknowledgement.</exception>
    /// <exception cref="ObjectDisposedException">The producer is closed.</exception>
    public ValueTask<RecordMetadata> ProduceAsync(ProducerRecord record, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    /// <summary>
    /// Sends what is waiting without further lingering, and completes when every record produced before the call is acknowledged or has
    /// failed. Does not throw for records that fail: their own calls do.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait only.</param>
    public Task FlushAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>Flushes for at most <see cref="ProducerOptions.CloseTimeout"/>, then fails what is left with <see cref="KafkaClosedException"/>.</summary>
    public ValueTask DisposeAsync() => throw new NotSupportedException();
}
