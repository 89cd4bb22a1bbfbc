using System.Diagnostics;
using System.Globalization;
using Millrace.LoadTest.Librdkafka;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>Our client consumes one partition that is in the page cache, beside librdkafka on the same broker with the same fetch settings.</summary>
internal static class ClientConsumeScenario
{
    private const string Topic = "load";

    // The runtime compiles what is called often again, in the background and on the same cores: a pass or two later it is done.
    private const int WarmUpCount = 3;

    public static IReadOnlyList<Measurement> RunSmall(RunSettings settings) => Run(settings, byteCount: 100, count: 5_000_000);

    public static IReadOnlyList<Measurement> RunLarge(RunSettings settings) => Run(settings, byteCount: 1024, count: 1_000_000);

    /// <summary>A topic with so many messages, in batches as librdkafka makes them.</summary>
    public static void Fill(BrokerProcess broker, string topic, int byteCount, long count, string codec = "none")
    {
        byte[] payload = new byte[byteCount];
        new Random(1).NextBytes(payload);
        using (var connection = new WireConnection(broker.EndPoint))
        {
            Workload.CreateTopic(connection, topic, 1);
        }

        var producerSettings = new Dictionary<string, string>(ClientRun.ProducerSettings(broker), StringComparer.Ordinal) { ["compression.codec"] = codec };
        using var producer = new NativeClient(Native.Producer, topic, producerSettings);
        producer.Produce(payload, count);
    }

    private static IReadOnlyList<Measurement> Run(RunSettings settings, int byteCount, long count)
    {
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        Fill(broker, Topic, byteCount, count);
        string name = $"client-consume-{byteCount}";
        Side ours = new("ours, where they lie", () => ConsumeOurs(broker, consumer => consumer.ReadBatchesAsync(count)));
        Side reference = new("librdkafka", () =>
        {
            using var client = new NativeClient(Native.Consumer, Topic, ClientRun.ConsumerSettings(broker));
            return client.Consume(count);
        });
        Side records = new("ours, PollAsync", () => ConsumeOurs(broker, consumer => consumer.ReadRecordsAsync(count)));
        Side enumerated = new("ours, ConsumeAsync", () => ConsumeOurs(broker, consumer => consumer.EnumerateAsync(count)));
        MeasureInTurn(settings.Rounds, ours, reference, broker, count, byteCount);
        foreach (Side other in (Side[])[records, enumerated])
        {
            for (int round = -WarmUpCount; round < settings.Rounds; round++)
            {
                other.Measure(broker, count, byteCount, isWarmUp: round < 0);
            }
        }

        return
        [
            Measurement.Reported($"{name}-records", records.MessagesPerSecond, reference.MessagesPerSecond, "messages/s"),
            Measurement.Reported($"{name}-records-cpu", records.CpuSecondsPerMillion, reference.CpuSecondsPerMillion, "CPU-s/million"),
            Measurement.Reported($"{name}-enumerated", enumerated.MessagesPerSecond, reference.MessagesPerSecond, "messages/s"),
            Measurement.Reported($"{name}-enumerated-cpu", enumerated.CpuSecondsPerMillion, reference.CpuSecondsPerMillion, "CPU-s/million"),
            Measurement.AtMost(1, $"{name}-cpu", ours.CpuSecondsPerMillion, reference.CpuSecondsPerMillion, "CPU-s/million"),
            Measurement.AtLeast(1, name, ours.MessagesPerSecond, reference.MessagesPerSecond, "messages/s"),
        ];
    }

    private static void MeasureInTurn(int rounds, Side ours, Side reference, BrokerProcess broker, long count, int byteCount)
    {
        for (int round = -WarmUpCount; round < rounds; round++)
        {
            (Side first, Side second) = round % 2 == 0 ? (ours, reference) : (reference, ours);
            first.Measure(broker, count, byteCount, isWarmUp: round < 0);
            second.Measure(broker, count, byteCount, isWarmUp: round < 0);
        }
    }

    private static long ConsumeOurs(BrokerProcess broker, Func<ManagedConsumer, Task<long>> read) => Task.Run(async () =>
    {
        await using var consumer = new ManagedConsumer(broker.EndPoint, Topic);
        return await read(consumer);
    }).GetAwaiter().GetResult();

    /// <summary>One of what is compared: its rounds.</summary>
    private sealed class Side(string name, Func<long> consume)
    {
        private readonly List<double> _messagesPerSecond = [];
        private readonly List<double> _cpuSecondsPerMillion = [];

        public double MessagesPerSecond => Statistics.Median(_messagesPerSecond);

        public double CpuSecondsPerMillion => Statistics.Median(_cpuSecondsPerMillion);

        public void Measure(BrokerProcess broker, long count, int byteCount, bool isWarmUp)
        {
            GC.Collect();
            double brokerBefore = broker.CpuSeconds;
            TimeSpan clientBefore = Environment.CpuUsage.TotalTime;
            long begun = Stopwatch.GetTimestamp();
            long consumedByteCount = consume();
            double seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
            double cpuSeconds = (Environment.CpuUsage.TotalTime - clientBefore).TotalSeconds;
            double brokerSeconds = broker.CpuSeconds - brokerBefore;

            // A batch is handed out whole, so that more than was asked for may have come; never less.
            if (consumedByteCount < count * byteCount || consumedByteCount % byteCount != 0)
            {
                throw new InvalidOperationException($"{name} has read {consumedByteCount} bytes of {count} messages with {byteCount} each.");
            }

            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"  {name,-22} {count / seconds,10:0} messages/s, {cpuSeconds / count * 1e6:0.000} client and {brokerSeconds / count * 1e6:0.000} broker CPU seconds a million{(isWarmUp ? " (warm-up)" : "")}"));
            if (!isWarmUp)
            {
                _messagesPerSecond.Add(count / seconds);
                _cpuSecondsPerMillion.Add(cpuSeconds / count * 1e6);
            }
        }
    }
}
