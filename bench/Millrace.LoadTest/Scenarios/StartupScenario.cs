using System.Diagnostics;
using Millrace.Kafka.Protocol;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>From the start of the process to the first request that is answered.</summary>
internal static class StartupScenario
{
    private const double LimitMilliseconds = 300;

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        string directory = settings.NewDirectory();
        StartOnce(directory);
        double[] took = [.. Enumerable.Range(0, settings.Rounds).Select(_ => StartOnce(directory))];
        return [Measurement.AtMost(1, "startup", Statistics.Median(took), LimitMilliseconds, "ms")];
    }

    private static double StartOnce(string directory)
    {
        long begun = Stopwatch.GetTimestamp();
        using BrokerProcess broker = BrokerProcess.Start(directory);
        using var connection = new WireConnection(broker.EndPoint);
        connection.Send<MetadataRequest, MetadataResponse>(new MetadataRequest(), 5);
        return Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
    }
}
