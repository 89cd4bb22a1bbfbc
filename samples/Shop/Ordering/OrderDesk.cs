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
    /// <returns>The ids that were accepted before for something else.</returns>
    public async Task<IReadOnlyList<string>> AcceptAsync(IReadOnlyList<PlaceOrder> orders, CancellationToken cancellationToken)
    {
        await using AsyncServiceScope scope = scopes.CreateAsyncScope();
        OrderDatabase database = scope.ServiceProvider.GetRequiredService<OrderDatabase>();
        Dictionary<string, string> inputs = orders.ToDictionary(order => order.OrderId, order => JsonSerializer.Serialize(order), StringComparer.Ordinal);
        await using (IDbContextTransaction transaction = await database.Database.BeginTransactionAsync(cancellationToken))
        {
            foreach ((string id, string input) in inputs)
            {
                await database.Database.ExecuteSqlAsync(
                    $"INSERT OR IGNORE INTO AcceptedOrders (Id, Input) VALUES ({id}, {input})", cancellationToken);
            }

            await transaction.CommitAsync(cancellationToken);
        }

        List<AcceptedOrder> accepted = await database.AcceptedOrders.AsNoTracking().Where(order => inputs.Keys.Contains(order.Id)).ToListAsync(cancellationToken);
        await StartAsync(accepted, cancellationToken);
        return [.. accepted.Where(order => order.Input != inputs[order.Id]).Select(order => order.Id)];
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
