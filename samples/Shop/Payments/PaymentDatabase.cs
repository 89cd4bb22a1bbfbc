using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>
/// One movement of money. The ledger is only ever appended to, and nothing in it keeps an order from being charged twice: that is what
/// the stored reply is for.
/// </summary>
internal sealed class LedgerEntry
{
    public long Id { get; init; }

    public required string OrderId { get; init; }

    /// <summary>Positive: charged. Negative: given back.</summary>
    public required long AmountCents { get; init; }

    public required DateTimeOffset At { get; init; }
}

/// <summary>How suspicious an order looked when it was created.</summary>
internal sealed class FraudScore
{
    public long Id { get; init; }

    public required string OrderId { get; init; }

    /// <summary>From 0 to 100.</summary>
    public required int Score { get; init; }
}

internal sealed class PaymentDatabase(DbContextOptions<PaymentDatabase> options) : DbContext(options)
{
    public DbSet<LedgerEntry> Ledger => Set<LedgerEntry>();

    public DbSet<FraudScore> FraudScores => Set<FraudScore>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.AddMillraceStoredReplies();
        modelBuilder.Entity<LedgerEntry>().HasIndex(row => row.OrderId);
        modelBuilder.Entity<FraudScore>().HasIndex(row => row.OrderId);
    }
}
