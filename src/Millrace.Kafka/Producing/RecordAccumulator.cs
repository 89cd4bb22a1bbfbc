using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Both clocks of a producer: the one that measures, and the one on the wall.</summary>
internal readonly record struct Moment(TimeSpan Elapsed, long UnixMilliseconds);

/// <summary>
/// The producer's state machine: which record goes into which batch, which batch may be sent when, under which sequence, and what an
/// answer means. Synchronous; not thread-safe; time, chance and the cluster are parameters.
/// </summary>
/// <remarks>
/// What keeps order and exactly-once per partition:
/// batches leave in order of their ordinal; a sequence is given out when a batch first leaves and is kept through every retry; a retry
/// leaves only when nothing else of the partition is under way, and alone; batches under way are all at one broker; a sequence is taken
/// back only from a batch that is known not to be written, and only after every other sequence of the partition is settled does the next
/// epoch begin.
/// </remarks>
internal sealed class RecordAccumulator(ProducerSettings settings, Backoff retryBackoff, Chance chance)
{
    private readonly Dictionary<TopicPartition, PartitionQueue> _queues = [];
    private readonly List<PartitionQueue> _active = [];
    private readonly Dictionary<string, LinkedList<PendingAppend>> _topicWaiters = [];
    private readonly LinkedList<PendingAppend> _memoryWaiters = new();
    private readonly Dictionary<string, int> _stickyPartitions = [];
    private readonly Dictionary<int, int> _requestsInFlight = [];
    private int _drainStart;

    public enum OfferResult
    {
        /// <summary>In a batch; nothing to do.</summary>
        Appended,

        /// <summary>In a batch, and the sender must look: the batch is new or full.</summary>
        AppendedAndDue,

        /// <summary>Waits for its topic, and is the first to do so: somebody must look the topic up.</summary>
        TopicWanted,

        /// <summary>Waits for its topic, or for space in the buffer.</summary>
        Waits,
    }

    /// <summary>How the cluster looks to the sender.</summary>
    public interface ICluster
    {
        bool TryGetLeader(TopicPartition partition, out int nodeId, out BrokerAddress address);

        bool IsConnected(BrokerAddress address);
    }

    /// <summary>The identity for partitions that have none yet.</summary>
    public ProducerIdentity Identity { get; private set; } = ProducerIdentity.None;

    public long UsedByteCount { get; private set; }

    /// <summary>While positive, nothing lingers.</summary>
    public int FlushCount { get; set; }

    public bool HasWork => _active.Count > 0 || _memoryWaiters.Count > 0 || _topicWaiters.Count > 0;

    public PartitionQueue Queue(TopicPartition partition)
    {
        if (!_queues.TryGetValue(partition, out PartitionQueue? queue))
        {
            queue = new PartitionQueue(partition);
            _queues.Add(partition, queue);
        }

        return queue;
    }

    /// <summary>Takes a record, or lets it wait behind those before it.</summary>
    public OfferResult Offer(PendingAppend pending, TopicDescription? topic, Moment now)
    {
        if (_topicWaiters.TryGetValue(pending.Record.Topic, out LinkedList<PendingAppend>? waiters))
        {
            pending.Place = waiters.AddLast(pending);
            return OfferResult.Waits;
        }

        if (topic is null)
        {
            waiters = new LinkedList<PendingAppend>();
            _topicWaiters.Add(pending.Record.Topic, waiters);
            pending.Place = waiters.AddLast(pending);
            return OfferResult.TopicWanted;
        }

        pending.Topic = topic;
        return Admit(pending, now);
    }

    /// <summary>The topic is known: its records move on, in order.</summary>
    public bool ResolveTopic(TopicDescription topic, Moment now)
    {
        if (!_topicWaiters.Remove(topic.Name, out LinkedList<PendingAppend>? waiters))
        {
            return false;
        }

        bool isDue = false;
        foreach (PendingAppend pending in waiters)
        {
            pending.Place = null;
            pending.Topic = topic;
            isDue |= Admit(pending, now) == OfferResult.AppendedAndDue;
        }

        return isDue;
    }

    /// <summary>The topic cannot be had: its records fail.</summary>
    public void FailTopic(string topic, Exception failure, ProducerEffects effects)
    {
        if (_topicWaiters.Remove(topic, out LinkedList<PendingAppend>? waiters))
        {
            foreach (PendingAppend pending in waiters)
            {
                pending.Place = null;
                effects.GivenUp.Add((pending, failure));
            }
        }
    }

