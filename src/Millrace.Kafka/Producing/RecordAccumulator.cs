using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Both clocks of a producer: the one that measures, and the one on the wall.</summary>
internal readonly record struct Moment(TimeSpan Elapsed, long UnixMilliseconds);

/// <summary>
/// The producer's state machine: which record goes into which batch, which batch may be sent when, under which sequence, and what an
/// answer means. Synchronous; not thread-safe; time, chance and the cluster are parameters. This file takes records in; the other one sends batches.
/// </summary>
/// <remarks>
/// What keeps order and exactly-once per partition:
/// batches leave in order of their ordinal; a sequence is given out when a batch first leaves and is kept through every retry; a retry
/// leaves only when nothing else of the partition is under way, and alone; batches under way are all at one broker; a sequence is taken
/// back only from a batch that is known not to be written, and only after every other sequence of the partition is settled does the next
/// epoch begin.
/// </remarks>
internal sealed partial class RecordAccumulator(ProducerSettings settings, Backoff retryBackoff, Chance chance, TransactionState? transaction = null)
{
    /// <summary>What is kept for the next use; the rest goes to the garbage collector. Spare batches take hardly more than the buffer that was asked for.</summary>
    private const int MaxSpareWaiterCount = 1024;
    private const int MinSpareBatchByteCount = 4096;
    private const int HalfEmptyBatchCount = 16;

    private readonly Dictionary<string, TopicState> _topics = [];
    private readonly List<PartitionQueue> _active = [];
    private readonly LinkedList<WaitingRecord> _memoryWaiters = new();
    private readonly HashSet<WaitingRecord> _givenUp = [];
    private readonly Stack<ProducerBatch> _spareBatches = [];
    private readonly Stack<WaitingRecord> _spareWaiters = [];
    private TopicState? _lastTopic;
    private long _waitingByteCount;

    /// <summary>Why nothing usable is known of a topic, for the failure of the records that waited for it.</summary>
    public Func<string, string>? WhyUnknown { get; init; }

    public enum OfferResult
    {
        /// <summary>In a batch; nothing to do.</summary>
        Appended,

        /// <summary>In a batch, and the sender must look: the batch is new or full.</summary>
        AppendedAndDue,

        /// <summary>Waits for its topic, and is the first to do so: somebody must look the topic up.</summary>
        TopicWanted,

        /// <summary>Waits for its topic, or for space in the buffer; the sender must look.</summary>
        Waits,

        /// <summary>The topic has no such partition. Nobody is told.</summary>
        NoSuchPartition,

        /// <summary>The buffer is full, and as many bytes wait for it as it holds. Nobody is told.</summary>
        LineFull,
    }

    public long UsedByteCount { get; private set; }

    /// <summary>The records that are not acknowledged yet, those included that wait for space or for their topic. Counted when it is asked for.</summary>
    public long RecordCount =>
        _active.Sum(static queue => queue.InFlight.Sum(static batch => (long)batch.RecordCount) + queue.Waiting.Sum(static batch => (long)batch.RecordCount))
        + _memoryWaiters.Count
        + _topics.Values.Sum(static topic => topic.Waiters?.Count ?? 0);

    /// <summary>While positive, nothing lingers.</summary>
    public int FlushCount { get; set; }

    public bool HasWork => _active.Count > 0 || _memoryWaiters.Count > 0 || _topics.Values.Any(static topic => topic.Waiters is not null);

    public PartitionQueue Queue(TopicPartition partition) => Topic(partition.Topic).Queue(partition.Partition);

