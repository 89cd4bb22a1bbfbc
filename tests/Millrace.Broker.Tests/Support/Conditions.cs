using System.Diagnostics;

namespace Millrace.Broker.Tests;

internal static class Conditions
{
    /// <summary>Waits, without a clock of the test's own choosing, for something that another thread brings about.</summary>
    public static async Task BecomesTrueAsync(Func<bool> condition, string what)
    {
        long begun = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(begun) < TestClient.Patience, $"This did not happen: {what}.");
            await Task.Yield();
        }
    }
}
