using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.Kafka;
using Millrace.Messaging.Tests;

namespace Millrace.EntityFrameworkCore.Tests;

[Command("stock.reserve")]
public sealed record ReserveStock([property: MessageKey] string OrderId, int Count) : ICommand<Reservation>;

[Command("stock.release")]
public sealed record ReleaseStock([property: MessageKey] string OrderId);

[Event("stock.reserved")]
public sealed record StockReserved([property: MessageKey] string OrderId, int Number);

public sealed record Reservation(string OrderId, int Number);

public sealed class StockRow
{
    public int Id { get; set; }

    public required string OrderId { get; init; }
}

internal sealed class ShopDatabase(DbContextOptions<ShopDatabase> options) : DbContext(options)
{
    public DbSet<StockRow> Stock => Set<StockRow>();

    public DbSet<StoredReply> Replies => Set<StoredReply>();

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddMillraceStoredReplies();
}

internal sealed class OtherDatabase(DbContextOptions<OtherDatabase> options) : DbContext(options);

/// <summary>An application with a database, on a clock that stands still.</summary>
internal sealed class Shop : IDisposable
{
    private readonly TestApplication _application = new();
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("millrace-shop-");

    public ManualTime Time { get; } = new();

    public List<IInterceptor> Interceptors { get; } = [];

    /// <summary>How the database is retried; null for SQLite's own, which never is.</summary>
    public Func<ExecutionStrategyDependencies, IExecutionStrategy>? Strategy { get; set; }

    private string ConnectionString => $"Data Source={Path.Combine(_directory.FullName, "shop.db")};Pooling=False";

    public async Task<IHost> StartAsync(Action<EndpointBuilder> configure, Action<MillraceBuilder>? more = null)
    {
        IHost host = await _application.StartAsync(
            millrace =>
            {
                if (!TestCluster.IsExternal) millrace.UseEmbedded(options => options.Listen = "127.0.0.1:0");
                millrace.AddEndpoint("stock", endpoint =>
                {
                    endpoint.Failures.OnAnyException().Retry(3, Backoff.Constant(TimeSpan.FromMinutes(1), jitter: 0)).ThenDeadLetter();
                    configure(endpoint);
                });
                more?.Invoke(millrace);
            },
            builder =>
            {
                builder.Services.AddSingleton<TimeProvider>(Time);
                builder.Services.AddDbContext<ShopDatabase>(options => options
                    .UseSqlite(ConnectionString, sqlite => { if (Strategy is not null) sqlite.ExecutionStrategy(Strategy); })
                    .AddInterceptors(Interceptors));
                builder.Services.AddDbContext<OtherDatabase>(options => options.UseSqlite(ConnectionString));
            });
        await using KafkaClient client = host.Client();
        await client.Admin.CreateTopicsAsync([new NewTopic("inbox", 1)]);
        await using AsyncServiceScope scope = host.Services.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<ShopDatabase>().Database.EnsureCreatedAsync();
        return host;
    }

    public async Task<T> QueryAsync<T>(IHost host, Func<ShopDatabase, Task<T>> query)
    {
        await using AsyncServiceScope scope = host.Services.CreateAsyncScope();
        return await query(scope.ServiceProvider.GetRequiredService<ShopDatabase>());
    }

    public void Dispose()
    {
        SqliteConnection.ClearAllPools();
        _application.Dispose();
        _directory.Delete(recursive: true);
    }
}
