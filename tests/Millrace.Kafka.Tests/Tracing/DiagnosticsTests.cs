using System.Diagnostics;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Runs while no other test does: who listens to traces and metrics hears the whole process.</summary>
[Collection(nameof(AllocationCollection))]
public sealed class DiagnosticsTests
{
    private static readonly TopicPartition Partition = new("orders", 0);

    [Fact]
    public async Task A_record_is_traced_from_the_activity_that_produced_it_to_the_poll_and_the_commit()
    {
        using var source = new ActivitySource("Test");
        using var recorded = new Recorded("Test");
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient(options => options.ClientId = "shop");
        Activity work = source.StartActivity("work")!;
        work.TraceStateString = "vendor=1";

        // Made within the activity as well, which is no reason for its requests to belong to it.
        await using KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.FromMilliseconds(50) });
        Task<RecordMetadata> first = producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = [1] }, Until.Timeout()).AsTask();
        await Task.WhenAll(first, producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = 0, Value = new byte[] { 2 } }, Until.Timeout()).AsTask());
        work.Stop();
        await producer.EnqueueAsync(new SpanRecord("orders") { Partition = 0, Value = [3] });
        await producer.FlushAsync(Until.Timeout());

        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "mail" });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        List<ConsumerRecord> records = [];
        while (records.Count < 3)
        {
            records.AddRange(await consumer.PollAsync(10, Until.Timeout()));
        }

        await consumer.CommitAsync([new TopicPartitionOffset(Partition, new Offset(3))], Until.Timeout());

        IReadOnlyList<Activity> created = recorded.Spans("create orders");
        Assert.Equal(2, created.Count);
        Assert.All(created, create => Assert.Equal((work.SpanId, ActivityKind.Producer), (create.ParentSpanId, create.Kind)));
        Assert.Equal(created.Select(create => create.SpanId), records[..2].Select(record => record.TraceContext.SpanId));
        Assert.All(records[..2], record => Assert.Equal((work.TraceId, "vendor=1"), (record.TraceContext.TraceId, record.TraceContext.TraceState)));
        Assert.Empty(records[2].Headers);
        Assert.Equal(default, records[2].TraceContext);

        IReadOnlyList<Activity> sent = recorded.Spans("send orders");
        Assert.All(sent, send => Assert.Equal((ActivityKind.Client, null, "send", "send", "shop"), (send.Kind, send.ParentId, Tag(send, "messaging.operation.name"), Tag(send, "messaging.operation.type"), Tag(send, "messaging.client.id"))));

        // A broker of a cluster may be lost meanwhile: then a batch is sent again.
        Assert.Equal(created.Select(create => create.Context.SpanId), sent.SelectMany(send => send.Links).Select(link => link.Context.SpanId).Distinct());
        int sentCount = sent.Sum(send => (int)send.GetTagItem("messaging.batch.message_count")!);
        Assert.True(broker.IsExternal ? sentCount >= 3 : sentCount == 3, $"{sentCount} records were sent");
        Activity written = sent.First(send => send.Status != ActivityStatusCode.Error);
        Assert.Equal(("kafka", "orders", "0", "0"), (Tag(written, "messaging.system"), Tag(written, "messaging.destination.name"), Tag(written, "messaging.destination.partition.id"), Tag(written, "messaging.kafka.offset")));
        Assert.NotNull(Tag(written, "server.address"));
        Assert.NotNull(Tag(written, "server.port"));

        IReadOnlyList<Activity> polled = recorded.Spans("poll orders");
        Assert.Equal(created.Select(create => create.Context.SpanId), polled.SelectMany(poll => poll.Links).Select(link => link.Context.SpanId));
        Assert.All(polled, poll => Assert.Equal((ActivityKind.Client, "receive", "mail", "0"), (poll.Kind, Tag(poll, "messaging.operation.type"), Tag(poll, "messaging.consumer.group.name"), Tag(poll, "messaging.destination.partition.id"))));
        Assert.Equal(3, polled.Sum(poll => (int)poll.GetTagItem("messaging.batch.message_count")!));

        Activity commit = Assert.Single(recorded.Spans("commit orders"));
        Assert.Equal((ActivityKind.Client, "settle", "mail", "3"), (commit.Kind, Tag(commit, "messaging.operation.type"), Tag(commit, "messaging.consumer.group.name"), Tag(commit, "messaging.kafka.offset")));
    }

    [Theory]
    [InlineData(ListenerFault.Measurement)]
    [InlineData(ListenerFault.Sample)]
    [InlineData(ListenerFault.Start)]
    [InlineData(ListenerFault.Stop)]
    public async Task Listeners_that_fail_at_everything_they_hear_cost_nothing(ListenerFault fault)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        using var work = new Activity("work");
        work.Start();
        using var listeners = new FailingListeners(fault);
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "books", Linger = TimeSpan.Zero });
        await producer.InitTransactionsAsync(Until.Timeout());
        producer.BeginTransaction();
        RecordMetadata written = await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = 0, Value = new byte[] { 1 } }, Until.Timeout());
        Assert.Equal(Offset.Zero, written.Offset);
        await producer.CommitTransactionAsync(Until.Timeout());
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "mail", AutoOffsetReset = AutoOffsetReset.Earliest, IsolationLevel = IsolationLevel.ReadCommitted });
        await consumer.SubscribeAsync(["orders"], null, Until.Timeout());
        Assert.Single(await consumer.PollAsync(10, Until.Timeout()));
        await consumer.CommitAsync([new TopicPartitionOffset(Partition, new Offset(1))], Until.Timeout());
        Assert.Equal(new Offset(1), (await consumer.CommittedAsync([Partition], Until.Timeout()))[Partition].Offset);
        await consumer.DisposeAsync();
        await producer.DisposeAsync();
        Assert.True(listeners.FailureCount > 0);
        Assert.Same(work, Activity.Current);
    }

    [Fact]
    public async Task A_trace_context_is_not_written_over_another_nor_where_nobody_listens_or_wants_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        KafkaProducer silent = client.CreateProducer(new ProducerOptions { PropagateTraceContext = false });
        const string own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        using (new Activity("unheard").Start())
        {
            await ProduceAsync(producer, []);
        }

        using (new Recorded())
        using (new Activity("work").Start())
        {
            await ProduceAsync(silent, []);
            await ProduceAsync(producer, [new RecordHeader("traceparent", Encoding.ASCII.GetBytes(own))]);
            await ProduceAsync(producer, [new RecordHeader("other", null)]);
        }

        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        List<ConsumerRecord> records = [];
        while (records.Count < 4)
        {
            ConsumerBatch batch = await consumer.PollBatchAsync(Until.Timeout());
            batch.Dispose();
            await consumer.SeekAsync(Partition, Offset.Zero);
            records = [.. await consumer.PollAsync(10, Until.Timeout())];
            await consumer.SeekAsync(Partition, Offset.Zero);
        }

        Assert.Empty(records[0].Headers);
        Assert.Empty(records[1].Headers);
        Assert.Equal(own, Encoding.ASCII.GetString(Assert.Single(records[2].Headers).Value!.Value.Span));
        Assert.Equal(["other", "traceparent"], records[3].Headers.Select(header => header.Key));

        static async Task ProduceAsync(KafkaProducer producer, IReadOnlyList<RecordHeader> headers) =>
            await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = 0, Value = new byte[] { 1 }, Headers = headers }, Until.Timeout());
    }

    [Fact]
    public async Task A_batch_that_is_lent_tells_of_its_records_too()
    {
        using var recorded = new Recorded();
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        using (new Activity("work").Start())
        {
            await producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = [1] }, Until.Timeout());
        }

        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        using ConsumerBatch batch = await consumer.PollBatchAsync(Until.Timeout());
        Assert.Equal(Assert.Single(recorded.Spans("create orders")).SpanId, Assert.Single(Assert.Single(recorded.Spans("poll orders")).Links).Context.SpanId);
        Assert.Equal(1, Assert.Single(recorded.Of("messaging.client.consumed.messages")).Value);
    }

    [Fact]
    public async Task Metrics_have_the_names_and_units_of_the_reference_and_what_was_counted_up_is_counted_down()
    {
        using var recorded = new Recorded();
        await using (TestBroker broker = await TestBroker.StartAsync())
        {
            await using KafkaClient client = broker.CreateClient(options => options.ClientId = "shop");
            KafkaProducer producer = client.CreateProducer();
            for (int number = 0; number < 3; number++)
            {
                await producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = [1] }, Until.Timeout());
            }

            KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "mail", AutoOffsetReset = AutoOffsetReset.Earliest });
            await consumer.SubscribeAsync(["orders"], cancellationToken: Until.Timeout());
            int count = 0;
            while (count < 3)
            {
                count += (await consumer.PollAsync(10, Until.Timeout())).Count;
            }

            await consumer.CommitAsync([new TopicPartitionOffset(Partition, new Offset(3))], Until.Timeout());
        }

        Dictionary<string, string> units = new()
        {
            ["messaging.client.sent.messages"] = "{message}",
            ["messaging.client.consumed.messages"] = "{message}",
            ["messaging.client.operation.duration"] = "s",
            ["kafka.client.request.duration"] = "s",
            ["kafka.client.active_requests"] = "{request}",
            ["kafka.client.connections"] = "{connection}",
            ["kafka.producer.buffer.usage"] = "By",
            ["kafka.producer.buffer.records"] = "{record}",
            ["kafka.producer.queue.duration"] = "s",
            ["kafka.producer.batch.size"] = "By",
            ["kafka.producer.batch.records"] = "{record}",
            ["kafka.consumer.records_lag"] = "{record}",
            ["kafka.consumer.rebalances"] = "{rebalance}",
        };
        Assert.All(units, unit => Assert.All(recorded.Of(unit.Key), measured => Assert.Equal(unit.Value, measured.Unit)));
        Assert.Empty(units.Keys.Except(recorded.Names));
        Assert.Equal(3, recorded.Of("messaging.client.sent.messages").Sum(measured => measured.Value));
        Assert.Equal(3, recorded.Of("messaging.client.consumed.messages").Sum(measured => measured.Value));
        Assert.All(recorded.Of("messaging.client.sent.messages"), measured => Assert.Equal(("kafka", "send", "orders", "shop"),
            (measured.Tags["messaging.system"], measured.Tags["messaging.operation.name"], measured.Tags["messaging.destination.name"], measured.Tags["messaging.client.id"])));
        Assert.Equal(["commit", "poll", "send"], recorded.Of("messaging.client.operation.duration").Select(measured => (string)measured.Tags["messaging.operation.name"]!).Distinct().Order());
        Assert.Contains(recorded.Of("kafka.client.request.duration"), measured => (string)measured.Tags["kafka.api"]! == "Fetch");
        Assert.Equal(0, recorded.Of("kafka.producer.buffer.usage")[^1].Value);
        Assert.Equal(0, recorded.Of("kafka.producer.buffer.records")[^1].Value);
        foreach (string name in new[] { "kafka.client.active_requests", "kafka.client.connections" })
        {
            Assert.Contains(recorded.Of(name), measured => measured.Value == 1);
            await Until.TrueAsync(() => recorded.Of(name).Sum(measured => measured.Value) == 0, $"{name} goes back to 0");
        }
    }

    [Fact]
    public async Task Retries_pauses_and_failures_say_what_went_wrong()
    {
        using var recorded = new Recorded();
        var cluster = new HoldingCluster(1);
        await using KafkaClient client = Client(cluster, new KafkaClientOptions());
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        Task<RecordMetadata> retried = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = [1] }, Until.Timeout()).AsTask();
        Answer(await cluster.Held[1].Reader.ReadAsync(Until.Timeout()), ErrorCode.NotLeaderOrFollower, throttleMilliseconds: 1);
        (await cluster.Held[1].Reader.ReadAsync(Until.Timeout())).Acknowledge();
        await retried;
        Task<RecordMetadata> refused = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = [2] }, Until.Timeout()).AsTask();
        Answer(await cluster.Held[1].Reader.ReadAsync(Until.Timeout()), ErrorCode.TopicAuthorizationFailed);
        KafkaBrokerException failure = await Assert.ThrowsAsync<KafkaBrokerException>(() => refused);

        Assert.Contains("node:2 answered Produce of 1 records for orders-0 (attempt 1)", failure.Message, StringComparison.Ordinal);
        Recorded.Measured retry = Assert.Single(recorded.Of("kafka.producer.retries"));
        Assert.Equal((1.0, "NOT_LEADER_OR_FOLLOWER"), (retry.Value, retry.Tags["error.type"]));
        Recorded.Measured pause = Assert.Single(recorded.Of("kafka.client.throttle.duration"));
        Assert.Equal((0.001, "Produce", "node"), (pause.Value, pause.Tags["kafka.api"], pause.Tags["server.address"]));
        Assert.Equal(
            [null, "TOPIC_AUTHORIZATION_FAILED"],
            recorded.Of("messaging.client.sent.messages").Select(measured => measured.Tags.GetValueOrDefault("error.type")));
        Activity failed = recorded.Spans("send orders")[^1];
        Assert.Equal((ActivityStatusCode.Error, "TOPIC_AUTHORIZATION_FAILED"), (failed.Status, Tag(failed, "error.type")));
    }

    [Fact]
    public async Task A_record_that_is_not_acknowledged_in_time_says_what_was_tried()
    {
        var cluster = new HoldingCluster(1);
        var options = new KafkaClientOptions
        {
            RequestTimeout = TimeSpan.FromMilliseconds(200), RetryBackoff = TimeSpan.FromMilliseconds(20), RetryBackoffMax = TimeSpan.FromMilliseconds(20),
        };
        await using KafkaClient client = Client(cluster, options);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero, DeliveryTimeout = TimeSpan.FromMilliseconds(300) });
        Task<RecordMetadata> late = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Value = [1] }, Until.Timeout()).AsTask();
        while (!late.IsCompleted)
        {
            await Task.WhenAny(late, cluster.Held[1].Reader.WaitToReadAsync(Until.Timeout()).AsTask());
            while (cluster.Held[1].Reader.TryRead(out HoldingCluster.HeldRequest? request))
            {
                Answer(request, ErrorCode.NotEnoughReplicas);
            }
        }

        KafkaTimeoutException failure = await Assert.ThrowsAsync<KafkaTimeoutException>(() => late);
        Assert.Equal(ErrorCode.NotEnoughReplicas, failure.ErrorCode);
        Assert.Contains("1 records for orders-0 were not acknowledged", failure.Message, StringComparison.Ordinal);
        Assert.Contains("node:2 answered Produce", failure.Message, StringComparison.Ordinal);
    }

    private static string? Tag(Activity activity, string name) => activity.GetTagItem(name)?.ToString();

    private static void Answer(HoldingCluster.HeldRequest request, ErrorCode error, int throttleMilliseconds = 0) => request.Answer(new ProduceResponse
    {
        ThrottleMilliseconds = throttleMilliseconds,
        Topics = [.. request.Request.Topics.Select(topic => new ProduceTopicResponse
        {
            Name = topic.Name,
            Partitions = [.. topic.Partitions.Select(partition => new ProducePartitionResponse { Index = partition.Index, ErrorCode = error })],
        })],
    });

    private static KafkaClient Client(HoldingCluster cluster, KafkaClientOptions options)
    {
        options.BootstrapServers = "node:1";
        options.Connector = cluster;
        options.RandomSeed = 1;
        return new KafkaClient(options, TimeProvider.System, NullLoggerFactory.Instance);
    }
}
