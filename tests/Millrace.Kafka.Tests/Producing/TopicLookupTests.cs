using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>Records that wait for a topic which is not there yet.</summary>
public sealed class TopicLookupTests
{
    [Fact]
    public async Task A_record_waits_for_its_topic_as_long_as_it_may_whenever_the_look_up_began()
    {
        var cluster = new HoldingCluster(1) { OnMetadata = static known => new MetadataResponse { Brokers = known.Brokers } };
        var time = new ManualTime();
        await using var client = new KafkaClient(new KafkaClientOptions { BootstrapServers = "node:1", Connector = cluster, RandomSeed = 1 }, time, NullLoggerFactory.Instance);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero, MaxBlock = TimeSpan.FromSeconds(60) });
        Task<RecordMetadata> first = ProduceAsync(producer);
        TimeSpan elapsed = TimeSpan.Zero;
        await AdvanceAsync(() => elapsed >= TimeSpan.FromSeconds(50));
        Task<RecordMetadata> second = ProduceAsync(producer);
        await AdvanceAsync(() => elapsed >= TimeSpan.FromSeconds(70));
        await Assert.ThrowsAsync<KafkaTimeoutException>(() => first.WaitAsync(Until.Limit));
        Assert.False(second.IsCompleted);

        cluster.OnMetadata = null;
        await AdvanceAsync(() => cluster.Held[1].Reader.Count > 0);
        (await cluster.Held[1].Reader.ReadAsync(Until.Timeout())).Acknowledge();
        await second.WaitAsync(Until.Limit);

        Task AdvanceAsync(Func<bool> isEnough) => Until.TrueAsync(
            () =>
            {
                time.Advance(TimeSpan.FromSeconds(0.1));
                elapsed += TimeSpan.FromSeconds(0.1);
                return isEnough();
            },
            "the clock to move on");
    }

    [Fact]
    public async Task A_topic_is_learned_of_also_for_a_producer_that_does_not_wait_for_it()
    {
        var cluster = new HoldingCluster(1);
        await using var client = new KafkaClient(
            new KafkaClientOptions { BootstrapServers = "node:1", Connector = cluster, RandomSeed = 1 }, TimeProvider.System, NullLoggerFactory.Instance);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { MaxBlock = TimeSpan.Zero, CloseTimeout = TimeSpan.Zero });
        await Assert.ThrowsAsync<KafkaTimeoutException>(EnqueueAsync);
        await Until.TrueAsync(
            async () =>
            {
                try
                {
                    await EnqueueAsync();
                    return true;
                }
                catch (KafkaTimeoutException)
                {
                    return false;
                }
            },
            "a record in the buffer");

        async Task EnqueueAsync() => await producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Partition = 0, Value = [1] });
    }

    [Fact]
    public async Task A_record_whose_topic_is_missing_says_so()
    {
        var cluster = new HoldingCluster(1)
        {
            OnMetadata = static known => new MetadataResponse
            {
                Brokers = known.Brokers,
                Topics = [new MetadataTopic { Name = HoldingCluster.Topic, ErrorCode = ErrorCode.UnknownTopicOrPartition }],
            },
        };
        var time = new ManualTime();
        await using var client = new KafkaClient(new KafkaClientOptions { BootstrapServers = "node:1", Connector = cluster, RandomSeed = 1 }, time, NullLoggerFactory.Instance);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero, MaxBlock = TimeSpan.FromSeconds(60) });
        Task<RecordMetadata> record = ProduceAsync(producer);
        await Until.TrueAsync(
            () =>
            {
                time.Advance(TimeSpan.FromSeconds(0.1));
                return record.IsCompleted;
            },
            "the end of MaxBlock");
        KafkaTimeoutException failure = await Assert.ThrowsAsync<KafkaTimeoutException>(() => record);
        Assert.Contains("has no such topic", failure.Message, StringComparison.Ordinal);
        Assert.Contains("whether the topic exists", failure.Message, StringComparison.Ordinal);
    }

    private static Task<RecordMetadata> ProduceAsync(KafkaProducer producer) =>
        producer.ProduceAsync(new ProducerRecord { Topic = HoldingCluster.Topic, Partition = 0, Value = new byte[] { 1 } }).AsTask();
}
