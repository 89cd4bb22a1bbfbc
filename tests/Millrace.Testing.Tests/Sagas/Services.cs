using System.Collections.Concurrent;
using Millrace.EntityFrameworkCore;

namespace Millrace.Testing.Tests;

/// <summary>What goes wrong in a run, and how the services remember what they did. Survives crashes, as the world does.</summary>
public sealed class World
{
    private readonly ConcurrentDictionary<string, int> _failures = new();

    /// <summary>Commands that are refused.</summary>
    public HashSet<Type> Refused { get; } = [];

    /// <summary>Commands that fail inside of their transaction, and how often, over all crashes.</summary>
    public Dictionary<Type, int> FailsBeforeCommit { get; } = [];

    /// <summary>Commands that fail after their transaction, so with their effect in the world, and how often, over all crashes.</summary>
    public Dictionary<Type, int> FailsAfterCommit { get; } = [];

    /// <summary>Whether handlers store their replies. Without it they do what most handlers do, and a repetition does it again.</summary>
    public bool StoresReplies { get; set; } = true;

    public void MayFail(Dictionary<Type, int> counts, object command, string when)
    {
        if (!counts.TryGetValue(command.GetType(), out int count)) return;
        if (_failures.AddOrUpdate($"{command.GetType().Name} {when}", 1, (_, failed) => failed + 1) <= count)
            throw new TimeoutException($"{command.GetType().Name} does not get through {when}.");
    }

    /// <summary>Runs a handler's work, once or as often as it comes.</summary>
    public async Task<Reply<T>> RunAsync<T>(
        object command, MessageContext context, ServiceDatabase database, Func<Task<T>> work, CancellationToken cancellationToken)
    {
        async Task<Reply<T>> BodyAsync(CancellationToken token)
        {
            if (Refused.Contains(command.GetType())) return Reply.Reject("refused");
            T done = await work();
            await database.SaveChangesAsync(token);
            MayFail(FailsBeforeCommit, command, "before the commit");
            return done;
        }

        Reply<T> reply = StoresReplies ? await context.OnceAsync(database, BodyAsync, cancellationToken) : await BodyAsync(cancellationToken);
        MayFail(FailsAfterCommit, command, "after the commit");
        return reply;
    }

    public async Task<Reply> RunAsync(object command, MessageContext context, ServiceDatabase database, Func<Task> work, CancellationToken cancellationToken)
    {
        Reply<bool> reply = await RunAsync(
            command, context, database,
            async () =>
            {
                await work();
                return true;
            },
            cancellationToken);
        return reply.IsRejected ? Reply.Reject(reply.Rejection.Reason) : Reply.Done;
    }
}

public sealed class StockHandlers(StockDatabase database, World world)
{
    public Task<Reply> HandleAsync(ReserveStock command, MessageContext context, CancellationToken cancellationToken) => world.RunAsync(
        command, context, database,
        () =>
        {
            database.Add(new Entry { What = "reserve", OrderId = command.OrderId, Amount = command.Quantity });
            return Task.CompletedTask;
        },
        cancellationToken);

    public Task<Reply> HandleAsync(ReleaseStock command, MessageContext context, CancellationToken cancellationToken) => world.RunAsync(
        command, context, database,
        async () =>
        {
            // What never happened has nothing to be undone.
            if (await database.SumAsync("reserve", command.OrderId, cancellationToken) > 0)
                database.Add(new Entry { What = "release", OrderId = command.OrderId, Amount = command.Quantity });
        },
        cancellationToken);
}

public sealed class PaymentHandlers(PaymentDatabase database, World world)
{
    public Task<Reply<PaymentReceipt>> HandleAsync(ChargePayment command, MessageContext context, CancellationToken cancellationToken) => world.RunAsync(
        command, context, database,
        async () =>
        {
            database.Add(new Entry { What = "charge", OrderId = command.OrderId, Amount = command.Amount });
            await context.PublishAsync(new PaymentCharged(command.OrderId, command.Amount), cancellationToken);
            return new PaymentReceipt($"receipt for {command.OrderId}");
        },
        cancellationToken);

    public Task<Reply> HandleAsync(RefundPayment command, MessageContext context, CancellationToken cancellationToken) => world.RunAsync(
        command, context, database,
        async () =>
        {
            if (await database.SumAsync("charge", command.OrderId, cancellationToken) > 0)
                database.Add(new Entry { What = "refund", OrderId = command.OrderId, Amount = command.Amount });
        },
        cancellationToken);
}

public sealed class ShippingHandlers(ShippingDatabase database, World world)
{
    public Task<Reply> HandleAsync(ShipOrder command, MessageContext context, CancellationToken cancellationToken) => world.RunAsync(
        command, context, database,
        () =>
        {
            database.Add(new Entry { What = "ship", OrderId = command.OrderId, Amount = 1 });
            return Task.CompletedTask;
        },
        cancellationToken);
}
