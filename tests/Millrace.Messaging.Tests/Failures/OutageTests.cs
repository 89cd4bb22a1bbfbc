using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Messaging.Tests;

/// <summary>A handler completes, or is given up, while the log does not answer.</summary>
public sealed class OutageTests : IDisposable
{
    private readonly TestApplication _application = new();
    private readonly ManualTime _time = new();
    private int _runs;

    public void Dispose() => _application.Dispose();

    [Theory]
    [InlineData(false, "shop.events")]
    [InlineData(true, "payment.dead-letters")]
    public async Task What_cannot_be_written_is_kept_and_written_later_and_the_handler_does_not_run_again(bool fails, string topic)
    {
        using IHost log = await _application.StartListeningAsync(_ => { });
        await using KafkaClient client = log.Client();
        await using KafkaProducer open = client.CreateProducer();
        KafkaProducer closed = client.CreateProducer();
        await closed.DisposeAsync();
        ConsumerRecord record = new(
            new TopicPartition("payment.commands", 0), new Offset(7), 0, _time.GetUtcNow(), null, "{}"u8.ToArray(),
            [new RecordHeader("ce_type", "payment.refund.v1"u8.ToArray()), new RecordHeader("ce_id", "c-1"u8.ToArray())]);

        DeliveryProgress progress = DeliveryProgress.Start;
        for (int i = 1; i <= 20; i++)
        {
            DeliveryOutcome.RetryAfter retry = Assert.IsType<DeliveryOutcome.RetryAfter>(
                await Pipeline(client, closed, fails).HandleAsync(record, progress, new Ownership()));
            progress = retry.Next;
            Assert.Equal((1, i), (progress.Attempt, progress.Conclusion?.FailedWriteCount));
        }

        DeliveryOutcome outcome = await Pipeline(client, open, fails).HandleAsync(record, progress, new Ownership());

        Assert.Equal(fails ? DeliveryOutcome.DeadLettered : DeliveryOutcome.Completed, outcome);
        Assert.Equal(1, _runs);
        ConsumerRecord written = Assert.Single(await log.ReadAllAsync(topic));
        if (fails) Assert.Equal("c-1", written.Header("ce_id"));
        Assert.Equal(fails ? "{}" : "{\"orderId\":\"4711\"}", Encoding.UTF8.GetString(written.Value!.Value.Span));
        await log.StopAsync();
    }

    private MessagePipeline Pipeline(KafkaClient client, KafkaProducer producer, bool fails)
    {
        ServiceCollection services = new();
        EndpointBuilder builder = new("payment", services);
        builder.Failures.OnAnyException().DeadLetter();
        builder.Handle<RefundPayment>(async (_, context, cancellationToken) =>
        {
            _runs++;
            await context.PublishAsync(new OrderShipped("4711"), cancellationToken);
            if (fails) throw new InvalidOperationException("Never.");
        });
        List<string> problems = [];
        MessageRegistry registry = new();
        Topology topology = Topology.Build(registry, [builder], [], problems);
        MessagingSettings settings = MessagingSettings.Read(new MessagingOptions(), "Shop", problems);
        Chance chance = new(new Random(1));
        Backoff backoff = Backoff.Constant(TimeSpan.FromSeconds(1));
        MessageWriter writer = new(
            registry, topology, isEmbedded: true, settings, _time, new MessageIdSource(_time), producer, new TopicCreator(client.Admin, new TopicSettings(1, -1, new Dictionary<string, string>()), TimeProvider.System, NullLogger.Instance));
        MessagePublisher publisher = new();
        publisher.Start(writer);
        EndpointDefinition endpoint = topology.Endpoints[0];
        return new MessagePipeline(
            endpoint, topology, settings, publisher, writer, new FailureTable(endpoint.Failures, FailurePolicy.DeadLetterAtOnce, chance),
            new RetryBackoff(backoff, chance), services.BuildServiceProvider().GetRequiredService<IServiceScopeFactory>(), _time, NullLogger.Instance);
    }
}
