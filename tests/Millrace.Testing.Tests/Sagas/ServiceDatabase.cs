using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Millrace.Testing.Tests;

/// <summary>Something that a service did in the world: a line that nobody takes back, so that doing it twice shows.</summary>
public sealed class Entry
{
    public int Id { get; set; }

    public required string What { get; init; }

    public required string OrderId { get; init; }

    public required int Amount { get; init; }
}

/// <summary>The database of one service.</summary>
public abstract class ServiceDatabase(DbContextOptions options) : DbContext(options)
{
    public DbSet<Entry> Entries => Set<Entry>();

    public Task<int> SumAsync(string what, string orderId, CancellationToken cancellationToken) =>
        Entries.Where(entry => entry.What == what && entry.OrderId == orderId).SumAsync(entry => entry.Amount, cancellationToken);

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddMillraceStoredReplies();
}

public sealed class StockDatabase(DbContextOptions<StockDatabase> options) : ServiceDatabase(options);

public sealed class PaymentDatabase(DbContextOptions<PaymentDatabase> options) : ServiceDatabase(options);

public sealed class ShippingDatabase(DbContextOptions<ShippingDatabase> options) : ServiceDatabase(options);
