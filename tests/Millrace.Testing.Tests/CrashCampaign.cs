using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace Millrace.Testing.Tests;

/// <summary>What a run of a scenario was like.</summary>
/// <param name="FirstOperation">The storage operations before the part that is struck.</param>
/// <param name="LastOperation">The storage operations at its end.</param>
/// <param name="CrashCount">How often the machine went down.</param>
internal sealed record CampaignRun(long FirstOperation, long LastOperation, int CrashCount);

/// <summary>
/// Runs a scenario once without a crash, which counts its writes, and then again and again with a crash in one of them.
/// </summary>
/// <remarks>
/// <c>MILLRACE_CRASH_POINTS</c> says how many writes are struck, spread evenly; <c>all</c> strikes every one. The default of a
/// test fits into everyday runs; that of sagas is every write. <c>MILLRACE_CRASH_POINT</c> strikes a single one: the replay of a failure, as far as threads allow.
/// </remarks>
internal static class CrashCampaign
{
    /// <summary>As a default: every write is struck.</summary>
    public const int EveryWrite = int.MaxValue;

    /// <summary>Runs a campaign.</summary>
    /// <param name="output">The test's output.</param>
    /// <param name="defaultPointCount">How many writes are struck where the environment does not say.</param>
    /// <param name="scenario">One run: starts a host with the options that it is given, does the work, and checks what came of it.</param>
    /// <param name="test">The test's name: tests that strike few writes begin at different ones.</param>
    public static async Task RunAsync(
        ITestOutputHelper output, int defaultPointCount, Func<Action<TestHostOptions>, Task<CampaignRun>> scenario, [CallerMemberName] string test = "")
    {
        CampaignRun uninterrupted = await scenario(_ => { });
        Assert.Equal(0, uninterrupted.CrashCount);
        List<long> points = PointsOf(uninterrupted, defaultPointCount, test.Length);
        long started = Stopwatch.GetTimestamp();
        int struckCount = 0;
        foreach (long point in points)
        {
            try
            {
                CampaignRun run = await scenario(options => (options.Seed, options.CrashAfterOperations) = ((int)point + 1, point));
                if (run.CrashCount > 0) struckCount++;
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException(
                    $"With a crash after {point} storage operations, of {uninterrupted.FirstOperation} to {uninterrupted.LastOperation} (MILLRACE_CRASH_POINT={point}): {failure.Message}", failure);
            }
        }

        output.WriteLine(
            $"{test}: of the writes {uninterrupted.FirstOperation} to {uninterrupted.LastOperation}, {points.Count} were aimed at and {struckCount} struck, " +
            $"{Stopwatch.GetElapsedTime(started).TotalMilliseconds / points.Count:F0} ms each.");

        // Threads group writes as they like, so that the last ones of one run may not exist in another; most do.
        Assert.True(struckCount * 4 >= points.Count, $"Only {struckCount} of {points.Count} runs crashed.");
    }

    private static List<long> PointsOf(CampaignRun run, int defaultPointCount, int phase)
    {
        if (Environment.GetEnvironmentVariable("MILLRACE_CRASH_POINT") is { Length: > 0 } single) return [long.Parse(single, CultureInfo.InvariantCulture)];
        long operationCount = run.LastOperation - run.FirstOperation;
        long pointCount = Environment.GetEnvironmentVariable("MILLRACE_CRASH_POINTS") switch
        {
            null or "" => defaultPointCount,
            "all" => operationCount,
            string text => long.Parse(text, CultureInfo.InvariantCulture),
        };
        long count = Math.Clamp(pointCount, 1, operationCount);
        long stride = operationCount / count;
        return [.. Enumerable.Range(0, (int)count).Select(index => run.FirstOperation + (phase % stride) + (index * operationCount / count))];
    }
}
