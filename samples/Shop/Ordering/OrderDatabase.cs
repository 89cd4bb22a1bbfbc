using System.Text.Json.Serialization;
using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>Where an order stands for the Order service.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<OrderStatus>))]
internal enum OrderStatus
{
    Created,
    Completed,
    Cancelled,
}

internal sealed class Order
{
    public required string Id { get; init; }

    public required string Customer { get; init; }

    public required string Item { get; init; }

    public required int Quantity { get; init; }

    public required long TotalCents { get; init; }

    public required string Destination { get; init; }

    public required OrderStatus Status { get; set; }

    /// <summary>Whether the others were told: an order whose creation failed for good is cancelled without ever having been created.</summary>
    public required bool IsAnnounced { get; init; }

    public string? TrackingNumber { get; set; }

    public required DateTimeOffset PlacedAt { get; init; }

    public DateTimeOffset? EndedAt { get; set; }
}

/// <summary>
/// An order that was accepted, written down before its saga is started. The two writes cannot be one, so whoever starts up starts the
/// saga of every accepted order that has no <see cref="Order"/> yet; a saga that was started before is not started twice.
/// </summary>
internal sealed class AcceptedOrder
{
    public required string Id { get; init; }

    /// <summary>The saga's input as JSON.</summary>
    public required string Input { get; init; }
}

internal sealed class OrderDatabase(DbContextOptions<OrderDatabase> options) : DbContext(options)
{
    public DbSet<AcceptedOrder> AcceptedOrders => Set<AcceptedOrder>();

    public DbSet<Order> Orders => Set<Order>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.AddMillraceStoredReplies();
        modelBuilder.Entity<Order>(order =>
        {
            order.HasKey(row => row.Id);
            order.Property(row => row.Status).HasConversion<string>();
            order.HasIndex(row => row.Status);
        });
    }
}
