using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.LoadTest.Running;

/// <summary>A consumer of our client, on one partition of one topic, with the fetch settings that librdkafka has by itself.</summary>
internal sealed class ManagedConsumer : IAsyncDisposable
{
    private readonly KafkaClient _client;
    private readonly KafkaConsumer _consumer;

    public ManagedConsumer(IPEndPoint broker, string topic)
    {
        _client = new KafkaClient(new KafkaClientOptions { BootstrapServers = broker.ToString() }, TimeProvider.System, NullLoggerFactory.Instance);

        // fetch.message.max.bytes, fetch.max.bytes, fetch.min.bytes and fetch.wait.max.ms of librdkafka.
        _consumer = _client.CreateConsumer(new ConsumerOptions
        {
            PartitionFetchMaxByteCount = 1024 * 1024,
            FetchMaxByteCount = 50 * 1024 * 1024,
            FetchMinByteCount = 1,
            FetchMaxWait = TimeSpan.FromMilliseconds(500),
        });
        _consumer.Assign([new TopicPartitionOffset(new TopicPartition(topic, 0), Offset.Zero)]);
    }

    /// <summary>Reads records where they lie, and returns the bytes of so many values.</summary>
    public async Task<long> ReadBatchesAsync(long count)
    {
        long byteCount = 0;
        for (long consumed = 0; consumed < count;)
        {
            using ConsumerBatch batch = await _consumer.PollBatchAsync();
            consumed += batch.Count;
            byteCount += Sum(batch);
        }

        return byteCount;
    }

    /// <summary>As above, of records whose memory is their own.</summary>
    public async Task<long> ReadRecordsAsync(long count)
    {
        long byteCount = 0;
        for (long consumed = 0; consumed < count;)
        {
            foreach (ConsumerRecord record in await _consumer.PollAsync(500))
            {
                byteCount += record.Value!.Value.Length;
                consumed++;
            }
        }

        return byteCount;
    }

    /// <summary>As above, one by one.</summary>
    public async Task<long> EnumerateAsync(long count)
    {
        long byteCount = 0;
        long consumed = 0;
        await foreach (ConsumerRecord record in _consumer.ConsumeAsync())
        {
            byteCount += record.Value!.Value.Length;
            if (++consumed == count)
            {
                break;
            }
        }

        return byteCount;
    }

    public async ValueTask DisposeAsync() => await _client.DisposeAsync();

    private static long Sum(ConsumerBatch batch)
    {
        long byteCount = 0;
        foreach (RecordView record in batch)
        {
            byteCount += record.Value.Length;
        }

        return byteCount;
    }
}