    /// <summary>Gives up a record that is not in a batch yet.</summary>
    /// <returns>Whether it was not in a batch.</returns>
    public bool Cancel(PendingAppend pending, Moment now)
    {
        if (pending.Place is null)
        {
            return false;
        }

        // A topic's list stays while its look-up is under way, even if it is empty: the look-up ends it.
        pending.Place.List!.Remove(pending.Place);
        pending.Place = null;
        AdmitWaiting(now);
        return true;
    }

    public void SetIdentity(ProducerIdentity identity) => Identity = identity;

    /// <summary>What everybody who waits now waits for.</summary>
    public List<Task> Outstanding()
    {
        var tasks = new List<Task>();
        foreach (PartitionQueue queue in _active)
        {
            tasks.AddRange(queue.InFlight.Select(batch => batch.WhenAnswered()));
            tasks.AddRange(queue.Waiting.Select(batch => batch.WhenAnswered()));
        }

        tasks.AddRange(_memoryWaiters.Select(pending => (Task)pending.Completion.Task));
        tasks.AddRange(_topicWaiters.Values.SelectMany(waiters => waiters).Select(pending => (Task)pending.Completion.Task));
        return tasks;
    }

    /// <summary>Fails whatever ran out of time, and collects what may be sent.</summary>
    public void Drain(ICluster cluster, Moment now, ProducerEffects effects)
    {
        ExpireWaiters(now, effects);
        var bundles = new Dictionary<int, ProduceBundle>();
        var bundleSizes = new Dictionary<int, int>();

        // Another partition is the first each time, so that a full request starves nobody.
        _drainStart = _active.Count == 0 ? 0 : (_drainStart + 1) % _active.Count;
        for (int i = 0; i < _active.Count; i++)
        {
            PartitionQueue queue = _active[(_drainStart + i) % _active.Count];
            ExpireBatches(queue, now, effects);
            ResetWhenSettled(queue, effects);
            DrainQueue(queue, cluster, now, bundles, bundleSizes, effects);
        }

        _active.RemoveAll(static queue =>
        {
            queue.IsActive = queue.HasWork;
            return !queue.IsActive;
        });
        effects.Bundles.AddRange(bundles.Values);
        foreach (ProduceBundle bundle in bundles.Values)
        {
            _requestsInFlight[bundle.NodeId] = _requestsInFlight.GetValueOrDefault(bundle.NodeId) + 1;
        }

        AdmitWaiting(now);
    }

    /// <summary>A request is over, whatever became of it. Each of its batches is settled by itself.</summary>
    public void EndRequest(int nodeId) => _requestsInFlight[nodeId]--;

    /// <summary>Settles one batch of a request that was answered, or that failed with an error that stands for its fate.</summary>
    public void Settle(ProducerBatch batch, ProduceAnswer answer, Moment now, ProducerEffects effects)
    {
        PartitionQueue queue = Queue(batch.Partition);
        Invariant.Holds(queue.InFlight.Remove(batch), $"an answered batch of {batch.Partition} is under way");
        batch.NodeId = -1;
        ProduceVerdict verdict = answer.Verdict;
        switch (verdict)
        {
            case ProduceVerdict.Written:
                AnswerBatch(batch, answer.BaseOffset, answer.Timestamp, failure: null, effects);
                break;
            case ProduceVerdict.Duplicate:
                AnswerBatch(batch, baseOffset: null, timestamp: null, failure: null, effects);
                break;
            case ProduceVerdict.RetryNotWritten:
            case ProduceVerdict.RetryPerhapsWritten:
                batch.MayBeWritten |= verdict == ProduceVerdict.RetryPerhapsWritten;
                effects.NeedsMetadata = true;
                RetryOrForget(queue, batch, now);
                break;
            case ProduceVerdict.Refused:
                LeaveHole(queue, batch);
                AnswerBatch(batch, null, null, answer.Failure!, effects);
                break;
            default:
                SettleSequenceError(queue, batch, answer, now, effects);
                break;
        }

        AdmitWaiting(now);
    }

