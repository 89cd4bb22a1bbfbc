using Microsoft.EntityFrameworkCore;
using Millrace;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>The Order service: it knows what was ordered and how it ended.</summary>
internal sealed class OrderHandlers(OrderDatabase database, Trouble trouble, TimeProvider time)
{
    public async Task<Reply> HandleAsync(CreateOrder command, MessageContext context, CancellationToken cancellationToken)
    {
        Reply reply = await context.OnceAsync(database, async token =>
        {
            database.Orders.Add(NewOrder(command.OrderId, command.Details, OrderStatus.Created));
            await context.PublishAsync(new OrderCreated(command.OrderId, command.Details), token);
            trouble.BeforeCommit(context);
            return Reply.Done;
        }, cancellationToken);
        trouble.AfterCommit(context);
        return reply;
    }

    public async Task<Reply> HandleAsync(CancelOrder command, MessageContext context, CancellationToken cancellationToken)
    {
        Reply reply = await context.OnceAsync(database, async token =>
        {
            Order? order = await database.Orders.FindAsync([command.OrderId], token);
            if (order is null)
            {
                // Its creation failed for good. That it was wanted, and is not coming, is worth a row all the same.
                order = NewOrder(command.OrderId, command.Details, OrderStatus.Cancelled);
                database.Orders.Add(order);
            }

            order.Status = OrderStatus.Cancelled;
            order.EndedAt = time.GetUtcNow();
            await context.PublishAsync(new OrderCancelled(command.OrderId, command.Details.Customer), token);
            trouble.BeforeCommit(context);
            return Reply.Done;
        }, cancellationToken);
        trouble.AfterCommit(context);
        return reply;
    }

    public async Task HandleAsync(OrderShipped shipped, MessageContext context, CancellationToken cancellationToken)
    {
        await context.OnceAsync(database, async token =>
        {
            Order order = await database.Orders.SingleAsync(row => row.Id == shipped.OrderId, token);
            order.Status = OrderStatus.Completed;
            order.TrackingNumber = shipped.TrackingNumber;
            order.EndedAt = time.GetUtcNow();
            trouble.BeforeCommit(context);
        }, cancellationToken);
        trouble.AfterCommit(context);
    }

    private Order NewOrder(string id, OrderDetails details, OrderStatus status) => new()
    {
        Id = id,
        Customer = details.Customer,
        Item = details.Item,
        Quantity = details.Quantity,
        TotalCents = details.TotalCents,
        Destination = details.Destination,
        Status = status,
        IsAnnounced = status == OrderStatus.Created,
        PlacedAt = time.GetUtcNow(),
    };
}
