using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Millrace;
using Millrace.Testing;

namespace Shop.Tests;

/// <summary>
/// The shop inside a test: its own services and sagas, on a simulated disk and a clock that the test moves. The databases are real
/// files, which survive the crashes of the machine, as databases on another machine do.
/// </summary>
internal sealed class TestShop : IAsyncDisposable
{
    /// <summary>More than all retries of one message take.</summary>
    private static readonly TimeSpan s_allRetries = TimeSpan.FromMinutes(10);

    private readonly ShopFolder _folder;

    private TestShop(ShopFolder folder, ShopOptions options, MillraceTestHost host)
    {
        _folder = folder;
        Options = options;
        Host = host;
    }

    public ShopOptions Options { get; }

    public MillraceTestHost Host { get; }

    /// <summary>Starts a shop in which nothing goes wrong, unless the test says otherwise.</summary>
    public static async Task<TestShop> StartAsync(
        Func<ShopOptions, ShopOptions>? change = null,
        Action<MillraceBuilder, ShopOptions>? compose = null,
        Action<TestHostOptions>? configureHost = null)
    {
        ShopFolder folder = new();
        ShopOptions options = folder.Options with { DeclineRate = 0, OutOfStockRate = 0, FlakyRate = 0 };
        options = change?.Invoke(options) ?? options;
        Directory.CreateDirectory(options.DataDirectory);
        MillraceTestHost host = await MillraceTestHost.StartAsync(
            millrace => (compose ?? ((shop, with) => shop.AddShop(with)))(millrace, options), configureHost);
        return new TestShop(folder, options, host);
    }

    public static PlaceOrder Order(string id, string item = "teapot", int quantity = 2, string destination = "Oslo") =>
        new(id, new OrderDetails("ada@example.com", item, quantity, quantity * Catalogue.Find(item)!.PriceCents, destination));

    /// <summary>Places orders and lets everything happen that follows, retries included.</summary>
    public async Task PlaceAsync(params PlaceOrder[] orders)
    {
        await Host.ThroughCrashesAsync(host => host.Services.GetRequiredService<OrderDesk>().AcceptAsync(orders, CancellationToken.None));
        await Host.AdvanceAsync(s_allRetries);
    }

    public ShopDatabases OpenDatabases() => new(Options);

    public Task<Audit> AuditAsync() => Audit.ReadAsync(Options);

    public async Task<(OrderStatus Status, long[] Ledger, int[] Movements, int Shipments)> FindAsync(string id)
    {
        await using ShopDatabases databases = OpenDatabases();
        return (
            databases.Orders.Orders.Single(order => order.Id == id).Status,
            [.. databases.Payments.Ledger.Where(entry => entry.OrderId == id).Select(entry => entry.AmountCents)],
            [.. databases.Inventory.Movements.Where(movement => movement.OrderId == id).Select(movement => movement.Quantity)],
            databases.Shipping.Shipments.Count(shipment => shipment.OrderId == id));
    }

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        SqliteConnection.ClearAllPools();
        _folder.Dispose();
    }
}
