using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker.Tests;

/// <summary>A <see cref="TransactionMachine"/> whose surroundings do at once what it asks for, or wait at the step where a test stops them.</summary>
internal sealed class MachineHarness
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    public static readonly TopicPartition Orders = new("orders", 0);
    public static readonly TopicPartition Payments = new("payments", 0);

    private readonly List<TransactionEffect> _effects = [];
    private readonly List<TransactionEffect> _held = [];
    private readonly Dictionary<long, TransactionAnswered> _answers = [];
    private long _nextProducerId = 1000;
    private long _lastRequest;

    public MachineHarness(TransactionState? state = null) =>
        Machine = state is null
            ? new TransactionMachine("id", NewProducerId, TimeSpan.FromDays(7))
            : new TransactionMachine(state, NewProducerId, TimeSpan.FromDays(7), Now);

    public enum Halt
    {
        Nowhere,
        AtBarrier,
        AtDecision,
        AtMarkers,
    }

    public TransactionMachine Machine { get; }

    /// <summary>Where the surroundings stand still until <see cref="GoOn"/>.</summary>
    public Halt StopsAt { get; set; }

    public bool HasProducerIds { get; set; } = true;

    public ErrorCode DecisionOutcome { get; set; }

    public bool BarrierHolds { get; set; } = true;

    public Moment Now { get; private set; } = new(TimeSpan.FromHours(1), 1_700_000_000_000);

    public List<TransactionEffect> Seen { get; } = [];

    public ProducerIdentity Producer => Machine.Current.Producer;

    public void Advance(TimeSpan by)
    {
        Now = new Moment(Now.Elapsed + by, Now.Timestamp + (long)by.TotalMilliseconds);
        Machine.Tick(Now, _effects);
        Run();
    }

    public TransactionAnswered Init(ProducerIdentity? known = null)
    {
        Machine.Init(new InitInput(++_lastRequest, Patience, known ?? ProducerIdentity.None), Now, _effects);
        return Answer();
    }

    public ErrorCode Add(ProducerIdentity producer, params TopicPartition[] partitions)
    {
        ErrorCode error = Machine.AddPartitions(producer, partitions, Now, _effects);
        Run();
        return error;
    }

    public TransactionAnswered End(ProducerIdentity producer, bool isCommit, bool raisesEpoch = false)
    {
        Machine.End(new EndInput(++_lastRequest, producer, isCommit, raisesEpoch), Now, _effects);
        return Answer();
    }

    public void Resume(bool fences)
    {
        Machine.Resume(fences, _effects);
        Run();
    }

    public void Lose(TopicPartition partition)
    {
        Machine.PartitionLost(partition, Now, _effects);
        Run();
    }

    /// <summary>Does what was stopped at, and everything after it.</summary>
    public void GoOn()
    {
        StopsAt = Halt.Nowhere;
        _effects.AddRange(_held);
        _held.Clear();
        Run();
    }

    /// <summary>A marker that the surroundings stand still before has to wait for its partition.</summary>
    public void DelayMarkers()
    {
        Machine.MarkersDelayed(_held.OfType<MarkersDue>().Single().Number, Now, _effects);
        Run();
    }

    /// <summary>The answer to the last request; with an error that no broker gives while it is still waited for.</summary>
    public TransactionAnswered Answer()
    {
        Run();
        return _answers.GetValueOrDefault(_lastRequest, new TransactionAnswered(_lastRequest, ErrorCode.RequestTimedOut, ProducerIdentity.None));
    }

    private long? NewProducerId() => HasProducerIds ? _nextProducerId++ : null;

    private void Run()
    {
        for (int index = 0; index < _effects.Count; index++)
        {
            if (IsHalted(_effects[index]))
            {
                _held.Add(_effects[index]);
                continue;
            }

            Seen.Add(_effects[index]);
            Do(_effects[index]);
        }

        _effects.Clear();
    }

    private bool IsHalted(TransactionEffect effect) => effect switch
    {
        PartitionsLeft => StopsAt == Halt.AtBarrier,
        StateDecided => StopsAt == Halt.AtDecision,
        MarkersDue => StopsAt == Halt.AtMarkers,
        _ => false,
    };

    private void Do(TransactionEffect effect)
    {
        switch (effect)
        {
            case PartitionsLeft left:
                Machine.Synced(left.Number, BarrierHolds ? left.Partitions.ToDictionary(static partition => partition, static _ => new PartitionEnd(new Offset(7))) : null, Now, _effects);
                break;
            case StateDecided decided:
                Machine.Persisted(decided.Number, DecisionOutcome, Now, _effects);
                break;
            case MarkersDue due:
                Machine.MarkersWritten(due.Number, Now, _effects);
                break;
            case TransactionAnswered { RequestId: not TransactionMachine.NoRequest } answered:
                _answers.Add(answered.RequestId, answered);
                break;
        }
    }
}
