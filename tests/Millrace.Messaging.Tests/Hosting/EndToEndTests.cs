using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Millrace.Messaging.Tests;

/// <summary>Whole applications over the embedded broker, with real files.</summary>
public sealed class EndToEndTests : IDisposable
{
    private readonly TestApplication _application = new();

    public void Dispose() => _application.Dispose();

    [Fact]
    public async Task A_published_event_reaches_every_endpoint_with_its_envelope()
    {
        Seen<(OrderShipped Message, MessageContext Context)> first = new(), second = new();
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.AddEndpoint("first", endpoint => endpoint.Handle<OrderShipped>((message, context, _) => See(first, message, context)));
            millrace.AddEndpoint("second", endpoint => endpoint.Handle<OrderShipped>((message, context, _) => See(second, message, context)));
        });

        DateTimeOffset before = TimeProvider.System.GetUtcNow();
        await host.Bus().PublishAsync(new OrderShipped("4711"), new MessageOptions { Headers = [new("tenant", "blue")] });

        (OrderShipped message, MessageContext context) = Assert.Single(await first.WaitAsync(1));
        Assert.Equal("4711", message.OrderId);
        Assert.Equal("4711", context.Key);
        Assert.Equal("shop.order-shipped.v1", context.Type);
        Assert.Equal("Shop", context.Source);
        Assert.Equal("first", context.Endpoint);
        Assert.Equal(context.MessageId, context.CorrelationId);
        Assert.Null(context.CausationId);
        Assert.Equal(1, context.Attempt);
        Assert.Equal($"first/{context.MessageId}", context.IdempotencyKey);
        Assert.Equal("shop.events", context.TopicPartition.Topic);
        Assert.Equal("blue", context.FindHeader("tenant"));
        Assert.InRange(context.Time, before.AddSeconds(-1), before.AddMinutes(2));

        MessageContext other = Assert.Single(await second.WaitAsync(1)).Context;
        Assert.Equal(context.MessageId, other.MessageId);
        Assert.NotEqual(context.IdempotencyKey, other.IdempotencyKey);
        await host.StopAsync();
    }

    [Fact]
    public async Task Keys_run_in_parallel_and_each_in_order()
    {
        const int keyCount = 8, perKey = 40;
        Seen<(string Key, int Number)> seen = new();
        int running = 0, mostRunning = 0;
        using IHost host = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint =>
        {
            endpoint.MaxConcurrency = 4;
            endpoint.Handle<Numbered>(async (message, _, _) =>
            {
                int now = Interlocked.Increment(ref running);
                InterlockedMax(ref mostRunning, now);
                await Task.Yield();
                seen.Add((message.Key, message.Number));
                Interlocked.Decrement(ref running);
            });
        }));

        await Task.WhenAll(Enumerable.Range(0, keyCount).Select(async key =>
        {
            for (int i = 0; i < perKey; i++) await host.Bus().PublishAsync(new Numbered($"k{key}", i));
        }));

        List<(string Key, int Number)> handled = await seen.WaitAsync(keyCount * perKey);
        foreach (IGrouping<string, (string Key, int Number)> key in handled.GroupBy(item => item.Key))
            Assert.Equal(Enumerable.Range(0, perKey), key.Select(item => item.Number));
        Assert.InRange(mostRunning, 1, 4);
        await host.StopAsync();
    }

    [Fact]
    public async Task Different_keys_are_handled_at_the_same_time()
    {
        TaskCompletionSource bothAreHere = new(TaskCreationOptions.RunContinuationsAsynchronously);
        int here = 0;
        Seen<string> seen = new();
        using IHost host = await _application.StartAsync(millrace => millrace.AddEndpoint("pair", endpoint => endpoint.Handle<Numbered>(async (message, _, _) =>
        {
            if (Interlocked.Increment(ref here) == 2) bothAreHere.SetResult();
            await bothAreHere.Task.WaitAsync(TestApplication.Patience);
            seen.Add(message.Key);
        })));

        await host.Bus().PublishAsync(new Numbered("a", 1));
        await host.Bus().PublishAsync(new Numbered("b", 1));

        Assert.Equal(["a", "b"], (await seen.WaitAsync(2)).Order());
        await host.StopAsync();
    }

    [Fact]
    public async Task A_failing_key_is_retried_in_order_while_others_flow()
    {
        Seen<string> seen = new();
        TaskCompletionSource repaired = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using IHost host = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>((message, context, _) =>
        {
            if (message.Key == "bad" && message.Number == 1 && !repaired.Task.IsCompleted)
            {
                seen.Add($"failed {context.Attempt}");
                throw new InvalidOperationException("The gateway is down.");
            }

            seen.Add($"{message.Key} {message.Number}");
            return Task.CompletedTask;
        })));

        await host.Bus().PublishAsync(new Numbered("bad", 1));
        await host.Bus().PublishAsync(new Numbered("bad", 2));
        for (int i = 1; i <= 10; i++) await host.Bus().PublishAsync(new Numbered($"good{i}", i));
        await seen.WaitAsync(items => items.Count(item => item.StartsWith("good", StringComparison.Ordinal)) == 10 && items.Contains("failed 3"));
        repaired.SetResult();

        List<string> all = await seen.WaitAsync(items => items.Contains("bad 2"));
        Assert.Equal(["bad 1", "bad 2"], all.Where(item => item.StartsWith("bad", StringComparison.Ordinal)));
        Assert.Contains(_application.Logs, line => line.Contains("attempt 1", StringComparison.Ordinal) && line.Contains("its key waits", StringComparison.Ordinal));
        await host.StopAsync();
    }

    [Fact]
    public async Task After_a_stop_nothing_is_handled_again_and_what_waited_is_handled()
    {
        Seen<int> before = new(), after = new();
        using (IHost host = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => before.Add(message.Number)))))
        {
            for (int i = 1; i <= 5; i++) await host.Bus().PublishAsync(new Numbered("a", i));
            await before.WaitAsync(5);
            await host.StopAsync();
        }

        using (IHost publisher = await _application.StartAsync(_ => { }))
        {
            for (int i = 6; i <= 8; i++) await publisher.Bus().PublishAsync(new Numbered("a", i));
            await publisher.StopAsync();
        }

        using IHost again = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => after.Add(message.Number))));
        Assert.Equal([6, 7, 8], await after.WaitAsync(3));
        await again.StopAsync();
    }

    [Fact]
    public async Task After_a_crash_every_acknowledged_message_is_handled()
    {
        Assert.SkipWhen(TestCluster.IsExternal, "The test crashes its embedded broker.");
        Seen<int> before = new(), after = new();
        using (IHost host = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(async (message, _, cancellationToken) =>
        {
            before.Add(message.Number);
            if (message.Number == 3) await new TaskCompletionSource().Task.WaitAsync(cancellationToken);
        }))))
        {
            for (int i = 1; i <= 5; i++) await host.Bus().PublishAsync(new Numbered("a", i));
            await before.WaitAsync(3);
            host.Services.GetRequiredService<EmbeddedBroker>().Abort();
        }

        using IHost again = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => after.Add(message.Number))));
        List<int> handled = await after.WaitAsync(items => items.Contains(5));
        Assert.Equal(Enumerable.Range(handled[0], 6 - handled[0]), handled);
        Assert.InRange(handled[0], 1, 3);
        await again.StopAsync();
    }

    [Fact]
    public async Task A_chain_of_messages_shares_its_correlation_and_its_trace_and_tells_its_causes()
    {
        List<Activity> activities = [];
        using ActivityListener listener = new()
        {
            ShouldListenTo = source => source.Name == "Millrace.Messaging",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activity =>
            {
                lock (activities) activities.Add(activity);
            },
        };
        ActivitySource.AddActivityListener(listener);
        Seen<(MessageContext Context, ActivityTraceId Trace)> hops = new();
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.AddEndpoint("payment", endpoint => endpoint.Handle<RefundPayment>(async (command, context, cancellationToken) =>
            {
                hops.Add((context, Activity.Current!.TraceId));
                await context.PublishAsync(new OrderCreated(command.OrderId, 1), cancellationToken);
            }));
            millrace.AddEndpoint("mail", endpoint => endpoint.Handle<OrderCreated>((_, context, _) =>
            {
                hops.Add((context, Activity.Current!.TraceId));
                return Task.CompletedTask;
            }));
        });

        await host.Bus().SendAsync(new RefundPayment(Guid.Empty), new MessageOptions { CorrelationId = "chain" });
        List<(MessageContext Context, ActivityTraceId Trace)> seen = await hops.WaitAsync(2);
        await host.StopAsync();

        Assert.Equal(["chain", "chain"], seen.Select(hop => hop.Context.CorrelationId));
        Assert.Null(seen[0].Context.CausationId);
        Assert.Equal(seen[0].Context.MessageId, seen[1].Context.CausationId);
        Assert.Equal(seen[0].Trace, seen[1].Trace);

        List<Activity> trace;
        lock (activities) trace = [.. activities.Where(activity => activity.TraceId == seen[0].Trace).OrderBy(activity => activity.StartTimeUtc)];
        Assert.Equal(
            ["send payment.commands", "process payment.commands", "send shop.events", "process shop.events"], trace.Select(activity => activity.OperationName));
        Assert.Equal(trace[0].SpanId, trace[1].ParentSpanId);
        Assert.Equal(trace[1].SpanId, trace[2].ParentSpanId);
        Assert.Equal(trace[2].SpanId, trace[3].ParentSpanId);
        Assert.Equal([ActivityKind.Producer, ActivityKind.Consumer, ActivityKind.Producer, ActivityKind.Consumer], trace.Select(activity => activity.Kind));
        Assert.Equal("payment", trace[1].GetTagItem("messaging.consumer.group.name"));
    }

    [Fact]
    public async Task A_handler_that_fails_has_published_nothing_and_publishes_the_same_ids_when_it_runs_again()
    {
        Seen<string> outputs = new();
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.AddEndpoint("orders", endpoint => endpoint.Handle<OrderShipped>(async (message, context, cancellationToken) =>
            {
                await context.PublishAsync(new Audited(context.Attempt), cancellationToken);
                await context.PublishAsync(new Numbered(message.OrderId, context.Attempt), cancellationToken);
                if (context.Attempt < 3) throw new InvalidOperationException("Not yet.");
            }));
            millrace.AddEndpoint("audit", endpoint => endpoint
                .Handle<Audited>((message, context, _) => See(outputs, $"audited {message.Number} {context.Headers.Count}"))
                .Handle<Numbered>((message, context, _) => See(outputs, $"numbered {message.Number} {context.MessageId}")));
        });

        await host.Bus().PublishAsync(new OrderShipped("a"), new MessageOptions { MessageId = "m-1" });
        List<string> seen = await outputs.WaitAsync(2);
        await host.StopAsync();

        Assert.Equal(2, seen.Count);
        Assert.Single(seen, item => item.StartsWith("audited 3", StringComparison.Ordinal));
        Guid id = MessageIdSource.Derive("orders", "m-1", "test.numbered.v1", "a"u8, 0);
        Assert.Contains($"numbered 3 {id}", seen);
    }

    [Fact]
    public async Task At_most_once_handles_nothing_twice_and_retries_nothing()
    {
        Seen<int> seen = new();
        using IHost host = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint =>
        {
            endpoint.Delivery = DeliveryMode.AtMostOnce;
            endpoint.Handle<Numbered>(message =>
            {
                seen.Add(message.Number);
                if (message.Number == 2) throw new InvalidOperationException("Lost.");
            });
        }));
        for (int i = 1; i <= 4; i++) await host.Bus().PublishAsync(new Numbered("a", i));

        Assert.Equal([1, 2, 3, 4], await seen.WaitAsync(4));
        Assert.Contains(_application.Logs, line => line.Contains("is given up: the endpoint delivers at most once", StringComparison.Ordinal));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_handler_class_lives_in_a_scope_of_its_own_and_answers_commands()
    {
        Seen<string> seen = new();
        using IHost host = await _application.StartAsync(
            millrace => millrace.AddEndpoint("payment", endpoint => endpoint.AddHandlers<PaymentHandlers>()),
            builder => builder.Services.AddSingleton(seen));

        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 10));
        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 1_000));
        await seen.WaitAsync(2);
        await host.StopAsync();

        Assert.Contains(_application.Logs, line => line.Contains("was refused by the endpoint 'payment': too-much", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_stop_lets_a_running_handler_end()
    {
        TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously), mayEnd = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Seen<int> ended = new();
        // The clock tells when the stop begins to wait for handlers: it sets a timer of exactly this length.
        TimeSpan drainTimeout = TimeSpan.FromMilliseconds(54_321);
        TimerWatch time = new(drainTimeout);
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.Configure(options => (options.DrainTimeout, options.InfrastructureTime) = (drainTimeout, time));
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(async (message, _, cancellationToken) =>
            {
                started.TrySetResult();
                await mayEnd.Task.WaitAsync(cancellationToken);
                ended.Add(message.Number);
            }));
        });
        await host.Bus().PublishAsync(new Numbered("a", 1));
        await started.Task.WaitAsync(TestApplication.Patience);

        Task stop = host.StopAsync();
        await time.TimerSet.WaitAsync(TestApplication.Patience);
        mayEnd.SetResult();
        await stop;

        Assert.Equal([1], ended.Items);
        Seen<int> again = new();
        using IHost next = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => again.Add(message.Number))));
        await next.Bus().PublishAsync(new Numbered("a", 2));
        Assert.Equal([2], await again.WaitAsync(1));
        await next.StopAsync();
    }

    [Fact]
    public async Task A_stop_cancels_a_handler_that_does_not_end_and_its_message_is_handled_again()
    {
        TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using (IHost host = await _application.StartAsync(millrace =>
        {
            millrace.Configure(options => options.DrainTimeout = TimeSpan.FromMilliseconds(50));
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(async (_, _, cancellationToken) =>
            {
                started.TrySetResult();
                await new TaskCompletionSource().Task.WaitAsync(cancellationToken);
            }));
        }))
        {
            await host.Bus().PublishAsync(new Numbered("a", 1));
            await started.Task.WaitAsync(TestApplication.Patience);
            await host.StopAsync();
        }

        Seen<int> again = new();
        using IHost next = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => again.Add(message.Number))));
        Assert.Equal([1], await again.WaitAsync(1));
        await next.StopAsync();
    }

    private static Task See<T>(Seen<(T, MessageContext)> seen, T message, MessageContext context)
    {
        seen.Add((message, context));
        return Task.CompletedTask;
    }

    private static Task See(Seen<string> seen, string text)
    {
        seen.Add(text);
        return Task.CompletedTask;
    }

    private static void InterlockedMax(ref int target, int value)
    {
        int current = target;
        while (value > current)
        {
            int before = Interlocked.CompareExchange(ref target, value, current);
            if (before == current) return;
            current = before;
        }
    }

    private sealed class PaymentHandlers(Seen<string> seen)
    {
        public async Task<Reply<PaymentReceipt>> HandleAsync(ChargePayment command, MessageContext context, CancellationToken cancellationToken)
        {
            await Task.Yield();
            cancellationToken.ThrowIfCancellationRequested();
            seen.Add(context.MessageId);
            if (command.Amount > 100) return Reply.Reject("too-much");
            return new PaymentReceipt("1");
        }
    }
}

[Event("test.numbered")]
public sealed record Numbered([property: MessageKey] string Key, int Number);
