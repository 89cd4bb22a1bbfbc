using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;

namespace Millrace.Testing.Tests;

public sealed class HostTests(ITestOutputHelper output)
{
    private readonly ConcurrentQueue<string> _seen = new();

    [Fact]
    public async Task Quiet_waits_for_all_that_follows_and_the_log_tells_what_was_published_and_sent()
    {
        await using MillraceTestHost host = await StartAsync(Mill);

        await host.Bus.PublishAsync(new GrainDelivered("A", 1));
        await host.Bus.PublishAsync(new GrainDelivered("A", 2));
        await host.WaitUntilQuietAsync();

        Assert.Equal([new GrainDelivered("A", 1), new GrainDelivered("A", 2)], host.Published<GrainDelivered>());
        Assert.Equal([new Grind("A", 1), new Grind("A", 2)], host.Sent<Grind>());
        Assert.Equal([new FlourGround("A", 1), new FlourGround("A", 2)], host.Published<FlourGround>());
        Assert.Equal(["sold A 1", "sold A 2"], _seen);
    }

    [Fact]
    public async Task Logged_messages_tell_their_place_in_the_chain_and_their_virtual_time()
    {
        await using MillraceTestHost host = await StartAsync(Mill, options => options.StartTime = new DateTimeOffset(2031, 5, 1, 12, 0, 0, TimeSpan.Zero));

        await host.Bus.PublishAsync(new GrainDelivered("A", 1), new MessageOptions { MessageId = "first" });
        await host.WaitUntilQuietAsync();

        LoggedMessage<Grind> grind = Assert.Single(host.Logged<Grind>());
        Assert.Equal(("first", "first", "A"), (grind.CausationId, grind.CorrelationId, grind.Key));
        LoggedMessage<FlourGround> ground = Assert.Single(host.Logged<FlourGround>());
        Assert.Equal((grind.MessageId, "first"), (ground.CausationId, ground.CorrelationId));
        Assert.Equal(new DateTimeOffset(2031, 5, 1, 12, 0, 0, TimeSpan.Zero), ground.Time);
        Assert.Equal("mill.flour-ground.v1", ground.Headers["ce_type"]);
    }

    [Fact]
    public async Task A_retry_waits_for_the_clock_and_quiet_does_not_wait_for_it()
    {
        await using MillraceTestHost host = await StartAsync(millrace => millrace.AddEndpoint("mill", endpoint =>
        {
            endpoint.Failures.OnAnyException().Retry(5, Backoff.Exponential(TimeSpan.FromMinutes(1), jitter: 0)).ThenDeadLetter();
            endpoint.Handle<Grind>((_, context, _) =>
            {
                _seen.Enqueue($"attempt {context.Attempt}");
                return context.Attempt < 4 ? throw new InvalidOperationException("The wind is down.") : Task.CompletedTask;
            });
        }));
        await host.Bus.SendAsync(new Grind("A", 1));

        MessagingState state = await host.WaitUntilQuietAsync();
        Assert.Equal(1, state.DelayedCount);
        Assert.Equal(host.Time.GetUtcNow() + TimeSpan.FromMinutes(1), state.NextRetry);
        Assert.Equal(["attempt 1"], _seen);

        await host.AdvanceAsync(TimeSpan.FromMinutes(1) - TimeSpan.FromTicks(1));
        Assert.Equal(["attempt 1"], _seen);
        await host.AdvanceAsync(TimeSpan.FromTicks(1));
        Assert.Equal(["attempt 1", "attempt 2"], _seen);

        // After 2 and then 4 more minutes: both lie on the way, one behind the other.
        await host.AdvanceAsync(TimeSpan.FromMinutes(6));
        Assert.Equal(["attempt 1", "attempt 2", "attempt 3", "attempt 4"], _seen);
        Assert.Equal(0, (await host.WaitUntilQuietAsync()).DelayedCount);
    }

    [Fact]
    public async Task Exhausted_retries_are_dead_letters()
    {
        await using MillraceTestHost host = await StartAsync(millrace => millrace.AddEndpoint("mill", endpoint =>
        {
            endpoint.Failures.OnAnyException().Retry(2, Backoff.Exponential(TimeSpan.FromSeconds(1))).ThenDeadLetter();
            endpoint.Handle<Grind>((_, _, _) => throw new InvalidOperationException("The stone is broken."));
        }));
        await host.Bus.SendAsync(new Grind("A", 7));

        await host.AdvanceAsync(TimeSpan.FromHours(1));

        LoggedDeadLetter letter = Assert.Single(host.DeadLetters("mill"));
        Assert.Equal(("mill.grind.v1", "A", 3), (letter.Type, letter.Key, letter.Attempts));
        Assert.Equal(("System.InvalidOperationException", "The stone is broken."), (letter.ErrorType, letter.ErrorMessage));
        Assert.Contains("7", letter.Body, StringComparison.Ordinal);
        Assert.Single(host.Sent<Grind>());
    }