    /// <summary>Fails everything that is left.</summary>
    public void FailAll(Exception failure, ProducerEffects effects)
    {
        foreach (PartitionQueue queue in _active)
        {
            foreach (ProducerBatch batch in queue.InFlight.Concat(queue.Waiting))
            {
                AnswerBatch(batch, null, null, failure, effects);
            }

            queue.Waiting.Clear();
        }

        foreach (PendingAppend pending in _memoryWaiters.Concat(_topicWaiters.Values.SelectMany(waiters => waiters)))
        {
            pending.Place = null;
            effects.GivenUp.Add((pending, failure));
        }

        _memoryWaiters.Clear();
        _topicWaiters.Clear();
    }

    private OfferResult Admit(PendingAppend pending, Moment now)
    {
        if (_memoryWaiters.Count > 0 || !Fits(pending))
        {
            pending.Place = _memoryWaiters.AddLast(pending);
            return OfferResult.AppendedAndDue;
        }

        return Append(pending, now) ? OfferResult.AppendedAndDue : OfferResult.Appended;
    }

    private bool Fits(PendingAppend pending) => UsedByteCount + pending.ByteCount <= settings.BufferByteCount;

    private void AdmitWaiting(Moment now)
    {
        while (_memoryWaiters.First is { } first && Fits(first.Value))
        {
            _memoryWaiters.RemoveFirst();
            first.Value.Place = null;
            Append(first.Value, now);
        }
    }

    /// <summary>Puts a record into a batch, and says whether the sender has something new to look at.</summary>
    private bool Append(PendingAppend pending, Moment now)
    {
        ProducerRecord record = pending.Record;
        if (record.Partition is { } chosen && (chosen < 0 || chosen >= pending.Topic!.Partitions.Count))
        {
            pending.Completion.TrySetException(new ArgumentOutOfRangeException(
                nameof(pending), $"Topic '{record.Topic}' has partitions 0 to {pending.Topic!.Partitions.Count - 1}; the record names {chosen}."));
            return false;
        }

        PartitionQueue queue = Queue(new TopicPartition(record.Topic, ChoosePartition(record, pending)));
        ProducerBatch? batch = queue.Open;
        bool isNew = batch is null || !HasRoom(batch, pending.ByteCount);
        if (isNew)
        {
            if (batch is not null)
            {
                batch.IsClosed = true;
            }

            batch = new ProducerBatch(queue.Partition, queue.NextOrdinal++, new RecordBatchBuilder(settings.Compression), now.Elapsed);
            queue.Waiting.AddLast(batch);
            Activate(queue);
        }

        UsedByteCount += pending.ByteCount;
        batch!.Append(record, record.Timestamp?.ToUnixTimeMilliseconds() ?? now.UnixMilliseconds, pending.ByteCount, pending.Completion);
        return isNew || batch.EstimatedByteCount >= settings.BatchByteCount;
    }

    private bool HasRoom(ProducerBatch batch, long byteCount) => batch.EstimatedByteCount + byteCount <= settings.BatchByteCount;

    private int ChoosePartition(ProducerRecord record, PendingAppend pending)
    {
        if (record.Partition is { } chosen)
        {
            return chosen;
        }

        int count = pending.Topic!.Partitions.Count;
        if (record.Key is { } key)
        {
            return Murmur2.Partition(key.Span, count);
        }

        // One partition until its batch is full or gone, then another one (KIP-480): fuller batches, and evenly spread over time.
        bool isKnown = _stickyPartitions.TryGetValue(record.Topic, out int sticky);
        if (isKnown && Queue(new TopicPartition(record.Topic, sticky)).Open is { } open && HasRoom(open, pending.ByteCount))
        {
            return sticky;
        }

        List<int> available = [.. pending.Topic.Partitions.Where(partition => partition.LeaderId >= 0).Select(partition => partition.Partition)];
        if (available.Count == 0)
        {
            available = [.. Enumerable.Range(0, count)];
        }

        if (isKnown && available.Count > 1)
        {
            available.Remove(sticky);
        }

        sticky = available[chance.Next(available.Count)];
        _stickyPartitions[record.Topic] = sticky;
        return sticky;
    }

    private void Activate(PartitionQueue queue)
    {
        if (!queue.IsActive)
        {
            queue.IsActive = true;
            _active.Add(queue);
        }
    }

