namespace Millrace.Kafka;

/// <summary>
/// A producer of keys and values that serialisers turn into bytes: a view of a <see cref="KafkaProducer"/>, of which there may be several, one for each type. Calls may come from any thread. The
/// order of calls is the order of records, also where a serialiser has to wait. While none has to, nothing is allocated for a record but what the serialisers allocate.
/// </summary>
/// <typeparam name="TKey">The keys' type.</typeparam>
/// <typeparam name="TValue">The values' type.</typeparam>
public sealed class KafkaProducer<TKey, TValue> : IAsyncDisposable
{
    private readonly IKafkaSerializer<TKey> _keys;
    private readonly IKafkaSerializer<TValue> _values;
    private readonly bool _isOwner;
    private readonly SerializationBufferPool _buffers = new();
    private readonly Lock _gate = new();

    // Completed unless a record waits for its serialiser; the later ones wait behind it then.
    private Task _lastTurn = Task.CompletedTask;

    internal KafkaProducer(KafkaProducer producer, IKafkaSerializer<TKey> keys, IKafkaSerializer<TValue> values, bool isOwner)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(values);
        Producer = producer;
        _keys = keys;
        _values = values;
        _isOwner = isOwner;
    }

    /// <summary>The producer that writes the bytes: for flushing, transactions, and records of other types.</summary>
    public KafkaProducer Producer { get; }

    /// <summary>As <see cref="KafkaProducer.ProduceAsync(in SpanRecord, CancellationToken)"/>. Await what is returned once, and before the next use of it.</summary>
    /// <param name="record">The record. Key and value are read before the call returns, unless a serialiser has to wait: then they must not change until it completes.</param>
    /// <param name="cancellationToken">While the record waits for its serialiser, for metadata or for space in the buffer: it is not written. Afterwards only the wait ends.</param>
    /// <returns>Where the record lies.</returns>
    /// <exception cref="KafkaSerializationException">The key or value cannot be written. The record is not written.</exception>
    /// <exception cref="KafkaException">As there.</exception>
    public ValueTask<RecordMetadata> ProduceAsync(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(record.Topic, nameof(record));
        if (!IsPrepared(record, cancellationToken, out Preparation preparation))
        {
            return ProduceInTurnAsync(record, BeginTurn(), preparation, cancellationToken);
        }

        SerializationBuffer buffer = _buffers.Rent();
        try
        {
            return Serialize(record, buffer, turn: null) is { } failure
                ? ValueTask.FromException<RecordMetadata>(failure)
                : Producer.ProduceAsync(ToSpans(record, buffer), cancellationToken);
        }
        finally
        {
            _buffers.Return(buffer);
        }
    }

    /// <summary>As <see cref="KafkaProducer.EnqueueAsync"/>, which completes when the record is in the buffer and tells a handler what becomes of it.</summary>
    /// <param name="record">As at <see cref="ProduceAsync"/>.</param>
    /// <param name="handler">Is told of the acknowledgement or failure of a record that came into the buffer; null if nobody wants to know.</param>
    /// <param name="tag">Comes back in the report.</param>
    /// <param name="cancellationToken">While the record waits: it is not written, and the handler is not called.</param>
    /// <exception cref="KafkaSerializationException">The key or value cannot be written. The record is not written, and the handler is not called.</exception>
    /// <exception cref="KafkaException">As there.</exception>
    public ValueTask EnqueueAsync(
        in ProducerRecord<TKey, TValue> record, IDeliveryHandler? handler = null, long tag = 0, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(record.Topic, nameof(record));
        if (!IsPrepared(record, cancellationToken, out Preparation preparation))
        {
            return EnqueueInTurnAsync(record, handler, tag, BeginTurn(), preparation, cancellationToken);
        }

        SerializationBuffer buffer = _buffers.Rent();
        try
        {
            return Serialize(record, buffer, turn: null) is { } failure
                ? ValueTask.FromException(failure)
                : Producer.EnqueueAsync(ToSpans(record, buffer), handler, tag, cancellationToken);
        }
        finally
        {
            _buffers.Return(buffer);
        }
    }

    /// <summary>As <see cref="KafkaProducer.FlushAsync"/>.</summary>
    /// <param name="cancellationToken">Ends the wait only.</param>
    public Task FlushAsync(CancellationToken cancellationToken = default) => Producer.FlushAsync(cancellationToken);

    /// <summary>Closes the producer, if this is not a view of one that others use, too (<see cref="KafkaProducer.As"/>).</summary>
    public ValueTask DisposeAsync() => _isOwner ? Producer.DisposeAsync() : ValueTask.CompletedTask;

    private static SerializationContext Context(in ProducerRecord<TKey, TValue> record, RecordPart part) => new(record.Topic, part, record.Headers ?? []);

    /// <summary>Whether the record can be written at once; otherwise what to wait for first, if it is known.</summary>
    private bool IsPrepared(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken, out Preparation preparation)
    {
        preparation = default;
        if (!Volatile.Read(ref _lastTurn).IsCompleted)
        {
            return false;
        }

        preparation = new Preparation(RecordPart.Key, PrepareKeyAsync(record, cancellationToken));
        if (!preparation.IsOver())
        {
            return false;
        }

        preparation = new Preparation(RecordPart.Value, PrepareValueAsync(record, cancellationToken));
        return preparation.IsOver();
    }

    private ValueTask PrepareKeyAsync(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken)
    {
        try
        {
            return _keys.IsNull(record.Key) ? default : _keys.PrepareAsync(record.Key, Context(record, RecordPart.Key), cancellationToken);
        }
        catch (Exception failure)
        {
            return ValueTask.FromException(failure);
        }
    }

    private ValueTask PrepareValueAsync(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken)
    {
        try
        {
            return _values.IsNull(record.Value) ? default : _values.PrepareAsync(record.Value, Context(record, RecordPart.Value), cancellationToken);
        }
        catch (Exception failure)
        {
            return ValueTask.FromException(failure);
        }
    }

    private KafkaSerializationException? Serialize(in ProducerRecord<TKey, TValue> record, SerializationBuffer buffer, ProducerTurn? turn)
    {
        RecordPart part = RecordPart.Key;
        try
        {
            if (!_keys.IsNull(record.Key))
            {
                _keys.Serialize(record.Key, buffer, Context(record, part));
            }

            buffer.EndKey();
            part = RecordPart.Value;
            if (!_values.IsNull(record.Value))
            {
                _values.Serialize(record.Value, buffer, Context(record, part));
            }

            return null;
        }
        catch (Exception failure)
        {
            KafkaSerializationException refusal = Failed(record.Topic, part, failure);
            Producer.Refuse(refusal, turn);
            return refusal;
        }
    }

    private SpanRecord ToSpans(in ProducerRecord<TKey, TValue> record, SerializationBuffer buffer) => SpanRecord.Of(
        record.Topic, record.Partition, buffer.Key, !_keys.IsNull(record.Key), buffer.Value, !_values.IsNull(record.Value), record.Headers, record.Timestamp);

    private static KafkaSerializationException Failed(string topic, RecordPart part, Exception failure) =>
        new(topic, part, part == RecordPart.Key ? typeof(TKey) : typeof(TValue), failure);

    private ProducerTurn BeginTurn()
    {
        lock (_gate)
        {
            ProducerTurn turn = Producer.BeginTurn(_lastTurn);
            Volatile.Write(ref _lastTurn, turn.Ended);
            return turn;
        }
    }

    private async ValueTask<RecordMetadata> ProduceInTurnAsync(
        ProducerRecord<TKey, TValue> record, ProducerTurn turn, Preparation preparation, CancellationToken cancellationToken)
    {
        ValueTask<RecordMetadata> acknowledgement;
        try
        {
            using Serialized serialized = await SerializeInTurnAsync(record, turn, preparation, cancellationToken);
            acknowledgement = Producer.ProduceInTurnAsync(ToSpans(record, serialized.Buffer), turn, cancellationToken);
        }
        finally
        {
            Producer.EndTurn(turn);
        }

        return await acknowledgement;
    }

    private async ValueTask EnqueueInTurnAsync(
        ProducerRecord<TKey, TValue> record, IDeliveryHandler? handler, long tag, ProducerTurn turn, Preparation preparation, CancellationToken cancellationToken)
    {
        ValueTask admission;
        try
        {
            using Serialized serialized = await SerializeInTurnAsync(record, turn, preparation, cancellationToken);
            admission = Producer.EnqueueInTurnAsync(ToSpans(record, serialized.Buffer), handler, tag, turn, cancellationToken);
        }
        finally
        {
            Producer.EndTurn(turn);
        }

        await admission;
    }

    private async ValueTask<Serialized> SerializeInTurnAsync(
        ProducerRecord<TKey, TValue> record, ProducerTurn turn, Preparation preparation, CancellationToken cancellationToken)
    {
        RecordPart part = preparation.Part;
        try
        {
            await preparation.Task;
            await turn.Previous.WaitAsync(cancellationToken);
            part = RecordPart.Key;
            await PrepareKeyAsync(record, cancellationToken);
            part = RecordPart.Value;
            await PrepareValueAsync(record, cancellationToken);
        }
        catch (Exception failure) when (failure is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            KafkaSerializationException unprepared = Failed(record.Topic, part, failure);
            Producer.Refuse(unprepared, turn);
            throw unprepared;
        }

        var serialized = new Serialized(_buffers.Rent(), _buffers);
        if (Serialize(record, serialized.Buffer, turn) is { } refused)
        {
            serialized.Dispose();
            throw refused;
        }

        return serialized;
    }

    /// <summary>What a serialiser may have to wait for.</summary>
    private readonly record struct Preparation(RecordPart Part, ValueTask Task)
    {
        /// <summary>Whether nothing has to be waited for. Then the task is consumed.</summary>
        public bool IsOver()
        {
            if (Task.IsCompletedSuccessfully)
            {
                Task.GetAwaiter().GetResult();
                return true;
            }

            return false;
        }
    }

    private readonly record struct Serialized(SerializationBuffer Buffer, SerializationBufferPool Pool) : IDisposable
    {
        public void Dispose() => Pool.Return(Buffer);
    }
}
