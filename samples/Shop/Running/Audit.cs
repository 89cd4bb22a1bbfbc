using System.Globalization;
using Microsoft.EntityFrameworkCore;

namespace Shop;

/// <summary>What the books of the five services say when they are laid side by side.</summary>
internal sealed record Audit
{
    private const int MaxListedOrders = 10;

    public required int OrderCount { get; init; }

    public required int CompletedCount { get; init; }

    public required int CancelledCount { get; init; }

    /// <summary>Orders that have neither completed nor been cancelled, and where each stands.</summary>
    public required IReadOnlyList<string> Stuck { get; init; }

    /// <summary>Charges beyond the first of an order.</summary>
    public required int DuplicateChargeCount { get; init; }

    public required long ChargedCents { get; init; }

    public required long RefundedCents { get; init; }

    public required long CompletedCents { get; init; }

    public required long LeftShelf { get; init; }

    public required long Shipped { get; init; }

    /// <summary>What is wrong with the money, order by order.</summary>
    public required IReadOnlyList<string> MoneyProblems { get; init; }

    /// <summary>What is wrong with the goods, order by order and item by item.</summary>
    public required IReadOnlyList<string> StockProblems { get; init; }

    public bool Holds => Stuck.Count == 0 && DuplicateChargeCount == 0 && MoneyProblems.Count == 0 && StockProblems.Count == 0;

    /// <summary>Reads all five databases.</summary>
    public static async Task<Audit> ReadAsync(ShopOptions options, CancellationToken cancellationToken = default)
    {
        await using ShopDatabases databases = new(options);
        HashSet<string> ids = await databases.ReadOrderIdsAsync(cancellationToken);
        Dictionary<string, Order> orders = await databases.Orders.Orders.AsNoTracking().ToDictionaryAsync(order => order.Id, cancellationToken);
        ILookup<string, long> ledger = (await databases.Payments.Ledger.AsNoTracking().ToListAsync(cancellationToken))
            .ToLookup(entry => entry.OrderId, entry => entry.AmountCents);
        ILookup<string, StockMovement> movements = (await databases.Inventory.Movements.AsNoTracking().ToListAsync(cancellationToken))
            .ToLookup(movement => movement.OrderId);
        ILookup<string, Shipment> shipments = (await databases.Shipping.Shipments.AsNoTracking().ToListAsync(cancellationToken))
            .ToLookup(shipment => shipment.OrderId);
        List<StockLevel> shelf = await databases.Inventory.Stock.AsNoTracking().ToListAsync(cancellationToken);

        string[] everybody = [.. ids.Union(ledger.Select(order => order.Key)).Union(movements.Select(order => order.Key)).Union(shipments.Select(order => order.Key))];
        Order[] completed = [.. orders.Values.Where(order => order.Status == OrderStatus.Completed)];
        return new Audit
        {
            OrderCount = ids.Count,
            CompletedCount = completed.Length,
            CancelledCount = orders.Values.Count(order => order.Status == OrderStatus.Cancelled),
            Stuck = [.. ids.Where(id => !orders.TryGetValue(id, out Order? order) || order.Status == OrderStatus.Created)
                .Select(id => DescribeStuck(id, orders.ContainsKey(id), movements[id].Any(), ledger[id].Any(), shipments[id].Any()))],
            DuplicateChargeCount = ledger.Sum(entries => Math.Max(0, entries.Count(amount => amount > 0) - 1)),
            ChargedCents = ledger.Sum(entries => entries.Where(amount => amount > 0).Sum()),
            RefundedCents = -ledger.Sum(entries => entries.Where(amount => amount < 0).Sum()),
            CompletedCents = completed.Sum(order => order.TotalCents),
            LeftShelf = -movements.Sum(of => of.Sum(movement => (long)movement.Quantity)),
            Shipped = shipments.Sum(of => of.Sum(shipment => (long)shipment.Quantity)),
            MoneyProblems = [.. everybody.Select(id => CheckMoney(id, orders.GetValueOrDefault(id), ledger[id].Sum())).OfType<string>()],
            StockProblems =
            [
                .. everybody.Select(id => CheckGoods(id, orders.GetValueOrDefault(id), movements[id], shipments[id], ledger[id].Sum())).OfType<string>(),
                .. shelf.Select(stock => CheckShelf(stock, movements.SelectMany(of => of))).OfType<string>(),
            ],
        };
    }

