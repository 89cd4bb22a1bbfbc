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

            _namedTopics = [.. partitions.Select(partition => partition.TopicPartition.Topic).Distinct()];
            _namedPartitions = [.. partitions.Select(partition => partition.TopicPartition)];
            _metadata.Track(_namedTopics);
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
    /// <exception cref="InvalidOperationException">The consumer has neither a subscription nor a partition: nothing could ever come.</exception>
    /// <exception cref="KafkaOffsetOutOfRangeException">A partition has no usable position and may not be reset. Other partitions go on with the next call.</exception>
    /// <exception cref="KafkaLogTruncatedException">Records that were handed out are gone from the log, and the position may not be reset. Other partitions go on with the next call.</exception>
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
        var records = new List<ConsumerRecord>();
        return TryTake(maxRecords, records, out Task arrived)
            ? new ValueTask<IReadOnlyList<ConsumerRecord>>(records)
            : new ValueTask<IReadOnlyList<ConsumerRecord>>(WaitForRecordsAsync(maxRecords, records, arrived, cancellationToken));
    }

    /// <summary>
    /// Lends out records that are ready, of one partition, as they lie in the memory that they came in: the path that allocates nothing for a record. Their position moves past them
    /// with the call. Dispose the batch before the next one is asked for, or when its records are done: until then it holds its part of the fetch in memory.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait; no record is lost by it.</param>
    /// <returns>At least one record: whole batches of about 128 KiB together, or one compressed batch.</returns>
    /// <exception cref="OperationCanceledException">Cancelled before a record came.</exception>
    /// <exception cref="InvalidOperationException">As at <see cref="PollAsync"/>.</exception>
    /// <exception cref="KafkaException">As at <see cref="PollAsync"/>.</exception>
    public ValueTask<ConsumerBatch> PollBatchAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return TryTakeBatch(out ConsumerBatch batch, out Task arrived)
            ? new ValueTask<ConsumerBatch>(batch)
            : WaitForBatchAsync(arrived, cancellationToken);
    }

    /// <summary>The records of <see cref="PollAsync"/> one by one, without end.</summary>
    /// <param name="cancellationToken">Ends the enumeration with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="InvalidOperationException">As at <see cref="PollAsync"/>.</exception>
    public async IAsyncEnumerable<ConsumerRecord> ConsumeAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        // One at a time from the partition's point of view: what is not enumerated yet is not passed.
        var one = new List<ConsumerRecord>(1);
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            while (!TryTake(maxRecords: 1, one, out Task arrived))
            {
                await arrived.InContext().WaitAsync(cancellationToken);
            }

            ConsumerRecord record = one[0];
            one.Clear();
            yield return record;
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
        Seek(partition, state => state.Seek(partition, offset));
        return ValueTask.CompletedTask;
    }

    /// <summary>As the other, with the leader epoch of the record before the offset, so that a truncation of the log below it is noticed (KIP-320).</summary>
    /// <param name="position">An assigned partition, the next offset to read, and its epoch.</param>
    /// <exception cref="InvalidOperationException">The partition is not assigned.</exception>
    public ValueTask SeekAsync(TopicPartitionOffset position)
    {
        ArgumentNullException.ThrowIfNull(position);
        ArgumentOutOfRangeException.ThrowIfNegative(position.Offset.Value, nameof(position));
        Seek(position.TopicPartition, state => state.Seek(position.TopicPartition, position.Offset, position.LeaderEpoch));
        return ValueTask.CompletedTask;
    }

    /// <summary>Goes on reading at the first record that the logs still hold. It is looked up in the background; nothing from before the call is handed out.</summary>
    /// <param name="partitions">Assigned partitions.</param>
    /// <exception cref="InvalidOperationException">A partition is not assigned; those before it have moved.</exception>
    public void SeekToBeginning(IReadOnlyCollection<TopicPartition> partitions) => Seek(partitions, PositionSource.Beginning);

    /// <summary>
    /// Goes on reading at the ends of the logs, which with <see cref="IsolationLevel.ReadCommitted"/> are the last stable offsets. They are looked up in the background, so what is written
    /// right after the call may be passed.
    /// </summary>
    /// <param name="partitions">Assigned partitions.</param>
    /// <exception cref="InvalidOperationException">A partition is not assigned; those before it have moved.</exception>
    public void SeekToEnd(IReadOnlyCollection<TopicPartition> partitions) => Seek(partitions, PositionSource.End);

    /// <summary>Goes on reading at the first record with this time or a later one, or at the end where there is none. Completes when the positions are set.</summary>
    /// <param name="partitions">Assigned partitions.</param>
    /// <param name="time">The time, to the millisecond, 1970 or later.</param>
    /// <param name="cancellationToken">Ends the wait, and no position moves.</param>
    /// <exception cref="InvalidOperationException">A partition is not assigned.</exception>
    /// <exception cref="KafkaException">A leader does not answer in time, or refuses.</exception>
    public async Task SeekToTimeAsync(IReadOnlyCollection<TopicPartition> partitions, DateTimeOffset time, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        TopicPartition[] sought = [.. partitions.Distinct()];

        // The ends first: a record that comes between the two questions lies behind them, and is not passed.
        IReadOnlyDictionary<TopicPartition, Offset> ends = await EndOffsetsAsync(sought, cancellationToken);
        IReadOnlyDictionary<TopicPartition, OffsetAndTimestamp> found = await OffsetsForTimesAsync(
            sought.ToDictionary(partition => partition, _ => time), cancellationToken);
        foreach (TopicPartition partition in sought)
        {
            await SeekAsync(partition, found.TryGetValue(partition, out OffsetAndTimestamp? record) ? record.Offset : ends[partition]);
        }
    }

    /// <summary>The first record of each partition with the partition's time or a later one.</summary>
    /// <param name="times">Any partitions, and a time for each, to the millisecond, 1970 or later.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The records' offsets; a partition is absent if no record is as late.</returns>
    /// <exception cref="KafkaException">A leader does not answer within <see cref="KafkaClientOptions.ApiTimeout"/>, or refuses.</exception>
    public async Task<IReadOnlyDictionary<TopicPartition, OffsetAndTimestamp>> OffsetsForTimesAsync(
        IReadOnlyDictionary<TopicPartition, DateTimeOffset> times,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(times);
        Dictionary<TopicPartition, OffsetLookup.Found> found = await _queries.AskAsync(
            times.ToDictionary(item => item.Key, item => OffsetSpec.AtTime(item.Value).Timestamp), cancellationToken);
        return found
            .Where(item => item.Value.Offset is not null)
            .ToDictionary(
                item => item.Key,
                item => new OffsetAndTimestamp(item.Value.Offset!.Value, ConsumerRecord.ToTime(item.Value.Timestamp), item.Value.LeaderEpoch));
    }

    /// <summary>The first offsets that the logs still hold.</summary>
    /// <param name="partitions">Any partitions.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">A leader does not answer within <see cref="KafkaClientOptions.ApiTimeout"/>, or refuses.</exception>
    public Task<IReadOnlyDictionary<TopicPartition, Offset>> BeginningOffsetsAsync(
        IReadOnlyCollection<TopicPartition> partitions,
        CancellationToken cancellationToken = default) => AskAsync(partitions, OffsetSpec.Earliest, cancellationToken);

    /// <summary>
    /// The ends of the logs: high watermarks, or with <see cref="IsolationLevel.ReadCommitted"/> last stable offsets.
    /// </summary>
    /// <param name="partitions">Any partitions.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">A leader does not answer within <see cref="KafkaClientOptions.ApiTimeout"/>, or refuses.</exception>
    public Task<IReadOnlyDictionary<TopicPartition, Offset>> EndOffsetsAsync(
        IReadOnlyCollection<TopicPartition> partitions,
        CancellationToken cancellationToken = default) => AskAsync(partitions, OffsetSpec.Latest, cancellationToken);

    /// <summary>The next offset that a poll hands out, or null while it is not known yet, or when the partition is not assigned.</summary>
    /// <param name="partition">A partition.</param>
    public Offset? Position(TopicPartition partition)
    {
        lock (_gate)
        {
            return _state.Find(partition) is { Source: PositionSource.Known } cursor ? cursor.Position : null;
        }
    }

    /// <summary>What the leader, or the replica that is read, last said of the ends of an assigned partition; null before its first answer.</summary>
    /// <param name="partition">A partition.</param>
    public PartitionWatermarks? Watermarks(TopicPartition partition)
    {
        lock (_gate)
        {
            return _state.Find(partition)?.Watermarks;
        }
    }

    /// <summary>
    /// How many offsets lie between the position and the end of an assigned partition, by the latest answer to a fetch: the last stable offset with
    /// <see cref="IsolationLevel.ReadCommitted"/>, else the high watermark. Null while either is not known. The metric <c>kafka.consumer.records_lag</c> tells the same.
    /// </summary>
    /// <param name="partition">A partition.</param>
    public long? Lag(TopicPartition partition)
    {
        lock (_gate)
        {
            return _state.Lag(partition);
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

    private void Seek(IReadOnlyCollection<TopicPartition> partitions, PositionSource source)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        foreach (TopicPartition partition in partitions)
        {
            Seek(partition, state => state.Seek(partition, source));
        }
    }

    private void Seek(TopicPartition partition, Func<ConsumerState, bool> seek)
    {
        lock (_gate)
        {
            ThrowIfUnusable();
            if (!seek(_state))
            {
                throw new InvalidOperationException($"{partition} is not assigned to this consumer, so it cannot seek there.");
            }
        }

        _fetcher.Wake();
    }

    private async Task<IReadOnlyDictionary<TopicPartition, Offset>> AskAsync(
        IReadOnlyCollection<TopicPartition> partitions, OffsetSpec spec, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        Dictionary<TopicPartition, OffsetLookup.Found> found = await _queries.AskAsync(
            partitions.Distinct().ToDictionary(partition => partition, _ => spec.Timestamp), cancellationToken);
        return found.ToDictionary(
            item => item.Key,
            item => item.Value.Offset ?? throw new KafkaProtocolException($"The leader of {item.Key} answered ListOffsets with neither an offset nor an error."));
    }

    private async Task<IReadOnlyList<ConsumerRecord>> WaitForRecordsAsync(
        int maxRecords, List<ConsumerRecord> records, Task arrived, CancellationToken cancellationToken)
    {
        do
        {
            await arrived.InContext().WaitAsync(cancellationToken);
        }
        while (!TryTake(maxRecords, records, out arrived));

        return records;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ConsumerBatch> WaitForBatchAsync(Task arrived, CancellationToken cancellationToken)
    {
        while (true)
        {
            await arrived.InContext().WaitAsync(cancellationToken);
            if (TryTakeBatch(out ConsumerBatch batch, out arrived))
            {
                return batch;
            }
        }
    }

    /// <summary>Adds records that are ready, or says what to wait for.</summary>
    private bool TryTake(int maxRecords, List<ConsumerRecord> records, out Task arrived)
    {
        OnPolled();
        bool hasRoom;
        while (true)
        {
            Opening opening;
            lock (_gate)
            {
                ThrowIfFailed(records.Count);
                _state.Take(maxRecords, records);
                if (records.Count >= maxRecords || !_state.TryBeginOpen(out opening))
                {
                    arrived = records.Count > 0 ? Task.CompletedTask : WaitForArrival();
                    hasRoom = records.Count > 0 ? _state.HasRoomAgain : _state.WaitsForRoom;
                    break;
                }
            }

            OpenRecords(opening);
        }

        if (records.Count == 0)
        {
            OnNothingTaken(hasRoom);
            return false;
        }

        OnTaken(hasRoom);
        TellPoll(records);
        return true;
    }

    /// <summary>Lends out records that are ready, or says what to wait for.</summary>
    private bool TryTakeBatch(out ConsumerBatch batch, out Task arrived)
    {
        OnPolled();
        batch = default;
        arrived = Task.CompletedTask;
        bool hasRoom;
        while (true)
        {
            Opening opening;
            lock (_gate)
            {
                ThrowIfFailed(takenCount: 0);
                RecordRun? run = _state.TakeRun();
                if (run is not null)
                {
                    batch = new ConsumerBatch(run);
                    hasRoom = _state.HasRoomAgain;
                    break;
                }

                if (!_state.TryBeginOpen(out opening))
                {
                    arrived = WaitForArrival();
                    hasRoom = _state.WaitsForRoom;
                    break;
                }
            }

            OpenRecords(opening);
        }

        if (batch.Count == 0)
        {
            OnNothingTaken(hasRoom);
            return false;
        }

        OnTaken(hasRoom);
        TellPoll(batch);
        return true;
    }

    /// <summary>What went wrong is told, unless there are records to hand out first. Under the lock.</summary>
    private void ThrowIfFailed(int takenCount)
    {
        if (takenCount > 0)
        {
            return;
        }

        ThrowIfUnusable();
        if (TakeFailure() is { } failure)
        {
            throw failure;
        }
    }

    /// <summary>Nothing is ready: a fault is told, or what to wait for. Under the lock in which the state was looked at, so that nothing arrives in between.</summary>
    private Task WaitForArrival()
    {
        if (_state.TakeFault() is { } fault)
        {
            throw fault;
        }

        if (_member is null && _state.Assignment.Count == 0)
        {
            throw new InvalidOperationException(
                $"The consumer reads nothing: a poll would wait for ever. Call {nameof(SubscribeAsync)} or {nameof(Assign)} first, with at least one topic or partition.");
        }

        return (_arrived ??= NewSignal()).Task;
    }

    /// <summary>Checks and decompresses what is next, outside of the lock.</summary>
    private void OpenRecords(in Opening opening)
    {
        RecordRun? run = null;
        Offset next = opening.From;
        int byteCount = 0;
        Exception? fault;
        try
        {
            run = opening.Fetched.OpenNext(
                opening.From, _settings.MaxDecompressedBatchByteCount, _runs, out next, out byteCount, out KafkaCorruptBatchException? damage);
            fault = damage;
        }
        catch (Exception defect)
        {
            // Told by the next poll, for this partition alone.
            fault = defect;
        }

        lock (_gate)
        {
            _state.EndOpen(opening, run, next, byteCount, fault);
        }

        // Whoever polls at the same time has found this partition occupied.
        Pulse();
    }

    private void OnPolled()
    {
        BeginPoll();
        if (_polls.Polled())
        {
            _member?.Return();
        }
    }

    /// <summary>What was opened may have held nothing for the application, or is of a partition that is about to go, and makes room all the same: who would fetch the next waits for that.</summary>
    private void OnNothingTaken(bool mayHaveRoom)
    {
        if (mayHaveRoom)
        {
            _fetcher.Wake();
        }
    }

    private void OnTaken(bool hasRoom)
    {
        _polls.HandedOut();
        if (hasRoom)
        {
            _fetcher.Wake();
        }
    }

    private async Task RunFetcherAsync()
    {
        try
        {
            await _context.BeginAsync();
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
