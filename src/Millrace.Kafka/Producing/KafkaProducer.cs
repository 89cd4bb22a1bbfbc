using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Writes records. Calls may come from any thread. Per partition, records are written in the order of the calls, and with
/// <see cref="ProducerOptions.EnableIdempotence"/> (the default) exactly once and in that order, whatever is retried.
/// </summary>
public sealed partial class KafkaProducer : IAsyncDisposable
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
    private readonly ProduceOperationPool _operations;
    private readonly TransactionState? _transaction;
    private readonly ProducerTransactions? _transactions;
    private readonly Task _loop;
    private ClusterView _lastView = ClusterView.Empty;
    private TopicDescription? _lastTopic;
    private string? _lastTopicName;
    private Task? _closing;
    private Exception? _defect;

    internal KafkaProducer(ClientContext context, ProducerSettings settings, MetadataCache metadata, Action<IAsyncDisposable> closed)
    {
        _closed = closed;
        _operations = new ProduceOperationPool(this);
        _context = context;
        _settings = settings;
        _metadata = metadata;
        _logger = context.Loggers.CreateLogger<KafkaProducer>();
        _pool = new ConnectionPool(context, settings.MaxInFlightRequests);
        _transaction = settings.TransactionalId is { } id ? new TransactionState(id) : null;
        _accumulator = new RecordAccumulator(settings, context.RetryBackoff, context.Chance, _transaction) { WhyUnknown = metadata.WhyUnknown };
        _sender = new ProducerSender(context, settings, metadata, _pool, _accumulator, _gate);
        if (_transaction is not null)
        {
            var requests = new TransactionRequests(context, _pool, metadata, settings.TransactionalId!, settings.TransactionTimeout);
            _transactions = new ProducerTransactions(
                context, settings, _accumulator, _sender, _transaction, requests, () => FlushAsync(CancellationToken.None), _gate);
            _sender.Transactions = _transactions;
        }

        if (settings.Acks != Acks.All)
        {
            LogMessages.AcknowledgementsWeak(_logger, settings.Acks);
        }
        else if (!settings.IsIdempotent)
        {
            LogMessages.IdempotenceOff(_logger);
        }

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
    /// <exception cref="KafkaBufferFullException">The buffer is full, and as many bytes wait for it as it holds: not written.</exception>
    /// <exception cref="KafkaProducerStateException">The broker forgot the producer's sequence, and the record may or may not be written.</exception>
    /// <exception cref="KafkaBrokerException">The broker refused the record for a reason that a retry does not change.</exception>
    /// <exception cref="KafkaClosedException">The producer was closed before the acknowledgement.</exception>
    /// <exception cref="ObjectDisposedException">The producer is closed.</exception>
    /// <exception cref="InvalidOperationException">The producer is transactional, and no transaction is open.</exception>
    /// <exception cref="KafkaTransactionAbortableException">The transaction has failed or is aborted: the record is not part of any.</exception>
    /// <exception cref="KafkaProducerFencedException">Another producer has the transactional id.</exception>
    public ValueTask<RecordMetadata> ProduceAsync(ProducerRecord record, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(record);
        if (IsTraced)
        {
            record = record with { Headers = TraceContext.AddTo(record.Headers, record.Topic, _context.Settings.ClientId) ?? [] };
        }

        return ProduceAsync(SpanRecord.Of(record), record, turn: null, cancellationToken);
    }

    /// <summary>
    /// As <see cref="ProduceAsync(ProducerRecord, CancellationToken)"/>, for bytes that the caller keeps: they are copied before the call returns, and in
    /// steady state nothing is allocated. Await what is returned once, and before the next use of it.
    /// </summary>
    /// <inheritdoc cref="ProduceAsync(ProducerRecord, CancellationToken)"/>
    public ValueTask<RecordMetadata> ProduceAsync(in SpanRecord record, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(record.Topic, nameof(record));
        return ProduceInTurnAsync(record, turn: null, cancellationToken);
    }

    /// <param name="record">The record.</param>
    /// <param name="turn">Its turn, if its serialiser was waited for.</param>
    /// <param name="cancellationToken">As there.</param>
    /// <inheritdoc cref="ProduceAsync(in SpanRecord, CancellationToken)"/>
    internal ValueTask<RecordMetadata> ProduceInTurnAsync(in SpanRecord record, ProducerTurn? turn, CancellationToken cancellationToken) =>
        ProduceAsync(Traced(record), source: null, turn, cancellationToken);

    /// <summary>
    /// Writes one record and completes when the record is in the buffer, which is at once unless the topic is not known yet or the buffer is full: who
    /// awaits it before the next call is held back by the pace of the brokers. What becomes of the record is told to a handler. The order of calls is the
    /// order of records; in steady state nothing is allocated, also when the buffer is full.
    /// </summary>
    /// <param name="record">The record. Its bytes are copied before the call returns.</param>
    /// <param name="handler">Is told of the acknowledgement or failure of a record that came into the buffer; null if nobody wants to know.</param>
    /// <param name="tag">Comes back in the report.</param>
    /// <param name="cancellationToken">
    /// While the record waits for metadata or for space in the buffer: it is not written, and the handler is not called. One that is in the buffer by then is admitted.
    /// </param>
    /// <exception cref="KafkaRecordTooLargeException">Larger than <see cref="ProducerOptions.MaxRequestByteCount"/>.</exception>
    /// <exception cref="KafkaTimeoutException">No metadata or no space within <see cref="ProducerOptions.MaxBlock"/>: not written, and the handler is not called.</exception>
    /// <exception cref="KafkaBufferFullException">The buffer is full, and as many bytes wait for it as it holds: not written, and the handler is not called.</exception>
    /// <exception cref="KafkaClosedException">The producer was closed while the record waited: not written, and the handler is not called.</exception>
    /// <exception cref="ObjectDisposedException">The producer is closed.</exception>
    public ValueTask EnqueueAsync(in SpanRecord record, IDeliveryHandler? handler = null, long tag = 0, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(record.Topic, nameof(record));
        return EnqueueInTurnAsync(record, handler, tag, turn: null, cancellationToken);
    }

    /// <param name="record">The record.</param>
    /// <param name="handler">As there.</param>
    /// <param name="tag">As there.</param>
    /// <param name="turn">Its turn, if its serialiser was waited for.</param>
    /// <param name="cancellationToken">As there.</param>
    /// <inheritdoc cref="EnqueueAsync"/>
    internal ValueTask EnqueueInTurnAsync(in SpanRecord record, IDeliveryHandler? handler, long tag, ProducerTurn? turn, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        SpanRecord traced = Traced(record);
        if (RefuseTooLarge(traced, turn, out int byteCount) is { } refused)
        {
            return ValueTask.FromException(refused);
        }

        RecordAccumulator.OfferResult result = Offer(
            traced, source: null, byteCount, new Delivery(handler, tag), _operations, turn, out ProduceOperation? admission, out TopicDescription? topic);
        if (admission is not null)
        {
            return Await(admission, cancellationToken).Admission;
        }

        return Refusal(result, record, topic) is { } refusal ? ValueTask.FromException(refusal) : ValueTask.CompletedTask;
    }

    /// <summary>A view that serialises keys and values. Several views of one producer share its connections, its order and its transactions.</summary>
    /// <typeparam name="TKey">The keys' type; <see cref="Absent"/> for records without keys.</typeparam>
    /// <typeparam name="TValue">The values' type.</typeparam>
    /// <param name="keys">Writes keys.</param>
    /// <param name="values">Writes values.</param>
    public KafkaProducer<TKey, TValue> As<TKey, TValue>(IKafkaSerializer<TKey> keys, IKafkaSerializer<TValue> values) => new(this, keys, values, isOwner: false);

    /// <summary>
    /// Sends what is waiting without further lingering, and completes when every record produced before the call, those included that wait for a serialiser, is acknowledged or has
    /// failed. Does not throw for records that fail: their own calls do.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait only.</param>
    public async Task FlushAsync(CancellationToken cancellationToken = default)
    {
        Task outstanding;
        lock (_gate)
        {
            _accumulator.FlushCount++;
            outstanding = OutstandingAsync();
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

    /// <summary>Completes when every record is acknowledged or has failed that is produced now. One after the other, since the end of them all is not before that of the last.</summary>
    private async Task OutstandingAsync()
    {
        List<Task> tasks = _accumulator.Outstanding();
        if (_turns.Count > 0)
        {
            CancellationToken closed = _stop.Token;
            foreach (ProducerTurn turn in (ProducerTurn[])[.. _turns])
            {
                await turn.Ended.InContext().WaitAsync(closed).ConfigureAwait(Awaiting.Quietly);
            }

            lock (_gate)
            {
                tasks.AddRange(_accumulator.Outstanding());
            }
        }

        foreach (Task task in tasks)
        {
            await task.ConfigureAwait(Awaiting.Quietly);
        }
    }

    private async Task CloseAsync()
    {
        // Leaves the lock: from here on new records are refused.
        await _context.BeginAsync();
        using (var timeout = new CancellationTokenSource(_settings.CloseTimeout, _context.Time))
        {
            if (_transactions is not null)
            {
                await _transactions.CloseAsync(timeout.Token);
            }

            await FlushAsync(timeout.Token).ConfigureAwait(Awaiting.Quietly);
        }

        await _stop.CancelElsewhereAsync();
        await _loop.ConfigureAwait(Awaiting.Quietly);
        _sender.FailAll(new KafkaClosedException("The producer was closed before the record was acknowledged; the record may or may not be written."));
        if (_transactions is not null)
        {
            await _transactions.WhenEndedAsync();
        }

        await _pool.DisposeAsync();
        _sender.Dispose();
        _transactions?.Dispose();
        _stop.Dispose();
        _closed(this);
    }

    private async Task RunAsync()
    {
        try
        {
            await _context.BeginAsync();
            await _sender.RunAsync(_stop.Token);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Closed.
        }
        catch (Exception failure)
        {
            LogMessages.ProducerLoopFailed(_logger, failure);
            lock (_gate)
            {
                _defect = failure;
            }

            _sender.FailAll(failure);
        }
    }

    /// <summary>A record whose caller has stopped waiting is not written if it is in no batch yet.</summary>
    /// <returns>Whether it was in none.</returns>
    internal bool TakeBack(ProduceOperation operation)
    {
        var effects = new ProducerEffects();
        bool isTakenBack;
        lock (_gate)
        {
            isTakenBack = operation.Waiting is { } waiting && _accumulator.TakeBack(waiting, _sender.Now(), effects);
        }

        if (isTakenBack)
        {
            _sender.Apply(effects);
            _sender.Wake();
        }

        return isTakenBack;
    }

    private ValueTask<RecordMetadata> ProduceAsync(in SpanRecord record, ProducerRecord? source, ProducerTurn? turn, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<RecordMetadata>(cancellationToken);
        }

        if (RefuseTooLarge(record, turn, out int byteCount) is { } refused)
        {
            return ValueTask.FromException<RecordMetadata>(refused);
        }

        ProduceOperation operation = _operations.Rent();
        RecordAccumulator.OfferResult result = Offer(
            record, source, byteCount, new Delivery(operation, 0), admissions: null, turn, out _, out TopicDescription? topic);
        if (Refusal(result, record, topic) is not { } refusal)
        {
            return Await(operation, cancellationToken).Acknowledgement;
        }

        _operations.Return(operation);
        return ValueTask.FromException<RecordMetadata>(refusal);
    }

    private Exception? Refusal(RecordAccumulator.OfferResult result, in SpanRecord record, TopicDescription? topic) => result switch
    {
        RecordAccumulator.OfferResult.NoSuchPartition => RecordAccumulator.NoSuchPartition(topic!, record.Partition!.Value),
        RecordAccumulator.OfferResult.LineFull => _accumulator.LineFull(record.Topic),
        _ => null,
    };

    private bool IsTraced => _settings.PropagatesTraceContext && Diagnostics.IsTracing && Activity.Current is not null;

    private SpanRecord Traced(in SpanRecord record) =>
        IsTraced ? record.With(TraceContext.AddTo(record.Headers, record.Topic, _context.Settings.ClientId)) : record;

    private static ProduceOperation Await(ProduceOperation operation, CancellationToken cancellationToken)
    {
        if (cancellationToken.CanBeCanceled)
        {
            operation.CancelBy(cancellationToken);
        }

        return operation;
    }

    private KafkaRecordTooLargeException? RefuseTooLarge(in SpanRecord record, ProducerTurn? turn, out int byteCount)
    {
        long estimate = RecordBatchBuilder.EstimateRecordByteCount(record.Key.Length, record.Value.Length, record.Headers);
        byteCount = (int)Math.Min(estimate, int.MaxValue);
        if (estimate + RecordBatchHeader.ByteCount <= _settings.MaxRequestByteCount)
        {
            return null;
        }

        var failure = new KafkaRecordTooLargeException(
            $"A record for topic '{record.Topic}' has about {estimate} bytes; at most {_settings.MaxRequestByteCount} " +
            $"({nameof(ProducerOptions.MaxRequestByteCount)}) fit into a request. It is not written.");
        Refuse(failure, turn);
        return failure;
    }

    private RecordAccumulator.OfferResult Offer(
        in SpanRecord record,
        ProducerRecord? source,
        int byteCount,
        in Delivery delivery,
        ProduceOperationPool? admissions,
        ProducerTurn? turn,
        out ProduceOperation? admission,
        out TopicDescription? topic)
    {
        RecordAccumulator.OfferResult result;
        lock (_gate)
        {
            ThrowIfRefusing(turn);
            topic = FindTopic(record.Topic);
            result = _accumulator.Offer(record, source, byteCount, delivery, admissions, topic, _sender.Now(), out admission);
        }

        if (result == RecordAccumulator.OfferResult.TopicWanted)
        {
            _ = ResolveTopicAsync(record.Topic);
        }
        else if (result is RecordAccumulator.OfferResult.AppendedAndDue or RecordAccumulator.OfferResult.Waits)
        {
            _sender.Wake();
        }

        return result;
    }

    /// <summary>The topic as the present picture of the cluster has it. Records come in runs of one topic.</summary>
    private TopicDescription? FindTopic(string topic)
    {
        ClusterView view = _metadata.View;
        if (!ReferenceEquals(view, _lastView) || !ReferenceEquals(topic, _lastTopicName))
        {
            _lastTopic = _metadata.FindTopic(topic);
            _lastTopicName = topic;
            _lastView = view;
        }

        return _lastTopic;
    }

    private async Task ResolveTopicAsync(string topic)
    {
        await _context.BeginAsync();
        bool isWantedStill;
        do
        {
            var effects = new ProducerEffects();
            isWantedStill = await LookUpAsync(topic, effects);
            _sender.Apply(effects);
            _sender.Wake();
        }
        while (isWantedStill);
    }

    /// <summary>Looks a topic up once, for the records that wait for it.</summary>
    /// <returns>Whether it was not found in time, and records came meanwhile that may wait longer.</returns>
    private async Task<bool> LookUpAsync(string topic, ProducerEffects effects)
    {
        TimeSpan end = _sender.Now().Elapsed + _settings.MaxBlock;
        try
        {
            TopicDescription description = await _metadata.GetTopicAsync(topic, _settings.MaxBlock, _stop.Token);
            lock (_gate)
            {
                _accumulator.ResolveTopic(description, _sender.Now(), effects);
                return false;
            }
        }
        catch (KafkaTimeoutException failure)
        {
            lock (_gate)
            {
                return _accumulator.ExpireTopic(topic, failure, end, effects);
            }
        }
        catch (Exception failure)
        {
            Exception reason = failure is OperationCanceledException
                ? new KafkaClosedException($"The producer was closed before topic '{topic}' was known; the record is not written.")
                : failure;
            lock (_gate)
            {
                _accumulator.FailTopic(topic, reason, effects);
                return false;
            }
        }
    }
}
