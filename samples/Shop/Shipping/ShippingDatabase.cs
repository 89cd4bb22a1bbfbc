using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>Goods that were handed to a carrier.</summary>
internal sealed class Shipment
{
    public long Id { get; init; }

    public required string OrderId { get; init; }

    public required string Item { get; init; }

    public required int Quantity { get; init; }

    public required string Destination { get; init; }

    public required DateTimeOffset At { get; init; }
}

internal sealed class ShippingDatabase(DbContextOptions<ShippingDatabase> options) : DbContext(options)
{
    public DbSet<Shipment> Shipments => Set<Shipment>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.AddMillraceStoredReplies();
        modelBuilder.Entity<Shipment>().HasIndex(row => row.OrderId);
    }
}
