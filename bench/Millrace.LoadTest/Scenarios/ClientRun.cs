using System.Diagnostics;
using System.Globalization;
using Millrace.LoadTest.Librdkafka;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>One size of message through librdkafka: messages a second, and the broker's CPU seconds a GB of payload.</summary>
/// <param name="ClientLimit">Messages a second that the client could do on this machine, if its busiest thread never had to wait: no broker is faster than that.</param>
/// <param name="ClientMicroseconds">Processor time that the client takes for a message.</param>
internal readonly record struct ClientRun(double MessagesPerSecond, double CpuSecondsPerGigabyte, double ClientLimit, double ClientMicroseconds)
{
    public static ClientRun Measure(BrokerProcess broker, long count, int byteCount, Action work)
    {
        double cpuBefore = broker.CpuSeconds;
        TimeSpan clientBefore = Environment.CpuUsage.TotalTime;
        var threadsBefore = ThreadTimes.Now();
        long begun = Stopwatch.GetTimestamp();
        work();
        double seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        double busiest = ThreadTimes.Now().BusiestSince(threadsBefore);
        double gigabytes = count * (double)byteCount / 1e9;
        return new ClientRun(count / seconds, (broker.CpuSeconds - cpuBefore) / gigabytes, count / busiest, (Environment.CpuUsage.TotalTime - clientBefore).TotalMicroseconds / count);
    }

    public static ClientRun Median(IReadOnlyList<ClientRun> runs) => new(
        Statistics.Median(runs.Select(run => run.MessagesPerSecond)),
        Statistics.Median(runs.Select(run => run.CpuSecondsPerGigabyte)),
        Statistics.Median(runs.Select(run => run.ClientLimit)),
        Statistics.Median(runs.Select(run => run.ClientMicroseconds)));

    public IEnumerable<Measurement> Beside(ApacheKafka kafka, string scenario, int byteCount) =>
    [
        Measurement.Reported($"{scenario}-client-cpu", ClientMicroseconds, kafka.MaxClientMicroseconds(byteCount), "us/message"),
        Measurement.Reported($"{scenario}-client", MessagesPerSecond, ClientLimit, "messages/s"),
        Measurement.AtMost(0.5, $"{scenario}-cpu", CpuSecondsPerGigabyte, kafka.CpuSecondsPerGigabyte, "CPU-s/GB"),
        Measurement.AtLeast(1, scenario, MessagesPerSecond, kafka.MessagesPerSecond, "messages/s"),
    ];

    /// <summary>Beside a broker of Apache Kafka that was measured in the same run, in turn with ours.</summary>
    public IEnumerable<Measurement> Beside(ClientRun peer, string scenario) =>
    [
        Measurement.AtMost(0.5, $"{scenario}-peer-cpu", CpuSecondsPerGigabyte, peer.CpuSecondsPerGigabyte, "CPU-s/GB"),
        Measurement.AtLeast(1, $"{scenario}-peer", MessagesPerSecond, peer.MessagesPerSecond, "messages/s"),
    ];

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{MessagesPerSecond:0} messages/s of {ClientLimit:0} that the client could do, {CpuSecondsPerGigabyte:0.00} CPU seconds a GB");

    /// <summary>As Apache Kafka was measured: linger 10 ms, batches of 256 KB, acks=1.</summary>
    public static IReadOnlyDictionary<string, string> ProducerSettings(BrokerProcess broker) => new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["bootstrap.servers"] = broker.EndPoint.ToString(),
        ["acks"] = "1",
        ["linger.ms"] = "10",
        ["batch.size"] = "262144",
        ["queue.buffering.max.messages"] = "1000000",
        ["queue.buffering.max.kbytes"] = "1048576",
    };

    /// <summary>
    /// As librdkafka is by itself. To let it fetch far ahead (<c>queued.max.messages.kbytes</c>) measures the machine's memory: each message then comes to lie in a page that nobody
    /// has touched yet.
    /// </summary>
    public static IReadOnlyDictionary<string, string> ConsumerSettings(BrokerProcess broker) =>
        new Dictionary<string, string>(StringComparer.Ordinal) { ["bootstrap.servers"] = broker.EndPoint.ToString() };
}
