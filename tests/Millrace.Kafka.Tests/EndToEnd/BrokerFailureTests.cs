using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class BrokerFailureTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_broker_that_crashes_and_comes_back_under_load_neither_loses_nor_duplicates_nor_reorders(bool isTcp)
    {
        const int crashCount = 4;
        const int keyCount = 8;
        await using TestBroker broker = await TestBroker.StartAsync(isTcp, options => options.DefaultPartitionCount = 3);
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 200 });
        await producer.ProduceAsync(Record(0, -1), Until.Timeout());

        int acknowledged = 0;
        bool isOver = false;
        Task<int>[] writers = [.. Enumerable.Range(0, keyCount).Select(WriteAsync)];
        for (int i = 0; i < crashCount; i++)
        {
            int before = Volatile.Read(ref acknowledged);
            await Until.TrueAsync(() => Volatile.Read(ref acknowledged) > before + 200, "writes going on");
            broker.Abort();
            await broker.StartAgainAsync();
        }

        Volatile.Write(ref isOver, true);
        int[] counts = await Task.WhenAll(writers);

        KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([.. Enumerable.Range(0, 3).Select(partition => new TopicPartitionOffset(new TopicPartition("orders", partition), Offset.Zero))]);
        List<ConsumerRecord> records = await ProduceAndConsumeTests.ReadAsync(consumer, counts.Sum() + 1);
        foreach (IGrouping<byte, ConsumerRecord> key in records.GroupBy(record => record.Key!.Value.Span[0]))
        {
            IEnumerable<int> values = key.Select(record => BitConverter.ToInt32(record.Value!.Value.Span)).Where(value => value >= 0);
            Assert.Equal(Enumerable.Range(0, counts[key.Key]), values);
        }

        IReadOnlyDictionary<TopicPartition, Offset> ends = await client.Admin.ListOffsetsAsync(
            [.. Enumerable.Range(0, 3).Select(partition => new TopicPartition("orders", partition))], OffsetSpec.Latest, Until.Timeout());
        Assert.Equal(counts.Sum() + 1, ends.Values.Sum(end => end.Value));

        async Task<int> WriteAsync(int key)
        {
            // Twenty under way at a time: several batches of a partition in flight when the broker goes.
            int count = 0;
            while (!Volatile.Read(ref isOver))
            {
                int first = count;
                await Task.WhenAll(Enumerable.Range(first, 20).Select(value => producer.ProduceAsync(Record(key, value), Until.Timeout()).AsTask()));
                count += 20;
                Interlocked.Add(ref acknowledged, 20);
            }

            return count;
        }

        static ProducerRecord Record(int key, int value) => new()
        {
            Topic = "orders",
            Key = new[] { (byte)key },
            Value = BitConverter.GetBytes(value),
        };
    }

    [Fact]
    public async Task A_group_reads_on_after_its_broker_crashed()
    {
        await using TestBroker broker = await TestBroker.StartAsync(configure: options => options.GroupMinSessionTimeout = TimeSpan.FromMilliseconds(100));
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions
        {
            GroupId = "billing",
            AutoOffsetReset = AutoOffsetReset.Earliest,
            HeartbeatInterval = TimeSpan.FromMilliseconds(50),
        });
        await consumer.SubscribeAsync(["orders"], null, Until.Timeout());
        var read = new List<int>();
        for (int i = 0; i < 3; i++)
        {
            await Task.WhenAll(Enumerable.Range(i * 10, 10).Select(value => producer.ProduceAsync(
                new ProducerRecord { Topic = "orders", Value = BitConverter.GetBytes(value) }, Until.Timeout()).AsTask()));
            while (!read.Contains((i * 10) + 9))
            {
                IReadOnlyList<ConsumerRecord> records = await consumer.PollAsync(100, Until.Timeout());
                read.AddRange(records.Select(record => BitConverter.ToInt32(record.Value!.Value.Span)));
                try
                {
                    await consumer.CommitAsync([new TopicPartitionOffset(records[^1].TopicPartition, records[^1].Offset.Next)], Until.Timeout());
                }
                catch (KafkaGroupFencedException)
                {
                    // Handed out before the crash, committed after it: comes again.
                }
            }

            broker.Abort();
            await broker.StartAgainAsync();
        }

        Assert.Equal(Enumerable.Range(0, 30), read.Distinct().Order());
    }
}
