using System.Text.Json;

namespace Millrace;

/// <summary>Where a run of the saga's code over its history ends.</summary>
internal abstract record ReplayOutcome
{
    /// <summary>The code waits for replies; <see cref="NewSteps"/> are the steps that the history does not have yet.</summary>
    public sealed record Waiting(IReadOnlyList<ScheduledCall> NewSteps) : ReplayOutcome;

    public sealed record Returned(object? Result) : ReplayOutcome;

    public sealed record Threw(Exception Exception) : ReplayOutcome;

    /// <summary>The code does something else than the history says, or something that cannot be replayed.</summary>
    public sealed record Diverged(string Difference) : ReplayOutcome;
}

/// <summary>A step as the code asked for it.</summary>
internal sealed record ScheduledCall(StepKind Kind, string Name, object Command, object Undo);

/// <summary>
/// Runs a saga's code from its start, answering its steps from the history. One thread runs it to the point where it waits: the
/// continuations of its awaits are queued here and nowhere else, in the order in which the history completed them.
/// </summary>
internal sealed class SagaReplay : SynchronizationContext
{
    private readonly SagaDefinition _definition;
    private readonly SagaHistory _history;
    private readonly SagaSerializer _serializer;
    private readonly Queue<(SendOrPostCallback Callback, object? State)> _continuations = new();
    private readonly List<TaskCompletionSource<StepReplied>> _calls = [];
    private readonly List<ScheduledCall> _newSteps = [];
    private readonly int _owningThread = Environment.CurrentManagedThreadId;
    private string? _difference;

    private SagaReplay(SagaDefinition definition, SagaHistory history, SagaSerializer serializer)
    {
        _definition = definition;
        _history = history;
        _serializer = serializer;
        Now = history.Started!.At;
    }

    public DateTimeOffset Now { get; private set; }

    public static ReplayOutcome Run(SagaDefinition definition, SagaHistory history, SagaSerializer serializer)
    {
        SynchronizationContext? outer = Current;
        var replay = new SagaReplay(definition, history, serializer);
        SetSynchronizationContext(replay);
        try
        {
            return replay.Run();
        }
        finally
        {
            SetSynchronizationContext(outer);
        }
    }

    /// <summary>Called by the saga's code: the step's answer, at once where the history has it.</summary>
    public Task<StepReplied> Schedule(StepKind kind, string name, object command, object undo)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(undo);
        if (Environment.CurrentManagedThreadId != _owningThread || Current != this)
        {
            throw new InvalidOperationException(
                $"Step '{name}' was scheduled from outside the saga's own flow. Await only the saga's steps, without Task.Run or ConfigureAwait(false).");
        }

        int step = _calls.Count;
        var answer = new TaskCompletionSource<StepReplied>();
        _calls.Add(answer);
        if (step >= _history.Steps.Count)
        {
            _newSteps.Add(new ScheduledCall(kind, name, command, undo));
            return answer.Task;
        }

        StepScheduled recorded = _history.Steps[step];
        string commandType = _serializer.Write(command).Type;
        if (recorded.Name != name || recorded.Kind != kind || recorded.Command.Type != commandType)
        {
            _difference ??= $"step {step} is {Describe(recorded.Kind, recorded.Name, recorded.Command.Type)} in the history and "
                + $"{Describe(kind, name, commandType)} in the code";
        }

        return answer.Task;
    }

    public TReply ReadReply<TReply>(StepReplied reply) => _serializer.ReadBody<TReply>(reply.Body);

    public override void Post(SendOrPostCallback d, object? state) => _continuations.Enqueue((d, state));

    public override void Send(SendOrPostCallback d, object? state) => d(state);

    public override SynchronizationContext CreateCopy() => this;

    private static string Describe(StepKind kind, string name, string type) => $"{kind.ToString().ToLowerInvariant()} '{name}' ({type})";

    private ReplayOutcome Run()
    {
        object input;
        try
        {
            input = _serializer.ReadInput(_history.Started!.Input, _definition.InputType);
        }
        catch (JsonException failure)
        {
            return new ReplayOutcome.Diverged($"its input is not a {_definition.InputType}: {failure.Message}");
        }

        Task<object?> run = _definition.Run(input, new SagaContext(this, _history.InstanceId));
        Drain();
        foreach (HistoryEvent next in _history.Events.ToArray())
        {
            if (_difference is not null)
            {
                break;
            }

            Now = next.At;
            if (next is StepReplied reply)
            {
                Answer(reply);
            }
        }

        if (_difference is null && _calls.Count < _history.Steps.Count)
        {
            StepScheduled missing = _history.Steps[_calls.Count];
            _difference = $"step {missing.Step} is {Describe(missing.Kind, missing.Name, missing.Command.Type)} in the history and the code does not reach it";
        }

        return _difference is null ? Judge(run) : new ReplayOutcome.Diverged(_difference);
    }

    private ReplayOutcome Judge(Task<object?> run)
    {
        bool waitsForSteps = _calls.Exists(call => !call.Task.IsCompleted);
        if (waitsForSteps)
        {
            // Also when the code has returned or thrown: a step that was started beside the failing one is answered first, so that the
            // compensation knows what it has to undo.
            return new ReplayOutcome.Waiting(_newSteps);
        }

        if (!run.IsCompleted)
        {
            return new ReplayOutcome.Diverged("the code waits for something that is not one of its steps, so it cannot be replayed");
        }

        return run.IsCompletedSuccessfully
            ? new ReplayOutcome.Returned(run.Result)
            : new ReplayOutcome.Threw(run.Exception?.InnerException ?? new OperationCanceledException("The saga's code cancelled itself."));
    }

    private void Answer(StepReplied reply)
    {
        if (reply.Step >= _calls.Count)
        {
            _difference ??= $"the history has a reply to step {reply.Step}, which the code does not reach";
            return;
        }

        StepScheduled step = _history.Steps[reply.Step];
        TaskCompletionSource<StepReplied> call = _calls[reply.Step];
        switch (reply.Status)
        {
            case ReplyStatus.Completed:
                call.SetResult(reply);
                break;
            case ReplyStatus.Rejected:
                call.SetException(new SagaStepRejectedException(step.Name, reply.Reason ?? "no reason given"));
                break;
            case ReplyStatus.Failed:
                call.SetException(new SagaStepFailedException(step.Name, reply.Reason ?? "no reason given"));
                break;
        }

        Drain();
    }

    private void Drain()
    {
        while (_continuations.TryDequeue(out (SendOrPostCallback Callback, object? State) next))
        {
            next.Callback(next.State);
        }
    }
}
