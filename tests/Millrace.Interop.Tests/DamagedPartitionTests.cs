using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary>A partition whose log was damaged, beside one that was not.</summary>
public sealed class DamagedPartitionTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_damaged_partition_says_so_and_is_offline_and_the_other_one_is_served(bool wasKilled)
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        foreach (string topic in new[] { "damaged", "whole" })
        {
            await Kcat.RunAsync(broker, ["-P", "-t", topic], ["one"]);
            await Kcat.RunAsync(broker, ["-P", "-t", topic], ["two"]);
        }

        await broker.StopAsync();
        if (wasKilled)
        {
            await broker.StartAgainAsync();
            await broker.KillAsync();
        }

        byte[] segment = broker.ReadSegment("damaged");
        int inFirstBatch = segment.AsSpan().IndexOf("one"u8);
        segment[inFirstBatch] ^= 1;
        await File.WriteAllBytesAsync(broker.SegmentPath("damaged"), segment);
        await broker.StartAgainAsync();
        await using RunningProgram reader = Kcat.Start(broker, "-C", "-E", "-u", "-q", "-t", "damaged");

        // After a clean stop the log is trusted until somebody reads it; after a kill it is scanned at the start.
        await broker.Program.WaitUntilAsync(
            "the damage is reported", (_, error) => error.Any(line => line.Contains("damaged-0 is offline", StringComparison.Ordinal)));
        Assert.Contains(broker.Program.Error, line => line.Contains("00000000000000000000.log", StringComparison.Ordinal));
        await Kcat.RunAsync(broker, ["-P", "-t", "whole"], ["three"]);
        Assert.Equal(["one", "two", "three"], (await Kcat.ReadAllAsync(broker, "whole")).Select(record => record.Payload));
        Assert.Empty(reader.Output);
        Assert.Equal(segment, broker.ReadSegment("damaged"));

        // A stop that leaves a partition behind does not claim to have everything.
        broker.Program.RequestStop();
        Assert.Equal(1, await broker.Program.WaitForExitAsync());
        Assert.DoesNotContain(broker.Program.Output, line => line.Contains("everything is on the disk", StringComparison.Ordinal));
        Assert.Contains(broker.Program.Error, line => line.StartsWith("Millrace has stopped, and could not close its files cleanly", StringComparison.Ordinal));
    }
}
