using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Millrace.Messaging.Tests;

public sealed class MessagingActivityTests : IDisposable
{
    private readonly TestApplication _application = new();

    public void Dispose() => _application.Dispose();

    [Theory]
    [InlineData(DeliveryMode.AtLeastOnce)]
    [InlineData(DeliveryMode.AtMostOnce)]
    public async Task An_application_is_quiet_only_when_all_that_follows_has_been_handled(DeliveryMode delivery)
    {
        const int rounds = 30, hops = 5;
        int handled = 0;
        using IHost host = await _application.StartAsync(millrace =>
        {
            // Each hop crosses to the other endpoint, and back.
            millrace.AddEndpoint("numbers", endpoint =>
            {
                endpoint.Delivery = delivery;
                endpoint.Handle<Numbered>(async (message, context, cancellationToken) =>
                {
                    await Task.Yield();
                    await context.PublishAsync(new Audited(message.Number), cancellationToken);
                    Interlocked.Increment(ref handled);
                });
            });
            millrace.AddEndpoint("audit", endpoint =>
            {
                endpoint.Delivery = delivery;
                endpoint.Handle<Audited>(async (message, context, cancellationToken) =>
                {
                    await Task.Yield();
                    if (message.Number > 1) await context.PublishAsync(new Numbered($"k{message.Number}", (int)message.Number - 1), cancellationToken);
                    Interlocked.Increment(ref handled);
                });
            });
        });

        for (int round = 1; round <= rounds; round++)
        {
            await host.Bus().PublishAsync(new Numbered("a", hops));
            MessagingState state = await host.WaitUntilQuietAsync();
            Assert.Equal(round * hops * 2, Volatile.Read(ref handled));
            Assert.True(state.IsQuiet);
        }

        await host.StopAsync();
    }

    [Fact]
    public async Task A_restarted_application_is_quiet_only_after_what_was_left_in_the_log()
    {
        using (IHost publisher = await _application.StartAsync(_ => { }))
        {
            for (int i = 0; i < 50; i++) await publisher.Bus().PublishAsync(new Numbered($"k{i}", i));
            await publisher.StopAsync();
        }

        Seen<int> seen = new();
        for (int start = 0; start < 2; start++)
        {
            using IHost host = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => seen.Add(message.Number))));
            await host.WaitUntilQuietAsync();
            Assert.Equal(Enumerable.Range(0, 50), seen.Items.Order());
            await host.StopAsync();
        }
    }

    [Fact]
    public async Task A_running_handler_and_a_stopped_host_are_not_quiet()
    {
        TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously), mayEnd = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using IHost host = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(async (_, _, cancellationToken) =>
        {
            started.TrySetResult();
            await mayEnd.Task.WaitAsync(cancellationToken);
        })));
        MessagingActivity activity = host.Services.GetRequiredService<MessagingActivity>();
        await host.Bus().PublishAsync(new Numbered("a", 1));
        await started.Task.WaitAsync(TestApplication.Patience);

        MessagingState state = await activity.ReadAsync();
        Assert.False(state.IsQuiet);
        Assert.Equal(1, state.RunningCount);

        Task<MessagingState> quiet = host.WaitUntilQuietAsync();
        Assert.False(quiet.IsCompleted);
        mayEnd.SetResult();
        Assert.True((await quiet).IsQuiet);

        await host.StopAsync();
        await Assert.ThrowsAsync<MillraceNotRunningException>(() => activity.ReadAsync());
    }
}
