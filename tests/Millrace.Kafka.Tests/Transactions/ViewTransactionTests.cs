using System.Buffers;
using System.Buffers.Binary;
using Microsoft.Extensions.Logging.Abstractions;

namespace Millrace.Kafka.Tests;

/// <summary>Records of a view whose serialiser has to wait belong to the transaction in which they were produced.</summary>
public sealed class ViewTransactionTests : IAsyncDisposable
{
    private readonly TransactionCluster _cluster = new();
    private readonly Waiting _serializer = new();
    private readonly KafkaClient _client;

    public ViewTransactionTests() => _client = new KafkaClient(
        new KafkaClientOptions { BootstrapServers = "node:1", Connector = _cluster, RandomSeed = 1 }, TimeProvider.System, NullLoggerFactory.Instance);

    public ValueTask DisposeAsync() => _client.DisposeAsync();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_commit_waits_for_a_record_whose_serialiser_waits(bool isEnqueued)
    {
        KafkaProducer<Absent, int> view = await BeginAsync();
        Task record = isEnqueued ? view.EnqueueAsync(Record(1)).AsTask() : view.ProduceAsync(Record(1)).AsTask();
        Task commit = view.Producer.CommitTransactionAsync();
        _serializer.Ready.SetResult();
        await commit.WaitAsync(Until.Limit);
        await record.WaitAsync(Until.Limit);
        Assert.Equal(["Produce", "EndTxn"], _cluster.Log.Where(static entry => entry is "Produce" or "EndTxn"));
    }

