using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Runs while no other test does: it counts what the whole process allocates.</summary>
[CollectionDefinition(nameof(AllocationCollection), DisableParallelization = true)]
public sealed class AllocationCollection;

/// <summary>
/// How many bytes more a request costs that carries more records: what is allocated for a request itself falls out, and what is left belongs to the records, from the call to the handler.
/// </summary>
[Collection(nameof(AllocationCollection))]
public sealed class ProducerAllocationTests : IAsyncDisposable
{
    private const int FewRecords = 1000;
    private const int ManyRecords = 6000;
    private const int Attempts = 9;

    private readonly HoldingCluster _cluster = new(1);
    private readonly CancellationTokenSource _stop = new();
    private readonly KafkaClient _client;
    private readonly Task _acknowledging;
    private readonly byte[] _value = new byte[100];
    private readonly ValueTask[] _admissions = new ValueTask[FewRecords];
    private readonly SemaphoreSlim _held = new(0);
    private volatile bool _isHolding;

    public ProducerAllocationTests()
    {
        _client = new KafkaClient(
            new KafkaClientOptions { BootstrapServers = "node:1", Connector = _cluster, RandomSeed = 1 }, TimeProvider.System, NullLoggerFactory.Instance);
        _acknowledging = AcknowledgeAsync();
    }

    [Fact]
    public Task A_record_that_is_enqueued_for_a_handler_costs_nothing() => AssertBytesARecord(0, EnqueueAsync);

