using System.Diagnostics;
using System.Globalization;
using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Broker;
using Millrace.Kafka;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.LoadTest.Scenarios;

/// <summary>
/// A broker in this process, reached in memory and, by the same client, over TCP: requests of one record with acks=1 for each CPU second of client and broker together, the same in
/// batches, and the time from the call that produces a record to the consumer that has it.
/// </summary>
internal static class MemoryConnectionScenario
{
    private const int SingleCount = 100_000;
    private const int BatchedCount = 2_000_000;
    private const int LatencyCount = 20_000;
    private const double HandlerLimitMicroseconds = 50;

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        return RunAsync(settings).GetAwaiter().GetResult();
    }

    private static async Task<IReadOnlyList<Measurement>> RunAsync(RunSettings settings)
    {
        var options = new BrokerOptions { DataDirectory = settings.NewDirectory(), Listen = new IPEndPoint(IPAddress.Loopback, 0) };
        await using KafkaBroker broker = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, NullLoggerFactory.Instance);
        await using KafkaClient memory = Client(new Connector(broker), "embedded:9092");
        await using KafkaClient tcp = Client(null, broker.ListenEndPoint!.ToString());
        var singles = new ProducerOptions { Acks = Acks.Leader, Linger = TimeSpan.Zero, BatchByteCount = 0 };
        var batches = new ProducerOptions { Acks = Acks.Leader, Linger = TimeSpan.FromMilliseconds(5), BatchByteCount = 256 * 1024 };
        await PerCpuSecondAsync(memory, singles, SingleCount);
        await PerCpuSecondAsync(tcp, singles, SingleCount);
        (double singleMemory, double singleTcp) = await InTurnAsync(settings, memory, tcp, singles, SingleCount, "one record a request");
        (double batchedMemory, double batchedTcp) = await InTurnAsync(settings, memory, tcp, batches, BatchedCount, "batches of 256 KB");
        double[] microseconds = await LatenciesAsync(memory);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  append to handler: p50 {Statistics.Quantile(microseconds, 0.5):0.0} us, p99 {Statistics.Quantile(microseconds, 0.99):0.0} us"));
        return
        [
            Measurement.Reported("memory-connection-batched", batchedMemory, batchedTcp, "messages/CPU-s"),
            Measurement.AtMost(1, "memory-connection-handler", Statistics.Quantile(microseconds, 0.5), HandlerLimitMicroseconds, "us"),
            Measurement.AtLeast(3, "memory-connection", singleMemory, singleTcp, "requests/CPU-s"),
        ];
    }

    private static KafkaClient Client(IKafkaConnector? connector, string address) =>
        new(new KafkaClientOptions { BootstrapServers = address, Connector = connector }, TimeProvider.System, NullLoggerFactory.Instance);

    private static async Task<(double Memory, double Tcp)> InTurnAsync(
        RunSettings settings, KafkaClient memory, KafkaClient tcp, ProducerOptions options, int count, string what)
    {
        List<double> inMemory = [];
        List<double> overTcp = [];
        for (int round = 0; round < settings.Rounds; round++)
        {
            foreach (bool isMemory in round % 2 == 0 ? [true, false] : (bool[])[false, true])
            {
                (isMemory ? inMemory : overTcp).Add(await PerCpuSecondAsync(isMemory ? memory : tcp, options, count));
            }

            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {what}: {inMemory[^1]:0} for a CPU second in memory, {overTcp[^1]:0} over TCP"));
        }

        return (Statistics.Median(inMemory), Statistics.Median(overTcp));
    }

    private static async Task<double> PerCpuSecondAsync(KafkaClient client, ProducerOptions options, int count)
    {
        await using KafkaProducer producer = client.CreateProducer(options);
        byte[] payload = new byte[100];
        await producer.ProduceAsync(new SpanRecord("load") { Partition = 0, Value = payload });
        var handler = new Counter();
        TimeSpan before = Environment.CpuUsage.TotalTime;
        for (int number = 0; number < count; number++)
        {
            await producer.EnqueueAsync(new SpanRecord("load") { Partition = 0, Value = payload }, handler);
        }

        await producer.FlushAsync();
        double seconds = (Environment.CpuUsage.TotalTime - before).TotalSeconds;
        return handler.Count == count ? count / seconds : throw new InvalidOperationException($"{handler.Count} of {count} records are acknowledged.");
    }

    private static async Task<double[]> LatenciesAsync(KafkaClient client)
    {
        await using KafkaProducer producer = client.CreateProducer(new ProducerOptions { Acks = Acks.Leader, Linger = TimeSpan.Zero });
        await using KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(new TopicPartition("latency", 0), Offset.Zero)]);
        byte[] payload = new byte[100];
        double[] microseconds = new double[LatencyCount];
        for (int number = -LatencyCount; number < LatencyCount; number++)
        {
            long begun = Stopwatch.GetTimestamp();
            await producer.EnqueueAsync(new SpanRecord("latency") { Partition = 0, Value = payload });
            await consumer.PollAsync(1);
            if (number >= 0)
            {
                microseconds[number] = Stopwatch.GetElapsedTime(begun).TotalMicroseconds;
            }
        }

        return microseconds;
    }

    private sealed class Connector(KafkaBroker broker) : IKafkaConnector
    {
        public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
        {
            InMemoryConnection connection = broker.Connect();
            return ValueTask.FromResult<IKafkaTransport>(new ChannelKafkaTransport(connection.Requests, connection.Responses, connection));
        }
    }

    private sealed class Counter : IDeliveryHandler
    {
        private long _count;

        public long Count => Interlocked.Read(ref _count);

        public void OnDelivered(in DeliveryReport report)
        {
            if (report.Failure is null)
            {
                Interlocked.Increment(ref _count);
            }
        }
    }
}
