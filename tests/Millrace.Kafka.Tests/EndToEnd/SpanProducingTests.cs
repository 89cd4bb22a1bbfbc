using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class SpanProducingTests
{
    private readonly HoldingCluster _cluster = new(1);

    [Fact]
    public async Task Spans_are_written_as_they_were_when_the_call_was_made_and_a_missing_key_is_not_an_empty_one()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        var time = new DateTimeOffset(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);
        byte[] bytes = [1];

        // The first waits for metadata, the others go into the buffer at once: neither keeps the caller's memory.
        ValueTask<RecordMetadata> first = producer.ProduceAsync(new SpanRecord("orders", bytes, bytes) { Timestamp = time }, Until.Timeout());
        bytes[0] = 2;
        Assert.Equal(new RecordMetadata(new TopicPartition("orders", 0), Offset.Zero, null), await first);
        ValueTask second = producer.EnqueueAsync(new SpanRecord("orders") { Value = bytes, Headers = [new RecordHeader("h", null)] });
        Assert.True(second.IsCompletedSuccessfully);
        await second;
        bytes[0] = 3;
        await producer.EnqueueAsync(new SpanRecord("orders") { Key = [], Value = [] });
        await producer.EnqueueAsync(new SpanRecord("orders") { Key = bytes });
        await producer.FlushAsync(Until.Timeout());

        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(new TopicPartition("orders", 0), Offset.Zero)]);
        List<ConsumerRecord> read = [];
        while (read.Count < 4)
        {
            read.AddRange(await consumer.PollAsync(10, Until.Timeout()));
        }

        Assert.Equal(["1", null, "", "3"], read.Select(record => Text(record.Key)));
        Assert.Equal(["1", "2", "", null], read.Select(record => Text(record.Value)));
        Assert.Equal(time, read[0].Timestamp);
        Assert.Equal("h", Assert.Single(read[1].Headers).Key);
    }

    [Fact]
    public async Task A_handler_is_told_of_each_record_in_order_with_its_tag_and_its_own_failure_harms_nobody()
    {
        await using KafkaClient client = Client();
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        var handler = new Handler(report => Invariant.Holds(report.Tag != 1, "the second one throws"));
        for (int number = 0; number < 4; number++)
        {
            await producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Value = [(byte)number] }, handler, tag: number, Until.Timeout());
        }

        Task last = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = [4] }, Until.Timeout()).AsTask();
        while (!last.IsCompleted)
        {
            Task<bool> more = _cluster.Held[1].Reader.WaitToReadAsync(Until.Timeout()).AsTask();
            await Task.WhenAny(last, more);
            while (_cluster.Held[1].Reader.TryRead(out HoldingCluster.HeldRequest? request))
            {
                request.Acknowledge();
            }
        }

        Assert.Equal([0, 1, 2, 3], handler.Reports.Select(report => report.Tag));
        Assert.All(handler.Reports, report => Assert.Null(report.Failure));
    }

    [Fact]
    public async Task Who_enqueues_is_held_back_by_a_full_buffer_and_a_record_that_is_cancelled_there_is_not_written()
    {
        await using KafkaClient client = Client();
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero, BufferByteCount = 2048, MaxRequestByteCount = 2048, BatchByteCount = 0 });
        var handler = new Handler();
        byte[] value = new byte[900];
        await producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Value = value }, handler, tag: 0, Until.Timeout());
        await producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Value = value }, handler, tag: 1, Until.Timeout());
        using var cancel = new CancellationTokenSource();
        ValueTask cancelled = producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Value = value }, handler, tag: 2, cancel.Token);
        ValueTask waiting = producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Value = value }, handler, tag: 3, Until.Timeout());
        value[0] = 1;
        Assert.False(cancelled.IsCompleted);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await cancelled);
        Assert.False(waiting.IsCompleted);

        List<byte> written = [];
        for (int count = 0; count < 3; count++)
        {
            HoldingCluster.HeldRequest request = await _cluster.Held[1].Reader.ReadAsync(Until.Timeout());
            written.AddRange(RecordBatchReader.Read(request.Request.Topics[0].Partitions[0].Records!.Value).Select(record => record.Value!.Value.Span[0]));
            request.Acknowledge();
        }

        await waiting;
        await producer.FlushAsync(Until.Timeout());
        Assert.Equal([0, 1, 3], handler.Reports.Select(report => report.Tag));
        Assert.Equal([0, 0, 0], written);
    }

    [Fact]
    public async Task A_record_that_is_cancelled_on_its_way_is_written_and_its_operation_is_not_used_for_another()
    {
        await using KafkaClient client = Client();
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0 });
        using var cancel = new CancellationTokenSource();
        ValueTask<RecordMetadata> first = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = [1] }, cancel.Token);
        HoldingCluster.HeldRequest held = await _cluster.Held[1].Reader.ReadAsync(Until.Timeout());
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await first);
        ValueTask<RecordMetadata> second = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = [2] }, Until.Timeout());
        held.Acknowledge();
        HoldingCluster.HeldRequest next = await _cluster.Held[1].Reader.ReadAsync(Until.Timeout());
        Assert.False(second.IsCompleted);
        next.Acknowledge();
        await second;
    }

    [Fact]
    public async Task Code_that_follows_an_acknowledgement_may_block_without_holding_up_the_next_one()
    {
        await using KafkaClient client = Client();
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.FromMilliseconds(50) });
        ValueTask<RecordMetadata> first = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = [1] });
        Task<RecordMetadata> second = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = [2] }).AsTask();
        Task blocking = BlockAsync();
        while (!second.IsCompleted)
        {
            (await _cluster.Held[1].Reader.ReadAsync(Until.Timeout())).Acknowledge();
            await Task.WhenAny(second, _cluster.Held[1].Reader.WaitToReadAsync(Until.Timeout()).AsTask());
        }

        await blocking.WaitAsync(Until.Limit);

        async Task BlockAsync()
        {
            await first.ConfigureAwait(false);
            second.Wait(Until.Timeout());
        }
    }

    [Fact]
    public async Task A_record_for_a_partition_that_does_not_exist_or_too_large_is_refused_by_the_call()
    {
        await using KafkaClient client = Client();
        KafkaProducer producer = client.CreateProducer();
        var handler = new Handler();
        for (int attempt = 0; attempt < 2; attempt++)
        {
            // The first attempt waits for metadata.
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
                async () => await producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Partition = 7 }, handler, 0, Until.Timeout()));
        }

        await Assert.ThrowsAsync<KafkaRecordTooLargeException>(
            async () => await producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Value = new byte[2_000_000] }, handler));
        Assert.Empty(handler.Reports);
    }

    private static string? Text(ReadOnlyMemory<byte>? bytes) =>
        bytes is { } known ? string.Concat(Encoding.Latin1.GetString(known.Span).Select(letter => (char)(letter + '0'))) : null;

    private KafkaClient Client() => new(
        new KafkaClientOptions { BootstrapServers = "node:1", Connector = _cluster, RandomSeed = 1 }, TimeProvider.System, NullLoggerFactory.Instance);

    private sealed class Handler(Action<DeliveryReport>? then = null) : IDeliveryHandler
    {
        private readonly Lock _gate = new();
        private readonly List<DeliveryReport> _reports = [];

        public IReadOnlyList<DeliveryReport> Reports
        {
            get
            {
                lock (_gate)
                {
                    return [.. _reports];
                }
            }
        }

        public void OnDelivered(in DeliveryReport report)
        {
            lock (_gate)
            {
                _reports.Add(report);
            }

            then?.Invoke(report);
        }
    }
}
