using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>
/// Bytes that the client allocates for a record of 100 B in steady state, on each path of the producer. The broker is another process, so that what this process allocates is the
/// client's. Requests cost something too, however many records they carry; two sizes of batch tell what belongs to which.
/// </summary>
internal static class ClientAllocationScenario
{
    private const int Count = 1_000_000;
    private const int SmallBatch = 64 * 1024;
    private const int LargeBatch = 256 * 1024;
    private const int AwaitedAtOnce = 20_000;

    private static readonly ValueTask<RecordMetadata>[] UnderWay = new ValueTask<RecordMetadata>[AwaitedAtOnce];

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        using (var connection = new WireConnection(broker.EndPoint))
        {
            Workload.CreateTopic(connection, "load", 1);
        }

        byte[] payload = new byte[100];
        return
        [
            .. Measure(broker, "enqueue", limit: 0.5, async (producer, count) =>
            {
                for (int number = 0; number < count; number++)
                {
                    await producer.EnqueueAsync(new SpanRecord("load") { Value = payload }, Handler.Instance);
                }
            }),
            .. Measure(broker, "produce-span", limit: 0.5, (producer, count) => Pipelined(count, () => producer.ProduceAsync(new SpanRecord("load") { Value = payload }))),
            .. Measure(broker, "produce-record", limit: 160, (producer, count) =>
                Pipelined(count, () => producer.ProduceAsync(new ProducerRecord { Topic = "load", Value = payload }))),
        ];
    }

    private static async Task Pipelined(int count, Func<ValueTask<RecordMetadata>> produce)
    {
        ValueTask<RecordMetadata>[] underWay = UnderWay;
        for (int number = 0; number < count; number += AwaitedAtOnce)
        {
            for (int slot = 0; slot < AwaitedAtOnce; slot++)
            {
                underWay[slot] = produce();
            }

            for (int slot = 0; slot < AwaitedAtOnce; slot++)
            {
                await underWay[slot];
            }
        }
    }

    private static IEnumerable<Measurement> Measure(BrokerProcess broker, string path, double limit, Func<KafkaProducer, int, Task> produce)
    {
        (double largeByteCount, double fewRequests) = MeasureAsync(LargeBatch).GetAwaiter().GetResult();
        (double smallByteCount, double manyRequests) = MeasureAsync(SmallBatch).GetAwaiter().GetResult();
        double aRequest = (smallByteCount - largeByteCount) / (manyRequests - fewRequests);
        double aRecord = Math.Max(0, (largeByteCount - (aRequest * fewRequests)) / Count);
        return
        [
            Measurement.Reported($"client-allocation-{path}-request", aRequest, 4096, "B/request"),
            Measurement.AtMost(1, $"client-allocation-{path}", aRecord, limit, "B/record"),
        ];

        async Task<(double ByteCount, double RequestCount)> MeasureAsync(int batchByteCount)
        {
            await using var client = new KafkaClient(
                new KafkaClientOptions { BootstrapServers = broker.EndPoint.ToString() }, TimeProvider.System, NullLoggerFactory.Instance);
            KafkaProducer producer = client.CreateProducer(new ProducerOptions { BatchByteCount = batchByteCount, Linger = TimeSpan.FromMilliseconds(20) });
            using var requests = new RequestCounter();
            await produce(producer, Count);
            await producer.FlushAsync();
            long before = GC.GetTotalAllocatedBytes(precise: true);
            long requestsBefore = requests.Count;
            await produce(producer, Count);
            await producer.FlushAsync();
            return (GC.GetTotalAllocatedBytes(precise: true) - before, requests.Count - requestsBefore);
        }
    }

    /// <summary>Counts the produce requests of this process by the client's own metric.</summary>
    private sealed class RequestCounter : IDisposable
    {
        private readonly MeterListener _listener = new();
        private long _count;

        public RequestCounter()
        {
            _listener.InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Millrace.Kafka" && instrument.Name == "messaging.client.operation.duration")
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            };
            _listener.SetMeasurementEventCallback<double>((_, _, _, _) => Interlocked.Increment(ref _count));
            _listener.Start();
        }

        public long Count => Interlocked.Read(ref _count);

        public void Dispose() => _listener.Dispose();
    }

    private sealed class Handler : IDeliveryHandler
    {
        public static readonly Handler Instance = new();

        public void OnDelivered(in DeliveryReport report)
        {
            if (report.Failure is { } failure)
            {
                throw failure;
            }
        }
    }
}
