using System.Globalization;
using System.Text;
using Microsoft.Extensions.Hosting;
using Millrace.Kafka;

namespace Millrace.Messaging.Tests;

/// <summary>Failing messages on a clock that stands still: nothing here waits for real time.</summary>
public sealed class DeadLetterTests : IDisposable
{
    private readonly TestApplication _application = new();
    private readonly ManualTime _time = new();

    public void Dispose() => _application.Dispose();

    [Fact]
    public async Task A_message_is_retried_on_the_applications_clock_then_a_dead_letter_and_its_key_goes_on()
    {
        Seen<string> seen = new();
        using IHost host = await _application.StartListeningAsync(
            millrace => millrace.AddEndpoint("numbers", endpoint =>
            {
                endpoint.Failures.On<TimeoutException>().Retry(2, Backoff.Exponential(TimeSpan.FromMinutes(1), jitter: 0)).ThenDeadLetter();
                endpoint.Handle<Numbered>((message, context, _) =>
                {
                    seen.Add($"{message.Key} {message.Number} attempt {context.Attempt}");
                    return message is { Key: "a", Number: 1 } ? throw new TimeoutException("The gateway is silent.") : Task.CompletedTask;
                });
            }),
            _time);
        DateTimeOffset begun = _time.GetUtcNow();
        await host.Bus().PublishAsync(new Numbered("a", 1), new MessageOptions { MessageId = "m-1", Headers = [new("tenant", "blue")] });
        await host.Bus().PublishAsync(new Numbered("a", 2));
        await host.Bus().PublishAsync(new Numbered("b", 1));

        MessagingState state = await host.WaitUntilQuietAsync();
        Assert.Equal((1, begun.AddMinutes(1)), (state.DelayedCount, state.NextRetry));
        Assert.Equal(["a 1 attempt 1", "b 1 attempt 1"], seen.Items.Order());

        _time.Advance(TimeSpan.FromSeconds(59));
        await host.WaitUntilQuietAsync();
        Assert.Equal(2, seen.Items.Count);

        _time.Advance(TimeSpan.FromSeconds(1));
        state = await host.WaitUntilQuietAsync();
        Assert.Equal("a 1 attempt 2", seen.Items[2]);
        Assert.Equal(begun.AddMinutes(3), state.NextRetry);
        Assert.Empty(await host.ReadAllAsync("numbers.dead-letters"));

        _time.Advance(TimeSpan.FromMinutes(2));
        state = await host.WaitUntilQuietAsync();
        Assert.Equal((0, null), (state.DelayedCount, state.NextRetry));
        Assert.Equal(["a 1 attempt 3", "a 2 attempt 1"], seen.Items[3..]);

        ConsumerRecord letter = Assert.Single(await host.ReadAllAsync("numbers.dead-letters"));
        Assert.Equal("a", Encoding.UTF8.GetString(letter.Key!.Value.Span));
        Assert.Equal("{\"key\":\"a\",\"number\":1}", Encoding.UTF8.GetString(letter.Value!.Value.Span));
        Assert.Equal("m-1", letter.Header("ce_id"));
        Assert.Equal("blue", letter.Header("tenant"));
        Assert.Equal("numbers", letter.Header("millrace-endpoint"));
        Assert.Equal("System.TimeoutException", letter.Header("millrace-error-type"));
        Assert.Equal("The gateway is silent.", letter.Header("millrace-error-message"));
        Assert.Contains(nameof(DeadLetterTests), letter.Header("millrace-error-stack"), StringComparison.Ordinal);
        Assert.Equal("3", letter.Header("millrace-attempts"));
        Assert.Equal(begun, DateTimeOffset.Parse(letter.Header("millrace-first-failure")!, CultureInfo.InvariantCulture));
        Assert.Equal(begun.AddMinutes(3), DateTimeOffset.Parse(letter.Header("millrace-last-failure")!, CultureInfo.InvariantCulture));
        ConsumerRecord origin = (await host.ReadAllAsync("test.events")).First(record => record.Header("ce_id") == "m-1");
        Assert.Equal("test.events", letter.Header("millrace-origin-topic"));
        Assert.Equal($"{origin.TopicPartition.Partition}", letter.Header("millrace-origin-partition"));
        Assert.Equal($"{origin.Offset.Value}", letter.Header("millrace-origin-offset"));
        await host.StopAsync();

        // It is done: nobody handles it again.
        Seen<string> again = new();
        using IHost next = await _application.StartListeningAsync(millrace => millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => again.Add(message.Key))));
        await next.WaitUntilQuietAsync();
        Assert.Empty(again.Items);
        await next.StopAsync();
    }

    [Fact]
    public async Task A_dead_letter_that_is_sent_back_and_fails_again_tells_its_last_history_once()
    {
        using IHost host = await _application.StartListeningAsync(
            millrace => millrace.AddEndpoint("numbers", endpoint =>
            {
                endpoint.Failures.OnAnyException().DeadLetter();
                endpoint.Handle<Numbered>(_ => throw new InvalidOperationException("Never."));
            }),
            _time);
        await host.Bus().PublishAsync(new Numbered("a", 1));
        await host.WaitUntilQuietAsync();
        ConsumerRecord first = Assert.Single(await host.ReadAllAsync("numbers.dead-letters"));

        await using (KafkaClient client = host.Client())
        {
            await using KafkaProducer producer = client.CreateProducer();
            await producer.ProduceAsync(new ProducerRecord { Topic = "test.events", Key = first.Key, Value = first.Value, Headers = first.Headers });
        }

        await host.WaitUntilQuietAsync();
        ConsumerRecord second = (await host.ReadAllAsync("numbers.dead-letters"))[^1];
        await host.StopAsync();
        Assert.Equal(first.Headers.Select(header => header.Key), second.Headers.Select(header => header.Key));
        Assert.Equal("1", second.Header("millrace-origin-offset"));
    }

    [Fact]
    public async Task A_message_whose_dead_letter_cannot_be_written_is_never_acknowledged()
    {
        Seen<int> attempts = new();
        // Key and body together fit into a record; with the history they do not.
        string large = new('x', (512 * 1024) - 1_500);
        using (IHost host = await _application.StartListeningAsync(Configure, _time))
        {
            await host.Bus().PublishAsync(new Numbered(large, 1));
            MessagingState state = await host.WaitUntilQuietAsync();
            Assert.Equal(1, state.DelayedCount);
            _time.Advance(TimeSpan.FromHours(1));
            Assert.Equal(1, (await host.WaitUntilQuietAsync()).DelayedCount);
            Assert.Equal([1], attempts.Items);
            Assert.True(_application.Logs.Count(line => line.Contains("its dead letter cannot be written", StringComparison.Ordinal)) >= 2);
            Assert.Empty(await host.ReadAllAsync("numbers.dead-letters"));
            await host.StopAsync();
        }

        using IHost again = await _application.StartListeningAsync(Configure, _time);
        await again.WaitUntilQuietAsync();
        Assert.Equal([1, 1], attempts.Items);
        await again.StopAsync();

        void Configure(MillraceBuilder millrace) => millrace.AddEndpoint("numbers", endpoint =>
        {
            endpoint.Failures.OnAnyException().DeadLetter();
            endpoint.Handle<Numbered>((_, context, _) =>
            {
                attempts.Add(context.Attempt);
                throw new InvalidOperationException(new string('!', 2_000));
            });
        });
    }

    [Fact]
    public async Task What_a_handler_publishes_and_no_log_takes_is_the_handlers_failure()
    {
        Seen<int> attempts = new();
        using IHost host = await _application.StartListeningAsync(
            millrace => millrace.AddEndpoint("numbers", endpoint =>
            {
                endpoint.Failures.OnAnyException().Retry(1, Backoff.Constant(TimeSpan.FromMinutes(1), jitter: 0)).ThenDeadLetter();
                endpoint.Handle<Numbered>(async (_, context, cancellationToken) =>
                {
                    attempts.Add(context.Attempt);
                    await context.PublishAsync(new OrderShipped(new string('x', 2 * 1024 * 1024)), cancellationToken);
                });
            }),
            _time);
        await host.Bus().PublishAsync(new Numbered("a", 1));
        await host.WaitUntilQuietAsync();
        _time.Advance(TimeSpan.FromMinutes(1));
        await host.WaitUntilQuietAsync();

        Assert.Equal([1, 2], attempts.Items);
        Assert.Contains("KafkaRecordTooLargeException", Assert.Single(await host.ReadAllAsync("numbers.dead-letters")).Header("millrace-error-type"), StringComparison.Ordinal);
        await host.StopAsync();
    }

    [Fact]
    public async Task Dead_letters_have_as_many_partitions_as_what_the_endpoint_reads_before_any_is_written()
    {
        using IHost host = await _application.StartListeningAsync(millrace =>
        {
            millrace.Configure(options => options.TopicPartitionCount = 5);
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(_ => { }));
            millrace.AddEndpoint("once", endpoint =>
            {
                endpoint.Delivery = DeliveryMode.AtMostOnce;
                endpoint.Handle<Numbered>(_ => { });
            });
        });
        await using KafkaClient client = host.Client();
        Assert.Equal(5, (await client.DescribeAsync("numbers.dead-letters")).Partitions.Count);
        Assert.DoesNotContain((await client.Admin.DescribeAsync()).Topics, topic => topic.Name == "once.dead-letters");
        await host.StopAsync();
    }
}
