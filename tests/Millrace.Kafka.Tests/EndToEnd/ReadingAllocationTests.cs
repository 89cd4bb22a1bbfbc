using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>What reading allocates, by count. Alone, since what other tests allocate would be counted too.</summary>
[CollectionDefinition(nameof(ReadingAllocationTests), DisableParallelization = true)]
[Collection(nameof(ReadingAllocationTests))]
public sealed class ReadingAllocationTests
{
    private const int Count = 100_000;
    private static readonly TopicPartition Partition = new("orders", 0);

    [Theory]
    [InlineData(CompressionCodec.None)]
    [InlineData(CompressionCodec.Lz4)]
    [InlineData(CompressionCodec.Snappy)]
    public async Task Lent_records_cost_nothing_on_the_thread_that_reads_them_and_less_than_a_byte_each_in_the_whole_process(CompressionCodec codec)
    {
        await using TestBroker broker = await TestBroker.StartAsync(isTcp: true);
        await using KafkaClient client = broker.CreateClient();
        await using (KafkaProducer producer = client.CreateProducer(new ProducerOptions { Compression = codec, BatchByteCount = 256 * 1024 }))
        {
            byte[] value = new byte[100];
            await Task.WhenAll(Enumerable.Range(0, Count).Select(i =>
                producer.ProduceAsync(new ProducerRecord { Topic = "orders", Key = value.AsMemory(0, 8), Value = value }, Until.Timeout()).AsTask()));
        }

        // The larger part of a fetch's own cost is shared by what it brings.
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { PartitionFetchMaxByteCount = 4 * 1024 * 1024 });
        (double onReader, double inProcess) best = (double.MaxValue, double.MaxValue);
        for (int round = 0; round < 20 && (best.onReader > 0 || best.inProcess >= 1); round++)
        {
            consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
            (double onReader, double inProcess) allocated = await MeasureAsync(consumer);

            // What the runtime compiles and counts on the way is not of reading: the least of the rounds is.
            best = (Math.Min(best.onReader, allocated.onReader), Math.Min(best.inProcess, allocated.inProcess));
        }

        Assert.Equal(0, best.onReader);
        Assert.InRange(best.inProcess, 0, 0.999);
    }

    private static async Task<(double OnReader, double InProcess)> MeasureAsync(KafkaConsumer consumer)
    {
        long onReader = 0;
        long before = GC.GetTotalAllocatedBytes(precise: true);
        for (int read = 0; read < Count;)
        {
            using ConsumerBatch batch = await consumer.PollBatchAsync(Until.Timeout());
            long start = GC.GetAllocatedBytesForCurrentThread();
            Assert.True(Sum(batch) > 0);
            onReader += GC.GetAllocatedBytesForCurrentThread() - start;
            read += batch.Count;
        }

        // The broker is in this process and allocates for its part of the fetches, too; so the bound is on the two of them.
        return (onReader, (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)Count);
    }

    private static long Sum(ConsumerBatch batch)
    {
        long byteCount = 0;
        foreach (RecordView record in batch)
        {
            byteCount += record.Key.Length + record.Value.Length + record.Headers.Count;
        }

        return byteCount;
    }
}
