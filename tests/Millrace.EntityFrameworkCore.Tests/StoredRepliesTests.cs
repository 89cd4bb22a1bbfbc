using System.Data.Common;
using System.Text;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.Kafka;
using Millrace.Messaging.Tests;

namespace Millrace.EntityFrameworkCore.Tests;

/// <summary>Whole applications: a handler, its database on SQLite, and the embedded log.</summary>
public sealed class StoredRepliesTests : IDisposable
{
    private readonly Shop _shop = new();
    private int _bodies;

    public void Dispose() => _shop.Dispose();

    [Fact]
    public async Task A_message_that_comes_again_is_answered_with_the_stored_reply_and_the_same_messages()
    {
        using IHost host = await _shop.StartAsync(endpoint => endpoint.Handle<ReserveStock, Reservation>((command, context, token) =>
            context.OnceAsync(Database(context), ReserveAsync(command, context), token)));
        await host.Bus().SendAsync(new ReserveStock("o-1", 2), Asking("c-1"));
        await host.WaitUntilQuietAsync();
        await host.Bus().SendAsync(new ReserveStock("o-1", 2), Asking("c-1"));
        await host.WaitUntilQuietAsync();

        Assert.Equal(1, _bodies);
        Assert.Equal(1, await _shop.QueryAsync(host, database => database.Stock.CountAsync()));
        List<ConsumerRecord> replies = await host.ReadAllAsync("inbox");
        Assert.Equal(["completed", "completed"], replies.Select(reply => reply.Header(ReplyHeaders.Status)));
        Assert.Equal(["{\"orderId\":\"o-1\",\"number\":1}", "{\"orderId\":\"o-1\",\"number\":1}"], replies.Select(Value));
        List<ConsumerRecord> events = await host.ReadAllAsync("stock.events");
        Assert.Equal(4, events.Count);
        Assert.Equal(2, events.Select(record => record.Header("ce_id")).Distinct().Count());
        Assert.Equal(events[..2].Select(Value), events[2..].Select(Value));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_crash_between_the_database_and_the_log_loses_no_message()
    {
        using IHost host = await _shop.StartAsync(endpoint => endpoint.Handle<ReserveStock, Reservation>(async (command, context, token) =>
        {
            await context.PublishAsync(new StockReserved("before", 0), token);
            Reply<Reservation> reply = await context.OnceAsync(Database(context), ReserveAsync(command, context), token);
            // The database has committed, and nothing is in the log.
            if (context.Attempt == 1) throw new IOException("The power is gone.");
            await context.PublishAsync(new StockReserved(command.OrderId, 9), token);
            return reply;
        }));
        await host.Bus().SendAsync(new ReserveStock("o-1", 2), Asking("c-1"));
        Assert.Equal(1, (await host.WaitUntilQuietAsync()).DelayedCount);
        Assert.Equal(1, await _shop.QueryAsync(host, database => database.Stock.CountAsync()));
        Assert.Empty(await host.ReadAllAsync("stock.events"));

        _shop.Time.Advance(TimeSpan.FromMinutes(1));
        await host.WaitUntilQuietAsync();
        Assert.Equal(1, _bodies);
        Assert.Equal(1, await _shop.QueryAsync(host, database => database.Stock.CountAsync()));
        List<ConsumerRecord> events = await host.ReadAllAsync("stock.events");
        Assert.Equal(["before 0", "o-1 1", "o-1 2", "o-1 9"], events.Select(Text).Order());
        // What follows the stored messages has ids of its own.
        Assert.Equal(4, events.Select(record => record.Header("ce_id")).Distinct().Count());
        Assert.Equal("completed", Assert.Single(await host.ReadAllAsync("inbox")).Header(ReplyHeaders.Status));
        await host.StopAsync();
    }

    [Fact]
    public async Task Two_workers_with_one_message_change_the_database_once_and_give_one_reply()
    {
        using IHost host = await _shop.StartAsync(endpoint => endpoint.Handle<ReserveStock, Reservation>((command, context, token) =>
            context.OnceAsync(Database(context), ReserveAsync(command, context), token)));
        // One id under many keys: handled at the same time.
        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => host.Bus().SendAsync(new ReserveStock($"o-{i}", 1), Asking("c-1"))));
        await host.WaitUntilQuietAsync();

