using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>A record that was read. Its key and value are deserialised when they are first asked for, so that one that cannot be read harms no other.</summary>
/// <remarks>Not for several threads at once.</remarks>
/// <typeparam name="TKey">The key's type.</typeparam>
/// <typeparam name="TValue">The value's type.</typeparam>
public sealed class ConsumerRecord<TKey, TValue>
{
    private readonly Part<TKey> _key;
    private readonly Part<TValue> _value;

    internal ConsumerRecord(ConsumerRecord raw, IKafkaDeserializer<TKey> keys, IKafkaDeserializer<TValue> values)
    {
        Raw = raw;
        _key = new Part<TKey>(raw, RecordPart.Key, raw.Key, keys);
        _value = new Part<TValue>(raw, RecordPart.Value, raw.Value, values);
    }

    /// <summary>The record with its bytes.</summary>
    public ConsumerRecord Raw { get; }

    /// <summary>Where it was read.</summary>
    public TopicPartition TopicPartition => Raw.TopicPartition;

    /// <summary>Its offset.</summary>
    public Offset Offset => Raw.Offset;

    /// <summary>The producer's time or the broker's, as the topic is set.</summary>
    public DateTimeOffset Timestamp => Raw.Timestamp;

    /// <summary>Headers in their order; empty if there are none.</summary>
    public IReadOnlyList<RecordHeader> Headers => Raw.Headers;

    /// <summary>What to commit when the record is done, or to be skipped for good.</summary>
    public TopicPartitionOffset Next => new(Raw.TopicPartition, Raw.Offset.Next, Raw.LeaderEpoch);

    /// <summary>The key; null where the record has none.</summary>
    /// <exception cref="KafkaDeserializationException">It cannot be read.</exception>
    public TKey? Key => _key.Read();

    /// <summary>The value; null for a tombstone.</summary>
    /// <exception cref="KafkaDeserializationException">It cannot be read.</exception>
    public TValue? Value => _value.Read();

    /// <summary>Why key or value cannot be read; null when both can. Reads them.</summary>
    public KafkaDeserializationException? Failure => _key.Try() ?? _value.Try();

    /// <summary>
    /// Has the deserialisers get once more what they have to wait for. Polling has done that; again is for a failure whose <see cref="KafkaException.IsTransient"/> is true, such as a registry that
    /// did not answer.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaDeserializationException">It failed again.</exception>
    public async ValueTask PrepareAsync(CancellationToken cancellationToken = default)
    {
        await _key.PrepareAsync(cancellationToken);
        await _value.PrepareAsync(cancellationToken);
        if ((_key.Failure ?? _value.Failure) is { } failure)
        {
            throw failure;
        }
    }

    /// <summary>Prepares what has to be, and keeps a failure for who reads the key or value.</summary>
    internal ValueTask PrepareQuietlyAsync(CancellationToken cancellationToken)
    {
        ValueTask key = _key.PrepareAsync(cancellationToken);
        return key.IsCompletedSuccessfully ? _value.PrepareAsync(cancellationToken) : BothAsync();

        async ValueTask BothAsync()
        {
            await key;
            await _value.PrepareAsync(cancellationToken);
        }
    }

    /// <summary>Key or value. Mutable, and a part of its record alone.</summary>
    private sealed class Part<T>(ConsumerRecord record, RecordPart part, ReadOnlyMemory<byte>? data, IKafkaDeserializer<T> deserializer)
    {
        private bool _isRead;
        private T? _value;

        public KafkaDeserializationException? Failure { get; private set; }

        private SerializationContext Context => new(record.TopicPartition.Topic, part, record.Headers);

        public T? Read() => Try() is { } failure ? throw failure : _value;

        public KafkaDeserializationException? Try()
        {
            if (_isRead || Failure is not null)
            {
                return Failure;
            }

            try
            {
                _value = data is { } bytes ? deserializer.Deserialize(bytes.Span, Context) : deserializer.DeserializeNull(Context);
                _isRead = true;
            }
            catch (Exception failure)
            {
                Failure = Failed(failure);
            }

            return Failure;
        }

        /// <summary>Never fails: the failure is kept.</summary>
        public ValueTask PrepareAsync(CancellationToken cancellationToken)
        {
            Failure = null;
            if (_isRead || data is not { } bytes)
            {
                return ValueTask.CompletedTask;
            }

            try
            {
                ValueTask preparation = deserializer.PrepareAsync(bytes, Context, cancellationToken);
                return preparation.IsCompletedSuccessfully ? preparation : WaitAsync(preparation);
            }
            catch (Exception failure)
            {
                Failure = Failed(failure);
                return ValueTask.CompletedTask;
            }
        }

        private async ValueTask WaitAsync(ValueTask preparation)
        {
            try
            {
                await preparation;
            }
            catch (Exception failure)
            {
                Failure = Failed(failure);
            }
        }

        private KafkaDeserializationException Failed(Exception failure) =>
            new(record.TopicPartition, record.Offset, part, typeof(T), data?.Length ?? 0, failure);
    }
}
