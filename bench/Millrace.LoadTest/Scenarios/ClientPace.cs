using System.Diagnostics;
using System.Globalization;

namespace Millrace.LoadTest.Scenarios;

/// <summary>What a client in this process did: messages a second, and its processor seconds for a million of them.</summary>
internal readonly record struct ClientPace(double MessagesPerSecond, double CpuSecondsPerMillion)
{
    public static ClientPace Measure(long count, Action work)
    {
        TimeSpan cpuBefore = Environment.CpuUsage.TotalTime;
        long begun = Stopwatch.GetTimestamp();
        work();
        double seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        return new ClientPace(count / seconds, (Environment.CpuUsage.TotalTime - cpuBefore).TotalSeconds / count * 1e6);
    }

    public static ClientPace Median(IReadOnlyList<ClientPace> paces) => new(
        Statistics.Median(paces.Select(static pace => pace.MessagesPerSecond)),
        Statistics.Median(paces.Select(static pace => pace.CpuSecondsPerMillion)));

    public IEnumerable<Measurement> Beside(ClientPace librdkafka, string scenario) =>
    [
        Measurement.AtMost(1, $"{scenario}-cpu", CpuSecondsPerMillion, librdkafka.CpuSecondsPerMillion, "CPU-s/million"),
        Measurement.AtLeast(1, scenario, MessagesPerSecond, librdkafka.MessagesPerSecond, "messages/s"),
    ];

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{MessagesPerSecond:0} messages/s, {CpuSecondsPerMillion:0.000} CPU seconds a million");
}
