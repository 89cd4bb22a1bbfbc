namespace Millrace.Kafka.Tests;

/// <summary>Bounds what a test waits for, so that a hang fails it.</summary>
internal static class Until
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(TestCluster.IsExternal ? 180 : 60);

    public static CancellationToken Timeout() => new CancellationTokenSource(Limit).Token;

    /// <summary>Asks until the condition holds: what is done on a cluster is seen on all of its brokers a little later.</summary>
    public static async Task TrueAsync(Func<Task<bool>> condition, string what)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!await condition())
        {
            if (TimeProvider.System.GetElapsedTime(start) > Limit)
            {
                Assert.Fail($"Waited {Limit} in vain for: {what}");
            }

            // Real time: the pause between two questions to the cluster.
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
        }
    }

    /// <summary>Yields until the condition holds.</summary>
    public static async Task TrueAsync(Func<bool> condition, string what)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            if (TimeProvider.System.GetElapsedTime(start) > Limit)
            {
                Assert.Fail($"Waited {Limit} in vain for: {what}");
            }

            // Real time: the pause between two looks at the condition, which leaves the processor to what is awaited.
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }
}
