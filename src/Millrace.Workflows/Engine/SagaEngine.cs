namespace Millrace;

/// <summary>What the engine decides about an instance.</summary>
internal abstract record SagaDecision
{
    public static readonly SagaDecision Nothing = new Append([]);

    public sealed record Append(IReadOnlyList<HistoryEvent> Events) : SagaDecision;

    /// <summary>
    /// Code and history disagree. Nothing is recorded, so that the instance goes on as soon as the right code runs again; until then it
    /// shows as <see cref="SagaState.NeedsAttention"/>.
    /// </summary>
    public sealed record Refuse(string Difference) : SagaDecision;
}

/// <summary>
/// Decides what happens next in an instance: history in, new events out. It touches nothing; whoever calls it appends the events, in
/// order, and sends the command of every <see cref="StepScheduled"/> after the event is durable.
/// </summary>
internal sealed class SagaEngine(SagaDefinition definition, SagaSerializer serializer)
{
    /// <summary>What follows from the history: nothing while the instance waits for a reply, and after its end.</summary>
    /// <param name="history">The history, which is not changed.</param>
    /// <param name="now">The time that the new events carry.</param>
    /// <param name="cause">The id of the message that the instance reacts to.</param>
    public SagaDecision Advance(SagaHistory history, DateTimeOffset now, string cause)
    {
        if (history.Started is null || history.Ended is not null)
        {
            return SagaDecision.Nothing;
        }

        if (history.Compensation is not null)
        {
            return new SagaDecision.Append(Compensate(history, history.Compensation.Reason, now, cause));
        }

        return SagaReplay.Run(definition, history, serializer) switch
        {
            ReplayOutcome.Waiting waiting => new SagaDecision.Append(Schedule(history, waiting.NewSteps, now, cause)),
            ReplayOutcome.Returned returned => Complete(history, returned.Result, now),
            ReplayOutcome.Threw threw => new SagaDecision.Append(Fail(history, threw.Exception, now, cause)),
            ReplayOutcome.Diverged diverged => new SagaDecision.Refuse(
                $"The code of saga '{definition.Name}' does not agree with the history of '{history.InstanceId}': {diverged.Difference.TrimEnd('.')}."),
            _ => throw new InvalidOperationException("Unknown outcome of a replay."),
        };
    }

    private SagaDecision Complete(SagaHistory history, object? result, DateTimeOffset now)
    {
        try
        {
            return new SagaDecision.Append([new SagaEnded(now, SagaState.Completed, Reason: null, serializer.WriteBody(result))]);
        }
        catch (Exception failure)
        {
            // All its steps have succeeded: only the program can be wrong.
            return new SagaDecision.Refuse($"The result of saga '{definition.Name}' for '{history.InstanceId}' is not JSON: {failure.Message}");
        }
    }

    /// <summary>The undos that are owed, in the order in which they run: the reverse of the order in which their steps were scheduled.</summary>
    private static IEnumerable<StepScheduled> OwedUndos(SagaHistory history) =>
        history.Steps
            .Where(step => step.Kind == StepKind.Do && step.Undo is not null && history.ReplyTo(step.Step)?.Status != ReplyStatus.Rejected)
            .Reverse();

    private static SagaEnded NeedsAttention(DateTimeOffset now, string reason) => new(now, SagaState.NeedsAttention, reason, Result: null);

    private static IReadOnlyList<HistoryEvent> Compensate(SagaHistory history, string reason, DateTimeOffset now, string cause)
    {
        foreach (StepScheduled step in OwedUndos(history))
        {
            StepScheduled? undo = history.Steps.FirstOrDefault(candidate => candidate.Undoes == step.Step);
            if (undo is null)
            {
                return [new StepScheduled(now, history.Steps.Count, $"undo {step.Name}", StepKind.Undo, step.Undo!, Undo: null, step.Step, cause)];
            }

            StepReplied? reply = history.ReplyTo(undo.Step);
            if (reply is null)
            {
                return [];
            }

            if (reply.Status != ReplyStatus.Completed)
            {
                return [NeedsAttention(now, $"{reason} Its compensation is stuck: '{undo.Name}' was {reply.Status.ToString().ToLowerInvariant()}: {reply.Reason}.")];
            }
        }

        return [new SagaEnded(now, SagaState.Compensated, reason, Result: null)];
    }

    private static List<HistoryEvent> Schedule(SagaHistory history, IReadOnlyList<ScheduledCall> calls, DateTimeOffset now, string cause)
    {
        var events = new List<HistoryEvent>(calls.Count);
        foreach (ScheduledCall call in calls)
        {
            events.Add(new StepScheduled(
                now, history.Steps.Count + events.Count, call.Name, call.Kind, call.Command, call.Undo, Undoes: null, cause));
        }

        return events;
    }

    private static IReadOnlyList<HistoryEvent> Fail(SagaHistory history, Exception exception, DateTimeOffset now, string cause)
    {
        string reason = exception is SagaStepException ? exception.Message : $"{exception.GetType().Name}: {exception.Message}";
        StepScheduled? pivot = history.Steps.FirstOrDefault(
            step => step.Kind == StepKind.Pivot && history.ReplyTo(step.Step)?.Status != ReplyStatus.Rejected);
        if (pivot is not null)
        {
            // A pivot with an unknown outcome may have happened: compensating behind it could refund what was shipped.
            return [NeedsAttention(now, $"It failed at or after its pivot '{pivot.Name}', so there is no way back. {reason}")];
        }

        var compensation = new CompensationStarted(now, reason);
        return [compensation, .. Compensate(history, reason, now, cause)];
    }
}