    [Fact]
    public Task A_record_of_spans_that_is_awaited_costs_nothing() => AssertBytesARecord(0, (producer, count) => ProduceAsync(
        count, () => producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = _value })));

    [Fact]
    public Task A_record_of_spans_with_a_token_costs_nothing() => AssertBytesARecord(0, (producer, count) => ProduceAsync(
        count, () => producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = _value }, _stop.Token)));

    [Fact]
    public Task A_record_that_a_serialiser_writes_costs_nothing() => AssertBytesARecord(0, (producer, count) =>
    {
        KafkaProducer<long, Guid> typed = producer.As(KafkaSerdes.Int64, KafkaSerdes.Guid);
        return ProduceAsync(count, () => typed.ProduceAsync(new ProducerRecord<long, Guid>(HoldingCluster.Topic, count, Guid.Empty)));
    });

    [Fact]
    public Task A_record_of_JSON_that_is_enqueued_costs_nothing() => AssertBytesARecord(0, async (producer, count) =>
    {
        for (int number = 0; number < count; number++)
        {
            await _readings.EnqueueAsync(producer, number);
        }
    });

    [Fact]
    public Task A_record_object_costs_itself() => AssertBytesARecord(128, (producer, count) => ProduceAsync(
        count, () => producer.ProduceAsync(new ProducerRecord { Topic = HoldingCluster.Topic, Value = _value })));

    [Fact]
    public async Task A_record_that_waits_for_space_costs_nothing()
    {
        const int buffer = 72 * 1024;
        KafkaProducer producer = _client.CreateProducer(new ProducerOptions { BufferByteCount = buffer, MaxRequestByteCount = buffer, BatchByteCount = buffer / 4 });
        await producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = _value });
        long least = long.MaxValue;
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            // Nothing is acknowledged meanwhile, so that most of the calls find the buffer full.
            _isHolding = true;
            long before = GC.GetAllocatedBytesForCurrentThread();
            int waitingCount = Enqueue(producer);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
            Assert.InRange(waitingCount, 400, FewRecords);
            _isHolding = false;
            _held.Release();
            for (int number = 0; number < FewRecords; number++)
            {
                await _admissions[number];
            }

            await producer.FlushAsync(Until.Timeout());
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public async Task A_record_whose_call_nobody_awaits_leaves_nothing_with_the_token_of_the_call()
    {
        KafkaProducer producer = _client.CreateProducer(Options());
        await ForgetAsync(producer);
        long before = GC.GetTotalMemory(forceFullCollection: true);
        for (int round = 0; round < 20; round++)
        {
            await ForgetAsync(producer);
        }

        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 1_000_000);
    }

    [Fact]
    public async Task What_allocates_is_caught() =>
        Assert.InRange(await BytesARecordAsync(Options(), (producer, count) => ProduceAsync(count, () =>
        {
            GC.KeepAlive(new byte[64]);
            return producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = _value });
        })), 80, 100);

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        await _stop.CancelAsync();
        await _acknowledging.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private static ProducerOptions Options() => new() { BatchByteCount = 1024 * 1024, MaxRequestByteCount = 2 * 1024 * 1024, Linger = TimeSpan.FromHours(1), DeliveryTimeout = TimeSpan.FromHours(2) };

    private async Task AssertBytesARecord(double limit, Func<KafkaProducer, int, Task> produce, ProducerOptions? options = null) =>
        Assert.InRange(await BytesARecordAsync(options ?? Options(), produce), double.NegativeInfinity, limit + 0.5);

    private async Task<double> BytesARecordAsync(ProducerOptions options, Func<KafkaProducer, int, Task> produce)
    {
        KafkaProducer producer = _client.CreateProducer(options);
        await RoundAsync(producer, ManyRecords, produce);
        await RoundAsync(producer, ManyRecords, produce);

        // Something else in the process may allocate now and then: the median is what the records cost.
        List<double> costs = [];
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            long few = await RoundAsync(producer, FewRecords, produce);
            long many = await RoundAsync(producer, ManyRecords, produce);
            costs.Add((double)(many - few) / (ManyRecords - FewRecords));
        }

        return costs.Order().ElementAt(Attempts / 2);
    }

    private static async Task<long> RoundAsync(KafkaProducer producer, int count, Func<KafkaProducer, int, Task> produce)
    {
        long before = GC.GetTotalAllocatedBytes(precise: true);
        Task produced = produce(producer, count);
        await producer.FlushAsync(Until.Timeout());
        await produced;
        return GC.GetTotalAllocatedBytes(precise: true) - before;
    }

    private async Task EnqueueAsync(KafkaProducer producer, int count)
    {
        for (int number = 0; number < count; number++)
        {
            await producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Value = _value }, Handler.Instance);
        }
    }

    private readonly ValueTask<RecordMetadata>[] _underWay = new ValueTask<RecordMetadata>[ManyRecords];

    private async Task ProduceAsync(int count, Func<ValueTask<RecordMetadata>> produce)
    {
        for (int number = 0; number < count; number++)
        {
            _underWay[number] = produce();
        }

        for (int number = 0; number < count; number++)
        {
            await _underWay[number];
        }
    }

    private async Task ForgetAsync(KafkaProducer producer)
    {
        for (int number = 0; number < FewRecords; number++)
        {
            _underWay[number] = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = _value }, _stop.Token);
        }

        await producer.FlushAsync(Until.Timeout());
    }

    private int Enqueue(KafkaProducer producer)
    {
        int waitingCount = 0;
        for (int number = 0; number < FewRecords; number++)
        {
            _admissions[number] = producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Partition = 0, Value = _value }, Handler.Instance);
            waitingCount += _admissions[number].IsCompleted ? 0 : 1;
        }

        return waitingCount;
    }

    private async Task AcknowledgeAsync()
    {
        while (true)
        {
            HoldingCluster.HeldRequest request = await _cluster.Held[1].Reader.ReadAsync(_stop.Token);
            while (_isHolding)
            {
                await _held.WaitAsync(_stop.Token);
            }

            request.Acknowledge();
        }
    }

    private readonly Readings _readings = new();

    private sealed class Readings
    {
        private readonly IKafkaSerde<TestReading> _serde = KafkaSerdes.Json(TestJson.Default.TestReading);
        private KafkaProducer<Absent, TestReading>? _producer;

        public ValueTask EnqueueAsync(KafkaProducer producer, int number)
        {
            _producer ??= producer.As(KafkaSerdes.Absent, _serde);
            return _producer.EnqueueAsync(new ProducerRecord<Absent, TestReading>(HoldingCluster.Topic, default, new TestReading(number, 0.5)), Handler.Instance);
        }
    }

    private sealed class Handler : IDeliveryHandler
    {
        public static readonly Handler Instance = new();

        public void OnDelivered(in DeliveryReport report) => Invariant.Holds(report.Failure is null, "records are acknowledged");
    }
}