    [Fact]
    public async Task A_record_whose_transaction_is_aborted_while_its_serialiser_waits_is_not_part_of_the_next()
    {
        KafkaProducer<Absent, int> view = await BeginAsync();
        Task<RecordMetadata> record = view.ProduceAsync(Record(1)).AsTask();
        await view.Producer.AbortTransactionAsync().WaitAsync(Until.Limit);
        view.Producer.BeginTransaction();
        Task<RecordMetadata> next = view.ProduceAsync(Record(2)).AsTask();
        _serializer.Ready.SetResult();
        await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => record.WaitAsync(Until.Limit));
        await next.WaitAsync(Until.Limit);
        await view.Producer.CommitTransactionAsync().WaitAsync(Until.Limit);
        Assert.Equal(1, _cluster.CountOf("Produce"));
    }

    [Fact]
    public async Task A_commit_fails_with_the_serialiser_of_one_of_its_records()
    {
        KafkaProducer<Absent, int> view = await BeginAsync();
        Task<RecordMetadata> record = view.ProduceAsync(Record(1)).AsTask();
        Task commit = view.Producer.CommitTransactionAsync();
        _serializer.Ready.SetException(new InvalidOperationException("The registry does not answer."));
        await Assert.ThrowsAsync<KafkaSerializationException>(() => record.WaitAsync(Until.Limit));
        KafkaTransactionAbortableException failure = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => commit.WaitAsync(Until.Limit));
        Assert.Contains("The registry does not answer.", failure.Message, StringComparison.Ordinal);
        await view.Producer.AbortTransactionAsync().WaitAsync(Until.Limit);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_commit_fails_with_a_serialiser_that_fails_without_having_waited(bool isEnqueued)
    {
        KafkaProducer<Absent, int> view = await BeginAsync();
        _serializer.Ready.SetResult();
        await view.ProduceAsync(Record(1));
        _serializer.Failure = new InvalidOperationException("The number is not allowed.");
        Task record = isEnqueued ? view.EnqueueAsync(Record(2)).AsTask() : view.ProduceAsync(Record(2)).AsTask();
        await Assert.ThrowsAsync<KafkaSerializationException>(() => record);
        KafkaTransactionAbortableException failure = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(
            () => view.Producer.CommitTransactionAsync().WaitAsync(Until.Limit));
        Assert.Contains("The number is not allowed.", failure.Message, StringComparison.Ordinal);
        await view.Producer.AbortTransactionAsync().WaitAsync(Until.Limit);
    }

    [Fact]
    public async Task A_record_that_cannot_be_written_during_a_commit_is_not_part_of_it()
    {
        KafkaProducer<Absent, int> view = await BeginAsync();
        Task<RecordMetadata> record = view.ProduceAsync(Record(1)).AsTask();
        Task commit = view.Producer.CommitTransactionAsync();
        await Assert.ThrowsAsync<KafkaRecordTooLargeException>(
            async () => await view.Producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = new byte[2 * 1024 * 1024] }));
        _serializer.Ready.SetResult();
        await commit.WaitAsync(Until.Limit);
        await record;
    }

    [Fact]
    public async Task A_serialiser_that_fails_after_the_abort_leaves_the_next_transaction_alone()
    {
        KafkaProducer<Absent, int> view = await BeginAsync();
        Task<RecordMetadata> record = view.ProduceAsync(Record(1)).AsTask();
        await view.Producer.AbortTransactionAsync().WaitAsync(Until.Limit);
        view.Producer.BeginTransaction();
        _serializer.Ready.SetException(new InvalidOperationException("The registry does not answer."));
        await Assert.ThrowsAsync<KafkaSerializationException>(() => record.WaitAsync(Until.Limit));
        await view.Producer.CommitTransactionAsync().WaitAsync(Until.Limit);
    }

    [Fact]
    public async Task A_commit_leaves_out_a_record_that_was_taken_back_while_its_serialiser_waited()
    {
        KafkaProducer<Absent, int> view = await BeginAsync();
        using var cancellation = new CancellationTokenSource();
        Task<RecordMetadata> record = view.ProduceAsync(Record(1), cancellation.Token).AsTask();
        Task commit = view.Producer.CommitTransactionAsync();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => record.WaitAsync(Until.Limit));
        await commit.WaitAsync(Until.Limit);
        Assert.Equal(0, _cluster.CountOf("Produce"));
    }

    [Fact]
    public async Task Without_a_transaction_a_record_is_refused_whether_its_serialiser_waits_or_not()
    {
        KafkaProducer<Absent, int> view = await BeginAsync();
        await view.Producer.CommitTransactionAsync().WaitAsync(Until.Limit);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await view.ProduceAsync(Record(1)));
        _serializer.Ready.SetResult();
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await view.ProduceAsync(Record(1)));
    }

    [Fact]
    public async Task A_producer_is_closed_after_the_records_whose_serialisers_wait()
    {
        KafkaProducer<Absent, int> view = _client.CreateProducer(KafkaSerdes.Absent, _serializer);
        Task<RecordMetadata> record = view.ProduceAsync(Record(1)).AsTask();
        Task closing = view.DisposeAsync().AsTask();
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await view.ProduceAsync(Record(2)));
        _serializer.Ready.SetResult();
        await record.WaitAsync(Until.Limit);
        await closing.WaitAsync(Until.Limit);
    }

    [Fact]
    public async Task A_producer_is_closed_in_time_although_a_serialiser_and_a_commit_wait()
    {
        var time = new ManualTime();
        await using var client = new KafkaClient(
            new KafkaClientOptions { BootstrapServers = "node:1", Connector = _cluster, RandomSeed = 1 }, time, NullLoggerFactory.Instance);
        KafkaProducer<Absent, int> view = await BeginAsync(client);
        Task<RecordMetadata> record = view.ProduceAsync(Record(1)).AsTask();
        Task commit = view.Producer.CommitTransactionAsync();
        Task closing = view.Producer.DisposeAsync().AsTask();
        await Until.TrueAsync(
            () =>
            {
                time.Advance(TimeSpan.FromSeconds(1));
                return closing.IsCompleted;
            },
            "the producer is closed");
        await Assert.ThrowsAsync<KafkaClosedException>(() => commit.WaitAsync(Until.Limit));
        _serializer.Ready.SetResult();
        await Assert.ThrowsAsync<KafkaClosedException>(() => record.WaitAsync(Until.Limit));
        Assert.Equal(0, _cluster.CountOf("EndTxn"));
    }

    private static ProducerRecord<Absent, int> Record(int value) => new("orders", default, value) { Partition = 0 };

    private async Task<KafkaProducer<Absent, int>> BeginAsync(KafkaClient? client = null)
    {
        KafkaProducer producer = (client ?? _client).CreateProducer(new ProducerOptions { TransactionalId = "mover", Linger = TimeSpan.Zero, MaxBlock = TimeSpan.FromHours(1) });
        await producer.InitTransactionsAsync().WaitAsync(Until.Limit);
        producer.BeginTransaction();
        return producer.As(KafkaSerdes.Absent, _serializer);
    }

    private sealed class Waiting : IKafkaSerializer<int>
    {
        public TaskCompletionSource Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Exception? Failure { get; set; }

        public async ValueTask PrepareAsync(int value, SerializationContext context, CancellationToken cancellationToken) => await Ready.Task.WaitAsync(cancellationToken);

        public void Serialize(int value, IBufferWriter<byte> writer, SerializationContext context)
        {
            if (Failure is { } failure)
            {
                throw failure;
            }

            BinaryPrimitives.WriteInt32BigEndian(writer.GetSpan(sizeof(int)), value);
            writer.Advance(sizeof(int));
        }
    }
}
