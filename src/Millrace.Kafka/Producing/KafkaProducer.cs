using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Writes records. Calls may come from any thread. Per partition, records are written in the order of the calls, and with
/// <see cref="ProducerOptions.EnableIdempotence"/> (the default) exactly once and in that order, whatever is retried.
/// </summary>
public sealed class KafkaProducer : IAsyncDisposable
{
    private readonly ClientContext _context;
    private readonly ProducerSettings _settings;
    private readonly MetadataCache _metadata;
    private readonly ConnectionPool _pool;
    private readonly ILogger _logger;
    private readonly RecordAccumulator _accumulator;
    private readonly ProducerSender _sender;
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Action<IAsyncDisposable> _closed;
    private readonly Task _loop;
    private Task? _closing;

    internal KafkaProducer(ClientContext context, ProducerSettings settings, MetadataCache metadata, Action<IAsyncDisposable> closed)
    {
        _closed = closed;
        _context = context;
        _settings = settings;
        _metadata = metadata;
        _logger = context.Loggers.CreateLogger<KafkaProducer>();
        _pool = new ConnectionPool(context, settings.MaxInFlightRequests);
        _accumulator = new RecordAccumulator(settings, context.RetryBackoff, context.Chance);
        _sender = new ProducerSender(context, settings, metadata, _pool, _accumulator, _gate);
        _loop = RunAsync();
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
    public ValueTask<RecordMetadata> ProduceAsync(ProducerRecord record, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(record);
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<RecordMetadata>(cancellationToken);
        }

        long byteCount = RecordBatchBuilder.EstimateRecordByteCount(record.Key?.Length ?? 0, record.Value?.Length ?? 0, record.Headers);
        if (byteCount + RecordBatchHeader.ByteCount > _settings.MaxRequestByteCount)
        {
            return ValueTask.FromException<RecordMetadata>(new KafkaRecordTooLargeException(
                $"A record for topic '{record.Topic}' has about {byteCount} bytes; at most {_settings.MaxRequestByteCount} " +
                $"({nameof(ProducerOptions.MaxRequestByteCount)}) fit into a request. It is not written."));
        }

        PendingAppend pending;
        RecordAccumulator.OfferResult result;
        bool isWaiting;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closing is not null, this);
            Moment now = _sender.Now();
            pending = new PendingAppend(record, byteCount, now.Elapsed + _settings.MaxBlock);
            result = _accumulator.Offer(pending, _metadata.FindTopic(record.Topic), now);
            isWaiting = pending.Place is not null;
        }

        if (result == RecordAccumulator.OfferResult.TopicWanted)
        {
            _ = ResolveTopicAsync(record.Topic);
        }
        else if (result == RecordAccumulator.OfferResult.AppendedAndDue)
        {
            _sender.Wake();
        }

        if (!cancellationToken.CanBeCanceled || pending.Completion.Task.IsCompleted)
        {
            return new ValueTask<RecordMetadata>(pending.Completion.Task);
        }

        return new ValueTask<RecordMetadata>(
            isWaiting ? WaitForAdmissionAsync(pending, cancellationToken) : pending.Completion.Task.WaitAsync(cancellationToken));
    }

    /// <summary>
    /// Sends what is waiting without further lingering, and completes when every record produced before the call is acknowledged or has
    /// failed. Does not throw for records that fail: their own calls do.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait only.</param>
    public async Task FlushAsync(CancellationToken cancellationToken = default)
    {
        Task outstanding;
        lock (_gate)
        {
            _accumulator.FlushCount++;
            outstanding = Task.WhenAll(_accumulator.Outstanding());
        }

        _sender.Wake();
        try
        {
            await outstanding.WaitAsync(cancellationToken);
        }
        catch when (outstanding.IsFaulted || outstanding.IsCanceled)
        {
            // Each record's own call tells of its failure.
        }
        finally
        {
            lock (_gate)
            {
                _accumulator.FlushCount--;
            }
        }
    }

    /// <summary>Flushes for at most <see cref="ProducerOptions.CloseTimeout"/>, then fails what is left with <see cref="KafkaClosedException"/>.</summary>
    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _closing ??= CloseAsync();
            return new ValueTask(_closing);
        }
    }

    private async Task CloseAsync()
    {
        // Leaves the lock: from here on new records are refused.
        await Task.Yield();
        using (var timeout = new CancellationTokenSource(_settings.CloseTimeout, _context.Time))
        {
            await FlushAsync(timeout.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await _stop.CancelAsync();
        await _loop;
        _sender.FailAll(new KafkaClosedException("The producer was closed before the record was acknowledged; the record may or may not be written."));
        await _pool.DisposeAsync();
        _sender.Dispose();
        _stop.Dispose();
        _closed(this);
    }

    private async Task RunAsync()
    {
        try
        {
            await Task.Yield();
            await _sender.RunAsync(_stop.Token);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Closed.
        }
        catch (Exception failure)
        {
            LogMessages.ProducerLoopFailed(_logger, failure);
            _sender.FailAll(failure);
            throw;
        }
    }

    private async Task ResolveTopicAsync(string topic)
    {
        var effects = new ProducerEffects();
        try
        {
            TopicDescription description = await _metadata.GetTopicAsync(topic, _settings.MaxBlock, _stop.Token);
            lock (_gate)
            {
                _accumulator.ResolveTopic(description, _sender.Now());
            }
        }
        catch (Exception failure)
        {
            lock (_gate)
            {
                Exception reason = failure is OperationCanceledException
                    ? new KafkaClosedException($"The producer was closed before topic '{topic}' was known; the record is not written.")
                    : failure;
                _accumulator.FailTopic(topic, reason, effects);
            }
        }

        _sender.Apply(effects);
        _sender.Wake();
    }

    private async Task<RecordMetadata> WaitForAdmissionAsync(PendingAppend pending, CancellationToken cancellationToken)
    {
        try
        {
            return await pending.Completion.Task.WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            lock (_gate)
            {
                if (_accumulator.Cancel(pending, _sender.Now()))
                {
                    pending.Completion.TrySetCanceled(cancellationToken);
                }
            }

            _sender.Wake();
            throw;
        }
    }
}
