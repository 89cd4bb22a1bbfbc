using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Messaging.Tests;

/// <summary>Other programs on the same log: plain Kafka clients, and further instances of the application.</summary>
public sealed class ForeignProgramTests : IDisposable
{
    private readonly TestApplication _application = new();

    public void Dispose() => _application.Dispose();

    [Fact]
    public async Task Any_kafka_client_reads_what_was_published()
    {
        using IHost host = await StartListeningAsync(_ => { });
        await host.Bus().PublishAsync(new OrderShipped("4711"), new MessageOptions { MessageId = "m-1" });

        await using KafkaClient client = Client(host);
        await using KafkaConsumer consumer = client.CreateConsumer();
        ClusterMetadata metadata = await client.Admin.DescribeAsync(["shop.events"]);
        Assert.Equal(8, metadata.Topics[0].Partitions.Count);
        consumer.Assign([.. metadata.Topics[0].Partitions.Select(partition => new TopicPartitionOffset(new TopicPartition("shop.events", partition.Partition), Offset.Zero))]);
        using CancellationTokenSource deadline = new(TestApplication.Patience);
        ConsumerRecord record = Assert.Single(await consumer.PollAsync(cancellationToken: deadline.Token));

        Assert.Equal("4711", Encoding.UTF8.GetString(record.Key!.Value.Span));
        Assert.Equal("{\"orderId\":\"4711\"}", Encoding.UTF8.GetString(record.Value!.Value.Span));
        Assert.Equal(
            ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type", "ce_correlationid"],
            record.Headers.Select(header => header.Key).Where(key => key != "traceparent"));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_message_of_another_program_is_handled_and_one_that_is_no_event_is_skipped_with_a_warning()
    {
        Seen<(string Message, string Id)> seen = new();
        using IHost host = await StartListeningAsync(millrace => millrace.AddEndpoint("mail", endpoint => endpoint.Handle<OrderShipped>((message, context, _) =>
        {
            seen.Add((message.OrderId, context.MessageId));
            return Task.CompletedTask;
        })));

        await ProduceAsync(host, "shop.events", "a", "plain text");
        await ProduceAsync(host, "shop.events", "a", "{\"anything\":1}", ("ce_type", "shop.unheard-of.v1"));
        RecordMetadata written = await ProduceAsync(host, "shop.events", "a", "{\"OrderId\":\"4711\",\"more\":true}", ("ce_type", "shop.order-shipped.v1"));

        Assert.Equal([("4711", $"{written.TopicPartition}@{written.Offset}")], await seen.WaitAsync(1));
        Assert.Contains(_application.Logs, line => line.StartsWith("Warning", StringComparison.Ordinal) && line.Contains("it has no ce_type header", StringComparison.Ordinal));
        await host.StopAsync();
    }

    [Theory]
    [InlineData("payment.commands", "{}", "ce_type", "payment.cancel.v1", "nobody here handles payment.cancel.v1")]
    [InlineData("payment.commands", "{}", "tenant", "blue", "it has no ce_type header")]
    [InlineData("payment.commands", "{}", "ce_type", "payment.refund.v9", "it is version 9 of payment.refund")]
    [InlineData("payment.commands", "{\"orderId\":", "ce_type", "payment.refund.v1", "is not a payment.refund.v1")]
    [InlineData("payment.commands", "null", "ce_type", "payment.refund.v1", "is null")]
    public async Task What_cannot_be_handled_is_kept_as_a_dead_letter_and_its_key_goes_on(string topic, string body, string header, string value, string reason)
    {
        Seen<Guid> seen = new();
        using IHost host = await StartListeningAsync(millrace => millrace.AddEndpoint("payment", endpoint => endpoint.Handle<RefundPayment>(command => seen.Add(command.OrderId))));

        RecordMetadata bad = await ProduceAsync(host, topic, "a", body, (header, value), ("millrace-reply-to", "inbox"), ("millrace-reply-key", "4711"));
        Guid good = Guid.NewGuid();
        await ProduceAsync(host, topic, "a", $"{{\"orderId\":\"{good}\"}}", ("ce_type", "payment.refund.v1"));

        Assert.Equal([good], await seen.WaitAsync(1));
        ConsumerRecord letter = Assert.Single(await host.ReadAllAsync("payment.dead-letters"));
        ConsumerRecord reply = Assert.Single(await host.ReadAllAsync("inbox"));
        await host.StopAsync();

        Assert.Equal("a", Encoding.UTF8.GetString(letter.Key!.Value.Span));
        Assert.Equal(body, Encoding.UTF8.GetString(letter.Value!.Value.Span));
        Assert.Equal(value, letter.Header(header));
        Assert.Contains(reason, letter.Header(DeadLetterHeaders.ErrorMessage), StringComparison.Ordinal);
        Assert.Equal("1", letter.Header(DeadLetterHeaders.Attempts));
        Assert.Equal((topic, $"{bad.TopicPartition.Partition}", $"{bad.Offset.Value}"), (letter.Header(DeadLetterHeaders.OriginTopic), letter.Header(DeadLetterHeaders.OriginPartition), letter.Header(DeadLetterHeaders.OriginOffset)));
        Assert.Equal("failed", reply.Header(ReplyHeaders.Status));
        Assert.Contains(reason, reply.Header(ReplyHeaders.Reason), StringComparison.Ordinal);
        Assert.Contains(_application.Logs, line => line.StartsWith("Error", StringComparison.Ordinal) && line.Contains(reason, StringComparison.Ordinal));
    }

    [Fact]
    public async Task At_most_once_has_committed_a_message_before_its_handler_starts()
    {
        Seen<(long Offset, long? Committed)> seen = new();
        IHost? running = null;
        using IHost host = await StartListeningAsync(millrace => millrace.AddEndpoint("numbers", endpoint =>
        {
            endpoint.Delivery = DeliveryMode.AtMostOnce;
            endpoint.Handle<Numbered>(async (_, context, cancellationToken) =>
            {
                await using KafkaClient client = Client(running!);
                await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "numbers" });
                IReadOnlyDictionary<TopicPartition, TopicPartitionOffset> committed = await consumer.CommittedAsync([context.TopicPartition], cancellationToken);
                seen.Add((context.Offset.Value, committed.GetValueOrDefault(context.TopicPartition)?.Offset.Value));
            });
        }));
        running = host;

