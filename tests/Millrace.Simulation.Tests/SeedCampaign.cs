using System.Collections.Concurrent;
using System.Globalization;

namespace Millrace.Simulation.Tests;

/// <summary>Runs a simulation under many seeds, as many as the environment says, and tells of each that fails how to replay it.</summary>
/// <param name="filter">What names the one test that a replay runs.</param>
/// <param name="defaultSeedCount">How many seeds are run where the environment says nothing.</param>
internal sealed class SeedCampaign(string filter, int defaultSeedCount)
{
    private const int ControlSeedCount = 200;
    private const int MaxFailureCount = 10;

    /// <summary>With how many lines of what happened before it a failure is told.</summary>
    public static int TracedLineCount { get; } = FromEnvironment("MILLRACE_SIMULATION_TRACE", 0);

    /// <summary>What a run that failed has to say; null of one that did not.</summary>
    /// <param name="run">The simulation.</param>
    /// <param name="trace">What happened before it, oldest first.</param>
    public static string? TryFail(Action run, Func<IEnumerable<string>?> trace)
    {
        try
        {
            run();
            return null;
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            string failure = exception is SimulationException ? exception.Message : exception.ToString();
            return string.Join(Environment.NewLine, (trace() ?? []).Append(failure));
        }
    }

    /// <summary>Requires that no seed fails.</summary>
    /// <param name="tryFail">Runs one seed: how it failed, or null.</param>
    public void RequireNoFailure(Func<int, string?> tryFail)
    {
        int first = FromEnvironment("MILLRACE_SIMULATION_FIRST_SEED", 1);
        int count = FromEnvironment("MILLRACE_SIMULATION_SEEDS", defaultSeedCount);
        ConcurrentBag<string> failures = [];
        Parallel.For(first, first + count, (seed, loop) =>
        {
            if (tryFail(seed) is { } failure)
            {
                failures.Add(
                    $"Seed {seed}: {failure}{Environment.NewLine}Replay it: MILLRACE_SIMULATION_FIRST_SEED={seed} MILLRACE_SIMULATION_SEEDS=1 MILLRACE_SIMULATION_TRACE=100 " +
                    $"dotnet run -c Release --project tests/Millrace.Simulation.Tests -- --filter-method \"{filter}\"");
                if (failures.Count >= MaxFailureCount)
                {
                    loop.Stop();
                }
            }
        });
        Assert.True(failures.IsEmpty, string.Join(Environment.NewLine, failures));
    }

    /// <summary>A control: requires that one of the seeds fails.</summary>
    public static void RequireFailure(string sabotage, Func<int, string?> tryFail)
    {
        bool isCaught = false;
        Parallel.For(1, ControlSeedCount + 1, (seed, loop) =>
        {
            if (tryFail(seed) is not null)
            {
                Volatile.Write(ref isCaught, true);
                loop.Stop();
            }
        });
        Assert.True(isCaught, $"{sabotage} was caught by none of {ControlSeedCount} seeds.");
    }

    private static int FromEnvironment(string name, int fallback) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : fallback;
}
