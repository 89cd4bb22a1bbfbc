using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>Whoever waits for an answer is told, whatever the application's logger, meter listener or handler does.</summary>
public sealed class DeliveryTests
{
    private readonly HoldingCluster _cluster = new(1);

    [Fact]
    public async Task A_logger_that_fails_does_not_keep_the_failure_of_a_batch_from_its_records_nor_later_answers()
    {
        var loggers = new FailingLoggers("failed: ");
        await using KafkaClient client = CreateClient(loggers);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        Task<RecordMetadata> refused = ProduceAsync(producer);
        HoldingCluster.HeldRequest request = await NextAsync();
        request.Answer(Failed(ErrorCode.InvalidRecord));
        await Assert.ThrowsAsync<KafkaBrokerException>(() => refused.WaitAsync(Until.Limit));
        Assert.Equal(1, loggers.FailureCount);
        await AssertGoesOnAsync(producer);
    }

    [Fact]
    public async Task A_logger_that_fails_for_a_handler_that_fails_does_not_keep_later_answers()
    {
        var loggers = new FailingLoggers("delivery handler threw");
        await using KafkaClient client = CreateClient(loggers);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        await producer.EnqueueAsync(new SpanRecord(HoldingCluster.Topic) { Partition = 0, Value = [1] }, new Failing());
        (await NextAsync()).Acknowledge();
        await Until.TrueAsync(() => loggers.FailureCount == 1, "the failure of the logger");
        await AssertGoesOnAsync(producer);
    }

    [Theory]
    [InlineData(ErrorCode.NotEnoughReplicasAfterAppend, "This attempt may have written them.")]
    [InlineData(ErrorCode.NotEnoughReplicas, "This attempt has written none of them.")]
    public async Task A_record_that_ran_out_of_time_is_told_of_its_last_answer_what_that_attempt_did(ErrorCode answered, string fate)
    {
        var time = new ManualTime();
        var loggers = new FailingLoggers("is sent again");
        await using KafkaClient client = CreateClient(loggers, time: time);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero, DeliveryTimeout = TimeSpan.FromSeconds(30) });
        Task<RecordMetadata> record = ProduceAsync(producer);
        (await NextAsync()).Answer(Failed(answered));
        await Until.TrueAsync(() => loggers.FailureCount > 0, "the answer");
        await Until.TrueAsync(
            () =>
            {
                time.Advance(TimeSpan.FromSeconds(1));
                return record.IsCompleted;
            },
            "the end of the record's time");
        string message = (await Assert.ThrowsAsync<KafkaTimeoutException>(() => record)).Message;
        Assert.Contains("they may or may not be written", message, StringComparison.Ordinal);
        Assert.EndsWith(fate, message, StringComparison.Ordinal);
        (await NextAsync()).Acknowledge();
    }

    [Fact]
    public async Task A_call_that_is_awaited_twice_takes_nobody_else_s_answer()
    {
        await using KafkaClient client = CreateClient(NullLoggerFactory.Instance);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        ValueTask<RecordMetadata> first = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Partition = 0, Value = [1] });
        (await NextAsync()).Acknowledge();
        await first;

        // What the first one was awaited by is the second one's now.
        ValueTask<RecordMetadata> second = producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Partition = 0, Value = [2] });
        Assert.Throws<InvalidOperationException>(() => second.GetAwaiter().GetResult());
        (await NextAsync()).Acknowledge();
        await Until.TrueAsync(() => second.IsCompleted, "the second acknowledgement");
        Assert.Throws<InvalidOperationException>(() => first.GetAwaiter().GetResult());
        Assert.Equal(HoldingCluster.Topic, (await second).TopicPartition.Topic);
    }

    [Theory]
    [InlineData("is sent again")]
    [InlineData("Producer id 1000")]
    [InlineData("Metadata: 2 brokers")]
    public async Task A_logger_that_fails_keeps_no_batch_from_being_sent_and_sent_again(string words)
    {
        var loggers = new FailingLoggers(words);
        await using KafkaClient client = CreateClient(loggers);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        await AssertSentAgainAsync(producer);
        Assert.True(loggers.FailureCount > 0);
    }

    [Theory]
    [InlineData("messaging.client.sent.messages")]
    [InlineData("kafka.producer.retries")]
    [InlineData("kafka.producer.buffer.usage")]
    [InlineData("kafka.producer.batch.records")]
    [InlineData("messaging.client.operation.duration")]
    public async Task A_listener_of_the_meter_that_fails_does_not_keep_an_answer_from_its_records(string name)
    {
        string clientId = $"client of a listener to {name} that fails";
        bool hasFailed = false;
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Millrace.Kafka" && instrument.Name == name)
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((_, _, tags, _) => Fail(tags));
        listener.SetMeasurementEventCallback<double>((_, _, tags, _) => Fail(tags));
        listener.Start();
        await using KafkaClient client = CreateClient(NullLoggerFactory.Instance, clientId);
        await AssertSentAgainAsync(client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero }));
        Assert.True(hasFailed);

        void Fail(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            foreach (KeyValuePair<string, object?> tag in tags)
            {
                if (tag.Value is string value && value == clientId && !hasFailed)
                {
                    hasFailed = true;
                    throw new InvalidOperationException("The listener failed.");
                }
            }
        }
    }

    /// <summary>The first attempt of a record is refused, and it is acknowledged all the same; those after it, too.</summary>
    private async Task AssertSentAgainAsync(KafkaProducer producer)
    {
        Task<RecordMetadata> record = ProduceAsync(producer);
        (await NextAsync()).Answer(Failed(ErrorCode.NotEnoughReplicas));
        (await NextAsync()).Acknowledge();
        await record.WaitAsync(Until.Limit);
        await producer.FlushAsync().WaitAsync(Until.Limit);
    }

    private static Task<RecordMetadata> ProduceAsync(KafkaProducer producer) =>
        producer.ProduceAsync(new SpanRecord(HoldingCluster.Topic) { Partition = 0, Value = [1] }).AsTask();

    private async Task AssertGoesOnAsync(KafkaProducer producer)
    {
        for (int i = 0; i < 2; i++)
        {
            Task<RecordMetadata> record = ProduceAsync(producer);
            (await NextAsync()).Acknowledge();
            await record.WaitAsync(Until.Limit);
        }

        await producer.FlushAsync().WaitAsync(Until.Limit);
    }

    private static ProduceResponse Failed(ErrorCode error) => new()
    {
        Topics = [new ProduceTopicResponse { Name = HoldingCluster.Topic, Partitions = [new ProducePartitionResponse { ErrorCode = error }] }],
    };

    private async Task<HoldingCluster.HeldRequest> NextAsync() => await _cluster.Held[1].Reader.ReadAsync(Until.Timeout());

    private KafkaClient CreateClient(ILoggerFactory loggers, string clientId = "millrace", TimeProvider? time = null) => new(
        new KafkaClientOptions { BootstrapServers = "node:1", Connector = _cluster, RandomSeed = 1, ClientId = clientId }, time ?? TimeProvider.System, loggers);

    private sealed class Failing : IDeliveryHandler
    {
        public void OnDelivered(in DeliveryReport report) => throw new InvalidOperationException("The handler failed.");
    }
}
