using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

// Who may do what: the identity of the producer against the state of its transactional id.
internal sealed partial class TransactionMachine
{
    /// <summary>Judges who wants to write in the open transaction or begin one.</summary>
    private ErrorCode Judge(ProducerIdentity producer) =>
        _step is not null || Current.IsDecided ? ErrorCode.ConcurrentTransactions
        : IsStranger(producer) ? ErrorCode.InvalidProducerIdMapping
        : producer.Epoch != Current.Producer.Epoch ? ErrorCode.ProducerFenced
        : ErrorCode.None;

    /// <summary>
    /// Judges a request to end the transaction. <c>Ends</c>: it is to be ended, also where nothing was written in it; otherwise the error is the answer,
    /// and none says that it has ended just so.
    /// </summary>
    private (ErrorCode Error, bool Ends) JudgeEnd(EndInput request)
    {
        if (_step is not null || Current.IsDecided)
        {
            return (JudgeEndWhileEnding(request), false);
        }

        // Where epochs rise, the same request again has an old epoch; the present one belongs to the transaction after it.
        bool isRepeated = request.RaisesEpoch && HasEndedAs(request.Producer);
        if (IsStranger(request.Producer) && !isRepeated)
        {
            return (ErrorCode.InvalidProducerIdMapping, false);
        }

        if (request.Producer.Epoch != Current.Producer.Epoch && !isRepeated)
        {
            return (ErrorCode.ProducerFenced, false);
        }

        return Current.Status switch
        {
            TransactionStatus.Ongoing => (ErrorCode.None, true),
            TransactionStatus.CompleteCommit or TransactionStatus.CompleteAbort when isRepeated || !request.RaisesEpoch =>
                (request.IsCommit == Current.IsCommit ? ErrorCode.None : ErrorCode.InvalidTxnState, false),

            // A client that adds no partitions itself does not know whether any record has arrived, and may give up what never began (KIP-890).
            _ when request is { RaisesEpoch: true, IsCommit: false } => (ErrorCode.None, true),
            _ => (ErrorCode.InvalidTxnState, false),
        };
    }

    /// <summary>Whether the id is not that of the present producer. Who has none is nobody, also before the first producer has come.</summary>
    private bool IsStranger(ProducerIdentity producer) => producer.IsNone || producer.Id != Current.Producer.Id;

    /// <summary>Whether it is as this producer that the client ended its last transaction; where it ended none, it is as none.</summary>
    private bool HasEndedAs(ProducerIdentity producer) => !producer.IsNone && producer == Current.EndedAs;

    private ErrorCode JudgeEndWhileEnding(EndInput request)
    {
        bool isDeciding = _step is { Stage: Stage.Syncing or Stage.Deciding };
        bool isOther = Current.IsDecided && !isDeciding && request.IsCommit != Current.IsCommit && request.Producer.Id == Current.Producer.Id;
        return isOther ? ErrorCode.InvalidTxnState : ErrorCode.ConcurrentTransactions;
    }

    /// <summary>
    /// Whether the producer that names itself may go on under this transactional id. It may when it has the present id (its epoch is judged later), when nobody
    /// has come before, and when it has the id before, whose epochs are used up: then it never got the answer that told it the new one.
    /// </summary>
    private bool IsOwn(ProducerIdentity known) =>
        known.IsNone
        || Current.Producer.IsNone
        || known.Id == Current.Producer.Id
        || (known.Id == Current.PreviousProducerId && known.Epoch >= TransactionState.LastEpochOfClients);

    /// <summary>A producer that was shut out, and asks for a new epoch late, does not end the transaction of the one that took its place.</summary>
    private bool IsOlderInTransaction(ProducerIdentity known) =>
        Current.Status == TransactionStatus.Ongoing && !known.IsNone && known != Current.Producer;

    private void Renew(InitInput request, Moment now, List<TransactionEffect> effects)
    {
        bool isNew = Current.Producer.IsNone;
        bool isKnown = !isNew && !request.Known.IsNone;
        bool needsId = isNew || (Current.IsEpochExhausted && (!isKnown || request.Known.Epoch == Current.Producer.Epoch || IsRenewalBehindMarkers(request.Known)));
        TransactionState target = Current with
        {
            Status = TransactionStatus.Empty,
            Timeout = request.Timeout,
            Partitions = TransactionState.NoPartitions,
            StartTimestamp = TransactionState.NoTimestamp,
            UpdateTimestamp = now.Timestamp,
            LastEpoch = isKnown ? request.Known.Epoch : TransactionState.NoEpoch,
            EndedAs = ProducerIdentity.None,
            ClientVersion = 0,
        };
        if (needsId)
        {
            if (_newProducerId() is not long id)
            {
                effects.Add(Answer(request.RequestId, ErrorCode.CoordinatorNotAvailable));
                return;
            }

            target = target with { Producer = new ProducerIdentity(id, 0), PreviousProducerId = isNew ? TransactionState.NoProducerId : Current.Producer.Id };
        }
        else if (!isKnown || request.Known == Current.Producer)
        {
            target = target with { Producer = Current.Producer with { Epoch = (short)(Current.Producer.Epoch + 1) } };
        }
        else if (!IsRepeatedRenewal(request.Known))
        {
            effects.Add(Answer(request.RequestId, ErrorCode.ProducerFenced));
            return;
        }

        _step = new Step(++_lastNumber, Stage.Initializing, target) { RequestId = request.RequestId };
        effects.Add(new StateDecided(_step.Number, target));
    }

    /// <summary>
    /// The answer to the first one was lost, or to the end of the transaction, which raised the epoch as well (KIP-890). Nobody else can have come meanwhile: that would have set the last
    /// epoch to none, and who ended to nobody.
    /// </summary>
    private bool IsRepeatedRenewal(ProducerIdentity known) =>
        HasEndedAs(known) || (known.Epoch == Current.LastEpoch && (known.Id == Current.Producer.Id || known.Id == Current.PreviousProducerId));

    /// <summary>The first one gave up the transaction of the last epoch, and the present one is that of its markers, which nobody is given.</summary>
    private bool IsRenewalBehindMarkers(ProducerIdentity known) =>
        Current.Producer.Epoch > TransactionState.LastEpochOfClients && IsRepeatedRenewal(known);
}
