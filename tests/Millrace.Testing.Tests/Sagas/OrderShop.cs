using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Millrace.Testing.Tests;

/// <summary>One order through three services, each with a database of its own in memory, which outlives every crash.</summary>
internal sealed class OrderShop : IAsyncDisposable
{
    private const string OrderId = "4711";
    private const int RetryCount = 3;
    private static int s_number;

    private readonly int _shop = Interlocked.Increment(ref s_number);
    private readonly List<SqliteConnection> _openForTheDataToStay = [];

    public World World { get; } = new();

    /// <summary>Runs the order to its end, however often the machine goes down, and tells what became of it.</summary>
    public async Task<OrderOutcome> RunAsync(Action<TestHostOptions> configureOptions)
    {
        await using StockDatabase stock = await CreateAsync<StockDatabase>(options => new StockDatabase(options));
        await using PaymentDatabase payment = await CreateAsync<PaymentDatabase>(options => new PaymentDatabase(options));
        await using ShippingDatabase shipping = await CreateAsync<ShippingDatabase>(options => new ShippingDatabase(options));
        await using MillraceTestHost host = await MillraceTestHost.StartAsync(Configure, configureOptions);

        long firstOperation = host.StorageOperationCount;
        SagaStatus? status = null;
        await host.ThroughCrashesAsync(running => running.Sagas.StartAsync<PlaceOrderSaga>(OrderId, new PlaceOrder(OrderId, Quantity: 2, Price: 30)));
        await host.ThroughCrashesAsync(async running =>
        {
            // A crash makes retries start again, so there may be more of them than an uninterrupted run has.
            while ((await running.WaitUntilQuietAsync()).DelayedCount > 0) await running.AdvanceAsync(TimeSpan.FromHours(1));
            status = running.Sagas.Find<PlaceOrderSaga>(OrderId);
        });

        string[] entries =
        [
            .. (await stock.Entries.OrderBy(entry => entry.Id).ToListAsync())
                .Concat(await payment.Entries.OrderBy(entry => entry.Id).ToListAsync())
                .Concat(await shipping.Entries.OrderBy(entry => entry.Id).ToListAsync())
                .Select(entry => $"{entry.What} {entry.Amount}"),
        ];
        return new OrderOutcome(status?.State, string.Join(", ", entries), host.Published<PaymentCharged>().Count, new CampaignRun(firstOperation, host.StorageOperationCount, host.CrashCount));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (SqliteConnection connection in _openForTheDataToStay) await connection.DisposeAsync();
    }

    private void Configure(MillraceBuilder millrace)
    {
        millrace.Configure(options => options.TopicPartitionCount = 1);
        millrace.Services.AddSingleton(World);
        millrace.Services.AddDbContext<StockDatabase>(options => options.UseSqlite(ConnectionString<StockDatabase>()));
        millrace.Services.AddDbContext<PaymentDatabase>(options => options.UseSqlite(ConnectionString<PaymentDatabase>()));
        millrace.Services.AddDbContext<ShippingDatabase>(options => options.UseSqlite(ConnectionString<ShippingDatabase>()));
        AddService<StockHandlers>(millrace, "stock");
        AddService<PaymentHandlers>(millrace, "payment");
        AddService<ShippingHandlers>(millrace, "shipping");
        millrace.AddSaga<PlaceOrderSaga>(options => options.PartitionCount = 1);
    }

    private static void AddService<THandlers>(MillraceBuilder millrace, string name)
        where THandlers : class => millrace.AddEndpoint(name, endpoint =>
        {
            endpoint.Failures.OnAnyException().Retry(RetryCount, Backoff.Exponential(TimeSpan.FromSeconds(1))).ThenDeadLetter();
            endpoint.AddHandlers<THandlers>();
        });

    private string ConnectionString<TDatabase>() => $"Data Source={typeof(TDatabase).Name}-{_shop};Mode=Memory;Cache=Shared";

    private async Task<TDatabase> CreateAsync<TDatabase>(Func<DbContextOptions<TDatabase>, TDatabase> create)
        where TDatabase : ServiceDatabase
    {
        SqliteConnection connection = new(ConnectionString<TDatabase>());
        await connection.OpenAsync();
        _openForTheDataToStay.Add(connection);
        TDatabase database = create(new DbContextOptionsBuilder<TDatabase>().UseSqlite(ConnectionString<TDatabase>()).Options);
        await database.Database.EnsureCreatedAsync();
        return database;
    }
}

/// <summary>What became of the order.</summary>
/// <param name="State">Where its saga stands.</param>
/// <param name="Entries">What the services did in the world: stock, payment, shipping.</param>
/// <param name="ChargesPublished">The events that tell of a charge, each counted once.</param>
/// <param name="Run">From the start of the saga to its end.</param>
internal sealed record OrderOutcome(SagaState? State, string Entries, int ChargesPublished, CampaignRun Run);
