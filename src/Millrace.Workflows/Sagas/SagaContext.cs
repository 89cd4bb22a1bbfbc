namespace Millrace;

/// <summary>What the code of a saga may touch: its steps, and time, ids and randomness that replay the same.</summary>
public sealed class SagaContext
{
    private readonly SagaReplay _replay;
    private readonly string _seed;
    private int _guidCount;

    internal SagaContext(SagaReplay replay, string saga, string instanceId)
    {
        _replay = replay;
        InstanceId = instanceId;

        // With the saga's name: an order's id often names an instance of several sagas, and their ids must differ.
        _seed = $"{saga}/{instanceId}";
        Random = new Random(StableHash.Of(_seed, -1));
    }

    /// <summary>The id that the saga was started with.</summary>
    public string InstanceId { get; }

    /// <summary>The time, UTC, of the event that the saga is reacting to: the same on every replay.</summary>
    public DateTimeOffset Now => _replay.Now;

    /// <summary>Randomness seeded by the saga and the instance id: the same on every replay.</summary>
    public Random Random { get; }

    /// <summary>An id that is the same on every replay, and differs between sagas, instances and calls.</summary>
    public Guid NewGuid() => StableHash.ToGuid(_seed, _guidCount++);

    /// <summary>Sends a command and waits for its handler's answer.</summary>
    /// <param name="name">A name for people and for the check that code and history agree; unique names read best.</param>
    /// <param name="command">What to do. Recorded before it is sent; sent at least once, always with the same message id.</param>
    /// <param name="undo">
    /// What reverses it, from the saga's input and never from the step's result, since it must be able to run when nobody knows whether
    /// the command took effect. <see cref="Undo.None"/> declines.
    /// </param>
    /// <returns>The handler's reply.</returns>
    /// <exception cref="SagaStepRejectedException">The handler refused the command.</exception>
    /// <exception cref="SagaStepFailedException">The handler's retries are exhausted.</exception>
    public async Task<TReply> StepAsync<TReply>(string name, ICommand<TReply> command, object undo) =>
        _replay.ReadReply<TReply>(await _replay.Schedule(StepKind.Do, name, command, undo));

    /// <inheritdoc cref="StepAsync{TReply}(string, ICommand{TReply}, object)"/>
    public async Task StepAsync(string name, object command, object undo) =>
        await _replay.Schedule(StepKind.Do, name, command, undo);

    /// <summary>
    /// The step after which there is no way back: once it has succeeded, a later failure is not compensated but waits for a person.
    /// A pivot that is rejected did not happen, and the saga compensates.
    /// </summary>
    /// <inheritdoc cref="StepAsync{TReply}(string, ICommand{TReply}, object)" path="/exception"/>
    public async Task<TReply> PivotAsync<TReply>(string name, ICommand<TReply> command) =>
        _replay.ReadReply<TReply>(await _replay.Schedule(StepKind.Pivot, name, command, Undo.None));

    /// <inheritdoc cref="PivotAsync{TReply}(string, ICommand{TReply})"/>
    public async Task PivotAsync(string name, object command) =>
        await _replay.Schedule(StepKind.Pivot, name, command, Undo.None);
}
