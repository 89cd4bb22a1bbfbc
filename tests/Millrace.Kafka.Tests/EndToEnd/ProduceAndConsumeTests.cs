using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class ProduceAndConsumeTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Records_come_back_with_keys_values_headers_and_times(bool isTcp)
    {
        await using TestBroker broker = await TestBroker.StartAsync(isTcp);
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        var time = new DateTimeOffset(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);
        ProducerRecord[] sent =
        [
            new() { Topic = "orders", Key = "a"u8.ToArray(), Value = "1"u8.ToArray(), Timestamp = time },
            new() { Topic = "orders", Key = "b"u8.ToArray(), Value = null },
            new() { Topic = "orders", Key = null, Value = "3"u8.ToArray(), Headers = [new RecordHeader("h", "x"u8.ToArray()), new RecordHeader("h", null)] },
            new() { Topic = "orders", Key = ReadOnlyMemory<byte>.Empty, Value = ReadOnlyMemory<byte>.Empty },
        ];
        RecordMetadata[] acknowledged = await Task.WhenAll(sent.Select(record => producer.ProduceAsync(record, Until.Timeout()).AsTask()));
        Assert.Equal([0, 1, 2, 3], acknowledged.Select(metadata => metadata.Offset.Value));

        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(new TopicPartition("orders", 0), Offset.Zero)]);
        List<ConsumerRecord> received = await ReadAsync(consumer, sent.Length);
        for (int i = 0; i < sent.Length; i++)
        {
            Assert.Equal(i, received[i].Offset.Value);
            AssertSame(sent[i].Key, received[i].Key);
            AssertSame(sent[i].Value, received[i].Value);
        }

        Assert.Equal(time, received[0].Timestamp);
        Assert.Equal(["h", "h"], received[2].Headers.Select(header => header.Key));
        Assert.Equal("x", Encoding.UTF8.GetString(received[2].Headers[0].Value!.Value.Span));
        Assert.Null(received[2].Headers[1].Value);
    }

    [Fact]
    public async Task A_seek_drops_what_was_fetched_and_reads_on_from_there()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAsync(client, "orders", 100);
        KafkaConsumer consumer = client.CreateConsumer();
        var partition = new TopicPartition("orders", 0);
        consumer.Assign([new TopicPartitionOffset(partition, Offset.Zero)]);
        Assert.Equal(0, (await consumer.PollAsync(10, Until.Timeout()))[0].Offset.Value);
        await consumer.SeekAsync(partition, new Offset(90));
        Assert.Equal(new Offset(90), consumer.Position(partition));
        Assert.Equal(90, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
        await consumer.SeekAsync(partition, new Offset(5));
        Assert.Equal([5, 6], (await consumer.PollAsync(2, Until.Timeout())).Select(record => record.Offset.Value));
    }

    [Fact]
    public async Task A_paused_partition_hands_out_nothing_until_it_is_resumed()
    {
        await using TestBroker broker = await TestBroker.StartAsync(configure: options => options.DefaultPartitionCount = 2);
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        for (int i = 0; i < 10; i++)
        {
            await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = i % 2, Value = new[] { (byte)i } }, Until.Timeout());
        }

        KafkaConsumer consumer = client.CreateConsumer();
        TopicPartition[] partitions = [new("orders", 0), new("orders", 1)];
        consumer.Assign([.. partitions.Select(partition => new TopicPartitionOffset(partition, Offset.Zero))]);
        consumer.Pause([partitions[0]]);
        Assert.All(await ReadAsync(consumer, 5), record => Assert.Equal(partitions[1], record.TopicPartition));
        consumer.Resume([partitions[0]]);
        Assert.All(await ReadAsync(consumer, 5), record => Assert.Equal(partitions[0], record.TopicPartition));
    }

    [Fact]
    public async Task Without_a_position_the_reset_decides()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAsync(client, "orders", 3);
        var partition = new TopicPartition("orders", 0);
        KafkaConsumer earliest = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
        earliest.Assign([new TopicPartitionOffset(partition, new Offset(-1))]);
        Assert.Equal(0, (await earliest.PollAsync(1, Until.Timeout()))[0].Offset.Value);

        KafkaConsumer latest = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Latest });
        latest.Assign([new TopicPartitionOffset(partition, new Offset(-1))]);
        await Until.TrueAsync(() => latest.Position(partition) == new Offset(3), "the position at the end");

        KafkaConsumer none = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.None });
        none.Assign([new TopicPartitionOffset(partition, new Offset(77))]);
        KafkaOffsetOutOfRangeException failure = await Assert.ThrowsAsync<KafkaOffsetOutOfRangeException>(
            async () => await none.PollAsync(1, Until.Timeout()));
        Assert.Equal(partition, failure.Partition);
        await none.SeekAsync(partition, new Offset(2));
        Assert.Equal(2, (await none.PollAsync(1, Until.Timeout()))[0].Offset.Value);
    }

    [Theory]
    [InlineData(CompressionCodec.Gzip)]
    [InlineData(CompressionCodec.Snappy)]
    [InlineData(CompressionCodec.Lz4)]
    public async Task Compressed_batches_come_back_as_they_were(CompressionCodec codec)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAsync(client, "orders", 500, new ProducerOptions { Compression = codec });
        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(new TopicPartition("orders", 0), Offset.Zero)]);
        List<ConsumerRecord> records = await ReadAsync(consumer, 500);
        Assert.Equal(Enumerable.Range(0, 500), records.Select(record => BitConverter.ToInt32(record.Value!.Value.Span)));
    }

    [Fact]
    public async Task Topics_are_created_described_and_reported_when_they_exist()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        IReadOnlyDictionary<string, CreateTopicResult> first = await client.Admin.CreateTopicsAsync([new NewTopic("a", 3), new NewTopic("b", 1)], Until.Timeout());
        Assert.All(first.Values, result => Assert.True(result.Created));
        IReadOnlyDictionary<string, CreateTopicResult> second = await client.Admin.CreateTopicsAsync([new NewTopic("a", 3)], Until.Timeout());
        Assert.True(Assert.Single(second).Value.AlreadyExisted);
        ClusterMetadata cluster = await client.Admin.DescribeAsync(["a", "missing"], Until.Timeout());
        Assert.Equal(3, cluster.Topics.Single(topic => topic.Name == "a").Partitions.Count);
        Assert.Equal(Protocol.ErrorCode.UnknownTopicOrPartition, cluster.Topics.Single(topic => topic.Name == "missing").ErrorCode);

        await ProduceAsync(client, "b", 7);
        var partition = new TopicPartition("b", 0);
        Assert.Equal(new Offset(7), (await client.Admin.ListOffsetsAsync([partition], OffsetSpec.Latest, Until.Timeout()))[partition]);
        Assert.Equal(Offset.Zero, (await client.Admin.ListOffsetsAsync([partition], OffsetSpec.Earliest, Until.Timeout()))[partition]);
    }

    internal static async Task ProduceAsync(KafkaClient client, string topic, int count, ProducerOptions? options = null)
    {
        await using KafkaProducer producer = client.CreateProducer(options);
        await Task.WhenAll(Enumerable.Range(0, count).Select(i =>
            producer.ProduceAsync(new ProducerRecord { Topic = topic, Value = BitConverter.GetBytes(i) }, Until.Timeout()).AsTask()));
    }

    internal static async Task<List<ConsumerRecord>> ReadAsync(KafkaConsumer consumer, int count)
    {
        var records = new List<ConsumerRecord>();
        while (records.Count < count)
        {
            records.AddRange(await consumer.PollAsync(count - records.Count, Until.Timeout()));
        }

        return records;
    }

    private static void AssertSame(ReadOnlyMemory<byte>? expected, ReadOnlyMemory<byte>? actual)
    {
        Assert.Equal(expected is null, actual is null);
        Assert.Equal(expected.GetValueOrDefault().ToArray(), actual.GetValueOrDefault().ToArray());
    }
}
