using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class InFlightTests
{
    private const int PartitionCount = 4;
    private const int ElsewherePartition = PartitionCount - 1;
    private const int MaxInFlight = 5;

    private readonly HoldingCluster _cluster = new(PartitionCount);

    [Theory]
    [InlineData(true, 64)]
    [InlineData(false, 64)]
    [InlineData(true, 1)]
    public async Task At_most_five_requests_are_under_way_at_a_broker_and_each_partition_keeps_its_order(bool isIdempotent, int clientMaxInFlight)
    {
        const int recordCount = 60;
        await using KafkaClient client = Client(options => options.MaxInFlightRequests = clientMaxInFlight);
        KafkaProducer producer = client.CreateProducer(
            new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, EnableIdempotence = isIdempotent });

        // Of a partition whose broker does not know the producer yet, one batch is under way.
        for (int partition = 0; partition < ElsewherePartition; partition++)
        {
            Task first = ProduceAsync(producer, partition, -1);
            (await _cluster.Held[0].Reader.ReadAsync(Until.Timeout())).Acknowledge();
            await first;
        }

        Task[] records = [.. Enumerable.Range(0, recordCount).Select(i => ProduceAsync(producer, i % ElsewherePartition, i))];
        var held = new Queue<HoldingCluster.HeldRequest>();
        var written = new List<(int Partition, int Value)>();
        while (written.Count < recordCount)
        {
            while (held.Count < MaxInFlight && written.Count + held.Sum(request => Values(request.Request).Count) < recordCount)
            {
                held.Enqueue(await _cluster.Held[0].Reader.ReadAsync(Until.Timeout()));
            }

            // The producer has looked at everything that waits when this record arrives, and sent the first broker nothing more.
            Task elsewhere = ProduceAsync(producer, ElsewherePartition, 0);
            (await _cluster.Held[1].Reader.ReadAsync(Until.Timeout())).Acknowledge();
            await elsewhere;
            Assert.False(_cluster.Held[0].Reader.TryRead(out _), $"More than {MaxInFlight} requests are under way.");

            HoldingCluster.HeldRequest oldest = held.Dequeue();
            written.AddRange(Values(oldest.Request));
            oldest.Acknowledge();
        }

        await Task.WhenAll(records).WaitAsync(Until.Limit);
        foreach (IGrouping<int, (int Partition, int Value)> partition in written.GroupBy(record => record.Partition))
        {
            Assert.Equal(Enumerable.Range(0, recordCount).Where(i => i % ElsewherePartition == partition.Key), partition.Select(record => record.Value));
        }
    }

    private static async Task ProduceAsync(KafkaProducer producer, int partition, int value) => await producer.ProduceAsync(
        new ProducerRecord { Topic = HoldingCluster.Topic, Partition = partition, Value = BitConverter.GetBytes(value) });

    private static List<(int Partition, int Value)> Values(ProduceRequest request) =>
    [
        .. request.Topics.SelectMany(topic => topic.Partitions).SelectMany(partition =>
            RecordBatchReader.Read(partition.Records!.Value).Select(record => (partition.Index, BitConverter.ToInt32(record.Value!.Value.Span)))),
    ];

    private KafkaClient Client(Action<KafkaClientOptions>? configure = null)
    {
        var options = new KafkaClientOptions { BootstrapServers = "node:1", Connector = _cluster, RandomSeed = 1 };
        configure?.Invoke(options);
        return new KafkaClient(options, TimeProvider.System, NullLoggerFactory.Instance);
    }

    [Fact]
    public async Task A_record_that_is_in_the_buffer_when_its_wait_is_cancelled_is_admitted()
    {
        await using KafkaClient client = Client();
        ProduceOperation operation = new ProduceOperationPool(client.CreateProducer()).Rent(isAdmission: true);
        using var cancellation = new CancellationTokenSource();
        operation.CancelBy(cancellation.Token);
        Task admission = operation.Admission.AsTask();

        // It waits in no line any more, and who waits for it has not been told.
        await cancellation.CancelAsync();
        Assert.False(admission.IsCompleted);
        operation.Complete(default);
        await admission.WaitAsync(Until.Limit);
    }

    [Fact]
    public async Task Records_take_space_in_the_buffer_until_their_handlers_have_been_told()
    {
        await using KafkaClient client = Client();
        KafkaProducer producer = client.CreateProducer(
            new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, MaxRequestByteCount = 1024, BufferByteCount = 1024 });
        using var mayGoOn = new ManualResetEventSlim();
        var told = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await producer.EnqueueAsync(Record(), new Handler(_ =>
        {
            told.TrySetResult();
            mayGoOn.Wait(Until.Limit);
        }));
        (await _cluster.Held[0].Reader.ReadAsync(Until.Timeout())).Acknowledge();
        await told.Task.WaitAsync(Until.Limit);

        // Otherwise a handler that is slower than the brokers would have the answers of the others fill the memory.
        Task admission = producer.EnqueueAsync(Record()).AsTask();
        Assert.False(admission.IsCompleted);
        mayGoOn.Set();
        await admission.WaitAsync(Until.Limit);
        (await _cluster.Held[0].Reader.ReadAsync(Until.Timeout())).Acknowledge();

        static SpanRecord Record() => new(HoldingCluster.Topic) { Partition = 0, Value = new byte[600] };
    }

    private sealed class Handler(Action<DeliveryReport> tell) : IDeliveryHandler
    {
        public void OnDelivered(in DeliveryReport report) => tell(report);
    }
}
