using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>What is on the shelf.</summary>
internal sealed class StockLevel
{
    public required string Item { get; init; }

    public required int InitialQuantity { get; init; }

    public required int OnShelf { get; set; }
}

/// <summary>Goods that left the shelf for an order, or came back to it.</summary>
internal sealed class StockMovement
{
    public long Id { get; init; }

    public required string OrderId { get; init; }

    public required string Item { get; init; }

    /// <summary>Negative: taken. Positive: put back.</summary>
    public required int Quantity { get; init; }

    public required DateTimeOffset At { get; init; }
}

/// <summary>How much of an item was asked for, whether or not it could be delivered.</summary>
internal sealed class DemandFigure
{
    public required string Item { get; init; }

    public required int OrderCount { get; set; }

    public required int Quantity { get; set; }
}

internal sealed class InventoryDatabase(DbContextOptions<InventoryDatabase> options) : DbContext(options)
{
    public DbSet<StockLevel> Stock => Set<StockLevel>();

    public DbSet<StockMovement> Movements => Set<StockMovement>();

    public DbSet<DemandFigure> Demand => Set<DemandFigure>();

    public static void Seed(InventoryDatabase database)
    {
        foreach (CatalogueItem item in Catalogue.Items.Where(item => database.Stock.Find(item.Name) is null))
        {
            database.Stock.Add(new StockLevel { Item = item.Name, InitialQuantity = item.InitialQuantity, OnShelf = item.InitialQuantity });
            database.Demand.Add(new DemandFigure { Item = item.Name, OrderCount = 0, Quantity = 0 });
        }
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.AddMillraceStoredReplies();
        modelBuilder.Entity<StockLevel>().HasKey(row => row.Item);
        modelBuilder.Entity<StockMovement>().HasIndex(row => row.OrderId);
        modelBuilder.Entity<DemandFigure>().HasKey(row => row.Item);
    }
}
