using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// Holds every transactional id of this broker: brings requests, time and the outcome of writes to each <see cref="TransactionMachine"/> under the lock of that id,
/// and carries its effects out. Requests that wait hold no thread.
/// </summary>
/// <remarks>
/// Locks, always in this order: a transactional id, a group, a partition of a coordinator's topic, a partition's log; and a transactional id, the wake-ups. A record of a
/// transaction is appended under the lock of its id, so that nothing comes between the look at the transaction and the append.
/// </remarks>
internal sealed partial class TransactionCoordinator : IDisposable
{
    private readonly ConcurrentDictionary<string, TransactionSeat> _seats = new(StringComparer.Ordinal);
    private readonly BrokerServices _services;
    private readonly TransactionSettings _settings;
    private readonly GroupCoordinator _groups;
    private readonly ProducerIds _producerIds;
    private readonly ILogger _logger;
    private readonly WakeUps<TransactionSeat> _wakeUps;
    private readonly TransactionTopic _topic;
    private volatile bool _isStopped;

    private TransactionCoordinator(
        BrokerServices services,
        GroupCoordinator groups,
        ProducerIds producerIds,
        Dictionary<string, RecordedTransaction> recorded,
        ILogger logger)
    {
        _services = services;
        _settings = services.Configuration.Transactions;
        _groups = groups;
        _producerIds = producerIds;
        _logger = logger;
        _wakeUps = new WakeUps<TransactionSeat>(services.Time, Wake);
        _topic = TransactionTopic.Open(services.Topics, _settings.StateTopicPartitionCount, services.Runtime, logger, recorded);
    }

    /// <summary>Where transactional ids are kept.</summary>
    public CoordinatorTopic Topic => _topic.Topic;

    private Moment Now => new(_wakeUps.Now, _services.Time.GetUtcNow().ToUnixTimeMilliseconds());

    /// <summary>Whether this broker can coordinate the transactional id now; creates the state topic when it is the first to need it.</summary>
    public bool CanCoordinate(string transactionalId) => !_isStopped && _topic.EnsureCreated() && _topic.Serves(transactionalId);

    /// <summary>Gives the transactional id a producer, and shuts the one before out. Completes when that is on the disk.</summary>
    public Task<TransactionAnswer> InitAsync(string transactionalId, TimeSpan timeout, ProducerIdentity known)
    {
        if (!CanCoordinate(transactionalId))
        {
            return Task.FromResult(TransactionAnswer.Refused(ErrorCode.CoordinatorNotAvailable));
        }

        TaskCompletionSource<TransactionAnswer> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        while (!_isStopped)
        {
            TransactionSeat seat = _seats.GetOrAdd(transactionalId, NewSeat);
            bool isTaken = Use(seat, machine =>
            {
                // Under the lock: an id whose partition is about to be read again is forgotten under it.
                if (_topic.Serves(transactionalId))
                {
                    machine.Init(new InitInput(seat.Park(completion), timeout, known), Now, seat.Effects);
                }
                else
                {
                    completion.SetResult(TransactionAnswer.Refused(ErrorCode.CoordinatorNotAvailable));
                }
            });
            if (isTaken)
            {
                return completion.Task;
            }
        }

        return Task.FromResult(TransactionAnswer.Refused(ErrorCode.CoordinatorNotAvailable));
    }

    /// <summary>Makes partitions part of the producer's transaction, or begins it with them.</summary>
    public ErrorCode AddPartitions(string transactionalId, ProducerIdentity producer, IReadOnlyCollection<TopicPartition> partitions)
    {
        ErrorCode answer = ErrorCode.None;
        bool isKnown = TryUse(transactionalId, (seat, machine) =>
        {
            answer = machine.AddPartitions(producer, partitions, Now, seat.Effects);
            if (answer == ErrorCode.None)
            {
                RememberEpochs(seat, partitions);
            }
        });
        return isKnown ? answer : OfUnknown(transactionalId);
    }

    /// <summary>
    /// Appends something to a partition in the producer's transaction, if that is open and the partition part of it; otherwise returns why not.
    /// </summary>
    public ErrorCode Append(string transactionalId, ProducerIdentity producer, TopicPartition partition, Action append)
    {
        ErrorCode answer = ErrorCode.None;
        bool isKnown = TryUse(transactionalId, (seat, machine) =>
        {
            answer = machine.Verify(producer, partition);
            if (answer == ErrorCode.None)
            {
                // Not known yet where the topic was made anew since the partition was added.
                RememberEpoch(seat, partition);
                append();
            }
        });
        return isKnown ? answer : OfUnknown(transactionalId);
    }

    /// <summary>Ends the producer's transaction. Completes when what was decided is on the disk, and as a rule every marker in its log.</summary>
    public Task<TransactionAnswer> EndAsync(string transactionalId, ProducerIdentity producer, bool isCommit, bool raisesEpoch)
    {
        TaskCompletionSource<TransactionAnswer> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool isKnown = TryUse(transactionalId, (seat, machine) =>
            machine.End(new EndInput(seat.Park(completion), producer, isCommit, raisesEpoch), Now, seat.Effects));
        return isKnown ? completion.Task : Task.FromResult(TransactionAnswer.Refused(OfUnknown(transactionalId)));
    }

    /// <summary>The state of a transactional id, or why it cannot be told.</summary>
    public (ErrorCode Error, TransactionState? State) Describe(string transactionalId)
    {
        if (_isStopped || !_topic.Serves(transactionalId))
        {
            return (ErrorCode.CoordinatorNotAvailable, null);
        }

        return _seats.TryGetValue(transactionalId, out TransactionSeat? seat) && StateOf(seat) is { Producer.IsNone: false } state
            ? (ErrorCode.None, state)
            : (ErrorCode.TransactionalIdNotFound, null);
    }

