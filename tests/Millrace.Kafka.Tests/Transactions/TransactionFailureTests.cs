using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Fate = Millrace.Kafka.Tests.TransactionCluster.Fate;

namespace Millrace.Kafka.Tests;

/// <summary>Transactions of version 1 whose coordinator refuses, goes on putting off, or loses what it is asked.</summary>
public sealed class TransactionFailureTests : IAsyncDisposable
{
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(2.5);
    private static readonly TimeSpan DeliveryTimeout = TimeSpan.FromMinutes(2);

    private readonly TransactionCluster _cluster = new();
    private readonly ManualTime _time = new();
    private readonly WatchedTime _watched;
    private readonly KafkaClient _client;

    public TransactionFailureTests()
    {
        _watched = new WatchedTime(_time, CloseTimeout);
        _client = new KafkaClient(new KafkaClientOptions { BootstrapServers = "node:1", Connector = _cluster, RandomSeed = 1 }, _watched, NullLoggerFactory.Instance);
    }

    public async ValueTask DisposeAsync()
    {
        Task closing = _client.DisposeAsync().AsTask();
        await Until.TrueAsync(() => AdvancesUntil(closing), "the client is closed");
    }

    [Theory]
    [InlineData(ApiKey.AddPartitionsToTxn, ErrorCode.TopicAuthorizationFailed)]
    [InlineData(ApiKey.AddOffsetsToTxn, ErrorCode.GroupAuthorizationFailed)]
    public async Task What_was_refused_before_anything_had_joined_is_aborted_without_a_word_to_the_coordinator(ApiKey step, ErrorCode refusal)
    {
        KafkaProducer producer = await BeginAsync();
        for (int round = 0; round < 2; round++)
        {
            _cluster.OnJoin = api => Task.FromResult(api == step ? Fate.Refused(refusal) : Fate.Done);
            int endCount = _cluster.CountOf("EndTxn");
            await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => JoinAsync(producer, step));
            KafkaTransactionAbortableException failure = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => producer.CommitTransactionAsync());
            Assert.Equal(refusal, failure.ErrorCode);
            await producer.AbortTransactionAsync().WaitAsync(Until.Limit);
            Assert.Equal(endCount, _cluster.CountOf("EndTxn"));