        for (int i = 1; i <= 3; i++) await host.Bus().PublishAsync(new Numbered("a", i));

        Assert.All(await seen.WaitAsync(3), message => Assert.True(message.Committed > message.Offset, $"{message.Offset} was handled, and {message.Committed} committed."));
        await host.StopAsync();
    }

    [Fact]
    public async Task Instances_that_come_and_go_share_the_work_without_losing_or_reordering_any()
    {
        Assert.SkipWhen(TestCluster.IsExternal, "The second instance comes over TCP to the first one's log.");
        const int keyCount = 12;
        Seen<(string Instance, string Key, int Number)> handled = new();
        Action<MillraceBuilder> Instance(string name) => millrace =>
        {
            millrace.Configure(options => options.ApplicationName = name);
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(async (message, _, cancellationToken) =>
            {
                await Task.Yield();
                cancellationToken.ThrowIfCancellationRequested();
                handled.Add((name, message.Key, message.Number));
            }));
        };

        using IHost first = await StartListeningAsync(Instance("first"));
        string listen = first.Services.GetRequiredService<EmbeddedBroker>().ListenEndPoint!.ToString();
        using CancellationTokenSource secondHasGone = new();
        Task<int[]> publishing = Task.WhenAll(Enumerable.Range(0, keyCount).Select(async key =>
        {
            int count = 0;
            while (!secondHasGone.IsCancellationRequested) await first.Bus().PublishAsync(new Numbered($"k{key}", ++count));
            return count;
        }));
        using (IHost second = _application.Build(millrace =>
        {
            millrace.WithoutLog().UseKafka(listen);
            Instance("second")(millrace);
        }))
        {
            await second.StartAsync();
            await handled.WaitAsync(items => items.Count(item => item.Instance == "second") >= 100);
            await second.StopAsync();
        }

        await secondHasGone.CancelAsync();
        int[] counts = await publishing;
        await handled.WaitAsync(items => items.Distinct().Select(item => (item.Key, item.Number)).Distinct().Count() == counts.Sum());
        await first.StopAsync();

        foreach (IGrouping<string, (string Instance, string Key, int Number)> key in handled.Items.GroupBy(item => item.Key))
            Assert.Equal(Enumerable.Range(1, counts[int.Parse(key.Key[1..])]), key.Select(item => item.Number).Distinct());
    }

    private Task<IHost> StartListeningAsync(Action<MillraceBuilder> configure) => _application.StartListeningAsync(configure);

    private static KafkaClient Client(IHost host) => host.Client();

    private static Task<RecordMetadata> ProduceAsync(IHost host, string topic, string key, string body, params (string Name, string Value)[] headers) =>
        ProduceAsync(host, topic, key, body, partition: null, headers);

    private static async Task<RecordMetadata> ProduceAsync(IHost host, string topic, string key, string body, int? partition, params (string Name, string Value)[] headers)
    {
        await using KafkaClient client = Client(host);
        await using KafkaProducer producer = client.CreateProducer();
        return await producer.ProduceAsync(new ProducerRecord
        {
            Topic = topic,
            Partition = partition,
            Key = Encoding.UTF8.GetBytes(key),
            Value = Encoding.UTF8.GetBytes(body),
            Headers = [.. headers.Select(header => new RecordHeader(header.Name, Encoding.UTF8.GetBytes(header.Value)))],
        });
    }
}