    /// <summary>Takes a record, or lets it wait behind those before it.</summary>
    /// <param name="record">The record; its bytes are copied.</param>
    /// <param name="source">The object that the record is a view of, so that it need not be copied while it waits; or null.</param>
    /// <param name="byteCount">What it takes of the buffer.</param>
    /// <param name="delivery">Whom to tell.</param>
    /// <param name="admissions">Where an operation comes from that tells when the record is in a batch; null if the delivery tells of everything.</param>
    /// <param name="topic">The topic, if it is known.</param>
    /// <param name="now">The time.</param>
    /// <param name="admission">The operation, if the record has to wait.</param>
    public OfferResult Offer(
        in SpanRecord record,
        ProducerRecord? source,
        int byteCount,
        in Delivery delivery,
        ProduceOperationPool? admissions,
        TopicDescription? topic,
        Moment now,
        out ProduceOperation? admission)
    {
        admission = null;
        TopicState state = Topic(record.Topic);
        if (state.Waiters is not null || topic is null)
        {
            if (!HasPlaceInLine(byteCount))
            {
                return RefuseForLine(record.Topic);
            }

            bool isFirst = state.Waiters is null;
            admission = admissions?.Rent(isAdmission: true);
            WaitingRecord waiting = Wait(record, source, byteCount, delivery, admission, now);
            (state.Waiters ??= new LinkedList<WaitingRecord>()).AddLast(waiting.Node);
            return isFirst ? OfferResult.TopicWanted : OfferResult.Waits;
        }

        if (!IsPartitionOf(topic, record.Partition))
        {
            FailTransaction(NoSuchPartition(topic, record.Partition!.Value), needsNewEpoch: false);
            return OfferResult.NoSuchPartition;
        }

        if (_memoryWaiters.Count > 0 || !Fits(byteCount))
        {
            if (!HasPlaceInLine(byteCount))
            {
                return RefuseForLine(record.Topic);
            }

            admission = admissions?.Rent(isAdmission: true);
            WaitingRecord waiting = Wait(record, source, byteCount, delivery, admission, now);
            waiting.State = state;
            state.Description = topic;
            _memoryWaiters.AddLast(waiting.Node);
            return OfferResult.Waits;
        }

        state.Description = topic;
        try
        {
            return Append(state, record, byteCount, delivery, done: null, now) ? OfferResult.AppendedAndDue : OfferResult.Appended;
        }
        catch (Exception failure)
        {
            FailTransaction(failure, needsNewEpoch: false);
            throw;
        }
    }

    /// <summary>The topic is known: its records move on, in order.</summary>
    public void ResolveTopic(TopicDescription topic, Moment now, ProducerEffects effects)
    {
        TopicState state = Topic(topic.Name);
        if (state.Waiters is not { } waiters)
        {
            return;
        }

        state.Waiters = null;
        state.Description = topic;
        LinkedListNode<WaitingRecord>? later = _memoryWaiters.First;
        while (waiters.First?.Value is { } waiting)
        {
            waiters.RemoveFirst();
            if (!IsPartitionOf(topic, waiting.Record.Partition))
            {
                GiveUp(waiting, NoSuchPartition(topic, waiting.Record.Partition!.Value), effects);
                continue;
            }

            // Among those that wait already it comes where it would be if its topic had been known: those in front run out of time first.
            waiting.State = state;
            while (later is not null && later.Value.Deadline <= waiting.Deadline)
            {
                later = later.Next;
            }

            if (later is null)
            {
                _memoryWaiters.AddLast(waiting.Node);
            }
            else
            {
                _memoryWaiters.AddBefore(later, waiting.Node);
            }
        }

        AdmitWaiting(now, effects);
    }

    /// <summary>The topic cannot be had: its records fail.</summary>
    public void FailTopic(string topic, Exception failure, ProducerEffects effects)
    {
        TopicState state = Topic(topic);
        if (state.Waiters is { } waiters)
        {
            state.Waiters = null;
            GiveUpAll(waiters, failure, effects);
        }
    }

    /// <summary>The topic was not found in time: those of its records fail whose own time is over by then.</summary>
    /// <param name="topic">The topic.</param>
    /// <param name="failure">Why it was not found.</param>
    /// <param name="end">The end of the time of a record that came when the look-up began.</param>
    /// <param name="effects">What is to be done.</param>
    /// <returns>Whether others are left that came later. For them the topic must be looked up again.</returns>
    public bool ExpireTopic(string topic, Exception failure, TimeSpan end, ProducerEffects effects)
    {
        TopicState state = Topic(topic);
        while (state.Waiters?.First?.Value is { } waiting && waiting.Deadline <= end)
        {
            state.Waiters.RemoveFirst();
            GiveUp(waiting, failure, effects);
        }

        if (state.Waiters is { Count: > 0 })
        {
            return true;
        }

        state.Waiters = null;
        return false;
    }