    /// <summary>The state of every transactional id that has a producer.</summary>
    public IEnumerable<TransactionState> All() => _seats.Values.Select(StateOf).Where(static state => !state.Producer.IsNone);

    /// <summary>Refuses what comes. What is on its way to the disk is answered when it is there.</summary>
    public void Stop() => _isStopped = true;

    public void Dispose()
    {
        Stop();
        _wakeUps.Dispose();
    }

    private static TransactionState StateOf(TransactionSeat seat)
    {
        lock (seat.Gate)
        {
            return seat.Machine.Current;
        }
    }

    /// <summary>A producer that has its id from here is known, and so is its transactional id.</summary>
    private ErrorCode OfUnknown(string transactionalId) =>
        _isStopped || !_topic.Serves(transactionalId) ? ErrorCode.CoordinatorNotAvailable : ErrorCode.InvalidProducerIdMapping;

    private TransactionSeat NewSeat(string transactionalId) => new(new TransactionMachine(transactionalId, NewProducerId, _settings.IdExpiration));

    private long? NewProducerId() => _producerIds.TryTake(out long id) ? id : null;

    private bool TryUse(string transactionalId, Action<TransactionSeat, TransactionMachine> use)
    {
        while (!_isStopped && _topic.Serves(transactionalId) && _seats.TryGetValue(transactionalId, out TransactionSeat? seat))
        {
            if (Use(seat, machine => use(seat, machine)))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Brings something to the machine and carries out what follows. False, and nothing happened, if the id is forgotten.</summary>
    private bool Use(TransactionSeat seat, Action<TransactionMachine> use)
    {
        lock (seat.Gate)
        {
            if (seat.IsDead)
            {
                return false;
            }

            use(seat.Machine);
            CarryOut(seat);
            return true;
        }
    }

    private void Wake(TransactionSeat seat)
    {
        try
        {
            Use(seat, machine =>
            {
                // Its moment is over: the next one is another, even where it is the same.
                seat.WakesAt = null;
                if (seat.MarkersWakeAt <= _wakeUps.Now)
                {
                    seat.MarkersWakeAt = null;
                    CareForMarkers(seat);
                }

                if (!_isStopped)
                {
                    machine.Tick(Now, seat.Effects);
                }
            });
        }
        catch (Exception bug)
        {
            // Thrown on a thread of the pool, it would end the process.
            LogMessages.CoordinatorFailed(_logger, bug, "the deadline of a transaction");
            Abandon(seat);
        }
    }

    /// <summary>What was to follow is not known to have: nobody may wait for it.</summary>
    private static void Abandon(TransactionSeat seat)
    {
        lock (seat.Gate)
        {
            seat.Effects.Clear();
            seat.RefuseWaiting();
        }
    }

    /// <summary>Carries effects out; the lock of the seat is held. An effect may give rise to others.</summary>
    private void CarryOut(TransactionSeat seat)
    {
        for (int index = 0; index < seat.Effects.Count; index++)
        {
            switch (seat.Effects[index])
            {
                case StateNoted noted:
                    Note(seat, noted.State);
                    break;
                case StateDecided decided:
                    Decide(seat, decided);
                    break;
                case PartitionsLeft left:
                    PassBarrier(seat, left);
                    break;
                case MarkersDue due:
                    WriteMarkers(seat, due);
                    break;
                case IdExpired:
                    Forget(seat);
                    break;
                case TransactionAnswered answered:
                    seat.Answer(answered);
                    break;
                case TransactionGivenUp givenUp:
                    LogMessages.TransactionGivenUp(_logger, givenUp.State.TransactionalId, givenUp.State.Producer.Id, givenUp.State.Producer.Epoch, givenUp.Reason);
                    break;
            }
        }

        seat.Effects.Clear();

        // One that has stopped ticks no more: a moment that has passed would wake it again at once.
        TimeSpan? wakeAt = seat.IsDead ? null : Earlier(_isStopped ? null : seat.Machine.WakeAt, seat.MarkersWakeAt);
        if (wakeAt != seat.WakesAt)
        {
            seat.WakesAt = wakeAt;
            _wakeUps.Set(seat, wakeAt);
        }
    }

    private static TimeSpan? Earlier(TimeSpan? left, TimeSpan? right) =>
        left is null ? right : right is null ? left : left < right ? left : right;

    private void Note(TransactionSeat seat, TransactionState state)
    {
        seat.Recorded = OwedBy(seat);
        _topic.Note(state, seat.Recorded);
    }

    private void Decide(TransactionSeat seat, StateDecided decided)
    {
        seat.Recorded = OwedBy(seat);
        ErrorCode refusal = _topic.Append(
            decided.State,
            seat.Recorded,
            decided: (error, _) => Use(seat, machine => machine.Persisted(decided.Number, error, Now, seat.Effects)),
            abandoned: () => Abandon(seat));
        if (refusal != ErrorCode.None)
        {
            seat.Machine.Persisted(decided.Number, refusal, Now, seat.Effects);
        }
    }

    private void Forget(TransactionSeat seat)
    {
        if (OwedBy(seat).Count > 0)
        {
            // Where a marker is missing, nobody else knows how the transaction has ended.
            seat.Machine.Keep(Now);
            return;
        }

        TransactionState state = seat.Machine.Current;
        _topic.NoteExpired(state.TransactionalId, Now.Timestamp);
        seat.IsDead = true;
        _seats.TryRemove(KeyValuePair.Create(state.TransactionalId, seat));
    }
}
