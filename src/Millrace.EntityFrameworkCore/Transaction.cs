using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Millrace.EntityFrameworkCore;

/// <summary>One message in one database transaction.</summary>
internal sealed class Transaction
{
    private const int MaxFenceRaces = 3;

    private readonly MessageContext _context;
    private readonly DbContext _database;
    private readonly IReadOnlyList<OutgoingMessage> _before;
    private readonly JsonSerializerOptions _json;
    private readonly TimeProvider _time;

    public Transaction(MessageContext context, DbContext database)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(database);
        if (database.Model.FindEntityType(typeof(StoredReply)) is null)
        {
            throw new InvalidOperationException(
                $"{database.GetType().Name} has no table for stored replies. Call modelBuilder.AddMillraceStoredReplies() in its OnModelCreating, and add a migration.");
        }

        if (database.Database.CurrentTransaction is not null)
        {
            throw new InvalidOperationException(
                $"{database.GetType().Name} has a transaction open. OnceAsync opens its own, which ends before the reply is sent: call it outside of yours.");
        }

        _context = context;
        _database = database;
        _before = context.Outputs;
        _json = context.Services.GetRequiredService<IOptions<MessagingOptions>>().Value.Json;
        _time = context.Services.GetRequiredService<TimeProvider>();
    }

    // A command has one handler; an event has one at each endpoint.
    private string Scope => _context.IsCommand ? "" : _context.Endpoint;

    public string Write<T>(T value) => JsonSerializer.Serialize(value, _json);

    public T Read<T>(StoredReply stored) => JsonSerializer.Deserialize<T>(stored.Body ?? "null", _json)!;

    /// <summary>Runs the body unless the message is known; gives what is stored of it. What was published then is the context's again.</summary>
    public async Task<StoredReply> RunAsync(Func<CancellationToken, Task<Answer>> body, CancellationToken cancellationToken)
    {
        try
        {
            for (int race = 1; ; race++)
            {
                try
                {
                    return await RunInStrategyAsync(body, cancellationToken);
                }
                catch (DbUpdateException)
                {
                    // Another worker may have stored the message since it was looked up, in which case its reply is the reply.
                    _database.ChangeTracker.Clear();
                    if (await FindAsync(_context.MessageId, Scope, cancellationToken) is { } stored) return Restore(stored);

                    // Or the command that this one undoes came meanwhile: then there is something to undo after all.
                    bool hasDoCome = _context.Undoes is { } undone && await FindAsync(undone, "", cancellationToken) is not null;
                    if (!hasDoCome || race == MaxFenceRaces) throw;
                }
            }
        }
        catch
        {
            // A handler that goes on after this must not publish or save what was rolled back.
            _database.ChangeTracker.Clear();
            _context.Restore(_before);
            throw;
        }
    }

    private Task<StoredReply> RunInStrategyAsync(Func<CancellationToken, Task<Answer>> body, CancellationToken cancellationToken)
    {
        bool isFirst = true;
        return _database.Database.CreateExecutionStrategy().ExecuteAsync(
            async token =>
            {
                // What a failed attempt has tracked and published was rolled back with it. A commit whose outcome nobody knows is
                // found by the lookup.
                if (!isFirst) _database.ChangeTracker.Clear();
                isFirst = false;
                _context.Restore(_before);
                return await RunOnceAsync(body, token);
            },
            cancellationToken);
    }

    private async Task<StoredReply> RunOnceAsync(Func<CancellationToken, Task<Answer>> body, CancellationToken cancellationToken)
    {
        await using IDbContextTransaction transaction = await _database.Database.BeginTransactionAsync(cancellationToken);
        if (await FindAsync(_context.MessageId, Scope, cancellationToken) is { } known) return Restore(known);

        Answer answer = await body(cancellationToken);
        StoredReply stored = New(_context.MessageId, Scope, answer, [.. _context.Outputs.Skip(_before.Count)]);
        _database.Add(stored);
        if (_context.Undoes is { } undone && await FindAsync(undone, "", cancellationToken) is null)
            _database.Add(New(undone, "", Answer.Refused(StoredReplies.Undone), []));
        await _database.SaveChangesAsync(cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return stored;
    }

    private Task<StoredReply?> FindAsync(string messageId, string scope, CancellationToken cancellationToken) => _database.Set<StoredReply>()
        .AsNoTracking()
        .SingleOrDefaultAsync(stored => stored.MessageId == messageId && stored.Endpoint == scope, cancellationToken);

    private StoredReply Restore(StoredReply stored)
    {
        _context.Restore([.. _before, .. JsonSerializer.Deserialize<List<OutgoingMessage>>(stored.Outputs)!]);
        return stored;
    }

    private StoredReply New(string messageId, string scope, Answer answer, List<OutgoingMessage> outputs) => new()
    {
        MessageId = messageId,
        Endpoint = scope,
        Status = answer.Status,
        Reason = answer.Reason,
        Body = answer.Body,
        Outputs = JsonSerializer.Serialize(outputs),
        StoredAt = _time.GetUtcNow().UtcDateTime,
    };
}
