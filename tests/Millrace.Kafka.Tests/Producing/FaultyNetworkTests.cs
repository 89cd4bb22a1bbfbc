using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class FaultyNetworkTests
{
    private const int PartitionCount = 3;
    private const int RecordCount = 300;
    private static readonly int SeedCount = int.TryParse(Environment.GetEnvironmentVariable("MILLRACE_TEST_SEEDS"), out int count) ? count : 20;

    [Theory]
    [InlineData(0.03)]
    [InlineData(0.1)]
    [InlineData(0.3)]
    public async Task Under_faults_every_record_is_written_once_and_in_order(double faultRate)
    {
        int faultCount = 0;
        for (int seed = 0; seed < SeedCount; seed++)
        {
            (FaultyCluster cluster, int failedCount) = await RunAsync(seed, faultRate, isIdempotent: true);
            faultCount += cluster.FaultCount;
            Assert.Equal(0, failedCount);
            for (int partition = 0; partition < PartitionCount; partition++)
            {
                Assert.True(
                    Expected(partition).SequenceEqual(cluster.Values(partition)),
                    $"Seed {seed}, partition {partition}: {string.Join(' ', cluster.Values(partition))}");
            }
        }

        Assert.True(faultCount > 0, "No fault happened.");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Under_faults_handlers_are_told_of_each_record_in_order(bool expires)
    {
        for (int seed = 0; seed < SeedCount; seed++)
        {
            await using KafkaClient client = Client(new FaultyCluster(seed, PartitionCount, faultRate: 0.2), seed, options => options.RequestTimeout = TimeSpan.FromMilliseconds(20));
            KafkaProducer producer = client.CreateProducer(
                new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 150, DeliveryTimeout = expires ? TimeSpan.FromMilliseconds(25) : TimeSpan.FromMinutes(2) });
            var handler = new Listing();
            for (int i = 0; i < RecordCount; i++)
            {
                await producer.EnqueueAsync(new SpanRecord("orders") { Partition = i % PartitionCount, Value = BitConverter.GetBytes(i) }, handler, tag: i, Until.Timeout());
            }

            await producer.FlushAsync(Until.Timeout());
            Assert.All(Enumerable.Range(0, PartitionCount), partition => Assert.Equal(Expected(partition), handler.Told.Where(tag => tag % PartitionCount == partition)));
        }
    }

    [Fact]
    public async Task Under_faults_batches_that_are_too_large_are_written_in_parts_once_and_in_order()
    {
        for (int seed = 0; seed < SeedCount; seed++)
        {
            (FaultyCluster cluster, int failedCount) = await RunAsync(
                seed, faultRate: 0.1, isIdempotent: true, static header => header.RecordCount > 2 ? ErrorCode.MessageTooLarge : null);
            Assert.Equal(0, failedCount);
            Assert.All(Enumerable.Range(0, PartitionCount), partition => Assert.Equal(Expected(partition), cluster.Values(partition)));
        }
    }

    [Fact]
    public async Task Without_idempotence_the_same_faults_duplicate_or_reorder_so_the_test_can_fail()
    {
        for (int seed = 0; seed < SeedCount; seed++)
        {
            (FaultyCluster cluster, _) = await RunAsync(seed, faultRate: 0.1, isIdempotent: false);
            if (Enumerable.Range(0, PartitionCount).Any(partition => !Expected(partition).SequenceEqual(cluster.Values(partition))))
            {
                return;
            }
        }

        Assert.Fail("The faults are too weak to show anything.");
    }

    [Fact]
    public async Task After_a_lost_tail_the_producer_goes_on_under_a_new_epoch()
    {
        var cluster = new FaultyCluster(seed: 1, partitionCount: 1, faultRate: 0);
        await using KafkaClient client = Client(cluster);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        for (int i = 0; i < 10; i++)
        {
            await producer.ProduceAsync(Record(i), Until.Timeout());
        }

        cluster.LoseFrom(0, 5);
        RecordMetadata next = await producer.ProduceAsync(Record(10), Until.Timeout());
        Assert.Equal(5, next.Offset.Value);
        await producer.ProduceAsync(Record(11), Until.Timeout());
        Assert.Equal([0, 1, 2, 3, 4, 10, 11], cluster.Values(0));
    }

    [Fact]
    public async Task A_refused_batch_fails_its_own_records_and_no_others()
    {
        var cluster = new FaultyCluster(seed: 1, partitionCount: 1, faultRate: 0)
        {
            Script = (_, header) => header.BaseSequence == 3 && header.Producer.Epoch == 0 ? ErrorCode.InvalidRecord : null,
        };
        await using KafkaClient client = Client(cluster);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0 });
        Task<RecordMetadata>[] records = [.. Enumerable.Range(0, 10).Select(i => producer.ProduceAsync(Record(i), Until.Timeout()).AsTask())];
        KafkaBrokerException failure = await Assert.ThrowsAsync<KafkaBrokerException>(() => records[3]);
        Assert.Equal(ErrorCode.InvalidRecord, failure.ErrorCode);
        Assert.Contains("orders-0", failure.Message, StringComparison.Ordinal);
        await Task.WhenAll(records.Where((_, i) => i != 3));
        Assert.Equal([0, 1, 2, 4, 5, 6, 7, 8, 9], cluster.Values(0));
    }

    [Fact]
    public async Task A_producer_that_is_disposed_flushes_and_then_refuses()
    {
        var cluster = new FaultyCluster(seed: 1, partitionCount: 1, faultRate: 0);
        await using KafkaClient client = Client(cluster);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.FromMinutes(1), DeliveryTimeout = TimeSpan.FromMinutes(3) });
        ValueTask<RecordMetadata> record = producer.ProduceAsync(Record(1), Until.Timeout());
        await producer.DisposeAsync();
        Assert.Equal(0, (await record).Offset.Value);
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await producer.ProduceAsync(Record(2)));
    }

    [Fact]
    public async Task A_record_that_waits_for_space_can_be_cancelled_and_is_then_not_written()
    {
        var cluster = new FaultyCluster(seed: 1, partitionCount: 1, faultRate: 0);
        await using KafkaClient client = Client(cluster);
        var options = new ProducerOptions
        {
            Linger = TimeSpan.FromMinutes(1), DeliveryTimeout = TimeSpan.FromMinutes(3), BufferByteCount = 2048, MaxRequestByteCount = 2048,
        };
        KafkaProducer producer = client.CreateProducer(options);
        ValueTask<RecordMetadata> first = producer.ProduceAsync(Record(0), Until.Timeout());
        await producer.FlushAsync(Until.Timeout());
        await first;
        var hold = new TaskCompletionSource();
        cluster.Script = (_, _) =>
        {
            // Nothing is acknowledged before the test has looked.
            return hold.Task.IsCompleted ? null : ErrorCode.NotEnoughReplicas;
        };
        Task<RecordMetadata>[] filling = [.. Enumerable.Range(1, 2).Select(i => producer.ProduceAsync(Large(i), Until.Timeout()).AsTask())];
        using var cancellation = new CancellationTokenSource();
        Task<RecordMetadata> waiting = producer.ProduceAsync(Large(3), cancellation.Token).AsTask();
        Task<RecordMetadata> behind = producer.ProduceAsync(Large(4), Until.Timeout()).AsTask();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        hold.SetResult();
        await producer.FlushAsync(Until.Timeout());
        await Task.WhenAll(filling);
        await behind;
        Assert.Equal([0, 1, 2, 4], cluster.Values(0));

        static ProducerRecord Large(int value) => new() { Topic = "orders", Value = (byte[])[.. BitConverter.GetBytes(value), .. new byte[900]] };
    }

    private static IEnumerable<int> Expected(int partition) => Enumerable.Range(0, RecordCount).Where(i => i % PartitionCount == partition);

    private static async Task<(FaultyCluster Cluster, int FailedCount)> RunAsync(
        int seed, double faultRate, bool isIdempotent, Func<RecordBatchHeader, ErrorCode?>? script = null)
    {
        var cluster = new FaultyCluster(seed, PartitionCount, faultRate);
        cluster.Script = script is null ? null : (_, header) => script(header);
        await using KafkaClient client = Client(cluster, seed);
        KafkaProducer producer = client.CreateProducer(
            new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 150, EnableIdempotence = isIdempotent });
        Task<RecordMetadata>[] records = [.. Enumerable.Range(0, RecordCount).Select(i =>
            producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = i % PartitionCount, Value = BitConverter.GetBytes(i) }).AsTask())];
        await ((Task)Task.WhenAll(records)).WaitAsync(Until.Limit, TimeProvider.System).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cluster.IsQuiet = true;
        Assert.All(records, record => Assert.True(record.IsCompleted, $"Seed {seed} hangs."));
        return (cluster, records.Count(record => record.IsFaulted));
    }

    private static ProducerRecord Record(int value) => new() { Topic = "orders", Partition = 0, Value = BitConverter.GetBytes(value) };

    private static KafkaClient Client(FaultyCluster cluster, int seed = 0, Action<KafkaClientOptions>? configure = null)
    {
        var options = new KafkaClientOptions
        {
            BootstrapServers = "node:2,node:3",
            Connector = cluster,
            RandomSeed = seed,
            RetryBackoff = TimeSpan.FromMilliseconds(1),
            RetryBackoffMax = TimeSpan.FromMilliseconds(4),
            ReconnectBackoff = TimeSpan.FromMilliseconds(1),
            ReconnectBackoffMax = TimeSpan.FromMilliseconds(4),
        };
        configure?.Invoke(options);
        return new KafkaClient(options, TimeProvider.System, NullLoggerFactory.Instance);
    }

    /// <summary>Notes the tags of the records that it is told of. Told by one thread at a time.</summary>
    private sealed class Listing : IDeliveryHandler
    {
        public List<int> Told { get; } = [];

        public void OnDelivered(in DeliveryReport report) => Told.Add((int)report.Tag);
    }
}
