using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// One transactional id as a synchronous state machine: a request or a moment goes in, the state changes, and the effects come out. It knows no clock, no
/// lock, no socket and no disk; the caller brings the time and carries the effects out in their order.
/// </summary>
/// <remarks>
/// <code>
///            first partition         end: data on the disk,
///   Empty ───────────────────► Ongoing ──────────────────► PrepareCommit, PrepareAbort ──────────────► CompleteCommit, CompleteAbort
///     ▲                         ▲        decision on the disk                           markers written          │      │
///     │                         └──────────────────────────── first partition ──────────────────────────────────┘      │
///     └──────────────────────────────────────────────────── InitProducerId ─────────────────────────────────────────────┘
/// </code>
/// While a step is on its way to the disk, every other request is told to come again (CONCURRENT_TRANSACTIONS).
/// </remarks>
internal sealed partial class TransactionMachine
{
    /// <summary>When a decision could not be written, the next attempt to give the transaction up comes after this.</summary>
    public static readonly TimeSpan GiveUpRetryDelay = TimeSpan.FromSeconds(1);

    /// <summary>Answers to it go nowhere.</summary>
    public const long NoRequest = 0;

    private readonly Func<long?> _newProducerId;
    private readonly TimeSpan _expiration;
    private Step? _step;
    private long _lastNumber;
    private TimeSpan _deadline;
    private bool _fencesWhenComplete;

    /// <summary>A transactional id that nobody has used yet.</summary>
    /// <param name="newProducerId">Gives an id that no producer ever had; null if the disk does not take it.</param>
    /// <param name="expiration">An id that is not in a transaction and was not used for so long is forgotten (transactional.id.expiration.ms).</param>
    public TransactionMachine(string transactionalId, Func<long?> newProducerId, TimeSpan expiration)
        : this(TransactionState.New(transactionalId), newProducerId, expiration, default)
    {
    }

    /// <summary>A transactional id as a restart finds it.</summary>
    public TransactionMachine(TransactionState state, Func<long?> newProducerId, TimeSpan expiration, Moment now)
    {
        Current = state;
        _newProducerId = newProducerId;
        _expiration = expiration;
        TimeSpan age = TimeSpan.FromMilliseconds(Math.Max(0, now.Timestamp - StartOfWait(state)));
        TimeSpan patience = Patience(state);
        _deadline = now.Elapsed + (age < patience ? patience - age : TimeSpan.Zero);
    }

    private enum Stage
    {
        /// <summary>A new epoch is on its way to the disk.</summary>
        Initializing,

        /// <summary>The data of the transaction is on its way to the disk.</summary>
        Syncing,

        /// <summary>The decision is on its way to the disk.</summary>
        Deciding,

        /// <summary>Markers are being written.</summary>
        Marking,
    }

    public TransactionState Current { get; private set; }

    /// <summary>Something is on its way to the disk, and nothing else can be done meanwhile.</summary>
    public bool IsBusy => _step is not null;

    /// <summary><see cref="Tick"/> must be called no later than this; null while there is nothing to wait for but the disk.</summary>
    public TimeSpan? WakeAt => IsBusy || Current.Producer.IsNone ? null : _deadline;

    public void Init(InitInput request, Moment now, List<TransactionEffect> effects)
    {
        ErrorCode refusal = _step is not null || Current.IsDecided ? ErrorCode.ConcurrentTransactions
            : !IsOwn(request.Known) || IsOlderInTransaction(request.Known) ? ErrorCode.ProducerFenced
            : ErrorCode.None;
        if (refusal != ErrorCode.None)
        {
            effects.Add(Answer(request.RequestId, refusal));
        }
        else if (Current.Status == TransactionStatus.Ongoing)
        {
            // Who comes again finds the transaction ended, and gets a higher epoch than its markers have. The producer itself is known by its epoch then.
            GiveUp(GiveUpReason.NewProducer, now, effects, lastEpoch: request.Known.Epoch);
            effects.Add(Answer(request.RequestId, ErrorCode.ConcurrentTransactions));
        }
        else
        {
            Renew(request, now, effects);
        }
    }

