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
internal sealed record ScheduledCall(StepKind Kind, string Name, SerializedCommand Command, SerializedCommand? Undo);

/// <summary>
/// Runs a saga's code from its start, answering its steps from the history. One thread runs it to the point where it waits: the
/// continuations of its awaits are queued here and nowhere else, in the order in which the history completed them.
/// </summary>
internal sealed class SagaReplay : SynchronizationContext
{
    private const string LeftItsFlow =
        "the code waits for something that is not one of its steps, or with ConfigureAwait(false), so it cannot be replayed";

    private readonly SagaDefinition _definition;
    private readonly SagaHistory _history;
    private readonly SagaSerializer _serializer;
    private readonly Queue<(SendOrPostCallback Callback, object? State)> _continuations = new();
    private readonly List<TaskCompletionSource<StepReplied>> _calls = [];
    private readonly List<ScheduledCall> _newSteps = [];
    private readonly int _owningThread = Environment.CurrentManagedThreadId;
    private string? _difference;
    private volatile bool _hasLeft;

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
            _hasLeft = true;
            throw new InvalidOperationException(
                $"Step '{name}' was scheduled from outside the saga's own flow. Await only the saga's steps, without Task.Run or ConfigureAwait(false).");
        }

        int step = _calls.Count;
        var answer = new TaskCompletionSource<StepReplied>();
        _calls.Add(answer);
        if (Prepare(name, command) is not { } prepared)
        {
            return answer.Task;
        }

        if (step >= _history.Steps.Count)
        {
            SerializedCommand? preparedUndo = ReferenceEquals(undo, Undo.None) ? null : Prepare(name, undo);
            _newSteps.Add(new ScheduledCall(kind, name, prepared, preparedUndo));
            return answer.Task;
        }

        StepScheduled recorded = _history.Steps[step];
        if (recorded.Name != name || recorded.Kind != kind || recorded.Command.Type != prepared.Type)
        {
            _difference ??= $"step {step} is {Describe(recorded.Kind, recorded.Name, recorded.Command.Type)} in the history and "
                + $"{Describe(kind, name, prepared.Type)} in the code";
        }

        return answer.Task;
    }

    /// <summary>
    /// A command that cannot be sent, since nobody handles it for instance, is a mistake of the program and not a failure of the
    /// instance: thrown into the saga's code, it would compensate what the right program could finish.
    /// </summary>
    private SerializedCommand? Prepare(string step, object command)
    {
        try
        {
            return _serializer.Write(command);
        }
        catch (Exception failure)
        {
            _difference ??= $"step '{step}' sends a {command.GetType()}, which cannot be sent: {failure.Message}";
            return null;
        }
    }

    public TReply ReadReply<TReply>(StepReplied reply) => _serializer.ReadBody<TReply>(reply.Body);

    public override void Post(SendOrPostCallback d, object? state)
    {
        if (Environment.CurrentManagedThreadId != _owningThread || Current != this)
        {
            // Code that awaited something else comes back on another thread, during the replay or after it. Whether it would come in
            // time is chance, so it never does: the run stays incomplete, and is refused.
            _hasLeft = true;
            return;
        }

        _continuations.Enqueue((d, state));
    }

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
        catch (Exception failure)
        {
            return new ReplayOutcome.Diverged($"its input is not a {_definition.InputType}: {failure.Message}");
        }

        Task<object?> run = _definition.Run(input, new SagaContext(this, _definition.Name, _history.InstanceId));
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

        if (_hasLeft)
        {
            _difference ??= LeftItsFlow;
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
            return new ReplayOutcome.Diverged(LeftItsFlow);
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
