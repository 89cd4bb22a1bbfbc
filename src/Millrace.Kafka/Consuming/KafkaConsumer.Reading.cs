using System.Runtime.CompilerServices;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>What reads: assignment by hand, polling, positions.</content>
public sealed partial class KafkaConsumer
{
    /// <summary>Reads exactly these partitions from these offsets, without membership. Replaces what was assigned before.</summary>
    /// <param name="partitions">
    /// Where to start. A negative offset takes the group's committed offset, if there is a group and a commit, and else
    /// <see cref="ConsumerOptions.AutoOffsetReset"/>.
    /// </param>
    /// <exception cref="InvalidOperationException">The consumer is subscribed.</exception>
    public void Assign(IReadOnlyCollection<TopicPartitionOffset> partitions)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        lock (_gate)
        {
            ThrowIfUnusable();
            if (_member is not null)
            {
                throw new InvalidOperationException("The consumer is subscribed; it does that or has partitions assigned by hand, not both.");
            }

            _metadata.Track(partitions.Select(partition => partition.TopicPartition.Topic));
            _state.Assign(partitions, isHeld: false);
        }

        _fetcher.Wake();
    }

    /// <summary>
    /// Hands out records that are ready, in offset order per partition, and otherwise waits for the first. Their positions move past them
    /// with the call.
    /// </summary>
    /// <param name="maxRecords">At most so many records, at least one. Default 500, as Kafka's <c>max.poll.records</c>.</param>
    /// <param name="cancellationToken">Ends the wait; no record is lost by it.</param>
    /// <returns>At least one record.</returns>
    /// <exception cref="OperationCanceledException">Cancelled before a record came.</exception>
    /// <exception cref="KafkaOffsetOutOfRangeException">A partition has no usable position and may not be reset. Other partitions go on with the next call.</exception>
    /// <exception cref="KafkaCorruptBatchException">A batch cannot be read. Other partitions go on with the next call.</exception>
    /// <exception cref="KafkaException">
    /// The group or a partition's leader refuses the consumer: no assignor in common with the other members, not authorised, and the like.
    /// <see cref="KafkaException.IsTransient"/> is false, since nothing here will change it; the consumer goes on trying all the same, with
    /// <see cref="KafkaClientOptions.RetryBackoff"/>. Poll again to go on once the cause is gone; until then each failed attempt is told.
    /// </exception>
    public ValueTask<IReadOnlyList<ConsumerRecord>> PollAsync(int maxRecords = 500, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxRecords, 1);
        cancellationToken.ThrowIfCancellationRequested();
        IReadOnlyList<ConsumerRecord>? ready = TryTake(maxRecords, out Task arrived);
        return ready is not null
            ? new ValueTask<IReadOnlyList<ConsumerRecord>>(ready)
            : new ValueTask<IReadOnlyList<ConsumerRecord>>(WaitForRecordsAsync(maxRecords, arrived, cancellationToken));
    }

    /// <summary>The records of <see cref="PollAsync"/> one by one, without end.</summary>
    /// <param name="cancellationToken">Ends the enumeration with <see cref="OperationCanceledException"/>.</param>
    public async IAsyncEnumerable<ConsumerRecord> ConsumeAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        // One at a time from the partition's point of view: what is not enumerated yet is not passed.
        while (true)
        {
            foreach (ConsumerRecord record in await PollAsync(maxRecords: 1, cancellationToken))
            {
                yield return record;
            }
        }
    }

    /// <summary>Stops handing out and fetching records of these partitions; their positions stay. Lasts until resumed or revoked.</summary>
    /// <param name="partitions">Assigned partitions; others are ignored.</param>
    public void Pause(IReadOnlyCollection<TopicPartition> partitions) => SetPaused(partitions, isPaused: true);

    /// <summary>Undoes <see cref="Pause"/>.</summary>
    /// <param name="partitions">Assigned partitions; others are ignored.</param>
    public void Resume(IReadOnlyCollection<TopicPartition> partitions) => SetPaused(partitions, isPaused: false);

    /// <summary>
    /// Goes on reading at another offset. The next poll hands out nothing that was fetched before the seek, however the responses race.
    /// </summary>
    /// <param name="partition">An assigned partition.</param>
    /// <param name="offset">The next offset to read.</param>
    /// <exception cref="InvalidOperationException">The partition is not assigned.</exception>
    public ValueTask SeekAsync(TopicPartition partition, Offset offset)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset.Value, nameof(offset));
        lock (_gate)
        {
            ThrowIfUnusable();
            if (!_state.Seek(partition, offset))
            {
                throw new InvalidOperationException($"{partition} is not assigned to this consumer, so it cannot seek there.");
            }
        }

        _fetcher.Wake();
        return ValueTask.CompletedTask;
    }

    /// <summary>The next offset that a poll hands out, or null while it is not known yet, or when the partition is not assigned.</summary>
    /// <param name="partition">A partition.</param>
    public Offset? Position(TopicPartition partition)
    {
        lock (_gate)
        {
            return _state.Find(partition) is { Source: PositionSource.Known } cursor ? cursor.Position : null;
        }
    }

    private void SetPaused(IReadOnlyCollection<TopicPartition> partitions, bool isPaused)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        lock (_gate)
        {
            _state.SetPaused(partitions, isPaused);
        }

        Pulse();
        _fetcher.Wake();
    }

    private async Task<IReadOnlyList<ConsumerRecord>> WaitForRecordsAsync(int maxRecords, Task arrived, CancellationToken cancellationToken)
    {
        while (true)
        {
            await arrived.WaitAsync(cancellationToken);
            if (TryTake(maxRecords, out arrived) is { } records)
            {
                return records;
            }
        }
    }

    /// <summary>Records that are ready, or null and what to wait for.</summary>
    private List<ConsumerRecord>? TryTake(int maxRecords, out Task arrived)
    {
        if (_polls.Polled())
        {
            _member?.Return();
        }

        List<FetchedBatch> undecoded;
        lock (_gate)
        {
            ThrowIfUnusable();
            undecoded = _state.Undecoded(maxRecords);
        }

        foreach (FetchedBatch batch in undecoded)
        {
            batch.Decode(_settings.MaxDecompressedBatchByteCount);
        }

        List<ConsumerRecord> records;
        lock (_gate)
        {
            // Taken before the state is looked at, so that what arrives from here on is noticed.
            arrived = _arrived.Task;
            ThrowIfUnusable();
            if (TakeFailure() is { } failure)
            {
                throw failure;
            }

            records = _state.Take(maxRecords);
            if (records.Count == 0 && _state.TakeFault() is { } fault)
            {
                throw fault;
            }

            // Batches that arrived, or were uncovered, while others were decoded: look again at once.
            if (records.Count == 0 && _state.Undecoded(1).Count > 0)
            {
                arrived = Task.CompletedTask;
            }
        }

        if (records.Count == 0)
        {
            return null;
        }

        _polls.HandedOut();
        _fetcher.Wake();
        Diagnostics.ConsumedMessages.Add(records.Count, Diagnostics.Tags(records[0].TopicPartition.Topic));
        return records;
    }

    private async Task RunFetcherAsync()
    {
        try
        {
            await Task.Yield();
            await _fetcher.RunAsync(_stop.Token);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Closed.
        }
        catch (Exception failure)
        {
            LogMessages.ConsumerLoopFailed(_logger, failure);
            Fail(failure);
        }
    }
}
