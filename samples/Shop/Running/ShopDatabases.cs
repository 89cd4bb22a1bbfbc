using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;

namespace Shop;

/// <summary>All five databases, to look at. The shop's services never do this; who checks them does.</summary>
internal sealed class ShopDatabases(ShopOptions options) : IAsyncDisposable
{
    public OrderDatabase Orders { get; } = new(Databases.Options<OrderDatabase>(options.DatabasePath("order")));

    public PaymentDatabase Payments { get; } = new(Databases.Options<PaymentDatabase>(options.DatabasePath("payment")));

    public InventoryDatabase Inventory { get; } = new(Databases.Options<InventoryDatabase>(options.DatabasePath("inventory")));

    public ShippingDatabase Shipping { get; } = new(Databases.Options<ShippingDatabase>(options.DatabasePath("shipping")));

    public NotificationDatabase Notifications { get; } = new(Databases.Options<NotificationDatabase>(options.DatabasePath("notification")));

    /// <summary>The services whose books are not there yet: on a cluster other processes open them.</summary>
    public async Task<IReadOnlyList<string>> FindMissingAsync(CancellationToken cancellationToken)
    {
        List<string> missing = [];
        foreach ((string service, DbContext database) in ShopOptions.Services.Zip<string, DbContext>([Orders, Payments, Inventory, Shipping, Notifications]))
        {
            if (!await HasTablesAsync(database, options.DatabasePath(service), cancellationToken))
            {
                missing.Add(service);
            }
        }

        return missing;
    }

    /// <summary>Every order that the shop knows of.</summary>
    public async Task<HashSet<string>> ReadOrderIdsAsync(CancellationToken cancellationToken)
    {
        List<string> accepted = await Orders.AcceptedOrders.Select(order => order.Id).ToListAsync(cancellationToken);
        List<string> created = await Orders.Orders.Select(order => order.Id).ToListAsync(cancellationToken);
        return [.. accepted, .. created];
    }

    /// <summary>How far the services are.</summary>
    public async Task<Tally> CountAsync(CancellationToken cancellationToken)
    {
        var byStatus = await Orders.Orders.GroupBy(order => order.Status)
            .Select(orders => new { Status = orders.Key, Count = orders.Count() })
            .ToDictionaryAsync(orders => orders.Status, orders => orders.Count, cancellationToken);
        return new Tally
        {
            Accepted = await Orders.AcceptedOrders.CountAsync(cancellationToken),
            Created = byStatus.GetValueOrDefault(OrderStatus.Created),
            Completed = byStatus.GetValueOrDefault(OrderStatus.Completed),
            Cancelled = byStatus.GetValueOrDefault(OrderStatus.Cancelled),
            Announced = await Orders.Orders.CountAsync(order => order.IsAnnounced, cancellationToken),
            LedgerEntries = await Payments.Ledger.CountAsync(cancellationToken),
            FraudScores = await Payments.FraudScores.CountAsync(cancellationToken),
            StockMovements = await Inventory.Movements.CountAsync(cancellationToken),
            Demanded = await Inventory.Demand.SumAsync(item => item.OrderCount, cancellationToken),
            Shipments = await Shipping.Shipments.CountAsync(cancellationToken),
            Mails = await Notifications.Mails.CountAsync(cancellationToken),
        };
    }

    private static async Task<bool> HasTablesAsync(DbContext database, string path, CancellationToken cancellationToken)
    {
        try
        {
            return File.Exists(path) && await database.Database.SqlQuery<int>($"SELECT COUNT(*) AS Value FROM sqlite_master WHERE type = 'table'").SingleAsync(cancellationToken) > 1;
        }
        catch (SqliteException)
        {
            // It is just being made.
            return false;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Orders.DisposeAsync();
        await Payments.DisposeAsync();
        await Inventory.DisposeAsync();
        await Shipping.DisposeAsync();
        await Notifications.DisposeAsync();
    }
}

/// <summary>How far the services are. Two that are equal say that nothing has moved in between.</summary>
internal sealed record Tally
{
    public required int Accepted { get; init; }

    public required int Created { get; init; }

    public required int Completed { get; init; }

    public required int Cancelled { get; init; }

    public required int Announced { get; init; }

    public required int LedgerEntries { get; init; }

    public required int FraudScores { get; init; }

    public required int StockMovements { get; init; }

    public required int Demanded { get; init; }

    public required int Shipments { get; init; }

    public required int Mails { get; init; }

    public int Ended => Completed + Cancelled;

    public int Open => Accepted - Ended;

    /// <summary>Every order has ended, and everybody who listens has heard of it.</summary>
    public bool IsQuiet => Open == 0 && FraudScores == Announced && Demanded == Announced && Mails == Announced + Ended;
}