    /// <summary>The line for programs.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"orders={OrderCount} completed={CompletedCount} compensated={CancelledCount} stuck={Stuck.Count} duplicate_charges={DuplicateChargeCount} money_ok={Word(MoneyProblems.Count == 0)} stock_ok={Word(StockProblems.Count == 0)}");

    /// <summary>What is wrong, for people: the first few of each kind.</summary>
    public IEnumerable<string> Problems()
    {
        foreach (IReadOnlyList<string> kind in (IReadOnlyList<string>[])[Stuck, MoneyProblems, StockProblems])
        {
            foreach (string problem in kind.Take(MaxListedOrders))
            {
                yield return problem;
            }

            if (kind.Count > MaxListedOrders)
            {
                yield return string.Create(CultureInfo.InvariantCulture, $"... and {kind.Count - MaxListedOrders} more like that.");
            }
        }
    }

    private static string Word(bool value) => value ? "true" : "false";

    private static string DescribeStuck(string id, bool isCreated, bool isReserved, bool isCharged, bool isShipped) =>
        $"{id} has not ended: " + (isShipped ? "shipped, and the Order service has not heard of it."
            : isCharged ? "charged, and not shipped."
            : isReserved ? "its goods are reserved, and it is not paid."
            : isCreated ? "created, and nothing more."
            : "accepted, and not created.");

    private static string? CheckMoney(string id, Order? order, long paidCents)
    {
        long dueCents = order is { Status: OrderStatus.Completed } ? order.TotalCents : 0;
        return paidCents == dueCents
            ? null
            : string.Create(CultureInfo.InvariantCulture, $"{id} ({Describe(order)}) is paid with {paidCents} cents, and {dueCents} are due.");
    }

    private static string? CheckGoods(
        string id, Order? order, IEnumerable<StockMovement> movements, IEnumerable<Shipment> shipments, long paidCents)
    {
        Shipment[] shipped = [.. shipments];
        StockMovement[] moved = [.. movements];
        foreach (string item in moved.Select(movement => movement.Item).Union(shipped.Select(shipment => shipment.Item)))
        {
            long leftCount = -moved.Where(movement => movement.Item == item).Sum(movement => (long)movement.Quantity);
            long shippedCount = shipped.Where(shipment => shipment.Item == item).Sum(shipment => (long)shipment.Quantity);
            if (leftCount != shippedCount)
            {
                return string.Create(CultureInfo.InvariantCulture, $"{id} ({Describe(order)}): {leftCount} {item} left the shelf, and {shippedCount} were shipped.");
            }
        }

        return shipped.Length == 0 ? null
            : paidCents <= 0 ? $"{id} ({Describe(order)}) was shipped and is not paid."
            : order is null || shipped.Sum(shipment => shipment.Quantity) != order.Quantity ? $"{id} ({Describe(order)}) was shipped in another quantity than ordered."
            : null;
    }

    private static string? CheckShelf(StockLevel stock, IEnumerable<StockMovement> movements)
    {
        long expected = stock.InitialQuantity + movements.Where(movement => movement.Item == stock.Item).Sum(movement => (long)movement.Quantity);
        return stock.OnShelf == expected
            ? null
            : string.Create(CultureInfo.InvariantCulture, $"{stock.OnShelf} {stock.Item} are on the shelf, and {expected} should be.");
    }

    private static string Describe(Order? order) => order?.Status.ToString().ToLowerInvariant() ?? "not created";
}
