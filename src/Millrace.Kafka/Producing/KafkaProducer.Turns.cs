namespace Millrace.Kafka;

/// <content>Records whose serialisers have to be waited for.</content>
public sealed partial class KafkaProducer
{
    private readonly HashSet<ProducerTurn> _turns = [];

    /// <summary>A record is produced whose serialiser has to be waited for.</summary>
    /// <param name="previous">What it waits for besides.</param>
    internal ProducerTurn BeginTurn(Task previous)
    {
        lock (_gate)
        {
            ThrowIfRefusing(turn: null);
            var turn = new ProducerTurn(previous, _transaction?.Ordinal ?? 0);
            _turns.Add(turn);
            return turn;
        }
    }

    /// <summary>The record was handed to the producer, or has failed.</summary>
    internal void EndTurn(ProducerTurn turn)
    {
        lock (_gate)
        {
            _turns.Remove(turn);
        }

        turn.End();
    }

    /// <summary>A record cannot be written, and without it its transaction must not be committed.</summary>
    internal void Refuse(KafkaException failure, ProducerTurn? turn)
    {
        lock (_gate)
        {
            // One that is produced while a commit or an abort is under way is refused for that, and not part of the transaction.
            bool isPart = turn is null ? _transaction?.Phase == TransactionPhase.Open : turn.Transaction == _transaction?.Ordinal;
            if (!isPart)
            {
                return;
            }

            _accumulator.Refuse(failure);
        }

        _sender.Wake();
    }

    /// <summary>Whether a record may be produced, or one be handed over whose turn was begun before.</summary>
    private void ThrowIfRefusing(ProducerTurn? turn)
    {
        ObjectDisposedException.ThrowIf(_closing is not null && turn is null, this);
        if (_stop.IsCancellationRequested)
        {
            throw new KafkaClosedException("The producer was closed while the record waited for its serialiser; the record is not written.");
        }

        if (_defect is { } defect)
        {
            throw new InvalidOperationException($"The producer has stopped, since its loop failed: {defect.Message} Close it, and create another.", defect);
        }

        if (turn is null)
        {
            _transaction?.ThrowIfNotOpen("A record");
        }
        else
        {
            _transaction?.ThrowIfOver(turn.Transaction);
        }
    }
}
