using System.Collections.Concurrent;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class SynchronizationContextTests
{
    [Fact]
    public async Task A_context_that_is_busy_holds_up_nothing_that_the_client_does_by_itself()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using var blocked = new BlockedContext();

        // As a user interface does that calls and then computes: nothing that was posted to the context runs.
        (KafkaClient client, Task<RecordMetadata> first, KafkaConsumer consumer) = blocked.Run(() =>
        {
            KafkaClient made = broker.CreateClient();
            KafkaProducer producer = made.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
            KafkaConsumer reader = made.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
            reader.Assign([new TopicPartitionOffset(new TopicPartition("orders", 0), Offset.Zero)]);
            return (made, producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = [1] }).AsTask(), reader);
        });
        await first.WaitAsync(Until.Limit);
        Task<RecordMetadata> second = blocked.Run(() => client.CreateProducer().ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = [2] }).AsTask());
        await second.WaitAsync(Until.Limit);
        List<ConsumerRecord> read = [];
        while (read.Count < 2)
        {
            read.AddRange(await consumer.PollAsync(10, Until.Timeout()));
        }

        Assert.Equal(0, blocked.PostedCount);
        await client.DisposeAsync();
    }

    /// <summary>Keeps what is posted to it.</summary>
    private sealed class BlockedContext : SynchronizationContext, IAsyncDisposable
    {
        private readonly ConcurrentQueue<(SendOrPostCallback Callback, object? State)> _posted = new();

        public int PostedCount => _posted.Count;

        public override void Post(SendOrPostCallback d, object? state) => _posted.Enqueue((d, state));

        public T Run<T>(Func<T> call)
        {
            SynchronizationContext? before = Current;
            SetSynchronizationContext(this);
            try
            {
                return call();
            }
            finally
            {
                SetSynchronizationContext(before);
            }
        }

        public ValueTask DisposeAsync()
        {
            while (_posted.TryDequeue(out (SendOrPostCallback Callback, object? State) posted))
            {
                posted.Callback(posted.State);
            }

            return ValueTask.CompletedTask;
        }
    }
}