    [Fact]
    public async Task The_clock_of_the_application_does_not_move_the_sessions_with_the_broker()
    {
        await using MillraceTestHost host = await StartAsync(Mill);
        await host.Bus.PublishAsync(new GrainDelivered("A", 1));

        await host.AdvanceAsync(TimeSpan.FromDays(365));
        await host.Bus.PublishAsync(new GrainDelivered("A", 2));
        await host.WaitUntilQuietAsync();

        Assert.Equal(["sold A 1", "sold A 2"], _seen);
    }

    [Fact]
    public async Task A_handler_that_does_not_end_is_named_when_quiet_does_not_come()
    {
        TaskCompletionSource hasBegun = new();
        await using MillraceTestHost host = await StartAsync(millrace => millrace.AddEndpoint("mill", endpoint =>
            endpoint.Handle<Grind>((_, _, cancellationToken) =>
            {
                hasBegun.TrySetResult();
                return new TaskCompletionSource().Task.WaitAsync(cancellationToken);
            })));
        await host.Bus.SendAsync(new Grind("A", 1));
        await hasBegun.Task.WaitAsync(TestContext.Current.CancellationToken);

        TimeoutException late = await Assert.ThrowsAsync<TimeoutException>(() => host.WaitUntilQuietAsync(TimeSpan.FromMilliseconds(300)));

        Assert.Contains("1 messages are being handled", late.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Instances_of_the_test_survive_a_crash_and_those_of_the_container_do_not()
    {
        List<string> ledger = [];
        await using MillraceTestHost host = await StartAsync(millrace =>
        {
            millrace.Services.AddSingleton(ledger);
            millrace.Services.AddSingleton<object>(_ => new object());
        });
        object before = host.Services.GetRequiredService<object>();

        await host.CrashAndRestartAsync();

        Assert.Same(ledger, host.Services.GetRequiredService<List<string>>());
        Assert.NotSame(before, host.Services.GetRequiredService<object>());
    }

    [Fact]
    public async Task An_application_that_says_where_it_runs_runs_on_the_simulated_disk_all_the_same()
    {
        await using MillraceTestHost host = await StartAsync(millrace =>
        {
            millrace.UseKafka("nowhere.invalid:9092");
            millrace.Services.AddSingleton(TimeProvider.System);
        });
        long before = host.StorageOperationCount;

        await host.Bus.PublishAsync(new GrainDelivered("A", 1));

        Assert.True(host.StorageOperationCount > before);
        Assert.Same(host.Time, host.Services.GetRequiredService<TimeProvider>());
    }

    [Fact]
    public async Task A_type_that_is_no_event_is_refused()
    {
        await using MillraceTestHost host = await StartAsync(_ => { });

        Assert.Throws<ArgumentException>(() => host.Published<Grind>());
        Assert.Throws<ArgumentException>(() => host.Sent<FlourSold>());
        Assert.Throws<ArgumentException>(() => host.Logged<string>());
    }

    [Fact]
    public async Task A_wrong_configuration_is_reported_as_the_application_itself_would()
    {
        MillraceConfigurationException wrong = await Assert.ThrowsAsync<MillraceConfigurationException>(() => StartAsync(millrace =>
        {
            millrace.AddEndpoint("one", endpoint => endpoint.Handle<Grind>(_ => { }));
            millrace.AddEndpoint("two", endpoint => endpoint.Handle<Grind>(_ => { }));
        }));

        Assert.Contains("handled by 2 endpoints", wrong.Message, StringComparison.Ordinal);
    }

    /// <summary>Delivered grain is ground, and flour is sold: an event, a command, an event, and an end.</summary>
    private void Mill(MillraceBuilder millrace)
    {
        millrace.AddEndpoint("yard", endpoint => endpoint.Handle<GrainDelivered>((message, context, cancellationToken) =>
            context.SendAsync(new Grind(message.Farm, message.Sacks), cancellationToken)));
        millrace.AddEndpoint("mill", endpoint => endpoint.Handle<Grind>((message, context, cancellationToken) =>
            context.PublishAsync(new FlourGround(message.Farm, message.Sacks), cancellationToken)));
        millrace.AddEndpoint("shop", endpoint => endpoint.Handle<FlourGround>(message => _seen.Enqueue($"sold {message.Farm} {message.Sacks}")));
    }

    private Task<MillraceTestHost> StartAsync(Action<MillraceBuilder> configure, Action<TestHostOptions>? configureOptions = null) =>
        MillraceTestHost.StartAsync(configure, options =>
        {
            options.Log = output.WriteLine;
            configureOptions?.Invoke(options);
        });
}