    private void ExpireWaiters(Moment now, ProducerEffects effects)
    {
        // Every record waits as long as every other, so those in front run out of time first.
        foreach (LinkedList<PendingAppend> waiters in _topicWaiters.Values.Prepend(_memoryWaiters))
        {
            while (waiters.First is { } first && first.Value.Deadline <= now.Elapsed)
            {
                waiters.RemoveFirst();
                first.Value.Place = null;
                effects.GivenUp.Add((first.Value, new KafkaTimeoutException(
                    $"A record for topic '{first.Value.Record.Topic}' found no {(waiters == _memoryWaiters ? "space in the buffer" : "metadata of its topic")} " +
                    $"within {settings.MaxBlock} ({nameof(ProducerOptions.MaxBlock)}); it is not written. The buffer holds {UsedByteCount} of {settings.BufferByteCount} bytes.")));
            }

            if (waiters.First is { } next)
            {
                effects.WakeNoLaterThan(next.Value.Deadline);
            }
        }
    }

    private void ExpireBatches(PartitionQueue queue, Moment now, ProducerEffects effects)
    {
        foreach (ProducerBatch batch in queue.InFlight)
        {
            if (!batch.IsAnswered && IsExpired(batch, now, effects))
            {
                AnswerBatch(batch, null, null, Expired(batch, perhapsWritten: true), effects);
            }
        }

        while (queue.Waiting.First?.Value is { } batch && IsExpired(batch, now, effects))
        {
            queue.Waiting.RemoveFirst();

            LeaveHole(queue, batch);
            AnswerBatch(batch, null, null, Expired(batch, batch.MayBeWritten), effects);
        }
    }

    private bool IsExpired(ProducerBatch batch, Moment now, ProducerEffects effects)
    {
        TimeSpan deadline = batch.CreatedAt + settings.DeliveryTimeout;
        if (deadline <= now.Elapsed)
        {
            return true;
        }

        effects.WakeNoLaterThan(deadline);
        return false;
    }

    private KafkaTimeoutException Expired(ProducerBatch batch, bool perhapsWritten) => new(
        $"{batch.RecordCount} records for {batch.Partition} were not acknowledged within {settings.DeliveryTimeout} " +
        $"({nameof(ProducerOptions.DeliveryTimeout)}), after {batch.AttemptCount} attempts; " +
        (perhapsWritten ? "they may or may not be written." : "they are not written."));

    private void ResetWhenSettled(PartitionQueue queue, ProducerEffects effects)
    {
        if (!queue.MustReset || !queue.IsSettled)
        {
            return;
        }

        if (queue.NeedsNewProducerId || queue.Identity.Epoch == short.MaxValue)
        {
            if (queue.Identity.Id == Identity.Id)
            {
                Identity = ProducerIdentity.None;
            }

            queue.Restart(ProducerIdentity.None);
            return;
        }

        queue.Restart(queue.Identity with { Epoch = (short)(queue.Identity.Epoch + 1) });
        effects.Resets.Add((queue.Partition, queue.Identity.Epoch));
    }

    private void DrainQueue(
        PartitionQueue queue,
        ICluster cluster,
        Moment now,
        Dictionary<int, ProduceBundle> bundles,
        Dictionary<int, int> bundleSizes,
        ProducerEffects effects)
    {
        if (queue.Next is not { } batch || !IsDue(queue, batch, now, effects) || !MaySend(queue, batch, effects))
        {
            return;
        }

        if (!cluster.TryGetLeader(queue.Partition, out int nodeId, out BrokerAddress address))
        {
            effects.NeedsMetadata = true;
            return;
        }

        // The leader moved while batches were at the old one: its answers come first, or order could be lost between the two.
        if (queue.InFlight.Count > 0 && queue.InFlight[0].NodeId != nodeId)
        {
            return;
        }

        if (!cluster.IsConnected(address))
        {
            effects.WantedConnections.Add(address);
            return;
        }

        int size = bundleSizes.GetValueOrDefault(nodeId);
        bool hasRoom = _requestsInFlight.GetValueOrDefault(nodeId) < settings.MaxInFlightRequests
            && (size == 0 || size + batch.EstimatedByteCount <= settings.MaxRequestByteCount);
        if (!hasRoom)
        {
            return;
        }

        if (settings.IsIdempotent && !batch.HasSequence)
        {
            batch.AssignSequence(queue.Identity, queue.NextSequence);
            queue.NextSequence = Sequence.Add(queue.NextSequence, batch.RecordCount);
        }

        queue.Waiting.Remove(batch);
        queue.InFlight.Add(batch);
        batch.IsClosed = true;
        batch.AttemptCount++;
        batch.NodeId = nodeId;
        if (!bundles.TryGetValue(nodeId, out ProduceBundle? bundle))
        {
            bundle = new ProduceBundle(nodeId, address, []);
            bundles.Add(nodeId, bundle);
        }

        bundle.Batches.Add(batch);
        bundleSizes[nodeId] = size + batch.EstimatedByteCount;
    }

