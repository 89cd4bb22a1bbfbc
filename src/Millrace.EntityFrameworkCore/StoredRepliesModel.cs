using Microsoft.EntityFrameworkCore;

namespace Millrace.EntityFrameworkCore;

/// <summary>Adds the table of stored replies to a model.</summary>
public static class StoredRepliesModel
{
    /// <summary>The longest <see cref="StoredReply.MessageId"/>.</summary>
    public const int MaxMessageIdLength = 512;

    private const int MaxEndpointLength = 249;
    private const int MaxStatusLength = 16;

    /// <summary>
    /// Adds the table <c>millrace_stored_replies</c>. Call it in <c>OnModelCreating</c>, and add a migration.
    /// </summary>
    /// <param name="modelBuilder">The model of the database that the handlers write to.</param>
    /// <returns>The model.</returns>
    public static ModelBuilder AddMillraceStoredReplies(this ModelBuilder modelBuilder)
    {
        ArgumentNullException.ThrowIfNull(modelBuilder);
        return modelBuilder.Entity<StoredReply>(reply =>
        {
            reply.ToTable("millrace_stored_replies");
            reply.HasKey(stored => new { stored.MessageId, stored.Endpoint });
            reply.Property(stored => stored.MessageId).HasMaxLength(MaxMessageIdLength);
            reply.Property(stored => stored.Endpoint).HasMaxLength(MaxEndpointLength);
            reply.Property(stored => stored.Status).HasConversion<string>().HasMaxLength(MaxStatusLength);
            reply.Property(stored => stored.StoredAt).HasConversion(time => time, time => DateTime.SpecifyKind(time, DateTimeKind.Utc));
            reply.HasIndex(stored => stored.StoredAt);
        });
    }
}
