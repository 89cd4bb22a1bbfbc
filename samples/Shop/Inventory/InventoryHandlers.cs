using Microsoft.EntityFrameworkCore;
using Millrace;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>The Inventory service: what is on the shelf, what left it, and what people ask for.</summary>
internal sealed class InventoryHandlers(InventoryDatabase database, Trouble trouble, TimeProvider time)
{
    public async Task<Reply> HandleAsync(ReserveStock command, MessageContext context, CancellationToken cancellationToken)
    {
        Reply reply = await context.OnceAsync(database, async token =>
        {
            StockLevel? stock = await database.Stock.FindAsync([command.Item], token);
            if (stock is null || stock.OnShelf < command.Quantity || trouble.GoodsAreMissing(command.OrderId))
            {
                return Reply.Reject("out-of-stock");
            }

            Move(stock, command.OrderId, -command.Quantity);
            trouble.BeforeCommit(context);
            return Reply.Done;
        }, cancellationToken);
        trouble.AfterCommit(context);
        return reply;
    }

    public async Task<Reply> HandleAsync(ReleaseStock command, MessageContext context, CancellationToken cancellationToken)
    {
        Reply reply = await context.OnceAsync(database, async token =>
        {
            var taken = await database.Movements
                .Where(movement => movement.OrderId == command.OrderId)
                .GroupBy(movement => movement.Item)
                .Select(movements => new { Item = movements.Key, Quantity = -movements.Sum(movement => movement.Quantity) })
                .ToListAsync(token);
            foreach (var missing in taken.Where(item => item.Quantity > 0))
            {
                StockLevel stock = await database.Stock.SingleAsync(row => row.Item == missing.Item, token);
                Move(stock, command.OrderId, missing.Quantity);
            }

            trouble.BeforeCommit(context);
            return Reply.Done;
        }, cancellationToken);
        trouble.AfterCommit(context);
        return reply;
    }

    public async Task HandleAsync(OrderCreated created, MessageContext context, CancellationToken cancellationToken)
    {
        await context.OnceAsync(database, async token =>
        {
            DemandFigure demand = await database.Demand.SingleAsync(row => row.Item == created.Details.Item, token);
            demand.OrderCount++;
            demand.Quantity += created.Details.Quantity;
            trouble.BeforeCommit(context);
        }, cancellationToken);
        trouble.AfterCommit(context);
    }

    private void Move(StockLevel stock, string orderId, int quantity)
    {
        stock.OnShelf += quantity;
        database.Movements.Add(new StockMovement { OrderId = orderId, Item = stock.Item, Quantity = quantity, At = time.GetUtcNow() });
    }
}
