namespace Millrace;

/// <summary>
/// A workflow whose steps declare their undo beside them. Derive from it, mark the class with <see cref="SagaAttribute"/>, and
/// register it with <c>AddSaga</c>.
/// </summary>
/// <remarks>
/// <see cref="RunAsync"/> is ordinary asynchronous code that is run again from the start whenever its instance moves on, with the
/// answers that its history holds. So it must decide the same way each time: take the time, ids and randomness from
/// <see cref="SagaContext"/>, await nothing but its steps, and touch nothing outside. When it throws before its pivot, the undos of the
/// steps that may have happened run in reverse order (H. Garcia-Molina and K. Salem, Sagas, 1987).
/// </remarks>
/// <typeparam name="TInput">What an instance is started with. Serialised as JSON.</typeparam>
/// <typeparam name="TResult">What a completed instance leaves behind. Serialised as JSON.</typeparam>
public abstract class Saga<TInput, TResult> : Saga
    where TInput : notnull
{
    internal sealed override Type InputType => typeof(TInput);

    /// <summary>The steps of the saga, in order. Throwing makes the saga fail and compensate.</summary>
    protected abstract Task<TResult> RunAsync(TInput input, SagaContext saga);

    internal sealed override async Task<object?> RunUntypedAsync(object input, SagaContext saga) =>
        await RunAsync((TInput)input, saga);
}

/// <summary>The common base of all sagas. Derive from <see cref="Saga{TInput, TResult}"/>.</summary>
public abstract class Saga
{
    private protected Saga()
    {
    }

    internal abstract Type InputType { get; }

    internal abstract Task<object?> RunUntypedAsync(object input, SagaContext saga);
}

/// <summary>Names a saga. The name is part of its topics and of every message id that it makes, so it must not change.</summary>
[AttributeUsage(AttributeTargets.Class, Inherited = false)]
public sealed class SagaAttribute(string name) : Attribute
{
    /// <summary>The name: lower case, digits, dots and hyphens, such as <c>place-order</c>.</summary>
    public string Name { get; } = name;

    /// <summary>The version of the code that new instances start with. Default 1.</summary>
    public int Version { get; init; } = 1;
}
