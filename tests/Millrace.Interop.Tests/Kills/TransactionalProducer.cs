using System.Collections.Concurrent;
using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests.Kills;

/// <summary>
/// Writes transactions of records to two partitions, one a step, commits two of three and aborts the third, and knows what became of
/// each. A record's value is the producer's name, the transaction's number and the record's.
/// </summary>
internal sealed class TransactionalProducer : ISteadyProducer
{
    public const int RecordCount = 6;

    private readonly StandaloneBroker _broker;
    private readonly string _name;
    private readonly string _topic;
    private readonly Task _running;

    public TransactionalProducer(StandaloneBroker broker, string topic, string name)
    {
        _broker = broker;
        _topic = topic;
        _name = name;
        _running = Task.Factory.StartNew(Run, TaskCreationOptions.LongRunning);
    }

    /// <summary>The transactions that are committed for certain.</summary>
    public ConcurrentDictionary<string, bool> Committed { get; } = new(StringComparer.Ordinal);

    /// <summary>The transactions that are aborted for certain, or were never asked to commit.</summary>
    public ConcurrentDictionary<string, bool> Aborted { get; } = new(StringComparer.Ordinal);

    public Task Running => _running;

    public Steps Steps { get; } = new();

    public async Task StopAsync()
    {
        Steps.Stop();
        await _running;
        Steps.Dispose();
    }

    private void Run()
    {
        NativeProducer producer = NewProducer();
        for (int next = 0; Steps.WaitForNext(); next++)
        {
            if (!TryTransaction(producer, next))
            {
                producer.Dispose();
                producer = NewProducer();
            }

            Steps.Took();
        }

        producer.Dispose();
    }

    private NativeProducer NewProducer()
    {
        NativeProducer producer = new(_broker, [("transactional.id", _name), .. Patience.Settings]);
        producer.InitTransactions();
        return producer;
    }

    /// <summary>Runs one transaction to its end; false when the client is of no use any more and a new one must begin.</summary>
    private bool TryTransaction(NativeProducer producer, int number)
    {
        string transaction = $"{_name}-{number}";
        bool asksToCommit = false;
        try
        {
            producer.BeginTransaction();
            for (int record = 0; record < RecordCount; record++)
            {
                producer.Produce(_topic, $"{transaction}-{record}", partition: record % 2);
            }

            producer.WaitForDeliveries(RecordCount);
            if (number % 3 == 2)
            {
                producer.AbortTransaction();
                Aborted[transaction] = true;
                return true;
            }

            asksToCommit = true;
            producer.CommitTransaction();
            Committed[transaction] = true;
            return true;
        }
        catch (NativeClientException failure)
        {
            return TryAbort(producer, transaction, failure, mayBeCommitted: asksToCommit && (failure.IsFatal || failure.Error is "_TIMED_OUT"));
        }
    }

    private bool TryAbort(NativeProducer producer, string transaction, NativeClientException failure, bool mayBeCommitted)
    {
        if (!mayBeCommitted)
        {
            Aborted[transaction] = true;
        }

        if (failure.IsFatal)
        {
            return false;
        }

        try
        {
            producer.AbortTransaction();
            return true;
        }
        catch (NativeClientException)
        {
            // A new client with the same transactional id aborts what this one has left open.
            return false;
        }
    }
}