        Assert.Equal(1, await _shop.QueryAsync(host, database => database.Stock.CountAsync()));
        List<ConsumerRecord> replies = await host.ReadAllAsync("inbox");
        Assert.Equal(8, replies.Count);
        Assert.Single(replies.Select(Value).Distinct());
        await host.StopAsync();
    }

    [Fact]
    public async Task A_worker_that_is_overtaken_rolls_back_and_gives_the_others_reply()
    {
        // The message is stored, and this worker looked just before that.
        _shop.Interceptors.Add(new BlindLookups(count: 1));
        using IHost host = await _shop.StartAsync(endpoint => endpoint.Handle<ReserveStock, Reservation>((command, context, token) =>
            context.OnceAsync(Database(context), ReserveAsync(command, context), token)));
        await StoreAsync(host, "c-1", ReplyStatus.Completed, body: "{\"orderId\":\"theirs\",\"number\":7}");
        await host.Bus().SendAsync(new ReserveStock("o-1", 1), Asking("c-1"));
        await host.WaitUntilQuietAsync();

        Assert.Equal(1, _bodies);
        Assert.Equal(0, await _shop.QueryAsync(host, database => database.Stock.CountAsync()));
        Assert.Equal("{\"orderId\":\"theirs\",\"number\":7}", Value(Assert.Single(await host.ReadAllAsync("inbox"))));
        Assert.Empty(await host.ReadAllAsync("stock.events"));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_refusal_is_stored_with_its_reason_and_with_what_the_body_did()
    {
        using IHost host = await _shop.StartAsync(endpoint => endpoint.Handle<ReserveStock, Reservation>((command, context, token) =>
            context.OnceAsync<Reservation>(
                Database(context),
                async _ =>
                {
                    await Task.Yield();
                    _bodies++;
                    if (command.Count > 100) return Reply.Reject("too-many");
                    return new Reservation(command.OrderId, 1);
                },
                token)));
        await host.Bus().SendAsync(new ReserveStock("o-1", 101), Asking("c-1"));
        await host.Bus().SendAsync(new ReserveStock("o-1", 101), Asking("c-1"));
        await host.WaitUntilQuietAsync();

        Assert.Equal(1, _bodies);
        Assert.Equal([("rejected", "too-many"), ("rejected", "too-many")], (await host.ReadAllAsync("inbox")).Select(StatusOf));
        StoredReply stored = await _shop.QueryAsync(host, database => database.Replies.SingleAsync());
        Assert.Equal(("c-1", "", ReplyStatus.Rejected, "too-many", null), (stored.MessageId, stored.Endpoint, stored.Status, stored.Reason, stored.Body));
        Assert.Equal(_shop.Time.GetUtcNow().UtcDateTime, stored.StoredAt);
        Assert.Equal(DateTimeKind.Utc, stored.StoredAt.Kind);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_refusal_that_nothing_has_made_a_reply_yet_is_a_refusal()
    {
        using IHost host = await _shop.StartAsync(endpoint => endpoint.Handle<ReleaseStock>((_, context, token) =>
            context.OnceAsync(Database(context), _ => Task.FromResult(Reply.Reject("too-late")), token)));
        await host.Bus().SendAsync(new ReleaseStock("o-1"), Asking("c-1"));
        await host.WaitUntilQuietAsync();

        Assert.Equal([("rejected", "too-late")], (await host.ReadAllAsync("inbox")).Select(StatusOf));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_body_that_throws_leaves_nothing_not_even_for_a_handler_that_goes_on()
    {
        using IHost host = await _shop.StartAsync(endpoint => endpoint.Handle<ReserveStock, Reservation>(async (command, context, token) =>
        {
            ShopDatabase database = Database(context);
            await context.PublishAsync(new StockReserved("before", 0), token);
            await Assert.ThrowsAsync<TimeoutException>(() => context.OnceAsync<Reservation>(
                database,
                async inner =>
                {
                    database.Stock.Add(new StockRow { OrderId = command.OrderId });
                    await database.SaveChangesAsync(inner);
                    database.Stock.Add(new StockRow { OrderId = command.OrderId });
                    await context.PublishAsync(new StockReserved(command.OrderId, 1), inner);
                    throw new TimeoutException();
                },
                token));
            await database.SaveChangesAsync(token);
            return new Reservation("went on", 0);
        }));
        await host.Bus().SendAsync(new ReserveStock("o-1", 1), Asking("c-1"));
        await host.WaitUntilQuietAsync();

        Assert.Equal((0, 0), await _shop.QueryAsync(host, async database => (await database.Stock.CountAsync(), await database.Replies.CountAsync())));
        Assert.Equal("before 0", Text(Assert.Single(await host.ReadAllAsync("stock.events"))));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_do_that_comes_after_its_undo_is_refused()
    {
        using IHost host = await StartWithUndoAsync();
        await host.Bus().SendAsync(new ReleaseStock("o-1"), Undoing("u-1", "c-1"));
        await host.WaitUntilQuietAsync();
        await host.Bus().SendAsync(new ReserveStock("o-1", 1), Asking("c-1"));
        await host.Bus().SendAsync(new ReserveStock("o-1", 1), Asking("c-2"));
        await host.WaitUntilQuietAsync();

        Dictionary<string, (string?, string?)> replies = (await host.ReadAllAsync("inbox")).ToDictionary(reply => reply.Header("ce_causationid")!, StatusOf);
        Assert.Equal(("completed", null), replies["u-1"]);
        Assert.Equal(("rejected", "undone"), replies["c-1"]);
        Assert.Equal(("completed", null), replies["c-2"]);
        Assert.Equal(1, await _shop.QueryAsync(host, database => database.Stock.CountAsync()));
        await host.StopAsync();
    }

    [Fact]
    public async Task An_undo_after_its_do_undoes_it_and_leaves_its_reply()
    {
        using IHost host = await StartWithUndoAsync();
        await host.Bus().SendAsync(new ReserveStock("o-1", 1), Asking("c-1"));
        await host.Bus().SendAsync(new ReleaseStock("o-1"), Undoing("u-1", "c-1"));
        await host.Bus().SendAsync(new ReserveStock("o-1", 1), Asking("c-1"));
        await host.WaitUntilQuietAsync();

        Assert.Equal(["completed", "completed", "completed"], (await host.ReadAllAsync("inbox")).Select(reply => reply.Header(ReplyHeaders.Status)));
        Assert.Equal(0, await _shop.QueryAsync(host, database => database.Stock.CountAsync()));
        await host.StopAsync();
    }

    [Fact]
    public async Task An_undo_that_is_overtaken_by_its_do_runs_again_and_undoes_it()
    {
        // The undo looks for its own reply, and then for its do's, just before the do has committed.
        _shop.Interceptors.Add(new BlindLookups(count: 2));
        using IHost host = await StartWithUndoAsync();
        await StoreAsync(host, "c-1", ReplyStatus.Completed, body: null);
        await host.Bus().SendAsync(new ReleaseStock("o-1"), Undoing("u-1", "c-1"));
        Assert.Equal(0, (await host.WaitUntilQuietAsync()).DelayedCount);

        Assert.Equal(2, _bodies);
        Assert.Equal(("completed", null), StatusOf(Assert.Single(await host.ReadAllAsync("inbox"))));
        Assert.Equal(ReplyStatus.Completed, (await _shop.QueryAsync(host, database => database.Replies.SingleAsync(reply => reply.MessageId == "c-1"))).Status);
        await host.StopAsync();
    }

    [Fact]
    public async Task An_event_is_handled_once_at_each_endpoint()
    {
        using IHost host = await _shop.StartAsync(
            endpoint => endpoint.Handle<StockReserved>(CountAsync),
            millrace => millrace.AddEndpoint("mail", endpoint => endpoint.Handle<StockReserved>(CountAsync)));
        for (int i = 0; i < 3; i++) await host.Bus().PublishAsync(new StockReserved("o-1", 1), new MessageOptions { MessageId = "e-1" });
        await host.WaitUntilQuietAsync();

        Assert.Equal(2, await _shop.QueryAsync(host, database => database.Stock.CountAsync()));
        Assert.Equal(["mail", "stock"], (await _shop.QueryAsync(host, database => database.Replies.ToListAsync())).Select(reply => reply.Endpoint).Order());
        await host.StopAsync();

        Task CountAsync(StockReserved message, MessageContext context, CancellationToken cancellationToken)
        {
            ShopDatabase database = Database(context);
            return context.OnceAsync(
                database,
                async token =>
                {
                    await Task.Yield();
                    database.Stock.Add(new StockRow { OrderId = context.Endpoint });
                },
                cancellationToken);
        }
    }

    [Fact]
    public async Task An_attempt_of_the_databases_strategy_begins_where_the_first_began()
    {
        _shop.Strategy = dependencies => new OneMoreTime(dependencies);
        using IHost host = await _shop.StartAsync(endpoint => endpoint.Handle<ReserveStock, Reservation>((command, context, token) =>
        {
            ShopDatabase database = Database(context);
            return context.OnceAsync<Reservation>(
                database,
                async inner =>
                {
                    database.Stock.Add(new StockRow { OrderId = command.OrderId });
                    await context.PublishAsync(new StockReserved(command.OrderId, 1), inner);
                    if (++_bodies == 1) throw new ConnectionLostException();
                    return new Reservation(command.OrderId, database.ChangeTracker.Entries().Count());
                },
                token);
        }));
        await host.Bus().SendAsync(new ReserveStock("o-1", 1), Asking("c-1"));
        Assert.Equal(0, (await host.WaitUntilQuietAsync()).DelayedCount);

        Assert.Equal(2, _bodies);
        Assert.Equal(1, await _shop.QueryAsync(host, database => database.Stock.CountAsync()));
        Assert.Single(await host.ReadAllAsync("stock.events"));
        Assert.Equal("{\"orderId\":\"o-1\",\"number\":1}", Value(Assert.Single(await host.ReadAllAsync("inbox"))));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_database_without_the_table_and_an_open_transaction_are_refused_with_what_to_do()
    {
        List<string> problems = [];
        using IHost host = await _shop.StartAsync(endpoint => endpoint.Handle<ReserveStock, Reservation>(async (_, context, token) =>
        {
            OtherDatabase other = context.Services.GetRequiredService<OtherDatabase>();
            problems.Add((await Assert.ThrowsAsync<InvalidOperationException>(() => context.OnceAsync(other, _ => Task.CompletedTask, token))).Message);
            ShopDatabase database = Database(context);
            await using IDbContextTransaction transaction = await database.Database.BeginTransactionAsync(token);
            problems.Add((await Assert.ThrowsAsync<InvalidOperationException>(() => context.OnceAsync(database, _ => Task.CompletedTask, token))).Message);
            return new Reservation("", 0);
        }));
        await host.Bus().SendAsync(new ReserveStock("o-1", 1));
        await host.WaitUntilQuietAsync();
        await host.StopAsync();

        Assert.Contains("OtherDatabase has no table for stored replies. Call modelBuilder.AddMillraceStoredReplies()", problems[0], StringComparison.Ordinal);
        Assert.Contains("ShopDatabase has a transaction open", problems[1], StringComparison.Ordinal);
    }

    private Task<IHost> StartWithUndoAsync() => _shop.StartAsync(endpoint => endpoint
        .Handle<ReserveStock, Reservation>((command, context, token) => context.OnceAsync(Database(context), ReserveAsync(command, context), token))
        .Handle<ReleaseStock>((command, context, cancellationToken) =>
        {
            ShopDatabase database = Database(context);
            return context.OnceAsync(
                database,
                async token =>
                {
                    _bodies++;
                    database.Stock.RemoveRange(await database.Stock.Where(row => row.OrderId == command.OrderId).ToListAsync(token));
                },
                cancellationToken);
        }));

    private Func<CancellationToken, Task<Reply<Reservation>>> ReserveAsync(ReserveStock command, MessageContext context) => async token =>
    {
        int number = Interlocked.Increment(ref _bodies);
        Database(context).Stock.Add(new StockRow { OrderId = command.OrderId });
        for (int i = 1; i <= command.Count; i++) await context.PublishAsync(new StockReserved(command.OrderId, i), token);
        return new Reservation(command.OrderId, number);
    };

    private async Task StoreAsync(IHost host, string messageId, ReplyStatus status, string? body)
    {
        await _shop.QueryAsync(host, async database =>
        {
            database.Replies.Add(new StoredReply { MessageId = messageId, Endpoint = "", Status = status, Body = body, Outputs = "[]", StoredAt = DateTime.UnixEpoch });
            return await database.SaveChangesAsync();
        });
    }

    private static ShopDatabase Database(MessageContext context) => context.Services.GetRequiredService<ShopDatabase>();

    private static MessageOptions Asking(string id) =>
        new() { MessageId = id, Headers = [new(ReplyHeaders.ReplyTo, "inbox"), new(ReplyHeaders.ReplyKey, "saga/1")] };

    private static MessageOptions Undoing(string id, string undoes) => Asking(id) with
    {
        Headers = [.. Asking(id).Headers, new(ReplyHeaders.Undoes, undoes)],
    };

    private static string Value(ConsumerRecord record) => Encoding.UTF8.GetString(record.Value!.Value.Span);

    private static string Text(ConsumerRecord record)
    {
        StockReserved message = JsonSerializer.Deserialize<StockReserved>(record.Value!.Value.Span, JsonSerializerOptions.Web)!;
        return $"{message.OrderId} {message.Number}";
    }

    private static (string? Status, string? Reason) StatusOf(ConsumerRecord reply) => (reply.Header(ReplyHeaders.Status), reply.Header(ReplyHeaders.Reason));

    /// <summary>Lets the first lookups of stored replies find nothing, as they would have just before another worker's commit.</summary>
    private sealed class BlindLookups(int count) : DbCommandInterceptor
    {
        private int _left = count;

        public override ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
            DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken = default)
        {
            bool isLookup = command.CommandText.StartsWith("SELECT", StringComparison.Ordinal) && command.CommandText.Contains("millrace_stored_replies", StringComparison.Ordinal);
            if (isLookup && Interlocked.Decrement(ref _left) >= 0) command.CommandText = command.CommandText.Replace("WHERE", "WHERE 0 AND", StringComparison.Ordinal);
            return new(result);
        }
    }

    private sealed class ConnectionLostException : Exception;

    private sealed class OneMoreTime(ExecutionStrategyDependencies dependencies) : ExecutionStrategy(dependencies, maxRetryCount: 1, maxRetryDelay: TimeSpan.Zero)
    {
        protected override bool ShouldRetryOn(Exception exception) => exception is ConnectionLostException;
    }
}
