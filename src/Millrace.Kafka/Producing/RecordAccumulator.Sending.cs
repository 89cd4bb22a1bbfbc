using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

internal sealed partial class RecordAccumulator
{
    private readonly Dictionary<int, int> _requestsInFlight = [];
    private readonly Dictionary<int, ProduceBundle> _bundles = [];
    private readonly Dictionary<int, int> _bundleByteCounts = [];
    private readonly Queue<ProducerAnswer> _answers = [];

    /// <summary>Settled batches whose records' callers are still to be told, or are being told.</summary>
    private readonly HashSet<ProducerBatch> _untold = [];
    private TaskCompletionSource? _idle;
    private int _drainStart;

    /// <summary>How the cluster looks to the sender.</summary>
    public interface ICluster
    {
        bool TryGetLeader(TopicPartition partition, out int nodeId, out BrokerAddress address);

        bool IsConnected(BrokerAddress address);
    }

    /// <summary>The identity for partitions that have none yet.</summary>
    public ProducerIdentity Identity { get; private set; } = ProducerIdentity.None;

    public void SetIdentity(ProducerIdentity identity) => Identity = identity;

    /// <summary>The next batch whose records' callers are to be told. In this order those of a partition come in their order.</summary>
    public bool TryTakeAnswer(out ProducerAnswer answer) => _answers.TryDequeue(out answer);

    /// <summary>The callers of what <see cref="TryTakeAnswer"/> gave have been told. Not before that is its space free: answers that handlers are not through with take memory, too.</summary>
    public void EndAnswer(in ProducerAnswer answer, Moment now, ProducerEffects effects)
    {
        UsedByteCount -= answer.Batch.ReservedByteCount;
        _untold.Remove(answer.Batch);
        answer.Batch.EndAnswer();
        if (answer.IsDoneWith)
        {
            Recycle(answer.Batch);
        }

        AdmitWaiting(now, effects);
    }

    /// <summary>Fails whatever ran out of time, and collects what may be sent.</summary>
    public void Drain(ICluster cluster, Moment now, ProducerEffects effects)
    {
        ExpireWaiters(now, effects);
        _bundles.Clear();
        _bundleByteCounts.Clear();

        // Another partition is the first each time, so that a full request starves nobody.
        _drainStart = _active.Count == 0 ? 0 : (_drainStart + 1) % _active.Count;
        for (int i = 0; i < _active.Count; i++)
        {
            PartitionQueue queue = _active[(_drainStart + i) % _active.Count];
            ExpireBatches(queue, now, effects);
            ResetWhenSettled(queue, effects);
            DrainQueue(queue, cluster, now, effects);
        }

        if (transaction is { Phase: TransactionPhase.MustAbort })
        {
            // Nobody waits in vain: what would be sent now can be committed by nobody.
            AbortUnsent(effects);
        }

        _active.RemoveAll(static queue =>
        {
            queue.IsActive = queue.HasWork;
            if (queue.Waiting.Count == 0)
            {
                queue.EndStall();
            }

            return !queue.IsActive;
        });
        foreach (ProduceBundle bundle in _bundles.Values)
        {
            effects.Bundles.Add(bundle);
            _requestsInFlight[bundle.NodeId] = _requestsInFlight.GetValueOrDefault(bundle.NodeId) + 1;
        }

        // Where the first in the line ran out of time, the next one may fit.
        AdmitWaiting(now, effects);
    }

    /// <summary>A request is over, whatever became of it. Each of its batches is settled by itself.</summary>
    public void EndRequest(int nodeId) => _requestsInFlight[nodeId]--;

    /// <summary>Settles one batch of a request that was answered, or that failed with an error that stands for its fate.</summary>
    public void Settle(ProducerBatch batch, ProduceAnswer answer, Moment now, ProducerEffects effects)
    {
        PartitionQueue queue = batch.Queue;
        Invariant.Holds(queue.InFlight.Remove(batch), $"an answered batch of {batch.Partition} is under way");
        batch.NodeId = -1;
        batch.LastFailure = answer.Failure as KafkaException;
        ProduceVerdict verdict = answer.Verdict;
        switch (verdict)
        {
            case ProduceVerdict.Written:
                queue.LastWritten = (batch.Identity.Id, now.Elapsed);
                AnswerBatch(batch, answer.BaseOffset, answer.Timestamp, failure: null, isDoneWith: true);
                break;
            case ProduceVerdict.Duplicate:
                queue.LastWritten = (batch.Identity.Id, now.Elapsed);
                AnswerBatch(batch, baseOffset: null, timestamp: null, failure: null);
                break;
            case ProduceVerdict.RetryNotWritten:
            case ProduceVerdict.RetryPerhapsWritten:
                batch.MayBeWritten |= verdict == ProduceVerdict.RetryPerhapsWritten;
                effects.NeedsMetadata = true;
                RetryOrForget(queue, batch, now);
                break;
            case ProduceVerdict.TooLarge when CanBeSplit(batch):
                Split(queue, batch, now, effects);
                break;
            case ProduceVerdict.TooLarge:
            case ProduceVerdict.Refused:
                LeaveHole(queue, batch);
                FailTransaction(answer.Failure!, needsNewEpoch: batch.HasSequence);
                AnswerBatch(batch, null, null, answer.Failure!);
                break;
            default:
                SettleSequenceError(queue, batch, answer, now);
                break;
        }

        ReleaseAnswers(queue);
        if (_idle is not null && _active.TrueForAll(static active => active.InFlight.Count == 0))
        {
            _idle.TrySetResult();
            _idle = null;
        }
    }

