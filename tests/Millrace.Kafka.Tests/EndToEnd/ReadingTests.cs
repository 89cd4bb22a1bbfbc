using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Reading from a broker: lent batches, seeks, ends of logs, and that nothing waits for a fetch that waits.</summary>
public sealed class ReadingTests
{
    // Longer than any test may take: what waits for a fetch that waits fails.
    private static readonly TimeSpan NeverAnswered = TimeSpan.FromMinutes(10);

    private static readonly TopicPartition Partition = new("orders", 0);
    private static readonly TopicPartition Other = new("orders", 1);

    [Theory]
    [InlineData(CompressionCodec.None, false)]
    [InlineData(CompressionCodec.Gzip, false)]
    [InlineData(CompressionCodec.Snappy, false)]
    [InlineData(CompressionCodec.Lz4, false)]
    [InlineData(CompressionCodec.None, true)]
    public async Task Lent_records_come_in_order_and_as_they_were(CompressionCodec codec, bool isTcp)
    {
        const int count = 5_000;
        await using TestBroker broker = await TestBroker.StartAsync(isTcp);
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Compression = codec });
        DateTimeOffset time = DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_000);
        await Task.WhenAll(Enumerable.Range(0, count).Select(i => producer.ProduceAsync(
            new ProducerRecord
            {
                Topic = "orders",
                Key = i % 3 == 0 ? (ReadOnlyMemory<byte>?)null : BitConverter.GetBytes(-i),
                Value = i % 5 == 0 ? (ReadOnlyMemory<byte>?)null : BitConverter.GetBytes(i),
                Timestamp = time.AddMilliseconds(i * 7),
                Headers = i % 2 == 0 ? [] : [new RecordHeader("number", Encoding.UTF8.GetBytes($"{i}")), new RecordHeader("none", null), new RecordHeader("number", "last"u8.ToArray())],
            },
            Until.Timeout()).AsTask()));

        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        int next = 0;
        while (next < count)
        {
            using ConsumerBatch batch = await consumer.PollBatchAsync(Until.Timeout());
            Assert.Equal(Partition, batch.TopicPartition);
            next = Check(batch, next, time);
            Assert.Equal(new Offset(next), batch.NextOffset);
        }

        Assert.Equal(new Offset(count), consumer.Position(Partition));
        Assert.Equal(0, consumer.Lag(Partition));
        Assert.Equal(new Offset(count), consumer.Watermarks(Partition)!.HighWatermark);
    }

    [Fact]
    public async Task A_fetch_asks_for_no_more_than_the_client_takes_in_one_answer()
    {
        const int count = 10;
        await using TestBroker broker = await TestBroker.StartAsync(isTcp: true);
        await using KafkaClient writer = broker.CreateClient();
        KafkaProducer producer = writer.CreateProducer();
        byte[] value = new byte[200_000];
        for (int i = 0; i < count; i++)
        {
            await producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = value }, Until.Timeout());
        }

        await using KafkaClient client = broker.CreateClient(static options => options.MaxResponseByteCount = 900_000);
        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        List<ConsumerRecord> records = await ProduceAndConsumeTests.ReadAsync(consumer, count);
        Assert.Equal(Enumerable.Range(0, count), records.Select(static record => (int)record.Offset.Value));
    }

    [Fact]
    public async Task A_batch_that_was_given_back_cannot_be_read_and_giving_it_back_twice_takes_nothing_from_the_next()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAndConsumeTests.ProduceAsync(client, "orders", 10);
        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        ConsumerBatch first = await consumer.PollBatchAsync(Until.Timeout());
        Assert.True(first.Count > 0);
        first.Dispose();
        Assert.Throws<ObjectDisposedException>(() => first.GetEnumerator());

        await consumer.SeekAsync(Partition, Offset.Zero);
        using ConsumerBatch second = await consumer.PollBatchAsync(Until.Timeout());
        first.Dispose();
        Assert.NotEqual(first, second);
        Assert.Equal(0, FirstOffset(second));
        Assert.Equal(0, default(ConsumerBatch).Count);
        Assert.False(default(ConsumerBatch).GetEnumerator().MoveNext());
    }

    [Fact]
    public async Task A_batch_that_is_lent_stays_as_it_is_through_seeks_and_the_end_of_the_consumer()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAndConsumeTests.ProduceAsync(client, "orders", 100);
        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        using ConsumerBatch batch = await consumer.PollBatchAsync(Until.Timeout());
        await consumer.SeekAsync(Partition, new Offset(50));
        await consumer.PollAsync(10, Until.Timeout());
        await consumer.DisposeAsync();
        Assert.Equal(Enumerable.Range(0, batch.Count), Values(batch));
    }

    [Fact]
    public async Task Polls_of_both_kinds_and_the_enumeration_take_turns_on_one_batch()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAndConsumeTests.ProduceAsync(client, "orders", 100);
        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        var seen = new List<int>();
        seen.AddRange((await consumer.PollAsync(3, Until.Timeout())).Select(record => BitConverter.ToInt32(record.Value!.Value.Span)));
        await foreach (ConsumerRecord record in consumer.ConsumeAsync(Until.Timeout()))
        {
            seen.Add(BitConverter.ToInt32(record.Value!.Value.Span));
            break;
        }

        Assert.Equal(new Offset(4), consumer.Position(Partition));
        while (seen.Count < 100)
        {
            using ConsumerBatch batch = await consumer.PollBatchAsync(Until.Timeout());
            seen.AddRange(Values(batch));
        }

        Assert.Equal(Enumerable.Range(0, 100), seen);
    }

    [Fact]
    public async Task Seeks_resumes_and_assignments_do_not_wait_for_the_fetch_that_waits()
    {
        await using TestBroker broker = await TestBroker.StartAsync(configure: options => options.DefaultPartitionCount = 2);
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        for (int i = 0; i < 10; i++)
        {
            await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = i % 2, Value = BitConverter.GetBytes(i) }, Until.Timeout());
        }

        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { FetchMaxWait = NeverAnswered });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero), new TopicPartitionOffset(Other, new Offset(5))]);
        Assert.Equal(5, (await ProduceAndConsumeTests.ReadAsync(consumer, 5)).Count);

        // From here on a fetch waits at the broker for records of both.
        consumer.SeekToBeginning([Other]);
        Assert.All(await ProduceAndConsumeTests.ReadAsync(consumer, 5), record => Assert.Equal(Other, record.TopicPartition));
        for (int round = 0; round < 5; round++)
        {
            await consumer.SeekAsync(Partition, new Offset(round));
            Assert.Equal(round, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
        }

        consumer.Pause([Other]);
        await consumer.SeekAsync(Other, new Offset(2));
        await consumer.SeekAsync(Partition, new Offset(4));
        Assert.Equal(Partition, (await consumer.PollAsync(1, Until.Timeout()))[0].TopicPartition);
        consumer.Resume([Other]);
        Assert.Equal(2, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(3))]);
        Assert.Equal(3, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
    }

    [Fact]
    public async Task Ends_of_logs_and_offsets_by_time_are_told_and_sought()
    {
        await using TestBroker broker = await TestBroker.StartAsync(configure: options => options.DefaultPartitionCount = 2);
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        DateTimeOffset time = DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_000);
        for (int i = 0; i < 10; i++)
        {
            await producer.ProduceAsync(
                new ProducerRecord { Topic = "orders", Partition = 0, Value = BitConverter.GetBytes(i), Timestamp = time.AddSeconds(i) }, Until.Timeout());
        }

        KafkaConsumer consumer = client.CreateConsumer();
        Assert.Equal(new Offset(10), (await consumer.EndOffsetsAsync([Partition, Other], Until.Timeout()))[Partition]);
        Assert.Equal(Offset.Zero, (await consumer.EndOffsetsAsync([Other], Until.Timeout()))[Other]);
        Assert.Equal(Offset.Zero, (await consumer.BeginningOffsetsAsync([Partition], Until.Timeout()))[Partition]);
        IReadOnlyDictionary<TopicPartition, OffsetAndTimestamp> found = await consumer.OffsetsForTimesAsync(
            new Dictionary<TopicPartition, DateTimeOffset> { [Partition] = time.AddSeconds(6.5), [Other] = time }, Until.Timeout());
        Assert.Equal(new OffsetAndTimestamp(new Offset(7), time.AddSeconds(7), found[Partition].LeaderEpoch), Assert.Single(found).Value);

        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(5)), new TopicPartitionOffset(Other, Offset.Zero)]);
        await consumer.SeekToTimeAsync([Partition, Other], time.AddSeconds(8), Until.Timeout());
        Assert.Equal((new Offset(8), Offset.Zero), (consumer.Position(Partition), consumer.Position(Other)));
        Assert.Equal(8, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
        consumer.SeekToBeginning([Partition]);
        Assert.Equal(0, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
        consumer.SeekToEnd([Partition]);
        await Until.TrueAsync(() => consumer.Position(Partition) == new Offset(10), "the position at the end");
        await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = 0, Value = null }, Until.Timeout());
        Assert.Equal(10, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
        Assert.Throws<InvalidOperationException>(() => consumer.SeekToEnd([new TopicPartition("orders", 7)]));
    }

    [Fact]
    public async Task A_reset_by_duration_begins_with_what_is_no_older()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        foreach (int ageInHours in (int[])[5, 3, 1])
        {
            await producer.ProduceAsync(
                new ProducerRecord { Topic = "orders", Value = BitConverter.GetBytes(ageInHours), Timestamp = now.AddHours(-ageInHours) }, Until.Timeout());
        }

        KafkaConsumer consumer = client.CreateConsumer(
            new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.ByDuration, AutoOffsetResetDuration = TimeSpan.FromHours(4) });
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(-1))]);
        Assert.Equal(1, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);

        KafkaConsumer late = client.CreateConsumer(
            new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.ByDuration, AutoOffsetResetDuration = TimeSpan.FromMinutes(1) });
        late.Assign([new TopicPartitionOffset(Partition, new Offset(-1))]);
        await Until.TrueAsync(() => late.Position(Partition) == new Offset(3), "the position at the end");

        KafkaConsumer all = client.CreateConsumer(
            new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.ByDuration, AutoOffsetResetDuration = TimeSpan.MaxValue });
        all.Assign([new TopicPartitionOffset(Partition, new Offset(-1))]);
        Assert.Equal(0, (await all.PollAsync(1, Until.Timeout()))[0].Offset.Value);
        Assert.Throws<ArgumentException>(() => client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.ByDuration }));
        Assert.Throws<ArgumentException>(() => client.CreateConsumer(new ConsumerOptions { AutoOffsetResetDuration = TimeSpan.Zero }));
    }

    [Fact]
    public async Task A_record_that_is_kept_keeps_little_of_what_it_was_fetched_with()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAndConsumeTests.ProduceAsync(client, "orders", 20_000);
        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        ConsumerRecord kept = (await ProduceAndConsumeTests.ReadAsync(consumer, 20_000))[1_000];
        Assert.True(System.Runtime.InteropServices.MemoryMarshal.TryGetArray(kept.Value!.Value, out ArraySegment<byte> segment));
        Assert.InRange(segment.Array!.Length, 4, 66 * 1024);
    }

    [Fact]
    public async Task A_topic_that_is_created_again_is_read_from_its_beginning()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAndConsumeTests.ProduceAsync(client, "orders", 5);
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest, FetchMaxWait = TimeSpan.FromMilliseconds(10) });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        Assert.Equal(5, (await ProduceAndConsumeTests.ReadAsync(consumer, 5)).Count);
        await client.Admin.DeleteTopicsAsync(["orders"], cancellationToken: Until.Timeout());
        await Until.TrueAsync(
            // A cluster deletes in the background. The test's own broker has done it, and creates the topic for the consumer, too.
            async () => (await client.Admin.CreateTopicsAsync([new NewTopic("orders", 1)], Until.Timeout()))["orders"].Created || !broker.IsExternal,
            "the topic is created again");

        await using KafkaClient other = broker.CreateClient();
        await ProduceAndConsumeTests.ProduceAsync(other, "orders", 3);
        Assert.Equal([0, 1, 2], (await ProduceAndConsumeTests.ReadAsync(consumer, 3)).Select(record => record.Offset.Value));
    }

    [Fact]
    public async Task A_poll_of_a_consumer_that_reads_nothing_is_refused()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "readers", AutoOffsetReset = AutoOffsetReset.Earliest });
        InvalidOperationException failure = await Assert.ThrowsAsync<InvalidOperationException>(async () => await consumer.PollAsync(cancellationToken: Until.Timeout()));
        Assert.Contains(nameof(KafkaConsumer.SubscribeAsync), failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await consumer.PollBatchAsync(Until.Timeout()));
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await consumer.ConsumeAsync(Until.Timeout()).FirstAsync());

        // A subscription that is under way is one.
        await ProduceAndConsumeTests.ProduceAsync(client, "orders", 1);
        Task subscribing = consumer.SubscribeAsync(["orders"], cancellationToken: Until.Timeout());
        Assert.Single(await consumer.PollAsync(cancellationToken: Until.Timeout()));
        await subscribing;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_topic_that_is_missing_is_named_in_the_log_once(bool isSubscribed)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        using var logs = new RecordingLoggers();
        KafkaClientOptions options = broker.CreateClientOptions();
        (options.AllowAutoCreateTopics, options.MetadataMaxAge) = (false, TimeSpan.FromMilliseconds(100));
        await using var client = new KafkaClient(options, TimeProvider.System, logs);
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = isSubscribed ? "readers" : null, AutoOffsetReset = AutoOffsetReset.Earliest });
        if (isSubscribed)
        {
            await consumer.SubscribeAsync(["orders"], cancellationToken: Until.Timeout());
        }
        else
        {
            consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        }

        await Until.TrueAsync(() => Missing() > 0, "the warning");
        await client.Admin.CreateTopicsAsync([new NewTopic("orders", 1)], Until.Timeout());
        await ProduceAndConsumeTests.ProduceAsync(client, "orders", 1);
        Assert.Single(await consumer.PollAsync(cancellationToken: Until.Timeout()));
        Assert.Equal(1, Missing());

        await consumer.DisposeAsync();
        Assert.Equal(isSubscribed, logs.Lines.Any(line => line.Contains("ends: the consumer closes", StringComparison.Ordinal)));
        Assert.DoesNotContain(logs.Lines, line => line.Contains("rejoins: the consumer closes", StringComparison.Ordinal));

        int Missing() => logs.Lines.Count(line => line.Contains("There is no topic 'orders'", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("orders", 7, "There is no partition orders-7, which a consumer is to read: the topic has 1,", null)]
    [InlineData("a b/c", 0, "Topic 'a b/c', which a consumer is to read, cannot be used: The topic's name is not legal", "There is no topic 'a b/c'")]
    public async Task What_cannot_be_read_is_named_in_the_log_once(string topic, int partition, string warning, string? ofOldBrokers)
    {
        // Kafka 2.4 says no more of a name that is not legal than that there is no such topic.
        await using TestBroker broker = await TestBroker.StartAsync();
        using var logs = new RecordingLoggers();
        KafkaClientOptions options = broker.CreateClientOptions();
        (options.AllowAutoCreateTopics, options.MetadataMaxAge) = (false, TimeSpan.FromMilliseconds(100));
        await using var client = new KafkaClient(options, TimeProvider.System, logs);
        await client.Admin.CreateTopicsAsync([new NewTopic("orders", 1), new NewTopic("others", 1)], Until.Timeout());
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
        consumer.Assign([new TopicPartitionOffset(new TopicPartition(topic, partition), Offset.Zero), new TopicPartitionOffset(new TopicPartition("others", 0), Offset.Zero)]);
        await Until.TrueAsync(() => Warnings() > 0, "the warning");
        await ProduceAndConsumeTests.ProduceAsync(client, "others", 1);
        while ((await consumer.PollAsync(cancellationToken: Until.Timeout())).Count == 0)
        {
        }

        Assert.Equal(1, Warnings());

        int Warnings() => logs.Lines.Count(line =>
            line.Contains(warning, StringComparison.Ordinal) || (ofOldBrokers is not null && line.Contains(ofOldBrokers, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Who_asks_for_offsets_of_a_partition_that_is_not_there_is_told_so()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        KafkaClientOptions options = broker.CreateClientOptions();
        options.ApiTimeout = TimeSpan.FromMilliseconds(500);
        await using var client = new KafkaClient(options);
        await client.Admin.CreateTopicsAsync([new NewTopic("orders", 1)], Until.Timeout());
        KafkaConsumer consumer = client.CreateConsumer();
        KafkaTimeoutException failure = await Assert.ThrowsAsync<KafkaTimeoutException>(() => consumer.EndOffsetsAsync([new TopicPartition("orders", 7)], Until.Timeout()));
        Assert.Contains("There is no partition orders-7: the topic has 1,", failure.Message, StringComparison.Ordinal);
    }

    private static int Check(ConsumerBatch batch, int next, DateTimeOffset time)
    {
        int start = next;
        foreach (RecordView record in batch)
        {
            Assert.Equal(next, record.Offset.Value);
            Assert.Equal(time.AddMilliseconds(next * 7).ToUnixTimeMilliseconds(), record.TimestampMilliseconds);
            Assert.Equal(next % 3 != 0, record.HasKey);
            Assert.Equal(next % 5 != 0, record.HasValue);
            Assert.Equal(record.HasKey, record.KeyMemory is not null);
            Assert.Equal(record.HasKey ? BitConverter.GetBytes(-next) : [], record.Key.ToArray());
            Assert.Equal(record.HasValue ? BitConverter.GetBytes(next) : [], record.Value.ToArray());
            Assert.Equal(record.Value.ToArray(), record.ValueMemory.GetValueOrDefault().ToArray());
            Assert.Equal(next % 2 == 0 ? 0 : 3, record.Headers.Count);
            Assert.Equal(next % 2 != 0, record.Headers.TryGetLast("number"u8, out HeaderView last));
            Assert.Equal(next % 2 == 0 ? "" : "last", Encoding.UTF8.GetString(last.Value));
            Assert.Equal(next % 2 != 0, record.Headers.TryGetLast("none"u8, out HeaderView none) && !none.HasValue);
            next++;
        }

        Assert.Equal(batch.Count, next - start);
        return next;
    }

    private static long FirstOffset(ConsumerBatch batch)
    {
        foreach (RecordView record in batch)
        {
            return record.Offset.Value;
        }

        return -1;
    }

    private static List<int> Values(ConsumerBatch batch)
    {
        var values = new List<int>();
        foreach (RecordView record in batch)
        {
            values.Add(BitConverter.ToInt32(record.Value));
        }

        return values;
    }
}
