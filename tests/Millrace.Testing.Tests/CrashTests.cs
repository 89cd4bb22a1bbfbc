using System.Collections.Concurrent;

namespace Millrace.Testing.Tests;

public sealed class CrashTests(ITestOutputHelper output)
{
    [Fact]
    public async Task A_crash_keeps_what_was_acknowledged()
    {
        await using MillraceTestHost host = await StartAsync(_ => { });
        for (int i = 1; i <= 20; i++) await host.Bus.PublishAsync(new GrainDelivered("A", i));

        await host.CrashAndRestartAsync();

        Assert.Equal(Enumerable.Range(1, 20), host.Published<GrainDelivered>().Select(message => message.Sacks));
        Assert.Equal(1, host.CrashCount);
    }

    [Fact]
    public async Task A_disk_that_ignores_flushes_loses_what_was_acknowledged()
    {
        await using MillraceTestHost host = await StartAsync(_ => { });
        await host.Bus.PublishAsync(new GrainDelivered("A", 0));
        host.IgnoresFlushes = true;
        for (int i = 1; i <= 20; i++) await host.Bus.PublishAsync(new GrainDelivered("A", i));

        await host.CrashAndRestartAsync();

        Assert.NotEqual(21, host.Published<GrainDelivered>().Count);
    }

    [Fact]
    public async Task A_message_whose_handler_was_cut_short_is_handled_again()
    {
        ConcurrentQueue<int> attempts = new();
        MillraceTestHost? host = null;
        await using MillraceTestHost started = await StartAsync(millrace => millrace.AddEndpoint("mill", endpoint => endpoint.Handle<Grind>(async (_, context, cancellationToken) =>
        {
            attempts.Enqueue(context.Attempt);
            if (attempts.Count > 1) return;
            host!.CutPower();
            await new TaskCompletionSource().Task.WaitAsync(cancellationToken);
        })));
        host = started;

        await host.Bus.SendAsync(new Grind("A", 1));
        await host.WaitUntilQuietAsync();

        Assert.Equal([1, 1], attempts);
        Assert.Equal(1, host.CrashCount);
    }

    [Fact]
    public async Task The_next_start_waits_until_handlers_of_the_last_one_have_heeded_their_cancellation()
    {
        ConcurrentQueue<string> seen = new();
        MillraceTestHost? host = null;
        await using MillraceTestHost started = await StartAsync(millrace => millrace.AddEndpoint("mill", endpoint => endpoint.Handle<Grind>(async (_, _, cancellationToken) =>
        {
            seen.Enqueue("begins");
            if (seen.Count > 1) return;
            TaskCompletionSource cancelled = new();
            await using CancellationTokenRegistration registration = cancellationToken.Register(() => cancelled.SetResult());
            host!.CutPower();
            await cancelled.Task;

            // Real time: what a handler still does in its database when it is told to end.
            await Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System, CancellationToken.None);
            seen.Enqueue("ends");
        })));
        host = started;

        await host.Bus.SendAsync(new Grind("A", 1));
        await host.WaitUntilQuietAsync();

        Assert.Equal(["begins", "ends", "begins"], seen);
    }

    [Fact]
    public async Task The_clock_goes_on_across_a_crash_and_the_timers_of_the_dead_do_not_fire()
    {
        int fired = 0;
        await using MillraceTestHost host = await StartAsync(_ => { });
        await using ITimer timer = host.Time.CreateTimer(_ => fired++, null, TimeSpan.FromMinutes(1), Timeout.InfiniteTimeSpan);
        DateTimeOffset start = host.Time.GetUtcNow();
        await host.AdvanceAsync(TimeSpan.FromSeconds(30));

        await host.CrashAndRestartAsync();
        await host.AdvanceAsync(TimeSpan.FromHours(1));

        Assert.Equal(TimeSpan.FromSeconds(3630), host.Time.GetUtcNow() - start);
        Assert.Equal(0, fired);
    }

    [Fact]
    public async Task A_clean_restart_handles_nothing_again()
    {
        ConcurrentQueue<int> handled = new();
        await using MillraceTestHost host = await StartAsync(millrace => millrace.AddEndpoint("mill", endpoint => endpoint.Handle<Grind>(message => handled.Enqueue(message.Sacks))));
        for (int i = 1; i <= 10; i++) await host.Bus.SendAsync(new Grind("A", i));
        await host.WaitUntilQuietAsync();

        await host.RestartAsync();
        await host.Bus.SendAsync(new Grind("A", 11));
        await host.WaitUntilQuietAsync();

        Assert.Equal(Enumerable.Range(1, 11), handled);
        Assert.Equal(0, host.CrashCount);
    }

    [Fact]
    public async Task New_messages_after_a_crash_do_not_take_the_ids_of_old_ones()
    {
        await using MillraceTestHost host = await StartAsync(_ => { });
        await host.Bus.PublishAsync(new GrainDelivered("A", 1));

        await host.CrashAndRestartAsync();
        await host.Bus.PublishAsync(new GrainDelivered("A", 2));

        Assert.Equal(2, host.Logged<GrainDelivered>().Select(message => message.MessageId).Distinct().Count());
    }

    [Fact]
    public async Task A_publish_that_the_crash_cut_off_fails_and_the_host_is_down_until_it_is_restarted()
    {
        await using MillraceTestHost host = await StartAsync(_ => { });
        await host.Bus.PublishAsync(new GrainDelivered("A", 1));
        host.CrashAfter(0);

        await Assert.ThrowsAnyAsync<Exception>(() => host.Bus.PublishAsync(new GrainDelivered("A", 2)));

        Assert.True(host.IsDown);
        Assert.True(await host.RestartIfDownAsync());
        Assert.False(host.IsDown);
        Assert.False(await host.RestartIfDownAsync());
        Assert.Contains(new GrainDelivered("A", 1), host.Published<GrainDelivered>());
    }

    private Task<MillraceTestHost> StartAsync(Action<MillraceBuilder> configure, Action<TestHostOptions>? configureOptions = null) =>
        MillraceTestHost.StartAsync(configure, options =>
        {
            options.Log = output.WriteLine;
            configureOptions?.Invoke(options);
        });
}