            // Once at a coordinator that has seen no transaction, once at one that has seen a commit.
            _cluster.OnJoin = _ => Task.FromResult(Fate.Done);
            producer.BeginTransaction();
            await JoinAsync(producer, step);
            await producer.CommitTransactionAsync().WaitAsync(Until.Limit);
            producer.BeginTransaction();
        }

        Assert.Equal(1, _cluster.CountOf("InitProducerId"));
    }

    [Theory]
    [InlineData(ApiKey.AddPartitionsToTxn, true)]
    [InlineData(ApiKey.AddPartitionsToTxn, false)]
    [InlineData(ApiKey.AddOffsetsToTxn, true)]
    [InlineData(ApiKey.AddOffsetsToTxn, false)]
    public async Task What_may_have_joined_before_its_answer_was_lost_is_aborted_at_the_coordinator(ApiKey step, bool hasJoined)
    {
        KafkaProducer producer = await BeginAsync();
        _cluster.OnJoin = api => Task.FromResult(api == step ? Fate.Lost(hasJoined) : Fate.Done);
        Task joining = JoinAsync(producer, step);
        await AskedAsync(step);
        Task abort = producer.AbortTransactionAsync();
        await Until.TrueAsync(() => AdvancesUntil(abort), "the abort is over");
        await abort;
        await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => joining.WaitAsync(Until.Limit));
        Assert.Equal(1, _cluster.CountOf("EndTxn"));
        Assert.Equal(1, _cluster.CountOf(step.ToString()));

        // What the coordinator has not heard of may be on its way: under the next epoch it is refused.
        Assert.Equal(hasJoined ? 1 : 2, _cluster.CountOf("InitProducerId"));
        _cluster.OnJoin = _ => Task.FromResult(Fate.Done);
        producer.BeginTransaction();
        Task next = JoinAsync(producer, step);
        await Until.TrueAsync(() => AdvancesUntil(next), "the next transaction is written");
        await next;
        await producer.CommitTransactionAsync().WaitAsync(Until.Limit);
    }

    [Fact]
    public async Task A_commit_that_is_put_off_for_ever_ends_with_what_it_waits_for()
    {
        KafkaProducer producer = await BeginAsync(maxBlock: TimeSpan.FromSeconds(5));
        _cluster.OnJoin = api => Task.FromResult(api == ApiKey.TxnOffsetCommit ? Fate.Refused(ErrorCode.CoordinatorLoadInProgress) : Fate.Done);
        Task offsets = JoinAsync(producer, ApiKey.TxnOffsetCommit), commit = producer.CommitTransactionAsync();
        foreach (Task waiting in (Task[])[offsets, commit])
        {
            await Until.TrueAsync(() => AdvancesUntil(waiting), "the time-out");
            KafkaTimeoutException failure = await Assert.ThrowsAsync<KafkaTimeoutException>(() => waiting);
            Assert.Equal(ErrorCode.CoordinatorLoadInProgress, failure.ErrorCode);
            Assert.Contains("node:1, asked for TxnOffsetCommit", failure.Message, StringComparison.Ordinal);
        }

        _cluster.OnJoin = _ => Task.FromResult(Fate.Done);
        commit = producer.CommitTransactionAsync();
        await Until.TrueAsync(() => AdvancesUntil(commit), "the commit");
        await commit;
    }

    [Theory]
    [InlineData(ApiKey.AddPartitionsToTxn, ErrorCode.UnknownTopicOrPartition)]
    [InlineData(ApiKey.AddPartitionsToTxn, ErrorCode.NotCoordinator)]
    [InlineData(ApiKey.AddOffsetsToTxn, ErrorCode.CoordinatorLoadInProgress)]
    [InlineData(ApiKey.TxnOffsetCommit, ErrorCode.UnknownTopicOrPartition)]
    public async Task An_abort_does_not_wait_for_what_is_put_off_for_ever(ApiKey step, ErrorCode error)
    {
        KafkaProducer producer = await BeginAsync();
        _cluster.OnJoin = api => Task.FromResult(api == step ? Fate.Refused(error) : Fate.Done);
        Task joining = JoinAsync(producer, step);
        await AskedAsync(step);

        // The clock stands still, so that a pause before another attempt would never end.
        await producer.AbortTransactionAsync().WaitAsync(Until.Limit);
        KafkaTransactionAbortableException failure = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => joining.WaitAsync(Until.Limit));
        Assert.Contains("abort", failure.Message, StringComparison.Ordinal);
        Assert.Equal(1, _cluster.CountOf(step.ToString()));
        _cluster.OnJoin = _ => Task.FromResult(Fate.Done);
        producer.BeginTransaction();
        await JoinAsync(producer, step);
        await producer.CommitTransactionAsync().WaitAsync(Until.Limit);
    }

    [Theory]
    [InlineData(ApiKey.AddPartitionsToTxn)]
    [InlineData(ApiKey.TxnOffsetCommit)]
    public async Task An_abort_waits_for_the_attempt_that_is_under_way(ApiKey step)
    {
        KafkaProducer producer = await BeginAsync();
        var fate = new TaskCompletionSource<Fate>(TaskCreationOptions.RunContinuationsAsynchronously);
        _cluster.OnJoin = api => api == step ? fate.Task : Task.FromResult(Fate.Done);
        Task joining = JoinAsync(producer, step);
        await AskedAsync(step);
        Task abort = producer.AbortTransactionAsync();
        fate.SetResult(Fate.Done);
        await abort.WaitAsync(Until.Limit);
        await joining.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);

        // An end before it would have been followed by another transaction, which nobody ends.
        Assert.Equal([$"{step} done", "EndTxn"], _cluster.Log.Where(entry => entry == $"{step} done" || entry == "EndTxn"));
    }

    [Fact]
    public async Task A_commit_whose_partition_is_put_off_until_its_records_run_out_of_time_can_be_aborted()
    {
        KafkaProducer producer = await BeginAsync();
        _cluster.OnJoin = _ => Task.FromResult(Fate.Refused(ErrorCode.UnknownTopicOrPartition));
        Task record = JoinAsync(producer, ApiKey.AddPartitionsToTxn);
        Task commit = producer.CommitTransactionAsync();
        await AskedAsync(ApiKey.AddPartitionsToTxn);
        _time.Advance(DeliveryTimeout);
        await Assert.ThrowsAsync<KafkaTimeoutException>(() => record.WaitAsync(Until.Limit));
        await Until.TrueAsync(() => AdvancesUntil(commit), "the commit is over");
        await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => commit);
        await producer.AbortTransactionAsync().WaitAsync(Until.Limit);
    }

    [Theory]
    [InlineData("commit")]
    [InlineData("abort")]
    [InlineData("nothing")]
    public async Task A_producer_is_closed_in_time_whatever_waits_for_a_record_that_is_not_acknowledged(string waiting)
    {
        KafkaProducer producer = await BeginAsync();
        _cluster.AnswersProduce = false;
        Task record = JoinAsync(producer, ApiKey.AddPartitionsToTxn);
        await AskedAsync(ApiKey.Produce);
        Task end = waiting switch
        {
            "commit" => producer.CommitTransactionAsync(),
            "abort" => producer.AbortTransactionAsync(),
            _ => Task.CompletedTask,
        };
        Task closing = producer.DisposeAsync().AsTask();
        await _watched.IsSet.WaitAsync(Until.Limit);
        _time.Advance(CloseTimeout);

        // Nothing but the limit of the close has passed: neither a request nor a record has run out of time.
        await closing.WaitAsync(Until.Limit);
        await Assert.ThrowsAnyAsync<KafkaException>(() => record.WaitAsync(Until.Limit));
        if (waiting != "nothing")
        {
            await Assert.ThrowsAsync<KafkaClosedException>(() => end.WaitAsync(Until.Limit));
        }

        Assert.Equal(0, _cluster.CountOf("EndTxn"));
    }

    [Fact]
    public async Task A_producer_that_is_closed_aborts_what_is_open_for_as_long_as_the_close_may_take()
    {
        KafkaProducer producer = await BeginAsync(maxBlock: TimeSpan.FromSeconds(0.5));
        await JoinAsync(producer, ApiKey.AddPartitionsToTxn);
        bool isAborted = false;
        TimeSpan begun = _time.GetElapsedTime(0);
        _cluster.OnEnd = () =>
        {
            isAborted = _time.GetElapsedTime(0) - begun > TimeSpan.FromSeconds(1);
            return isAborted ? Fate.Done : Fate.Refused(ErrorCode.CoordinatorLoadInProgress);
        };
        Task closing = producer.DisposeAsync().AsTask();
        await Until.TrueAsync(() => AdvancesUntil(closing), "the producer is closed");
        Assert.True(isAborted);
    }

    [Fact]
    public async Task A_group_that_the_producer_may_not_use_costs_it_the_transaction_and_no_more()
    {
        KafkaProducer producer = await BeginAsync();
        await JoinAsync(producer, ApiKey.AddPartitionsToTxn);
        _cluster.GroupError = ErrorCode.GroupAuthorizationFailed;
        KafkaTransactionAbortableException failure = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => JoinAsync(producer, ApiKey.TxnOffsetCommit));
        Assert.Equal(ErrorCode.GroupAuthorizationFailed, failure.ErrorCode);
        await AbortAndGoOnAsync(producer);
    }

    [Fact]
    public async Task A_group_whose_coordinator_cannot_fence_members_costs_the_producer_the_transaction_and_no_more()
    {
        _cluster.NewestOffsetCommit = 2;
        KafkaProducer producer = await BeginAsync();
        await JoinAsync(producer, ApiKey.AddPartitionsToTxn);
        KafkaTransactionAbortableException failure = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => producer.SendOffsetsToTransactionAsync(
            [new TopicPartitionOffset(new TopicPartition("source", 0), new Offset(1))], new ConsumerGroupMetadata("movers", 1, "member")));
        Assert.Contains("older than Kafka 2.5", failure.Message, StringComparison.Ordinal);
        await AbortAndGoOnAsync(producer);
    }

    [Theory]
    [InlineData(ApiKey.AddPartitionsToTxn)]
    [InlineData(ApiKey.TxnOffsetCommit)]
    public async Task What_the_coordinator_leaves_out_of_its_answer_has_not_joined(ApiKey step)
    {
        KafkaProducer producer = await BeginAsync();
        _cluster.LeavesOut = static partition => partition.Partition == 0;
        TopicPartitionOffset[] offsets = [.. Enumerable.Range(0, 2).Select(index => new TopicPartitionOffset(new TopicPartition("source", index), new Offset(1)))];
        Task joining = step == ApiKey.AddPartitionsToTxn
            ? JoinAsync(producer, step)
            : producer.SendOffsetsToTransactionAsync(offsets, new ConsumerGroupMetadata("movers", -1, "")).WaitAsync(Until.Limit);
        await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => joining);
        KafkaTransactionAbortableException failure = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => producer.CommitTransactionAsync());
        Assert.Contains($"-0 out of its answer to {step}", failure.Message, StringComparison.Ordinal);
        Assert.IsType<KafkaProtocolException>(failure.InnerException);

        // It may have joined all the same.
        _cluster.LeavesOut = static _ => false;
        await AbortAndGoOnAsync(producer);
    }

    [Fact]
    public async Task Offsets_join_as_they_were_when_they_were_sent()
    {
        KafkaProducer producer = await BeginAsync();
        var fate = new TaskCompletionSource<Fate>(TaskCreationOptions.RunContinuationsAsynchronously);
        _cluster.OnJoin = api => api == ApiKey.AddOffsetsToTxn ? fate.Task : Task.FromResult(Fate.Done);
        var source = new TopicPartition("source", 0);
        List<TopicPartitionOffset> offsets = [new(source, new Offset(1))];
        Task joining = producer.SendOffsetsToTransactionAsync(offsets, new ConsumerGroupMetadata("movers", -1, "")).WaitAsync(Until.Limit);
        await AskedAsync(ApiKey.AddOffsetsToTxn);

        // What the caller does with its list from here on is its own business.
        offsets[0] = new TopicPartitionOffset(source, new Offset(2));
        fate.SetResult(Fate.Done);
        await joining;
        Assert.Equal(1, Assert.Single(_cluster.Offsets).Offset.Value);
    }

    [Theory]
    [InlineData(ErrorCode.ProducerFenced, typeof(KafkaProducerFencedException))]
    [InlineData(ErrorCode.TransactionalIdAuthorizationFailed, typeof(KafkaTransactionFatalException))]
    [InlineData(ErrorCode.TransactionAbortable, typeof(KafkaTransactionAbortableException))]
    public async Task The_outcome_of_a_commit_that_is_refused_after_its_answer_was_lost_is_told_to_be_unknown(ErrorCode refusal, Type type)
    {
        KafkaProducer producer = await BeginAsync();
        await JoinAsync(producer, ApiKey.AddPartitionsToTxn);
        _cluster.OnEnd = () => _cluster.CountOf("EndTxn") == 1 ? Fate.Lost(isDone: true) : Fate.Refused(refusal);
        Task commit = producer.CommitTransactionAsync();
        await Until.TrueAsync(() => AdvancesUntil(commit), "the commit is over");
        KafkaException failure = Assert.IsAssignableFrom<KafkaException>(await Assert.ThrowsAsync(type, () => commit));
        Assert.True(_cluster.IsCommitted);
        Assert.Equal(refusal, failure.ErrorCode);
        Assert.Contains("outcome is unknown", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_outcome_of_a_commit_that_is_refused_at_once_is_known()
    {
        KafkaProducer producer = await BeginAsync();
        await JoinAsync(producer, ApiKey.AddPartitionsToTxn);
        _cluster.OnEnd = () => Fate.Refused(ErrorCode.ProducerFenced);
        KafkaProducerFencedException failure = await Assert.ThrowsAsync<KafkaProducerFencedException>(() => producer.CommitTransactionAsync());
        Assert.DoesNotContain("outcome is unknown", failure.Message, StringComparison.Ordinal);
    }

    /// <summary>Moves the clock a little, for pauses that are due after a connection was lost.</summary>
    private bool AdvancesUntil(Task task)
    {
        _time.Advance(TimeSpan.FromMilliseconds(10));
        return task.IsCompleted;
    }

    private async Task AbortAndGoOnAsync(KafkaProducer producer)
    {
        await producer.AbortTransactionAsync().WaitAsync(Until.Limit);
        Assert.Equal(1, _cluster.CountOf("EndTxn"));
        producer.BeginTransaction();
        await JoinAsync(producer, ApiKey.AddPartitionsToTxn);
        await producer.CommitTransactionAsync().WaitAsync(Until.Limit);
        Assert.True(_cluster.IsCommitted);
    }

    private Task AskedAsync(ApiKey api) => Until.TrueAsync(() => _cluster.CountOf(api.ToString()) > 0, $"{api} is asked");

    private static Task JoinAsync(KafkaProducer producer, ApiKey step) => step == ApiKey.AddPartitionsToTxn
        ? producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = [1] }).AsTask().WaitAsync(Until.Limit)
        : producer.SendOffsetsToTransactionAsync([new TopicPartitionOffset(new TopicPartition("source", 0), new Offset(1))], new ConsumerGroupMetadata("movers", -1, "")).WaitAsync(Until.Limit);

    private async Task<KafkaProducer> BeginAsync(TimeSpan? maxBlock = null)
    {
        KafkaProducer producer = _client.CreateProducer(new ProducerOptions
        {
            TransactionalId = "mover", Linger = TimeSpan.Zero, CloseTimeout = CloseTimeout, DeliveryTimeout = DeliveryTimeout, MaxBlock = maxBlock ?? TimeSpan.FromHours(1),
        });
        await producer.InitTransactionsAsync().WaitAsync(Until.Limit);
        producer.BeginTransaction();
        return producer;
    }

    /// <summary>Tells when a timer of so long is set.</summary>
    private sealed class WatchedTime(ManualTime time, TimeSpan dueTime) : TimeProvider
    {
        private readonly TaskCompletionSource _isSet = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task IsSet => _isSet.Task;

        public override long TimestampFrequency => time.TimestampFrequency;

        public override long GetTimestamp() => time.GetTimestamp();

        public override DateTimeOffset GetUtcNow() => time.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan due, TimeSpan period)
        {
            ITimer timer = time.CreateTimer(callback, state, due, period);
            if (due == dueTime)
            {
                _isSet.TrySetResult();
            }

            return timer;
        }
    }
}