    /// <summary>Fails what no identity is to be had for. It has no sequence, so that nothing of it is written; what has one is not concerned.</summary>
    public void FailWithoutIdentity(Exception failure)
    {
        if (!Identity.IsNone)
        {
            return;
        }

        foreach (PartitionQueue queue in _active.Where(static queue => queue.Identity.IsNone))
        {
            while (queue.Waiting.First?.Value is { } batch)
            {
                queue.Waiting.RemoveFirst();
                AnswerBatch(batch, null, null, failure);
            }
        }
    }

    /// <summary>Fails everything that is left.</summary>
    public void FailAll(Exception failure, ProducerEffects effects)
    {
        // Without them a transaction must not be committed as if it were whole.
        FailTransaction(failure, needsNewEpoch: true);
        foreach (PartitionQueue queue in _active)
        {
            foreach (ProducerBatch batch in queue.InFlight.Concat(queue.Waiting))
            {
                AnswerBatch(batch, null, null, failure);
            }

            queue.Waiting.Clear();
        }

        GiveUpAll(_memoryWaiters, failure, effects);
        foreach (TopicState topic in _topics.Values)
        {
            GiveUpAll(topic.Waiters, failure, effects);
        }
    }

    /// <summary>Fails what the transaction would still have sent. What is under way is waited for.</summary>
    public void AbortUnsent(ProducerEffects effects)
    {
        foreach (PartitionQueue queue in _active)
        {
            while (queue.Waiting.First?.Value is { } batch)
            {
                queue.Waiting.RemoveFirst();
                FailTransaction(NotSent(queue.Partition.ToString()), needsNewEpoch: batch.HasSequence);
                AnswerBatch(batch, null, null, NotSent(queue.Partition.ToString()));
            }
        }

        GiveUpAll(_memoryWaiters, NotSent("the buffer"), effects);
        foreach (TopicState topic in _topics.Values)
        {
            GiveUpAll(topic.Waiters, NotSent($"topic '{topic.Name}'"), effects);
        }
    }

    /// <summary>Completes when no batch is under way, be it one whose callers were told already.</summary>
    public Task WhenNothingIsUnderWay()
    {
        if (_active.TrueForAll(static queue => queue.InFlight.Count == 0))
        {
            return Task.CompletedTask;
        }

        _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return _idle.Task;
    }

    /// <summary>Every sequence starts anew under an identity that the coordinator gave.</summary>
    public void Restart(ProducerIdentity identity)
    {
        Identity = identity;
        foreach (PartitionQueue queue in _topics.Values.SelectMany(static topic => topic.Queues))
        {
            queue.Restart(ProducerIdentity.None);
        }
    }

    private static KafkaTransactionAbortableException NotSent(string what) =>
        new($"The transaction was aborted before its records for {what} were acknowledged. They are not part of any transaction.", ErrorCode.None);

    private void FailTransaction(Exception cause, bool needsNewEpoch) => transaction?.Fail(
        cause as KafkaException ?? new KafkaTransactionAbortableException(cause.Message, ErrorCode.None, cause), needsNewEpoch);

    private void ExpireWaiters(Moment now, ProducerEffects effects)
    {
        ExpireWaiters(_memoryWaiters, isTopicKnown: true, now, effects);
        foreach (TopicState topic in _topics.Values)
        {
            if (topic.Waiters is { } waiters)
            {
                ExpireWaiters(waiters, isTopicKnown: false, now, effects);
            }
        }
    }