    /// <summary>Takes a record back that is not in a batch yet.</summary>
    /// <returns>Whether it was not in a batch.</returns>
    public bool TakeBack(WaitingRecord waiting, Moment now, ProducerEffects effects)
    {
        if (!waiting.IsInLine)
        {
            return false;
        }

        waiting.Node.List!.Remove(waiting.Node);
        EndWait(waiting);
        AdmitWaiting(now, effects);
        return true;
    }

    /// <summary>A record of the open transaction was refused before it came here.</summary>
    public void Refuse(KafkaException failure) => FailTransaction(failure, needsNewEpoch: false);

    /// <summary>What everybody who waits now waits for.</summary>
    public List<Task> Outstanding()
    {
        var tasks = new List<Task>();
        foreach (PartitionQueue queue in _active)
        {
            tasks.AddRange(queue.InFlight.Select(static batch => batch.WhenTold()));
            tasks.AddRange(queue.Waiting.Select(static batch => batch.WhenTold()));
        }

        tasks.AddRange(_untold.Select(static batch => batch.WhenTold()));
        IEnumerable<WaitingRecord> waiting = _memoryWaiters.Concat(_topics.Values.SelectMany(static topic => topic.Waiters ?? [])).Concat(_givenUp);
        tasks.AddRange(waiting.Select(static record =>
            (record.Done ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task));
        return tasks;
    }

    /// <summary>A batch was acknowledged and everybody was told: its memory is used again.</summary>
    private void Recycle(ProducerBatch batch)
    {
        int usualByteCount = Math.Max(settings.BatchByteCount, MinSpareBatchByteCount);
        if (batch.MemoryByteCount <= 2L * usualByteCount && _spareBatches.Count < HalfEmptyBatchCount + (settings.BufferByteCount / usualByteCount))
        {
            _spareBatches.Push(batch);
        }
    }

    /// <summary>The wait of a record that comes into no batch is over: who waited for it has been told.</summary>
    public void EndWait(WaitingRecord waiting)
    {
        waiting.Done?.TrySetResult();
        Spare(waiting);
    }

    private void Spare(WaitingRecord waiting)
    {
        _waitingByteCount -= waiting.ByteCount;
        _givenUp.Remove(waiting);
        waiting.LeaveOperation();
        waiting.Clear();
        if (_spareWaiters.Count < MaxSpareWaiterCount)
        {
            _spareWaiters.Push(waiting);
        }
    }

    public static ArgumentOutOfRangeException NoSuchPartition(TopicDescription topic, int partition) => new(
        nameof(partition), $"Topic '{topic.Name}' has partitions 0 to {topic.Partitions.Count - 1}; the record names {partition}. It is not written.");

    public KafkaBufferFullException LineFull(string topic) => new(
        $"A record for topic '{topic}' found the buffer full, and {_waitingByteCount} bytes of others waiting for it, which is as much again as it holds " +
        $"({nameof(ProducerOptions.BufferByteCount)}, {settings.BufferByteCount} bytes). It is not written. Await {nameof(KafkaProducer.EnqueueAsync)} or " +
        $"{nameof(KafkaProducer.ProduceAsync)} before the next record, or raise {nameof(ProducerOptions.BufferByteCount)}.");

    private static bool IsPartitionOf(TopicDescription topic, int? partition) => partition is not { } number || (number >= 0 && number < topic.Partitions.Count);

    private TopicState Topic(string name)
    {
        // Records come in runs of one topic, and mostly with the same string.
        if (_lastTopic is { } last && (ReferenceEquals(last.Name, name) || last.Name == name))
        {
            return last;
        }

        if (!_topics.TryGetValue(name, out TopicState? state))
        {
            state = new TopicState(name);
            _topics.Add(name, state);
        }

        _lastTopic = state;
        return state;
    }

    private WaitingRecord Wait(
        in SpanRecord record, ProducerRecord? source, int byteCount, in Delivery delivery, ProduceOperation? admission, Moment now)
    {
        WaitingRecord waiting = _spareWaiters.TryPop(out WaitingRecord? spare) ? spare : new WaitingRecord();
        waiting.Set(record, source, delivery, admission, byteCount, now.Elapsed + settings.MaxBlock);
        _waitingByteCount += byteCount;
        return waiting;
    }

    /// <summary>Who calls without awaiting is not held back by the buffer: as much as it holds may wait for it.</summary>
    private bool HasPlaceInLine(int byteCount) => _waitingByteCount == 0 || _waitingByteCount + byteCount <= settings.BufferByteCount;

    private OfferResult RefuseForLine(string topic)
    {
        FailTransaction(LineFull(topic), needsNewEpoch: false);
        return OfferResult.LineFull;
    }

    private bool Fits(int byteCount) => UsedByteCount + byteCount <= settings.BufferByteCount;

    private void AdmitWaiting(Moment now, ProducerEffects effects)
    {
        while (_memoryWaiters.First?.Value is { } first && Fits(first.ByteCount))
        {
            _memoryWaiters.RemoveFirst();
            try
            {
                Append(first.State!, first.Record, first.ByteCount, first.Delivery, first.Done, now);
            }
            catch (Exception failure)
            {
                GiveUp(first, failure, effects);
                continue;
            }

            effects.HasAdmitted = true;
            if (first.Admission is { } admission)
            {
                effects.Admitted.Add(admission);
            }

            Spare(first);
        }
    }

    private void GiveUp(WaitingRecord waiting, Exception failure, ProducerEffects effects)
    {
        // A transaction without one of its records must not be committed as if it were whole.
        FailTransaction(failure, needsNewEpoch: false);
        waiting.LeaveOperation();
        _givenUp.Add(waiting);
        effects.GivenUp.Add((waiting, failure));
    }

    private void GiveUpAll(LinkedList<WaitingRecord>? line, Exception failure, ProducerEffects effects)
    {
        while (line?.First?.Value is { } waiting)
        {
            line.RemoveFirst();
            GiveUp(waiting, failure, effects);
        }
    }

    /// <summary>Puts a record into a batch, and says whether the sender has something new to look at.</summary>
    private bool Append(TopicState topic, in SpanRecord record, int byteCount, in Delivery delivery, TaskCompletionSource? done, Moment now)
    {
        int? chosen = record.Partition ?? ChoosePartition(record, topic.Description!.Partitions.Count);
        PartitionQueue queue = topic.Queue(chosen ?? topic.Stick(chance, settings, now.Elapsed));
        ProducerBatch? batch = queue.Open;
        int batchByteCount = Math.Min(settings.BatchByteCount, topic.MaxBatchByteCount);
        bool isNew = batch is null || batch.EstimatedByteCount + byteCount > batchByteCount;
        if (isNew)
        {
            if (batch is not null)
            {
                batch.IsClosed = true;
            }

            batch = NewBatch(queue, now);
        }

        long heldByteCount = isNew ? 0 : batch!.ReservedByteCount;
        batch!.Append(record, record.Timestamp?.ToUnixTimeMilliseconds() ?? now.UnixMilliseconds, byteCount, delivery);
        UsedByteCount += batch.ReservedByteCount - heldByteCount;
        if (isNew)
        {
            // Now that it holds a record: one that cannot be written, for want of memory for instance, leaves no empty batch in the line.
            queue.Waiting.AddLast(batch.Node);
            Activate(queue);
        }

        if (done is not null)
        {
            batch.CompleteToo(done);
        }

        bool isFull = batch.EstimatedByteCount >= batchByteCount;
        if (chosen is null)
        {
            topic.CountSticky(byteCount, batchByteCount, chance, settings, now.Elapsed);
        }

        return isNew || isFull;
    }

    private int? ChoosePartition(in SpanRecord record, int count)
    {
        int? choice;
        try
        {
            choice = settings.Partitioner.Choose(record, count);
        }
        catch (Exception failure)
        {
            throw new InvalidOperationException(
                $"The partitioner {settings.Partitioner.GetType()} failed for a record of topic '{record.Topic}', which is not written: {failure.Message}", failure);
        }

        return choice switch
        {
            { } chosen when (uint)chosen < (uint)count => chosen,
            { } chosen => (int)((uint)chosen % (uint)count),
            null => null,
        };
    }

    private ProducerBatch NewBatch(PartitionQueue queue, Moment now)
    {
        if (!_spareBatches.TryPop(out ProducerBatch? batch))
        {
            return new ProducerBatch(queue, queue.NextOrdinal++, settings.Compression, now.Elapsed);
        }

        batch.Begin(queue, queue.NextOrdinal++, now.Elapsed);
        return batch;
    }

    private void Activate(PartitionQueue queue)
    {
        if (!queue.IsActive)
        {
            queue.IsActive = true;
            _active.Add(queue);
        }
    }
}
