using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.Kafka.Records;
using Millrace.LoadTest.Librdkafka;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>
/// From the call that produces a record, with linger 0 and acks=1, to the moment at which a consumer in the same process has it, one record after the other: our client and librdkafka
/// with the same broker.
/// </summary>
internal static class ClientLatencyScenario
{
    private const int Count = 5000;

    // The runtime compiles what is called often again, in the background and on the same cores: in the first thousands of records that is what the slowest hundredth waits for.
    private const int WarmUpCount = 30_000;

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        using (var connection = new WireConnection(broker.EndPoint))
        {
            Workload.CreateTopic(connection, "ours", 1);
            Workload.CreateTopic(connection, "theirs", 1);
        }

        byte[] payload = new byte[100];
        List<double[]> ours = [];
        List<double[]> theirs = [];
        using var native = new NativePair(broker, "theirs");
        OurPair pair = OurPair.StartAsync(broker, "ours").GetAwaiter().GetResult();
        native.Measure(payload, WarmUpCount);
        pair.MeasureAsync(payload, WarmUpCount).GetAwaiter().GetResult();
        for (int round = 0; round < settings.Rounds; round++)
        {
            foreach (bool isOurs in round % 2 == 0 ? [true, false] : (bool[])[false, true])
            {
                double[] measured = isOurs ? pair.MeasureAsync(payload, Count).GetAwaiter().GetResult() : native.Measure(payload, Count);
                (isOurs ? ours : theirs).Add(measured);
                Console.WriteLine($"  {(isOurs ? "ours" : "librdkafka")}: p50 {Statistics.Quantile(measured, 0.5):0} us, p99 {Statistics.Quantile(measured, 0.99):0} us");
            }
        }

        pair.DisposeAsync().AsTask().GetAwaiter().GetResult();
        return [Beside("p99", 0.99, ours, theirs), Beside("p50", 0.5, ours, theirs)];
    }

    private static Measurement Beside(string name, double quantile, IEnumerable<double[]> ours, IEnumerable<double[]> theirs) => Measurement.AtMost(
        1,
        $"client-latency-{name}",
        Statistics.Median(ours.Select(round => Statistics.Quantile(round, quantile))),
        Statistics.Median(theirs.Select(round => Statistics.Quantile(round, quantile))),
        "us");

    private sealed class OurPair(KafkaClient client, KafkaProducer producer, KafkaConsumer consumer, string topic) : IAsyncDisposable
    {
        public static async Task<OurPair> StartAsync(BrokerProcess broker, string topic)
        {
            var client = new KafkaClient(new KafkaClientOptions { BootstrapServers = broker.EndPoint.ToString() }, TimeProvider.System, NullLoggerFactory.Instance);
            KafkaProducer producer = client.CreateProducer(new ProducerOptions { Acks = Acks.Leader, Linger = TimeSpan.Zero });
            KafkaConsumer consumer = client.CreateConsumer();
            consumer.Assign([new TopicPartitionOffset(new TopicPartition(topic, 0), Offset.Zero)]);
            await producer.ProduceAsync(new SpanRecord(topic) { Partition = 0, Value = [] });
            await consumer.PollAsync(1);
            return new OurPair(client, producer, consumer, topic);
        }

        public async Task<double[]> MeasureAsync(byte[] payload, int count)
        {
            double[] microseconds = new double[count];
            for (int number = 0; number < count; number++)
            {
                long begun = Stopwatch.GetTimestamp();
                await producer.EnqueueAsync(new SpanRecord(topic) { Partition = 0, Value = payload });
                int got = (await consumer.PollAsync(1)).Count;
                microseconds[number] = Stopwatch.GetElapsedTime(begun).TotalMicroseconds;
                if (got != 1)
                {
                    throw new InvalidOperationException($"{got} records came for one.");
                }
            }

            return microseconds;
        }

        public ValueTask DisposeAsync() => client.DisposeAsync();
    }

    private sealed class NativePair : IDisposable
    {
        private readonly NativeClient _producer;
        private readonly NativeClient _consumer;

        public NativePair(BrokerProcess broker, string topic)
        {
            Dictionary<string, string> options = new(StringComparer.Ordinal)
            {
                ["bootstrap.servers"] = broker.EndPoint.ToString(),
                ["acks"] = "1",
                ["linger.ms"] = "0",
                ["socket.nagle.disable"] = "true",
            };
            _producer = new NativeClient(Native.Producer, topic, options);
            options.Remove("acks");
            options.Remove("linger.ms");
            _consumer = new NativeClient(Native.Consumer, topic, options);
            _consumer.Start();
        }

        public double[] Measure(byte[] payload, int count)
        {
            double[] microseconds = new double[count];
            for (int number = 0; number < count; number++)
            {
                long begun = Stopwatch.GetTimestamp();
                _producer.ProduceOne(payload);
                _consumer.ConsumeOne();
                microseconds[number] = Stopwatch.GetElapsedTime(begun).TotalMicroseconds;
            }

            return microseconds;
        }

        public void Dispose()
        {
            _consumer.Stop();
            _consumer.Dispose();
            _producer.Dispose();
        }
    }
}
