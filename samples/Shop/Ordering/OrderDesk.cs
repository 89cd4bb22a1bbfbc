using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.DependencyInjection;
using Millrace;

namespace Shop;

/// <summary>Takes orders: what it has accepted is carried out, whatever happens to the process.</summary>
internal sealed class OrderDesk(IServiceScopeFactory scopes, ISagaClient sagas)
{
    /// <summary>Accepts orders. One whose id was accepted before stays as it was.</summary>
    public async Task AcceptAsync(IReadOnlyList<PlaceOrder> orders, CancellationToken cancellationToken)
    {
        await using AsyncServiceScope scope = scopes.CreateAsyncScope();
        OrderDatabase database = scope.ServiceProvider.GetRequiredService<OrderDatabase>();
        await using (IDbContextTransaction transaction = await database.Database.BeginTransactionAsync(cancellationToken))
        {
            foreach (PlaceOrder order in orders)
            {
                string input = JsonSerializer.Serialize(order);
                await database.Database.ExecuteSqlAsync(
                    $"INSERT OR IGNORE INTO AcceptedOrders (Id, Input) VALUES ({order.OrderId}, {input})", cancellationToken);
            }

            await transaction.CommitAsync(cancellationToken);
        }

        string[] ids = [.. orders.Select(order => order.OrderId)];
        await StartAsync(await database.AcceptedOrders.AsNoTracking().Where(order => ids.Contains(order.Id)).ToListAsync(cancellationToken), cancellationToken);
    }

    /// <summary>Starts what was accepted before a crash and may not have been started.</summary>
    public async Task ResumeAsync(CancellationToken cancellationToken)
    {
        await using AsyncServiceScope scope = scopes.CreateAsyncScope();
        OrderDatabase database = scope.ServiceProvider.GetRequiredService<OrderDatabase>();
        await StartAsync(
            await database.AcceptedOrders.AsNoTracking()
                .Where(accepted => !database.Orders.Any(order => order.Id == accepted.Id))
                .ToListAsync(cancellationToken),
            cancellationToken);
    }

    private async Task StartAsync(IReadOnlyList<AcceptedOrder> accepted, CancellationToken cancellationToken) =>
        await Task.WhenAll(accepted.Select(order =>
            sagas.StartAsync<PlaceOrderSaga>(order.Id, JsonSerializer.Deserialize<PlaceOrder>(order.Input)!, cancellationToken)));
}