    /// <summary>Makes partitions part of the open transaction, or begins one with them.</summary>
    public ErrorCode AddPartitions(ProducerIdentity producer, IReadOnlyCollection<TopicPartition> partitions, Moment now, List<TransactionEffect> effects)
    {
        ErrorCode refusal = Judge(producer);
        if (refusal != ErrorCode.None)
        {
            return refusal;
        }

        bool isOngoing = Current.Status == TransactionStatus.Ongoing;
        if (isOngoing && partitions.All(Current.Partitions.ContainsKey))
        {
            return ErrorCode.None;
        }

        Current = Current with
        {
            Status = TransactionStatus.Ongoing,
            Partitions = Current.Partitions.SetItems(partitions.Select(static partition => KeyValuePair.Create(partition, PartitionEnd.None))),
            StartTimestamp = isOngoing ? Current.StartTimestamp : now.Timestamp,
            UpdateTimestamp = now.Timestamp,
            LastEpoch = TransactionState.NoEpoch,
            EndedAs = ProducerIdentity.None,
        };
        if (!isOngoing)
        {
            _deadline = now.Elapsed + Current.Timeout;
        }

        effects.Add(new StateNoted(Current));
        return ErrorCode.None;
    }

    /// <summary>Whether a record of this producer may go to the partition now, as part of its open transaction.</summary>
    public ErrorCode Verify(ProducerIdentity producer, TopicPartition partition)
    {
        ErrorCode refusal = Judge(producer);
        return refusal != ErrorCode.None ? refusal
            : Current.Status == TransactionStatus.Ongoing && Current.Partitions.ContainsKey(partition) ? ErrorCode.None
            : ErrorCode.TransactionAbortable;
    }

    public void End(EndInput request, Moment now, List<TransactionEffect> effects)
    {
        (ErrorCode error, bool ends) = JudgeEnd(request);
        if (!ends)
        {
            effects.Add(Answer(request.RequestId, error, error == ErrorCode.None ? Current.Producer : ProducerIdentity.None));
            return;
        }

        long nextProducerId = TransactionState.NoProducerId;
        if (request.RaisesEpoch && Current.IsEpochExhausted)
        {
            if (_newProducerId() is not long taken)
            {
                effects.Add(Answer(request.RequestId, ErrorCode.CoordinatorNotAvailable));
                return;
            }

            nextProducerId = taken;
        }

        short epoch = request.RaisesEpoch ? (short)(request.Producer.Epoch + 1) : request.Producer.Epoch;
        Leave(new Step(++_lastNumber, Stage.Syncing, Current)
        {
            RequestId = request.RequestId,
            IsCommit = request.IsCommit,
            MarkerProducer = request.Producer with { Epoch = epoch },
            NextProducerId = nextProducerId,
            EndedAs = request.RaisesEpoch ? request.Producer : ProducerIdentity.None,
        }, effects);
    }

    /// <summary>The barrier of <see cref="PartitionsLeft"/> was passed; null if it cannot be.</summary>
    /// <param name="ends">Where each partition ended when nothing more was appended to it.</param>
    public void Synced(long number, IReadOnlyDictionary<TopicPartition, PartitionEnd>? ends, Moment now, List<TransactionEffect> effects)
    {
        if (_step is not { Stage: Stage.Syncing } step || step.Number != number)
        {
            return;
        }

        if (ends is null)
        {
            Fail(step, now, effects);
            return;
        }

        TransactionState target = Current.Decide(step.IsCommit, step.MarkerProducer, ends, now.Timestamp) with
        {
            NextProducerId = step.NextProducerId,
            LastEpoch = step.LastEpoch,
            EndedAs = step.EndedAs,
            ClientVersion = step.EndedAs.IsNone ? (short)0 : TransactionState.RisingEpochs,
        };
        _step = step with { Stage = Stage.Deciding, Target = target };
        effects.Add(new StateDecided(number, target));
    }

    /// <summary>A decision is on the disk, or cannot be written.</summary>
    public void Persisted(long number, ErrorCode error, Moment now, List<TransactionEffect> effects)
    {
        if (_step is not { Stage: Stage.Initializing or Stage.Deciding } step || step.Number != number)
        {
            return;
        }

        if (error != ErrorCode.None)
        {
            Fail(step, now, effects);
            return;
        }

        Current = step.Target;
        if (step.Stage == Stage.Deciding)
        {
            _step = step with { Stage = Stage.Marking };
            effects.Add(new MarkersDue(number, Current));
            return;
        }

        _step = null;
        _deadline = now.Elapsed + _expiration;
        effects.Add(Answer(step.RequestId, ErrorCode.None, Current.Producer));
    }

    /// <summary>Every marker of the decision is in its log.</summary>
    public void MarkersWritten(long number, Moment now, List<TransactionEffect> effects)
    {
        if (_step is not { Stage: Stage.Marking } step || step.Number != number)
        {
            return;
        }

        _step = null;
        _deadline = now.Elapsed + _expiration;
        Current = Current.Complete(now.Timestamp);
        if (_fencesWhenComplete)
        {
            _fencesWhenComplete = false;
            Current = Current.Fence(now.Timestamp) with { EndedAs = ProducerIdentity.None };
        }

        effects.Add(new StateNoted(Current));
        effects.Add(Answer(step.RequestId, ErrorCode.None, Current.Producer));
    }