    /// <summary>Whether it is time for the batch.</summary>
    private bool IsDue(PartitionQueue queue, ProducerBatch batch, Moment now, ProducerEffects effects)
    {
        TimeSpan due = batch.CreatedAt + settings.Linger;
        if (batch.AttemptCount > 0)
        {
            due = batch.RetryAt;
        }
        else if (batch.IsClosed || queue.Waiting.Count > 1 || batch.EstimatedByteCount >= settings.BatchByteCount
            || FlushCount > 0 || _memoryWaiters.Count > 0)
        {
            return true;
        }

        if (due <= now.Elapsed)
        {
            return true;
        }

        effects.WakeNoLaterThan(due);
        return false;
    }

    /// <summary>Whether order and sequences allow the batch to leave.</summary>
    private bool MaySend(PartitionQueue queue, ProducerBatch batch, ProducerEffects effects)
    {
        // A retry leaves when nothing else is under way, and nothing leaves beside a retry.
        if (queue.InFlight.Count > 0 && (batch.AttemptCount > 0 || queue.InFlight.Exists(static other => other.AttemptCount > 1)))
        {
            return false;
        }

        if (!settings.IsIdempotent || batch.HasSequence)
        {
            return true;
        }

        if (queue.MustReset || queue.InFlight.Count >= ProducerSettings.MaxIdempotentInFlight)
        {
            return false;
        }

        if (queue.Identity.IsNone)
        {
            queue.Identity = Identity;
            queue.NextSequence = 0;
        }

        effects.NeedsIdentity |= queue.Identity.IsNone;
        return !queue.Identity.IsNone;
    }

    /// <summary>The broker does not expect the batch's sequence, so that it is not written by this attempt.</summary>
    private void SettleSequenceError(PartitionQueue queue, ProducerBatch batch, ProduceAnswer answer, Moment now, ProducerEffects effects)
    {
        // A batch before it is missing and on its way: after that one, this one fits.
        if (answer.Verdict == ProduceVerdict.SequenceGap && !queue.IsOldest(batch))
        {
            RetryOrForget(queue, batch, now);
            return;
        }

        queue.MustReset = true;
        queue.NeedsNewProducerId |= answer.Verdict == ProduceVerdict.StaleEpoch;
        queue.ClearIfUnwritten(batch);
        if (batch.MayBeWritten)
        {
            AnswerBatch(batch, null, null, answer.Failure!, effects);
            return;
        }

        LeaveHole(queue, batch);
        batch.ClearSequence();
        RetryOrForget(queue, batch, now);
    }

    /// <summary>The batch's sequence will not be used again, or not be known to be: those behind it need a new beginning.</summary>
    private static void LeaveHole(PartitionQueue queue, ProducerBatch batch)
    {
        if (!batch.HasSequence)
        {
            return;
        }

        queue.MustReset = true;
        if (!batch.MayBeWritten)
        {
            queue.MarkUnwrittenFrom(batch.Ordinal);
        }
    }

    private void RetryOrForget(PartitionQueue queue, ProducerBatch batch, Moment now)
    {
        queue.ClearIfUnwritten(batch);
        if (batch.IsAnswered)
        {
            // Ran out of time while it was under way.
            LeaveHole(queue, batch);
            return;
        }

        batch.RetryAt = now.Elapsed + retryBackoff.After(batch.AttemptCount);
        queue.Requeue(batch);
        Activate(queue);
    }

    private void AnswerBatch(ProducerBatch batch, Offset? baseOffset, DateTimeOffset? timestamp, Exception? failure, ProducerEffects effects)
    {
        if (batch.TryBeginAnswer())
        {
            UsedByteCount -= batch.ReservedByteCount;
            effects.Answers.Add(new ProducerEffects.Answer(batch, baseOffset, timestamp, failure));
        }
    }
}