    /// <summary>Every record waits as long as every other, so those in front run out of time first.</summary>
    private void ExpireWaiters(LinkedList<WaitingRecord> line, bool isTopicKnown, Moment now, ProducerEffects effects)
    {
        while (line.First?.Value is { } waiting)
        {
            if (waiting.Deadline > now.Elapsed)
            {
                effects.WakeNoLaterThan(waiting.Deadline);
                return;
            }

            line.RemoveFirst();
            (string missing, string? why) = isTopicKnown
                ? ("space in the buffer", $"The buffer holds {UsedByteCount} of {settings.BufferByteCount} bytes.")
                : ("metadata of its topic", WhyUnknown?.Invoke(waiting.Topic));
            GiveUp(
                waiting,
                new KafkaTimeoutException(
                    $"A record for topic '{waiting.Topic}' found no {missing} within {settings.MaxBlock} ({nameof(ProducerOptions.MaxBlock)}); it is not written. {why}"),
                effects);
        }
    }

    private void ExpireBatches(PartitionQueue queue, Moment now, ProducerEffects effects)
    {
        foreach (ProducerBatch batch in queue.InFlight)
        {
            if (!batch.IsAnswered && IsExpired(batch, now, effects))
            {
                KafkaTimeoutException failure = Expired(batch, perhapsWritten: true);
                FailTransaction(failure, needsNewEpoch: true);
                AnswerBatch(batch, null, null, failure);
            }
        }

        while (queue.Waiting.First?.Value is { } batch && IsExpired(batch, now, effects))
        {
            queue.Waiting.RemoveFirst();
            LeaveHole(queue, batch);
            KafkaTimeoutException failure = Expired(batch, batch.MayBeWritten);
            FailTransaction(failure, needsNewEpoch: batch.HasSequence);
            AnswerBatch(batch, null, null, failure);
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
        (perhapsWritten ? "they may or may not be written. " : "they are not written. ") +
        (batch.LastFailure?.Message ?? (batch.AttemptCount == 0 ? "No leader of the partition was known and could be reached." : "The last attempt has no answer yet.")),
        batch.LastFailure?.ErrorCode ?? ErrorCode.None,
        batch.LastFailure);

    private void ResetWhenSettled(PartitionQueue queue, ProducerEffects effects)
    {
        // In transactions epochs come from the coordinator.
        if (!queue.MustReset || !queue.IsSettled || transaction is not null)
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
        ProducerEffects effects)
    {
        if (queue.Next is not { } batch || !IsDue(queue, batch, now, effects))
        {
            return;
        }

        if (!MaySend(queue, batch, now, effects))
        {
            if (queue.InFlight.Count > 0)
            {
                // It waits for the answers to those.
                queue.MarkStalled(queue.InFlight[0].NodeId, now.Elapsed);
            }

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
            queue.MarkStalled(nodeId, now.Elapsed);
            return;
        }

        if (_requestsInFlight.GetValueOrDefault(nodeId) >= settings.MaxInFlightRequests)
        {
            queue.MarkStalled(nodeId, now.Elapsed);
            return;
        }

        queue.EndStall();
        int size = _bundleByteCounts.GetValueOrDefault(nodeId);
        if (size > 0 && size + batch.EstimatedByteCount > settings.MaxRequestByteCount)
        {
            return;
        }

        if (settings.IsIdempotent && !batch.HasSequence)
        {
            batch.AssignSequence(queue.Identity, queue.NextSequence);
            queue.NextSequence = Sequence.Add(queue.NextSequence, batch.RecordCount);
        }

        queue.Waiting.Remove(batch.Node);
        queue.InFlight.Add(batch);
        batch.IsClosed = true;
        batch.AttemptCount++;
        batch.NodeId = nodeId;
        if (!_bundles.TryGetValue(nodeId, out ProduceBundle? bundle))
        {
            bundle = new ProduceBundle(nodeId, address, []);
            _bundles.Add(nodeId, bundle);
        }

        bundle.Batches.Add(batch);
        _bundleByteCounts[nodeId] = size + batch.EstimatedByteCount;
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
    private bool MaySend(PartitionQueue queue, ProducerBatch batch, Moment now, ProducerEffects effects)
    {
        // A retry leaves when nothing else is under way, and nothing leaves beside a retry.
        if (queue.InFlight.Count > 0 && (batch.AttemptCount > 0 || queue.InFlight.Exists(static other => other.AttemptCount > 1)))
        {
            return false;
        }

        if (transaction is not null && !transaction.MaySend(queue.Partition))
        {
            effects.NeedsTransactionPartitions |= transaction.HasWanted;
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
        return !queue.Identity.IsNone && (queue.InFlight.Count == 0 || queue.IsKnownToBroker(now.Elapsed));
    }

    /// <summary>The broker does not expect the batch's sequence, so that it is not written by this attempt.</summary>
    private void SettleSequenceError(PartitionQueue queue, ProducerBatch batch, ProduceAnswer answer, Moment now)
    {
        // A batch before it is missing and on its way: after that one, this one fits.
        if (answer.Verdict == ProduceVerdict.SequenceGap && !queue.IsOldest(batch))
        {
            RetryOrForget(queue, batch, now);
            return;
        }

        if (transaction is not null)
        {
            // Nothing is written anew within a transaction: it is aborted, and its next one begins with a new epoch.
            FailTransaction(answer.Failure!, needsNewEpoch: true);
            LeaveHole(queue, batch);
            AnswerBatch(batch, null, null, answer.Failure!);
            return;
        }

        queue.MustReset = true;
        queue.NeedsNewProducerId |= answer.Verdict == ProduceVerdict.StaleEpoch;
        queue.ClearIfUnwritten(batch);
        if (batch.MayBeWritten)
        {
            AnswerBatch(batch, null, null, answer.Failure!);
            return;
        }

        LeaveHole(queue, batch);
        batch.ClearSequence();
        RetryOrForget(queue, batch, now);
    }

    private bool CanBeSplit(ProducerBatch batch) =>
        batch is { IsAnswered: false, RecordCount: > 1 } && transaction is null or { Phase: TransactionPhase.Open or TransactionPhase.Committing };

    /// <summary>
    /// The broker took none of the batch, since it is larger than the topic allows: its records are sent in two parts, and the topic's batches to come are smaller. Where an earlier attempt may
    /// have written it, before the topic allowed less, the parts' sequences are none that the broker expects, so that nothing is written twice.
    /// </summary>
    private void Split(PartitionQueue queue, ProducerBatch batch, Moment now, ProducerEffects effects)
    {
        effects.Splits.Add((queue.Partition, batch.RecordCount, batch.EstimatedByteCount));
        Topic(queue.Partition.Topic).LimitBatches(batch.RecordByteCount);
        queue.MakeRoomAfter(batch.Ordinal, 1);
        (ProducerBatch first, ProducerBatch second) = batch.Split(settings.Compression, now.Elapsed);
        UsedByteCount += first.ReservedByteCount + second.ReservedByteCount - batch.ReservedByteCount;
        queue.ClearIfUnwritten(first);
        queue.ClearIfUnwritten(second);
        queue.Requeue(first);
        queue.Requeue(second);
        Activate(queue);
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

        if (transaction is { Phase: not (TransactionPhase.Open or TransactionPhase.Committing) } ended)
        {
            ended.Fail(NotSent(batch.Partition.ToString()), needsNewEpoch: true);
            AnswerBatch(batch, null, null, NotSent(batch.Partition.ToString()));
            return;
        }

        batch.RetryAt = now.Elapsed + retryBackoff.After(batch.AttemptCount);
        queue.Requeue(batch);
        Activate(queue);
    }

    private void AnswerBatch(
        ProducerBatch batch, Offset? baseOffset, DateTimeOffset? timestamp, Exception? failure, bool isDoneWith = false)
    {
        if (batch.TryBeginAnswer())
        {
            _untold.Add(batch);
            batch.Queue.Answers.Add(new ProducerAnswer(batch, baseOffset, timestamp, failure, isDoneWith));
            ReleaseAnswers(batch.Queue);
        }
    }

    /// <summary>
    /// Lets those answers go that none of an older batch can come before. Such a one may be under way, since those who take the answers race for the lock; or it waits to be sent
    /// again, where it was written, and only the answer to it was lost or was an error.
    /// </summary>
    private void ReleaseAnswers(PartitionQueue queue)
    {
        long oldest = long.MaxValue;
        foreach (ProducerBatch batch in queue.InFlight)
        {
            oldest = batch.IsAnswered ? oldest : Math.Min(oldest, batch.Ordinal);
        }

        for (LinkedListNode<ProducerBatch>? node = queue.Waiting.First; node is not null; node = node.Next)
        {
            if (!node.Value.IsAnswered)
            {
                oldest = Math.Min(oldest, node.Value.Ordinal);
                break;
            }
        }

        while (queue.Answers.Count > 0)
        {
            int next = 0;
            for (int i = 1; i < queue.Answers.Count; i++)
            {
                next = queue.Answers[i].Batch.Ordinal < queue.Answers[next].Batch.Ordinal ? i : next;
            }

            if (queue.Answers[next].Batch.Ordinal > oldest)
            {
                return;
            }

            _answers.Enqueue(queue.Answers[next]);
            queue.Answers.RemoveAt(next);
        }
    }
}
