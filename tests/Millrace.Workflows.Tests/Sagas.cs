namespace Millrace.Workflows.Tests;

internal sealed record Order(int Id);

internal sealed record Receipt(string Id);

internal sealed record CreateOrder(int Id);

internal sealed record CancelOrder(int Id);

internal sealed record Reserve(int Id);

internal sealed record Release(int Id);

internal sealed record Charge(int Id) : ICommand<Receipt>;

internal sealed record Refund(int Id);

internal sealed record Ship(int Id);

internal sealed record Note(string Text);

[Saga("order")]
internal sealed class OrderSaga : Saga<Order, string>
{
    public static readonly SagaDefinition Definition = SagaDefinition.Of<OrderSaga>();

    protected override async Task<string> RunAsync(Order input, SagaContext saga)
    {
        await saga.StepAsync("order", new CreateOrder(input.Id), undo: new CancelOrder(input.Id));
        await saga.StepAsync("stock", new Reserve(input.Id), undo: new Release(input.Id));
        Receipt receipt = await saga.StepAsync("payment", new Charge(input.Id), undo: new Refund(input.Id));
        await saga.PivotAsync("ship", new Ship(input.Id));
        return receipt.Id;
    }
}

[Saga("second-card")]
internal sealed class SecondCardSaga : Saga<Order, string>
{
    public static readonly SagaDefinition Definition = SagaDefinition.Of<SecondCardSaga>();

    protected override async Task<string> RunAsync(Order input, SagaContext saga)
    {
        try
        {
            return (await saga.StepAsync("first card", new Charge(input.Id), undo: new Refund(input.Id))).Id;
        }
        catch (SagaStepRejectedException)
        {
            return (await saga.StepAsync("second card", new Charge(input.Id + 1), undo: new Refund(input.Id + 1))).Id;
        }
    }
}

[Saga("parallel")]
internal sealed class ParallelSaga : Saga<Order, string>
{
    public static readonly SagaDefinition Definition = SagaDefinition.Of<ParallelSaga>();

    protected override async Task<string> RunAsync(Order input, SagaContext saga)
    {
        Task left = saga.StepAsync("left", new Reserve(1), undo: new Release(1));
        Task right = saga.StepAsync("right", new Reserve(2), undo: new Release(2));
        await left;
        await right;
        return "done";
    }
}

[Saga("throwing")]
internal sealed class ThrowingSaga : Saga<Order, string>
{
    public static readonly SagaDefinition Definition = SagaDefinition.Of<ThrowingSaga>();

    protected override async Task<string> RunAsync(Order input, SagaContext saga)
    {
        await saga.StepAsync("order", new CreateOrder(input.Id), undo: new CancelOrder(input.Id));
        throw new InvalidOperationException("broken");
    }
}

[Saga("sleeping")]
internal sealed class SleepingSaga : Saga<Order, string>
{
    public static readonly SagaDefinition Definition = SagaDefinition.Of<SleepingSaga>();

    protected override async Task<string> RunAsync(Order input, SagaContext saga)
    {
        await new TaskCompletionSource().Task;
        return "never";
    }
}

[Saga("ambient")]
internal sealed class AmbientSaga : Saga<Order, string>
{
    public static readonly SagaDefinition Definition = SagaDefinition.Of<AmbientSaga>();

    protected override async Task<string> RunAsync(Order input, SagaContext saga)
    {
        await saga.StepAsync("first", new Note($"{saga.Now:O} {saga.NewGuid()} {saga.Random.Next()}"), Undo.None);
        await saga.StepAsync("second", new Note($"{saga.Now:O} {saga.NewGuid()} {saga.Random.Next()}"), Undo.None);
        return "done";
    }
}

/// <summary>Goes on elsewhere after its step, and holds the replay up until it has come back from there.</summary>
[Saga("straying")]
internal sealed class StrayingSaga : Saga<Order, string>
{
    public static readonly SagaDefinition Definition = SagaDefinition.Of<StrayingSaga>();

    protected override async Task<string> RunAsync(Order input, SagaContext saga)
    {
        var elsewhere = new TaskCompletionSource();
        var isBack = new ManualResetEventSlim();
        Task step = saga.StepAsync("order", new CreateOrder(input.Id), undo: new CancelOrder(input.Id));
        _ = LeaveAsync();
        _ = StayAsync();
        await elsewhere.Task;
        return "done";

        async Task LeaveAsync()
        {
            await step.ConfigureAwait(false);
            elsewhere.SetException(new InvalidOperationException("by chance"));
            isBack.Set();
        }

        async Task StayAsync()
        {
            await step;
            isBack.Wait();
        }
    }
}

internal sealed record PickyOrder
{
    public PickyOrder(int id)
    {
        Id = id > 0 ? id : throw new ArgumentException("no order has the id 0", nameof(id));
    }

    public int Id { get; }
}

[Saga("picky")]
internal sealed class PickySaga : Saga<PickyOrder, string>
{
    public static readonly SagaDefinition Definition = SagaDefinition.Of<PickySaga>();

    protected override Task<string> RunAsync(PickyOrder input, SagaContext saga) => Task.FromResult("done");
}

[Saga("pointer")]
internal sealed class PointerSaga : Saga<Order, Type>
{
    public static readonly SagaDefinition Definition = SagaDefinition.Of<PointerSaga>();

    protected override Task<Type> RunAsync(Order input, SagaContext saga) => Task.FromResult(typeof(string));
}
