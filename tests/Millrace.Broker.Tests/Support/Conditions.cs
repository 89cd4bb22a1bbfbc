using System.Diagnostics;

namespace Millrace.Broker.Tests;

internal static class Conditions
{
    /// <summary>Waits, without a clock of the test's own choosing, for something that another thread brings about.</summary>
    public static Task BecomesTrueAsync(Func<bool> condition, string what) => BecomesTrueAsync(() => Task.FromResult(condition()), what);

    /// <summary>The same, for what has to be asked for.</summary>
    public static async Task BecomesTrueAsync(Func<Task<bool>> condition, string what)
    {
        long begun = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(begun) < TestClient.Patience, $"This did not happen: {what}.");
            await Task.Yield();
        }
    }

    /// <summary>The same on a thread that holds a lock, and so has to stay.</summary>
    public static void BecomesTrue(Func<bool> condition, string what)
    {
        long begun = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(begun) < TestClient.Patience, $"This did not happen: {what}.");
            Thread.Yield();
        }
    }
}
