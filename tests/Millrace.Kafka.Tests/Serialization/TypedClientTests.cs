using System.Buffers;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class TypedClientTests
{
    private static readonly IKafkaSerde<TestOrder> Orders = KafkaSerdes.Json(TestJson.Default.TestOrder);

    [Fact]
    public async Task Records_come_back_as_they_went_and_one_that_cannot_be_read_is_told_by_its_place_and_can_be_skipped()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await using KafkaProducer<string, TestOrder> producer = client.CreateProducer(KafkaSerdes.Utf8, Orders);
        var time = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);
        RecordMetadata first = await producer.ProduceAsync(
            new ProducerRecord<string, TestOrder>("orders", "a", new TestOrder("a", 1)) { Partition = 0, Timestamp = time, Headers = [new RecordHeader("h", null)] }, Until.Timeout());
        await producer.Producer.ProduceAsync(new SpanRecord("orders", "b"u8, "no JSON"u8) { Partition = 0 }, Until.Timeout());
        await producer.EnqueueAsync(new ProducerRecord<string, TestOrder>("orders", "c", null!) { Partition = 0 });
        await producer.Producer.As(KafkaSerdes.Absent, KafkaSerdes.Int64).ProduceAsync(new ProducerRecord<Absent, long>("orders", default, 5) { Partition = 0 }, Until.Timeout());

        await using KafkaConsumer<string, TestOrder> consumer = client.CreateConsumer(KafkaSerdes.Utf8, Orders, new ConsumerOptions { GroupId = "skipping" });
        consumer.Consumer.Assign([new TopicPartitionOffset(first.TopicPartition, Offset.Zero)]);
        List<ConsumerRecord<string, TestOrder>> records = [];
        while (records.Count < 4)
        {
            records.AddRange(await consumer.PollAsync(10, Until.Timeout()));
        }

        Assert.Equal(["a", "b", "c", null], records.Select(record => record.Key));
        Assert.Equal(new TestOrder("a", 1), records[0].Value);
        Assert.Same(records[0].Value, records[0].Value);
        Assert.Null(records[0].Failure);
        Assert.Equal(time, records[0].Timestamp);
        Assert.Equal("h", Assert.Single(records[0].Headers).Key);
        Assert.Null(records[2].Value);
        Assert.Null(records[2].Failure);

        KafkaDeserializationException failure = Assert.Throws<KafkaDeserializationException>(() => records[1].Value);
        Assert.Same(failure, records[1].Failure);
        Assert.Equal((first.TopicPartition, new Offset(1), RecordPart.Value, typeof(TestOrder)), (failure.Partition, failure.Offset, failure.Part, failure.Type));
        Assert.False(failure.IsTransient);
        Assert.Contains("value of orders-0 at offset 1 (7 bytes) cannot be read as TestOrder", failure.Message, StringComparison.Ordinal);
        await consumer.Consumer.CommitAsync([records[1].Next], Until.Timeout());
        Assert.Equal(new Offset(2), (await consumer.Consumer.CommittedAsync([first.TopicPartition], Until.Timeout()))[first.TopicPartition].Offset);
    }

    [Fact]
    public async Task Records_keep_the_order_of_calls_while_the_serialiser_of_the_first_waits()
    {
        var cluster = new HoldingCluster(1);
        await using KafkaClient client = Client(cluster);
        var serializer = new Waiting();
        KafkaProducer<Absent, int> producer = client.CreateProducer(KafkaSerdes.Absent, serializer, new ProducerOptions { Linger = TimeSpan.Zero });
        ValueTask<RecordMetadata> first = producer.ProduceAsync(Record(1), Until.Timeout());
        ValueTask second = producer.EnqueueAsync(Record(2));
        using var cancel = new CancellationTokenSource();
        ValueTask<RecordMetadata> cancelled = producer.ProduceAsync(Record(3), cancel.Token);
        ValueTask fourth = producer.EnqueueAsync(Record(4));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await cancelled);
        Assert.False(second.IsCompleted);
        Task flushed = producer.FlushAsync(Until.Timeout());
        serializer.Ready.SetResult();

        List<int> written = [];
        while (written.Count < 3)
        {
            HoldingCluster.HeldRequest request = await cluster.Held[1].Reader.ReadAsync(Until.Timeout());
            written.AddRange(RecordBatchReader.Read(request.Request.Topics[0].Partitions[0].Records!.Value).Select(record => (int)record.Value!.Value.Span[0]));
            request.Acknowledge();
        }

        await first;
        await second;
        await fourth;
        await flushed;
        Assert.Equal([1, 2, 4], written);
    }

    [Theory]
    [InlineData("No digit", "No digit. Polling goes on")]
    [InlineData("No digit. ", "No digit. Polling goes on")]
    [InlineData("Is it one?", "Is it one? Polling goes on")]
    [InlineData("", "FormatException. Polling goes on")]
    public void What_a_deserialiser_says_is_a_sentence_of_its_own(string said, string expected)
    {
        var failure = new KafkaDeserializationException(new TopicPartition("orders", 0), Offset.Zero, RecordPart.Key, typeof(int), 3, new FormatException(said));
        Assert.Contains($"cannot be read as Int32: {expected}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_serialiser_that_fails_is_told_by_topic_and_part_and_nothing_is_written()
    {
        var cluster = new HoldingCluster(1);
        await using KafkaClient client = Client(cluster);
        KafkaProducer<string, TestReading> producer = client.CreateProducer(
            KafkaSerdes.Utf8, KafkaSerdes.Json(TestJson.Default.TestReading), new ProducerOptions { Linger = TimeSpan.Zero });
        KafkaSerializationException failure = await Assert.ThrowsAsync<KafkaSerializationException>(
            async () => await producer.ProduceAsync(new ProducerRecord<string, TestReading>("orders", "a", new TestReading(1, double.NaN)), Until.Timeout()));
        Assert.Equal(("orders", RecordPart.Value, typeof(TestReading)), (failure.Topic, failure.Part, failure.Type));
        Assert.Equal(RecordPart.Key, (await Assert.ThrowsAsync<KafkaSerializationException>(
            async () => await producer.EnqueueAsync(new ProducerRecord<string, TestReading>("orders", "\uD800", new TestReading(1, 1))))).Part);

        var refusing = new Waiting();
        refusing.Ready.SetException(new InvalidOperationException("The registry knows no such subject"));
        KafkaProducer<int, string> keyed = producer.Producer.As(refusing, KafkaSerdes.Utf8);
        failure = await Assert.ThrowsAsync<KafkaSerializationException>(
            async () => await keyed.ProduceAsync(new ProducerRecord<int, string>("orders", 1, "a"), Until.Timeout()));
        Assert.Equal("The key of a record for topic 'orders' cannot be written by the serialiser of Int32: The registry knows no such subject. The record is not written.", failure.Message);

        // The next one is the first that leaves.
        _ = producer.ProduceAsync(new ProducerRecord<string, TestReading>("orders", "a", new TestReading(1, 2)), Until.Timeout()).AsTask();
        HoldingCluster.HeldRequest request = await cluster.Held[1].Reader.ReadAsync(Until.Timeout());
        Assert.Equal("""{"sensor":1,"value":2}""", Encoding.UTF8.GetString(
            Assert.Single(RecordBatchReader.Read(request.Request.Topics[0].Partitions[0].Records!.Value)).Value!.Value.Span));
        request.Acknowledge();
    }

    [Fact]
    public async Task A_deserialiser_that_has_to_wait_is_waited_for_by_the_poll_and_may_be_asked_again()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer<Absent, int> producer = client.CreateProducer(KafkaSerdes.Absent, KafkaSerdes.Int32);
        RecordMetadata first = await producer.ProduceAsync(new ProducerRecord<Absent, int>("orders", default, 7) { Partition = 0 }, Until.Timeout());
        var deserializer = new Registry();
        KafkaConsumer<Absent, int> consumer = client.CreateConsumer(KafkaSerdes.Absent, deserializer);
        consumer.Consumer.Assign([new TopicPartitionOffset(first.TopicPartition, Offset.Zero)]);
        ConsumerRecord<Absent, int> record = Assert.Single(await consumer.PollAsync(10, Until.Timeout()));
        KafkaDeserializationException failure = Assert.Throws<KafkaDeserializationException>(() => record.Value);
        Assert.True(failure.IsTransient);
        deserializer.IsThere = true;
        await record.PrepareAsync(Until.Timeout());
        Assert.Equal(7, record.Value);
    }

    private static ProducerRecord<Absent, int> Record(int value) => new(HoldingCluster.Topic, default, value);

    private static KafkaClient Client(HoldingCluster cluster) => new(
        new KafkaClientOptions { BootstrapServers = "node:1", Connector = cluster, RandomSeed = 1 }, TimeProvider.System, NullLoggerFactory.Instance);

    private sealed class Waiting : IKafkaSerializer<int>
    {
        public TaskCompletionSource Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ValueTask PrepareAsync(int value, SerializationContext context, CancellationToken cancellationToken) => new(Ready.Task);

        public void Serialize(int value, IBufferWriter<byte> destination, SerializationContext context) => destination.Write([(byte)value]);
    }

    private sealed class Registry : IKafkaDeserializer<int>
    {
        public bool IsThere { get; set; }

        public async ValueTask PrepareAsync(ReadOnlyMemory<byte> data, SerializationContext context, CancellationToken cancellationToken)
        {
            await Task.Yield();
            if (!IsThere)
            {
                throw new KafkaConnectionException("The registry does not answer.");
            }
        }

        public int Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => KafkaSerdes.Int32.Deserialize(data, context);
    }
}
