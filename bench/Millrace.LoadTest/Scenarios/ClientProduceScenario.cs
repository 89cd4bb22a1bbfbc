using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.LoadTest.Librdkafka;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>
/// Our client and librdkafka produce to one partition of the same broker with linger 10 ms and batches of 256 KB, with acks=1 and then, idempotent, with acks=all. What is measured
/// beside the pace is the processor time of the client, which is this process.
/// </summary>
internal static class ClientProduceScenario
{
    private const int BatchByteCount = 256 * 1024;

    public static IReadOnlyList<Measurement> RunSmall(RunSettings settings) => Run(settings, byteCount: 100, count: 4_000_000);

    public static IReadOnlyList<Measurement> RunLarge(RunSettings settings) => Run(settings, byteCount: 1024, count: 500_000);

    private static IReadOnlyList<Measurement> Run(RunSettings settings, int byteCount, long count) =>
    [
        .. Run(settings, byteCount, count, isIdempotent: true),
        .. Run(settings, byteCount, count, isIdempotent: false),
    ];

    private static IEnumerable<Measurement> Run(RunSettings settings, int byteCount, long count, bool isIdempotent)
    {
        byte[] payload = new byte[byteCount];
        new Random(1).NextBytes(payload);
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        List<ClientPace> ours = [];
        List<ClientPace> theirs = [];
        for (int round = 0; round <= settings.Rounds; round++)
        {
            foreach (bool isOurs in round % 2 == 0 ? [true, false] : (bool[])[false, true])
            {
                ClientPace pace = Measure(broker, $"load-{round}-{isOurs}", payload, count, isIdempotent, isOurs);

                // The first round is the warm-up.
                if (round > 0)
                {
                    (isOurs ? ours : theirs).Add(pace);
                }

                Console.WriteLine($"  {byteCount} B{(isIdempotent ? ", idempotent" : "")}, {(isOurs ? "ours" : "librdkafka")}: {pace}");
            }
        }

        string name = $"client-produce-{(isIdempotent ? "idempotent-" : "")}{byteCount}";
        return ClientPace.Median(ours).Beside(ClientPace.Median(theirs), name);
    }

    private static ClientPace Measure(BrokerProcess broker, string topic, byte[] payload, long count, bool isIdempotent, bool isOurs)
    {
        using var connection = new WireConnection(broker.EndPoint);
        Workload.CreateTopic(connection, topic, 1);
        ClientPace pace;
        if (isOurs)
        {
            using var ours = new Ours(broker, topic, isIdempotent);
            pace = ClientPace.Measure(count, () => ours.ProduceAsync(payload, count).GetAwaiter().GetResult());
        }
        else
        {
            Dictionary<string, string> options = new(ClientRun.ProducerSettings(broker), StringComparer.Ordinal);
            if (isIdempotent)
            {
                options["acks"] = "all";
                options["enable.idempotence"] = "true";
            }

            using var client = new NativeClient(Native.Producer, topic, options);
            pace = ClientPace.Measure(count, () => client.Produce(payload, count));
        }

        long endOffset = Workload.EndOffset(connection, topic, 0);
        if (endOffset != count)
        {
            throw new InvalidOperationException($"{endOffset} of {count} records are in the log.");
        }

        Workload.DeleteTopic(connection, topic);
        using Process sync = Process.Start("sync");
        sync.WaitForExit();
        return pace;
    }

    private sealed class Ours : IDeliveryHandler, IDisposable
    {
        private readonly KafkaClient _client;
        private readonly KafkaProducer _producer;
        private readonly string _topic;
        private long _acknowledgedCount;

        public Ours(BrokerProcess broker, string topic, bool isIdempotent)
        {
            _topic = topic;
            _client = new KafkaClient(new KafkaClientOptions { BootstrapServers = broker.EndPoint.ToString() }, TimeProvider.System, NullLoggerFactory.Instance);
            _producer = _client.CreateProducer(new ProducerOptions
            {
                Acks = isIdempotent ? Acks.All : Acks.Leader,
                Linger = TimeSpan.FromMilliseconds(10),
                BatchByteCount = BatchByteCount,
            });
        }

        public async Task ProduceAsync(byte[] payload, long count)
        {
            for (long number = 0; number < count; number++)
            {
                await _producer.EnqueueAsync(new SpanRecord(_topic) { Partition = 0, Value = payload }, this);
            }

            await _producer.FlushAsync();
            if (Interlocked.Read(ref _acknowledgedCount) != count)
            {
                throw new InvalidOperationException($"{_acknowledgedCount} of {count} records are acknowledged.");
            }
        }

        public void OnDelivered(in DeliveryReport report)
        {
            if (report.Failure is null)
            {
                Interlocked.Increment(ref _acknowledgedCount);
            }
        }

        public void Dispose() => _client.DisposeAsync().AsTask().GetAwaiter().GetResult();
    }
}
