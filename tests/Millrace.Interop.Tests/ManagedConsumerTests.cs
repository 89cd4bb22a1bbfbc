using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Interop.Tests.Programs;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Interop.Tests;

/// <summary>Our consumer reads what librdkafka has written to a broker that is a process of its own: compressed, committed and aborted.</summary>
public sealed class ManagedConsumerTests
{
    private const string Topic = "mixed";
    private const int PerTransaction = 40;
    private static readonly TopicPartition Partition = new(Topic, 0);

    [Theory]
    [InlineData("gzip")]
    [InlineData("snappy")]
    [InlineData("lz4")]
    [InlineData("zstd")]
    [InlineData("none")]
    public async Task Committed_records_of_another_client_are_read_from_every_offset_and_aborted_ones_are_not(string codec)
    {
        Librdkafka.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        List<string> committed = Write(broker, codec);

        await using KafkaClient client = CreateClient(broker.EndPoint);
        List<(long Offset, string Value)> visible = await ReadAsync(client, IsolationLevel.ReadCommitted, from: 0, committed.Count);
        Assert.Equal(committed, visible.Select(record => record.Value));
        List<(long Offset, string Value)> everything = await ReadAsync(client, IsolationLevel.ReadUncommitted, from: 0, 2 * committed.Count);
        Assert.Contains(everything, record => record.Value.StartsWith("abort", StringComparison.Ordinal));

        // From the middle of batches, of transactions, and of what lies between them.
        long end = visible[^1].Offset;
        for (long from = 0; from <= end; from += 7)
        {
            (long Offset, string Value)[] expected = [.. visible.Where(record => record.Offset >= from)];
            Assert.Equal(expected, await ReadAsync(client, IsolationLevel.ReadCommitted, from, expected.Length));
        }
    }

    [Fact]
    public async Task An_open_transaction_holds_back_what_comes_after_it_until_it_ends()
    {
        Librdkafka.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        using NativeProducer open = new(broker, ("transactional.id", "open"));
        open.InitTransactions();
        open.BeginTransaction();
        open.Produce(Topic, "held");
        open.WaitForDeliveries(1);
        using NativeProducer plain = new(broker);
        plain.Produce(Topic, "behind");
        plain.WaitForDeliveries(1);

        await using KafkaClient client = CreateClient(broker.EndPoint);
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { IsolationLevel = IsolationLevel.ReadCommitted, FetchMaxWait = TimeSpan.FromMilliseconds(20) });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(30), TimeProvider.System);
        Assert.Equal(Offset.Zero, (await consumer.EndOffsetsAsync([Partition], limit.Token))[Partition]);
        while (consumer.Watermarks(Partition) is not { HighWatermark.Value: 2, LastStable.Value: 0 })
        {
            limit.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        Assert.Equal(0, consumer.Lag(Partition));
        ValueTask<IReadOnlyList<ConsumerRecord>> poll = consumer.PollAsync(10, limit.Token);
        Assert.False(poll.IsCompleted);
        open.AbortTransaction();
        ConsumerRecord record = Assert.Single(await poll);
        Assert.Equal("behind", Text(record.Value!.Value.Span));
        Assert.Equal(1, record.Offset.Value);
    }

    /// <summary>Transactions in turn: every third is aborted, and records of no transaction lie between them. Returns what a reader of committed records sees.</summary>
    private static List<string> Write(StandaloneBroker broker, string codec)
    {
        List<string> committed = [];
        using NativeProducer producer = new(broker, ("transactional.id", "writer"), ("compression.codec", codec), ("linger.ms", "5"));
        using NativeProducer plain = new(broker, ("compression.codec", codec), ("linger.ms", "5"));
        producer.InitTransactions();
        for (int transaction = 0; transaction < 9; transaction++)
        {
            bool isAborted = transaction % 3 == 1;
            producer.BeginTransaction();
            string[] values = [.. Enumerable.Range(0, PerTransaction).Select(number => $"{(isAborted ? "abort" : "commit")}-{transaction}-{number}-{new string('x', 50)}")];
            Array.ForEach(values, value => producer.Produce(Topic, value));
            producer.WaitForDeliveries(PerTransaction);
            if (isAborted)
            {
                // In the middle of the aborted one.
                plain.Produce(Topic, $"plain-{transaction}");
                plain.WaitForDeliveries(1);
                committed.Add($"plain-{transaction}");
                producer.Produce(Topic, $"abort-{transaction}-last");
                producer.WaitForDeliveries(1);
                producer.AbortTransaction();
            }
            else
            {
                producer.CommitTransaction();
                committed.AddRange(values);
            }
        }

        return committed;
    }

    private static async Task<List<(long Offset, string Value)>> ReadAsync(KafkaClient client, IsolationLevel isolation, long from, int atLeast)
    {
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(30), TimeProvider.System);
        await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { IsolationLevel = isolation });
        Offset end = (await consumer.EndOffsetsAsync([Partition], limit.Token))[Partition];
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(from))]);
        List<(long Offset, string Value)> records = [];
        while (records.Count < atLeast && consumer.Position(Partition) < end)
        {
            using ConsumerBatch batch = await consumer.PollBatchAsync(limit.Token);
            records.AddRange(Copy(batch));
        }

        return records;
    }

    private static List<(long Offset, string Value)> Copy(ConsumerBatch batch)
    {
        List<(long, string)> records = [];
        foreach (RecordView record in batch)
        {
            records.Add((record.Offset.Value, Text(record.Value)));
        }

        return records;
    }

    private static string Text(ReadOnlySpan<byte> utf8) => System.Text.Encoding.UTF8.GetString(utf8);

    private static KafkaClient CreateClient(IPEndPoint broker) =>
        new(new KafkaClientOptions { BootstrapServers = broker.ToString() }, TimeProvider.System, NullLoggerFactory.Instance);
}
