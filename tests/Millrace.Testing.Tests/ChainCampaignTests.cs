using System.Collections.Concurrent;
using Millrace.Broker;

namespace Millrace.Testing.Tests;

/// <summary>A crash at every write of a chain of events and commands: whatever was accepted arrives at its end.</summary>
public sealed class ChainCampaignTests(ITestOutputHelper output)
{
    private const int DeliveryCount = 3;

    [Fact]
    public Task A_crash_at_any_write_leaves_the_chain_complete() => CrashCampaign.RunAsync(output, defaultPointCount: 30, async configureOptions =>
    {
        // Handled more than once where a crash asks for it; counted once, by the message's id.
        ConcurrentDictionary<string, FlourGround> sold = new();
        await using MillraceTestHost host = await MillraceTestHost.StartAsync(millrace => Mill(millrace, sold), configureOptions);
        for (int i = 1; i <= DeliveryCount; i++)
        {
            GrainDelivered delivered = new($"farm-{i}", i);
            MessageOptions options = new() { MessageId = $"delivery-{i}" };
            await host.ThroughCrashesAsync(running => running.Bus.PublishAsync(delivered, options));
        }

        await host.WaitUntilQuietAsync();

        (string, int)[] expected = [.. Enumerable.Range(1, DeliveryCount).Select(i => ($"farm-{i}", i))];
        Assert.Equal(expected, sold.Values.Select(message => (message.Farm, message.Sacks)).Order());
        Assert.Equal(expected, host.Published<GrainDelivered>().Select(message => (message.Farm, message.Sacks)).Order());
        Assert.Equal(expected, host.Sent<Grind>().Select(message => (message.Farm, message.Sacks)).Order());
        Assert.Equal(expected, host.Published<FlourGround>().Select(message => (message.Farm, message.Sacks)).Order());
        return new CampaignRun(0, host.StorageOperationCount, host.CrashCount);
    });

    [Fact]
    public async Task A_disk_that_ignores_flushes_breaks_the_chain()
    {
        // The control: what the campaign trusts in must be what makes it pass.
        int brokenCount = 0;
        for (int seed = 1; seed <= 10; seed++)
        {
            ConcurrentDictionary<string, FlourGround> sold = new();
            ConcurrentQueue<string> lines = new();
            await using MillraceTestHost host = await MillraceTestHost.StartAsync(
                millrace => Mill(millrace, sold), options => (options.Seed, options.Log) = (seed, lines.Enqueue));
            await host.Bus.PublishAsync(new GrainDelivered("farm", 1));
            await host.WaitUntilQuietAsync();
            host.IgnoresFlushes = true;
            for (int i = 2; i <= 5; i++) await host.Bus.PublishAsync(new GrainDelivered("farm", i));
            try
            {
                await host.CrashAndRestartAsync();
                await host.WaitUntilQuietAsync();
                if (host.Published<GrainDelivered>().Count < 5 || sold.Count < 5) brokenCount++;
            }
            catch (BrokerStartException)
            {
                // What the broker needs to start is gone too.
                brokenCount++;
            }
            catch (TimeoutException)
            {
                // Something may be kept that came after what is lost: a partition with a hole serves nobody.
                Assert.Contains(lines, static line => line.Contains("is offline", StringComparison.Ordinal));
                brokenCount++;
            }
        }

        Assert.NotEqual(0, brokenCount);
    }

    private static void Mill(MillraceBuilder millrace, ConcurrentDictionary<string, FlourGround> sold)
    {
        millrace.Configure(options => options.TopicPartitionCount = 2);
        millrace.AddEndpoint("yard", endpoint => endpoint.Handle<GrainDelivered>((message, context, cancellationToken) =>
            context.SendAsync(new Grind(message.Farm, message.Sacks), cancellationToken)));
        millrace.AddEndpoint("mill", endpoint => endpoint.Handle<Grind>((message, context, cancellationToken) =>
            context.PublishAsync(new FlourGround(message.Farm, message.Sacks), cancellationToken)));
        millrace.AddEndpoint("shop", endpoint => endpoint.Handle<FlourGround>((message, context, _) =>
        {
            sold[context.MessageId] = message;
            return Task.CompletedTask;
        }));
    }
}
