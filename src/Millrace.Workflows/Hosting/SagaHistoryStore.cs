using System.Text.Json;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// Histories in the log: one record an event, in the inbox's companion topic, in the partition of the same number. A sequence number
/// that is written twice, since the first write's outcome was unknown, counts with its last record, as compaction would have it.
/// </summary>
internal sealed class SagaHistoryStore(SagaDefinition saga, SagaSerializer serializer, ProcessorServices services)
{
    /// <summary>Writes events in their order; returns when all are on the disk.</summary>
    public async Task AppendAsync(int partition, SagaHistory history, IReadOnlyList<HistoryEvent> events, CancellationToken cancellationToken)
    {
        var writes = new List<Task>(events.Count);
        for (int i = 0; i < events.Count; i++)
        {
            var record = new ProducerRecord
            {
                Topic = saga.HistoryTopic,
                Partition = partition,
                Key = SagaMessages.HistoryKey(history.InstanceId, history.NextSequence + i),
                Value = serializer.WriteEvent(events[i]),
                Timestamp = events[i].At,
            };
            Task write = services.Producer.ProduceAsync(record, cancellationToken).AsTask();
            if (write.IsFaulted || write.IsCanceled)
            {
                // Refused at the door, for its size for instance: what follows is not written without it.
                await write;
            }

            writes.Add(write);
        }

        await Task.WhenAll(writes);
    }

    /// <summary>Reads everything that a partition holds now, and folds it.</summary>
    public async Task<IReadOnlyList<SagaInstance>> ReadAsync(int partition, CancellationToken cancellationToken)
    {
        var topicPartition = new TopicPartition(saga.HistoryTopic, partition);
        Offset start = await FindAsync(topicPartition, OffsetSpec.Earliest, cancellationToken);
        Offset end = await FindAsync(topicPartition, OffsetSpec.Latest, cancellationToken);
        var histories = new Dictionary<string, SortedDictionary<int, ReadOnlyMemory<byte>>>();
        if (start < end)
        {
            await using KafkaConsumer consumer = services.Client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
            consumer.Assign([new TopicPartitionOffset(topicPartition, start)]);
            while ((consumer.Position(topicPartition) ?? start) < end)
            {
                foreach (ConsumerRecord record in await consumer.PollAsync(cancellationToken: cancellationToken))
                {
                    Collect(histories, record);
                }
            }
        }

        return [.. histories.Select(entry => Fold(entry.Key, entry.Value)).OfType<SagaInstance>()];
    }

    private static void Collect(Dictionary<string, SortedDictionary<int, ReadOnlyMemory<byte>>> histories, ConsumerRecord record)
    {
        if (record.Key is not { } key || record.Value is not { } value
            || !SagaMessages.TryReadHistoryKey(key.Span, out string instanceId, out int sequence))
        {
            return;
        }

        if (!histories.TryGetValue(instanceId, out SortedDictionary<int, ReadOnlyMemory<byte>>? events))
        {
            histories.Add(instanceId, events = []);
        }

        events[sequence] = value;
    }

    /// <summary>Folds what was read of an instance; null where nothing of it has begun.</summary>
    internal SagaInstance? Fold(string instanceId, SortedDictionary<int, ReadOnlyMemory<byte>> events)
    {
        var history = new SagaHistory(instanceId);
        try
        {
            foreach ((int sequence, ReadOnlyMemory<byte> json) in events)
            {
                HistoryEvent next = serializer.ReadEvent(json);
                if (sequence == history.NextSequence)
                {
                    history.Add(next);
                }
                else if (next is SagaStarted or StepReplied)
                {
                    return Unreadable(instanceId, $"event {history.NextSequence} is missing, and event {sequence} is there");
                }

                // Any other event behind a gap is the end of an append that did not succeed: the next one would begin with what
                // happened. No command left for it, and the record that caused it comes again, or the instance decides it again.
            }
        }
        catch (Exception failure) when (failure is JsonException or InvalidOperationException or NotSupportedException)
        {
            return Unreadable(instanceId, $"event {history.NextSequence} does not fit: {failure.Message}");
        }

        return history.Started is null ? null : SagaInstance.Of(history);
    }

    private SagaInstance Unreadable(string instanceId, string problem) => SagaInstance.Unreadable(
        instanceId,
        $"The history of '{instanceId}' in {saga.HistoryTopic} cannot be read: {problem}. Look at its records; their keys begin with '{instanceId}/'.");

    private async Task<Offset> FindAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken) =>
        (await services.Client.Admin.ListOffsetsAsync([partition], spec, cancellationToken))[partition];
}
