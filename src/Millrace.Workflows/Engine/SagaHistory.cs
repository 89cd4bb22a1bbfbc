using System.Runtime.InteropServices;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>The folded history of one instance: what happened, in order. Events are only added; nothing is changed or removed.</summary>
internal sealed class SagaHistory(string instanceId)
{
    private readonly List<HistoryEvent> _events = [];
    private readonly List<StepScheduled> _steps = [];
    private readonly Dictionary<int, StepReplied> _replies = [];

    public string InstanceId { get; } = instanceId;

    /// <summary>The sequence number that the next event gets.</summary>
    public int NextSequence => _events.Count;

    public ReadOnlySpan<HistoryEvent> Events => CollectionsMarshal.AsSpan(_events);
    public IReadOnlyList<StepScheduled> Steps => _steps;
    public SagaStarted? Started => _events.Count > 0 ? (SagaStarted)_events[0] : null;
    public CompensationStarted? Compensation { get; private set; }
    public SagaEnded? Ended { get; private set; }

    public SagaState State => Ended?.State ?? (Compensation is null ? SagaState.Running : SagaState.Compensating);

    public string? Reason => Ended?.Reason ?? Compensation?.Reason;

    public StepReplied? ReplyTo(int step) => _replies.GetValueOrDefault(step);

    /// <summary>The steps that were scheduled and have no reply: what is sent again after a crash.</summary>
    public IEnumerable<StepScheduled> OpenSteps => Ended is null ? _steps.Where(step => !_replies.ContainsKey(step.Step)) : [];

    /// <summary>A history of its own with the same events: a draft that becomes the history when what is added to it is durable.</summary>
    public SagaHistory Copy()
    {
        var copy = new SagaHistory(InstanceId);
        _events.ForEach(copy.Add);
        return copy;
    }

    public void Add(HistoryEvent next)
    {
        Invariant.Holds(Ended is null, "an ended saga records nothing more");
        Invariant.Holds(next is SagaStarted == (_events.Count == 0), "a history begins with its start, once");
        switch (next)
        {
            case StepScheduled step:
                Invariant.Holds(step.Step == _steps.Count, "steps are numbered without gaps");
                _steps.Add(step);
                break;
            case StepReplied reply:
                Invariant.Holds(reply.Step < _steps.Count && _replies.TryAdd(reply.Step, reply), "a scheduled step is answered once");
                break;
            case CompensationStarted compensation:
                Invariant.Holds(Compensation is null, "a saga compensates once");
                Compensation = compensation;
                break;
            case SagaEnded ended:
                Ended = ended;
                break;
        }

        _events.Add(next);
    }
}
