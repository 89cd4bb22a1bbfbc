using System.Runtime.CompilerServices;

namespace Millrace.Kafka;

/// <summary>
/// Hands out records whose keys and values a deserialiser reads: a view of a <see cref="KafkaConsumer"/>. A record that cannot be read fails when its key or value is asked for; polling goes on
/// behind it.
/// </summary>
/// <typeparam name="TKey">The keys' type.</typeparam>
/// <typeparam name="TValue">The values' type.</typeparam>
public sealed class KafkaConsumer<TKey, TValue> : IAsyncDisposable
{
    private readonly IKafkaDeserializer<TKey> _keys;
    private readonly IKafkaDeserializer<TValue> _values;

    internal KafkaConsumer(KafkaConsumer consumer, IKafkaDeserializer<TKey> keys, IKafkaDeserializer<TValue> values)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(values);
        Consumer = consumer;
        _keys = keys;
        _values = values;
    }

    /// <summary>The consumer that reads the bytes: for subscriptions, assignments, seeks and commits.</summary>
    public KafkaConsumer Consumer { get; }

    /// <summary>As <see cref="KafkaConsumer.PollAsync"/>.</summary>
    /// <param name="maxRecords">At most so many records, at least one. Default 500.</param>
    /// <param name="cancellationToken">
    /// Ends the wait; no record is lost by it. When it comes while a deserialiser waits, the records are handed out, and those that are not ready say so when they are read.
    /// </param>
    /// <returns>At least one record.</returns>
    /// <exception cref="OperationCanceledException">Cancelled before a record came.</exception>
    /// <exception cref="KafkaException">As there. Never for a record that cannot be read.</exception>
    public async ValueTask<IReadOnlyList<ConsumerRecord<TKey, TValue>>> PollAsync(int maxRecords = 500, CancellationToken cancellationToken = default)
    {
        IReadOnlyList<ConsumerRecord> raw = await Consumer.PollAsync(maxRecords, cancellationToken);
        var records = new ConsumerRecord<TKey, TValue>[raw.Count];
        for (int i = 0; i < records.Length; i++)
        {
            records[i] = new ConsumerRecord<TKey, TValue>(raw[i], _keys, _values);
            await records[i].PrepareQuietlyAsync(cancellationToken);
        }

        return records;
    }

    /// <summary>The records of <see cref="PollAsync"/> one by one, without end.</summary>
    /// <param name="cancellationToken">Ends the enumeration with <see cref="OperationCanceledException"/>.</param>
    public async IAsyncEnumerable<ConsumerRecord<TKey, TValue>> ConsumeAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (ConsumerRecord raw in Consumer.ConsumeAsync(cancellationToken))
        {
            var record = new ConsumerRecord<TKey, TValue>(raw, _keys, _values);
            await record.PrepareQuietlyAsync(cancellationToken);
            yield return record;
        }
    }

    /// <summary>Closes the consumer, as <see cref="KafkaConsumer.DisposeAsync"/>.</summary>
    public ValueTask DisposeAsync() => Consumer.DisposeAsync();
}