    /// <summary>A marker cannot be written yet. What was decided holds all the same, and the client is told; its next transaction has to wait.</summary>
    public void MarkersDelayed(long number, Moment now, List<TransactionEffect> effects)
    {
        if (_step is { Stage: Stage.Marking, RequestId: not NoRequest } step && step.Number == number)
        {
            _step = step with { RequestId = NoRequest };
            effects.Add(Answer(step.RequestId, ErrorCode.None, Current.Complete(now.Timestamp).Producer));
        }
    }

    /// <summary>Goes on, after a restart, where the decision is on the disk and some of its markers could not be written yet.</summary>
    /// <param name="fences">Whether the producer is shut out when that is done.</param>
    public void Resume(bool fences, List<TransactionEffect> effects)
    {
        if (Current.IsDecided && _step is null)
        {
            _fencesWhenComplete = fences;
            _step = new Step(++_lastNumber, Stage.Marking, Current);
            effects.Add(new MarkersDue(_step.Number, Current));
        }
    }

    /// <summary>A partition has lost what was not on the disk: a transaction that has records there cannot be committed any more.</summary>
    public void PartitionLost(TopicPartition partition, Moment now, List<TransactionEffect> effects)
    {
        if (_step is null && Current.Status == TransactionStatus.Ongoing && Current.Partitions.ContainsKey(partition))
        {
            GiveUp(GiveUpReason.PartitionLost, now, effects);
        }
    }

    /// <summary>Gives up a transaction whose time is over, and forgets an id that nobody uses.</summary>
    public void Tick(Moment now, List<TransactionEffect> effects)
    {
        if (WakeAt is not TimeSpan due || due > now.Elapsed)
        {
            return;
        }

        if (Current.Status == TransactionStatus.Ongoing)
        {
            GiveUp(GiveUpReason.TimedOut, now, effects);
        }
        else
        {
            effects.Add(new IdExpired());
        }
    }

    /// <summary>The id may not be forgotten yet; it is looked at again after as long as it would be kept.</summary>
    public void Keep(Moment now) => _deadline = now.Elapsed + _expiration;

    private void GiveUp(GiveUpReason reason, Moment now, List<TransactionEffect> effects, short lastEpoch = TransactionState.NoEpoch)
    {
        // If the decision cannot be written, this is when it is tried again.
        _deadline = now.Elapsed + GiveUpRetryDelay;
        effects.Add(new TransactionGivenUp(Current, reason));
        short epoch = (short)Math.Min(Current.Producer.Epoch + 1, short.MaxValue);
        Leave(new Step(++_lastNumber, Stage.Syncing, Current) { MarkerProducer = Current.Producer with { Epoch = epoch }, LastEpoch = lastEpoch }, effects);
    }

    private void Leave(Step step, List<TransactionEffect> effects)
    {
        _step = step;
        effects.Add(new PartitionsLeft(step.Number, [.. Current.Partitions.Keys], MustBeOnDisk: step.IsCommit));
    }

    private void Fail(Step step, Moment now, List<TransactionEffect> effects)
    {
        // What was decided may be on the disk or not. Nobody was told, and the next decision stands behind it.
        _step = null;
        if (Current.Status == TransactionStatus.Ongoing && _deadline <= now.Elapsed)
        {
            _deadline = now.Elapsed + GiveUpRetryDelay;
        }

        effects.Add(Answer(step.RequestId, ErrorCode.CoordinatorNotAvailable));
    }

    private static TransactionAnswered Answer(long requestId, ErrorCode error, ProducerIdentity? producer = null) =>
        new(requestId, error, producer ?? ProducerIdentity.None);

    private static long StartOfWait(TransactionState state) =>
        state.Status == TransactionStatus.Ongoing ? state.StartTimestamp : state.UpdateTimestamp;

    private TimeSpan Patience(TransactionState state) => state.Status == TransactionStatus.Ongoing ? state.Timeout : _expiration;

    /// <summary>What is on its way.</summary>
    /// <param name="Target">The state once it has arrived.</param>
    private sealed record Step(long Number, Stage Stage, TransactionState Target)
    {
        /// <summary>Nobody waits for the end of a transaction that the coordinator gives up.</summary>
        public long RequestId { get; init; } = NoRequest;

        public bool IsCommit { get; init; }

        /// <summary>In whose name the markers are written.</summary>
        public ProducerIdentity MarkerProducer { get; init; }

        public long NextProducerId { get; init; } = TransactionState.NoProducerId;

        public ProducerIdentity EndedAs { get; init; } = ProducerIdentity.None;

        public short LastEpoch { get; init; } = TransactionState.NoEpoch;
    }
}
