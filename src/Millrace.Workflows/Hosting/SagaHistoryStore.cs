using System.Text.Json;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// Histories in the log: one record an event, in the inbox's companion topic, in the partition of the same number, under the epoch of the
/// partition's owner (<see cref="SagaHistoryLog"/>).
/// </summary>
internal sealed class SagaHistoryStore(SagaDefinition saga, SagaSerializer serializer, ProcessorServices services)
{
    /// <summary>How often others may begin at the same moment. The next attempt at the partition starts over.</summary>
    private const int MaxRaces = 5;

    /// <summary>Writes events in their order; returns when all are durable, and count.</summary>
    /// <exception cref="SagaPartitionLostException">Another process has taken the partition over.</exception>
    public async Task AppendAsync(SagaPartition owned, SagaHistory history, IReadOnlyList<HistoryEvent> events, CancellationToken cancellationToken)
    {
        if (events.Count == 0)
        {
            return;
        }

        if (owned.IsLost)
        {
            throw Lost(owned);
        }

        long ticket = owned.Writes.Begin();
        List<Offset> offsets = [];
        try
        {
            offsets = await WriteAsync(owned, history, events, cancellationToken);
        }
        finally
        {
            owned.Writes.End(ticket, offsets);
        }

        if (offsets[^1] < Offset.Zero || !await owned.Writes.ReachesAsync(offsets[^1], cancellationToken))
        {
            await RequireOwnAsync(owned, offsets[^1], cancellationToken);
        }
    }

    private async Task<List<Offset>> WriteAsync(SagaPartition owned, SagaHistory history, IReadOnlyList<HistoryEvent> events, CancellationToken cancellationToken)
    {
        int attempt = owned.FailedWriteCount;
        try
        {
            var writes = new List<Task<RecordMetadata>>(events.Count);
            for (int i = 0; i < events.Count; i++)
            {
                var key = new HistoryKey(history.InstanceId, history.NextSequence + i, owned.Epoch, attempt);
                Task<RecordMetadata> write = services.Producer.ProduceAsync(
                    Record(owned.Partition, SagaMessages.WriteHistoryKey(key), serializer.WriteEvent(events[i]), events[i].At), cancellationToken).AsTask();
                if (write.IsFaulted || write.IsCanceled)
                {
                    // Refused at the door, for its size for instance: what follows is not written without it.
                    await write;
                }

                writes.Add(write);
            }

            return [.. (await Task.WhenAll(writes)).Select(written => written.Offset)];
        }
        catch
        {
            owned.CountFailedWrite();
            throw;
        }
    }

    /// <summary>Looks at what is between this owner's writes: if the next owner has begun there, what was written after it does not count.</summary>
    private async Task RequireOwnAsync(SagaPartition owned, Offset last, CancellationToken cancellationToken)
    {
        var topicPartition = new TopicPartition(saga.HistoryTopic, owned.Partition);
        Offset start = owned.Writes.Next;
        // A write that was answered as one that was there already has no offset to tell.
        Offset end = last >= Offset.Zero ? last.Next : await FindAsync(topicPartition, OffsetSpec.Latest, cancellationToken);
        await using KafkaConsumer consumer = services.Client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
        consumer.Assign([new TopicPartitionOffset(topicPartition, start)]);
        bool isOwned = true;
        await ReadToAsync(consumer, topicPartition, start, end, record => isOwned &= !IsLaterOwner(record, owned.Epoch), cancellationToken);
        if (!isOwned)
        {
            owned.MarkLost();
            throw Lost(owned);
        }

        owned.Writes.Looked(end);
    }

    private SagaPartitionLostException Lost(SagaPartition owned) => new(
        $"Another process has taken {saga.HistoryTopic}-{owned.Partition} over from this one, which has not heard of it from its group yet. What this one goes on with does not count.");

    private static bool IsLaterOwner(ConsumerRecord record, int epoch) =>
        record.Key is { } key && SagaMessages.IsOwnerKey(key.Span)
        && record.Value is { } value && SagaMessages.TryReadOwner(value.Span, out int later) && later > epoch;

    /// <summary>Reads records up to an offset, and gives the position that was reached.</summary>
    private static async Task<Offset> ReadToAsync(
        KafkaConsumer consumer, TopicPartition partition, Offset position, Offset end, Action<ConsumerRecord> take, CancellationToken cancellationToken)
    {
        while (position < end)
        {
            foreach (ConsumerRecord record in await consumer.PollAsync(cancellationToken: cancellationToken))
            {
                take(record);
                position = record.Offset.Next;
            }

            // Beyond the last record, where what follows was compacted away.
            position = Offset.Max(position, consumer.Position(partition) ?? position);
        }

        return position;
    }

    /// <summary>
    /// Makes this process the owner of a partition of histories, and reads what all owners before it wrote. From then on nothing that they
    /// write counts.
    /// </summary>
    /// <exception cref="KafkaException">The log does not answer, or the partition is no longer this process's.</exception>
    public async Task<SagaPartition> TakeOverAsync(AssignedPartition assigned, CancellationToken cancellationToken)
    {
        var topicPartition = new TopicPartition(saga.HistoryTopic, assigned.TopicPartition.Partition);
        var log = new SagaHistoryLog();
        await using KafkaConsumer consumer = services.Client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
        Offset position = await FindAsync(topicPartition, OffsetSpec.Earliest, cancellationToken);
        consumer.Assign([new TopicPartitionOffset(topicPartition, position)]);
        for (int race = 1; race <= MaxRaces; race++)
        {
            await ReadAsync(await FindAsync(topicPartition, OffsetSpec.Latest, cancellationToken));

            // In this order: an owner that comes later asks the coordinator later, and reads later, so that its epoch is not below this one's.
            await assigned.ConfirmAsync(cancellationToken);
            int epoch = log.Epoch + 1;
            byte[] key = SagaMessages.WriteOwnerKey(epoch, assigned.MemberId);
            RecordMetadata begun = await services.Producer.ProduceAsync(
                Record(topicPartition.Partition, key, SagaMessages.WriteOwner(epoch), services.Time.GetUtcNow()), cancellationToken);

            // Up to there, others may have written meanwhile, and still counted.
            await ReadAsync(begun.Offset.Next);
            if (log.EpochOffset == begun.Offset && log.Epoch == epoch)
            {
                return Fold(topicPartition.Partition, log, begun.Offset);
            }
        }

        throw new KafkaTimeoutException($"Others take {topicPartition} over at the same time, {MaxRaces} times in a row. It is tried again.");

        async Task ReadAsync(Offset end) =>
            position = await ReadToAsync(consumer, topicPartition, position, end, log.Add, cancellationToken);
    }

    private SagaPartition Fold(int partition, SagaHistoryLog log, Offset begun)
    {
        var owned = new SagaPartition(partition, log.Epoch, begun) { LateRecordCount = log.LateCount };
        foreach ((string instanceId, SortedDictionary<int, ReadOnlyMemory<byte>> events) in log.Histories)
        {
            if (Fold(instanceId, events) is { } instance)
            {
                owned.Set(instance);
            }
        }

        return owned;
    }

    private ProducerRecord Record(int partition, byte[] key, byte[] value, DateTimeOffset time) => new()
    {
        Topic = saga.HistoryTopic,
        Partition = partition,
        Key = key,
        Value = value,
        Timestamp = time,
    };

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
