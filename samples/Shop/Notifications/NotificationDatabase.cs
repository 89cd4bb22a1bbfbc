using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>An e-mail that was put into the outbox.</summary>
internal sealed class SentMail
{
    public long Id { get; init; }

    public required string OrderId { get; init; }

    public required string FileName { get; init; }

    public required DateTimeOffset At { get; init; }
}

internal sealed class NotificationDatabase(DbContextOptions<NotificationDatabase> options) : DbContext(options)
{
    public DbSet<SentMail> Mails => Set<SentMail>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.AddMillraceStoredReplies();
        modelBuilder.Entity<SentMail>().HasIndex(row => row.OrderId);
    }
}
