using System.Diagnostics;
using System.Globalization;

namespace Millrace.Testing.Tests;

/// <summary>
/// Runs a scenario once without a crash, which counts its writes, and then again and again with a crash in one of them.
/// </summary>
/// <remarks>
/// <c>MILLRACE_CRASH_POINTS</c> says how many writes are struck, spread evenly; <c>all</c> strikes every one. The default of a
/// test fits into everyday runs. <c>MILLRACE_CRASH_POINT</c> strikes a single one: the replay of a failure, as far as threads allow.
/// </remarks>
internal static class CrashCampaign
{
    /// <summary>Runs a campaign.</summary>
    /// <param name="output">The test's output.</param>
    /// <param name="defaultPointCount">How many writes are struck where the environment does not say.</param>
    /// <param name="scenario">
    /// One run: starts a host with the options that it is given, does the work, and checks what came of it. Returns how many storage
    /// operations there were.
    /// </param>
    public static async Task RunAsync(ITestOutputHelper output, int defaultPointCount, Func<Action<TestHostOptions>, Task<long>> scenario)
    {
        long operationCount = await scenario(_ => { });
        List<long> points = PointsOf(operationCount, defaultPointCount);
        output.WriteLine($"{operationCount} storage operations, {points.Count} crash points.");
        long started = Stopwatch.GetTimestamp();
        foreach (long point in points)
        {
            try
            {
                await scenario(options => (options.Seed, options.CrashAfterOperations) = ((int)point + 1, point));
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"With a crash after {point} of about {operationCount} storage operations (MILLRACE_CRASH_POINT={point}): {failure.Message}", failure);
            }
        }

        output.WriteLine($"{Stopwatch.GetElapsedTime(started).TotalMilliseconds / points.Count:F0} ms a crash point.");
    }

    private static List<long> PointsOf(long operationCount, int defaultPointCount)
    {
        if (Environment.GetEnvironmentVariable("MILLRACE_CRASH_POINT") is { Length: > 0 } single) return [long.Parse(single, CultureInfo.InvariantCulture)];
        long pointCount = Environment.GetEnvironmentVariable("MILLRACE_CRASH_POINTS") switch
        {
            null or "" => defaultPointCount,
            "all" => operationCount,
            string text => long.Parse(text, CultureInfo.InvariantCulture),
        };
        long count = Math.Clamp(pointCount, 1, operationCount);
        return [.. Enumerable.Range(0, (int)count).Select(index => index * operationCount / count)];
    }
}
