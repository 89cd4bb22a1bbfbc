using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Kafka.Tests.ReadingState;

namespace Millrace.Kafka.Tests;

/// <summary>What a consumer asks three brokers, and how it follows their answers.</summary>
public sealed class FetchFromClusterTests
{
    private readonly AdminCluster _cluster = new();
    private readonly ConcurrentQueue<(int Node, FetchRequest Request)> _fetches = [];

    public FetchFromClusterTests() => _cluster.Leaders["orders"] = [1];

    [Fact]
    public async Task A_position_is_compared_with_the_leaders_log_and_then_read_from_the_closest_replica_and_its_leader_again()
    {
        var asked = new ConcurrentQueue<(int Node, OffsetForLeaderEpochRequest Request)>();
        _cluster.On<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>((node, _, request) =>
        {
            asked.Enqueue((node, request));
            return new OffsetForLeaderEpochResponse
            {
                Topics = [new OffsetForLeaderTopicResult { Name = "orders", Partitions = [new LeaderEpochEnd { LeaderEpoch = 0, EndOffset = 8 }] }],
            };
        });
        AnswerFetches((node, offset) => node switch
        {
            1 when offset < 12 => new FetchPartitionResponse { PreferredReadReplica = 3 },
            3 when offset >= 12 => Error(ErrorCode.NotLeaderOrFollower),
            _ => Fetched(Batch(offset, 1, epoch: 1)),
        });
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions
        {
            AutoOffsetReset = AutoOffsetReset.Earliest,
            ClientRack = "rack-3",
            IsolationLevel = IsolationLevel.ReadCommitted,
            PrefetchByteCount = 1_000,
        });
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(10), LeaderEpoch: 0)]);
        List<ConsumerRecord> records = await ProduceAndConsumeTests.ReadAsync(consumer, 10);
        Assert.Equal(Enumerable.Range(8, 10).Select(offset => (long)offset), records.Select(record => record.Offset.Value));

        (int node, OffsetForLeaderEpochRequest question) = Assert.Single(asked);
        OffsetForLeaderPartition compared = Assert.Single(Assert.Single(question.Topics).Partitions);
        Assert.Equal((1, -1, 1, 0), (node, question.ReplicaId, compared.CurrentLeaderEpoch, compared.LeaderEpoch));
        (int Node, FetchRequest Request)[] fetches = [.. _fetches];
        FetchPartition first = Assert.Single(Assert.Single(fetches[0].Request.Topics).Partitions);
        Assert.Equal((1, "rack-3", (sbyte)1, 8L, 0), (fetches[0].Node, fetches[0].Request.RackId, fetches[0].Request.IsolationLevel, first.FetchOffset, first.LastFetchedEpoch));
        Assert.Equal([1, 3, 1], fetches.Select(fetch => fetch.Node).Aggregate(new List<int>(), (nodes, next) => nodes is [.., int last] && last == next ? nodes : [.. nodes, next]));
    }

    [Fact]
    public async Task A_session_that_the_broker_has_lost_costs_no_record()
    {
        int count = 0;
        AnswerFetches((_, offset) => Fetched(Batch(offset, 1, epoch: 1)), () => ++count % 3 == 0 ? ErrorCode.FetchSessionIdNotFound : ErrorCode.None);
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { PrefetchByteCount = 1_000 });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        List<ConsumerRecord> records = await ProduceAndConsumeTests.ReadAsync(consumer, 20);
        Assert.Equal(Enumerable.Range(0, 20).Select(offset => (long)offset), records.Select(record => record.Offset.Value));
        Assert.Contains(_fetches, fetch => fetch.Request is { SessionId: 5, SessionEpoch: 1 });
    }

    [Fact]
    public async Task A_topic_whose_commits_the_group_may_not_read_holds_back_no_other_and_is_read_once_it_may()
    {
        bool isDenied = true;
        _cluster.Leaders["payments"] = [1];
        FindCoordinator(1);
        _cluster.On<OffsetFetchRequest, OffsetFetchResponse>((_, _, request) => new OffsetFetchResponse
        {
            Groups = [new OffsetFetchGroupResponse
            {
                GroupId = request.Groups[0].GroupId,
                Topics = [.. request.Groups[0].Topics!.Select(topic => new OffsetFetchTopicResponse
                {
                    Name = topic.Name,
                    Partitions = [topic.Name == "payments" && isDenied
                        ? new OffsetFetchPartitionResponse { CommittedOffset = -1, ErrorCode = ErrorCode.TopicAuthorizationFailed }
                        : new OffsetFetchPartitionResponse { CommittedOffset = 3 }],
                })],
            }],
        });
        AnswerAllFetches();
        var payments = new TopicPartition("payments", 0);
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing", PrefetchByteCount = 1_000 });
        consumer.Assign([new TopicPartitionOffset(payments, new Offset(-1)), new TopicPartitionOffset(Partition, new Offset(-1))]);
        await Until.TrueAsync(() => consumer.Position(Partition) is not null, "the position of the other topic");
        consumer.Pause([Partition]);
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await Assert.ThrowsAsync<KafkaBrokerException>(() => PollAsync(consumer))).ErrorCode);
        }

        isDenied = false;
        Assert.Equal(payments, (await ReadThroughFailuresAsync(consumer)).TopicPartition);
        consumer.Resume([Partition]);
        await Until.TrueAsync(async () => (await ReadThroughFailuresAsync(consumer)).TopicPartition == Partition, "a record of the other topic");
    }

    [Theory]
    [InlineData(ApiKey.OffsetFetch)]
    [InlineData(ApiKey.ListOffsets)]
    [InlineData(ApiKey.OffsetForLeaderEpoch)]
    public async Task An_error_that_nobody_expected_is_told_and_the_position_is_looked_up_again(ApiKey api)
    {
        bool fails = true;
        ErrorCode Next(ApiKey asked) => asked == api && Volatile.Read(ref fails) ? ErrorCode.UnknownServerError : ErrorCode.None;
        FindCoordinator(1);
        _cluster.On<OffsetFetchRequest, OffsetFetchResponse>((_, _, _) => new OffsetFetchResponse
        {
            Groups = [new OffsetFetchGroupResponse
            {
                GroupId = "billing",
                Topics = [new OffsetFetchTopicResponse
                {
                    Name = "orders",
                    Partitions = [new OffsetFetchPartitionResponse { CommittedOffset = api == ApiKey.ListOffsets ? -1 : 3, CommittedLeaderEpoch = 0, ErrorCode = Next(ApiKey.OffsetFetch) }],
                }],
            }],
        });
        AnswerListOffsets(() => Next(ApiKey.ListOffsets));
        _cluster.On<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>((_, _, _) => new OffsetForLeaderEpochResponse
        {
            Topics = [new OffsetForLeaderTopicResult { Name = "orders", Partitions = [new LeaderEpochEnd { LeaderEpoch = 0, EndOffset = 8, ErrorCode = Next(ApiKey.OffsetForLeaderEpoch) }] }],
        });
        AnswerAllFetches();
        var time = new ManualTime();
        await using KafkaClient client = _cluster.CreateClient(time);
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest });
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(-1))]);
        for (int i = 0; i < 2; i++)
        {
            Task poll = PollAsync(consumer);
            await EndAsync(time, poll);
            Assert.Equal(ErrorCode.UnknownServerError, (await Assert.ThrowsAsync<KafkaBrokerException>(() => poll)).ErrorCode);
        }

        Volatile.Write(ref fails, false);
        await ReadAsync(time, consumer);
    }

    [Fact]
    public async Task A_login_that_is_refused_while_positions_are_looked_up_is_told_and_they_are_found_when_it_is_not_any_more()
    {
        _cluster.Leaders["orders"] = [2];
        _cluster.Refuse = node => node == 2 ? Refusal(node) : null;
        AnswerListOffsets(() => ErrorCode.None);
        AnswerAllFetches();
        var time = new ManualTime();
        await using KafkaClient client = _cluster.CreateClient(time);
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(-1))]);
        for (int i = 0; i < 3; i++)
        {
            Task poll = PollAsync(consumer);
            await EndAsync(time, poll);
            await Assert.ThrowsAsync<KafkaAuthenticationException>(() => poll);
        }

        _cluster.Refuse = static _ => null;
        await ReadAsync(time, consumer);
    }

    [Fact]
    public async Task A_login_that_is_refused_while_records_are_fetched_is_told_and_fetching_goes_on_when_it_is_not_any_more()
    {
        AnswerAllFetches();
        var time = new ManualTime();
        await using KafkaClient client = _cluster.CreateClient(time);
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { PrefetchByteCount = 100 });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        await ReadAsync(time, consumer);
        _cluster.Refuse = Refusal;
        _cluster.CloseAll();
        await Until.TrueAsync(
            () =>
            {
                Task poll = PollAsync(consumer);
                return EndAsync(time, poll).ContinueWith(_ => poll.Exception?.InnerException is KafkaAuthenticationException, TaskScheduler.Default);
            },
            "the refusal");
        _cluster.Refuse = static _ => null;
        await ReadAsync(time, consumer);
    }

    [Theory]
    [InlineData(ApiKey.ListOffsets)]
    [InlineData(ApiKey.OffsetForLeaderEpoch)]
    public async Task A_leader_that_does_not_answer_holds_back_no_partition_of_another(ApiKey api)
    {
        _cluster.Leaders["orders"] = [1, 2, 3];
        _cluster.Silent[(1, api)] = true;
        _cluster.Silent[(3, api)] = true;
        AnswerListOffsets(() => ErrorCode.None);
        _cluster.On<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>((_, _, request) => new OffsetForLeaderEpochResponse
        {
            Topics = [new OffsetForLeaderTopicResult { Name = "orders", Partitions = [.. request.Topics[0].Partitions.Select(partition => new LeaderEpochEnd { Index = partition.Index, LeaderEpoch = 0, EndOffset = 8 })] }],
        });
        AnswerAllFetches();

        // Time stands still, so that no time-out ends the wait.
        await using KafkaClient client = _cluster.CreateClient(new ManualTime());
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest, PrefetchByteCount = 1_000 });
        await consumer.EndOffsetsAsync([new TopicPartition("orders", 1)], Until.Timeout());
        long start = api == ApiKey.ListOffsets ? -1 : 5;
        consumer.Assign([.. Enumerable.Range(0, 3).Select(index => new TopicPartitionOffset(new TopicPartition("orders", index), new Offset(start), LeaderEpoch: start < 0 ? -1 : 0))]);
        Assert.Equal(1, (await consumer.PollAsync(1, Until.Timeout()))[0].TopicPartition.Partition);

        // And what is looked up later waits for none of them.
        if (api == ApiKey.ListOffsets)
        {
            consumer.SeekToBeginning([new TopicPartition("orders", 1)]);
            Assert.Equal(0, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
        }
    }

    [Fact]
    public async Task A_coordinator_that_does_not_answer_holds_back_no_position_that_a_leader_tells()
    {
        _cluster.Leaders["orders"] = [1, 1];
        _cluster.Silent[(2, ApiKey.OffsetFetch)] = true;
        FindCoordinator(2);
        _cluster.On<OffsetFetchRequest, OffsetFetchResponse>((_, _, _) => new OffsetFetchResponse());
        AnswerListOffsets(() => ErrorCode.None);
        AnswerAllFetches();
        await using KafkaClient client = _cluster.CreateClient(new ManualTime());
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest });
        await consumer.EndOffsetsAsync([new TopicPartition("orders", 1)], Until.Timeout());
        consumer.Assign([.. Enumerable.Range(0, 2).Select(index => new TopicPartitionOffset(new TopicPartition("orders", index), new Offset(-1)))]);
        await Until.TrueAsync(() => _cluster.Asked(ApiKey.OffsetFetch).Any(), "the question for commits");
        consumer.SeekToBeginning([new TopicPartition("orders", 1)]);
        Assert.Equal(1, (await consumer.PollAsync(1, Until.Timeout()))[0].TopicPartition.Partition);
    }

    [Fact]
    public async Task The_epoch_that_a_leader_tells_with_a_position_is_compared_with_the_log_of_the_next_leader()
    {
        int epoch = 1;
        var asked = new ConcurrentQueue<int>();
        _cluster.On<ListOffsetsRequest, ListOffsetsResponse>((_, _, _) => new ListOffsetsResponse
        {
            Topics = [new ListOffsetsTopicResponse { Name = "orders", Partitions = [new ListOffsetsPartitionResponse { Offset = 8, LeaderEpoch = 1 }] }],
        });
        _cluster.On<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>((_, _, request) =>
        {
            asked.Enqueue(request.Topics[0].Partitions[0].LeaderEpoch);
            return new OffsetForLeaderEpochResponse
            {
                Topics = [new OffsetForLeaderTopicResult { Name = "orders", Partitions = [new LeaderEpochEnd { LeaderEpoch = 1, EndOffset = 6 }] }],
            };
        });
        AnswerFetches((_, offset) => epoch == 1
            ? new FetchPartitionResponse { ErrorCode = ErrorCode.NotLeaderOrFollower, CurrentLeader = new LeaderIdAndEpoch { LeaderId = 2, LeaderEpoch = epoch = 2 } }
            : Fetched(Batch(offset, 1, epoch: 2)));
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Latest });
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(-1))]);
        Assert.Equal(6, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
        Assert.Equal([1], asked);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_commit_that_is_tried_again_takes_nothing_back_that_a_later_one_has_stored(bool isOneCancelledBetween)
    {
        FindCoordinator(1);
        var stored = new ConcurrentQueue<long>();
        int count = 0;
        _cluster.On<OffsetCommitRequest, OffsetCommitResponse>((_, _, request) =>
        {
            ErrorCode error = Interlocked.Increment(ref count) == 1 ? ErrorCode.CoordinatorLoadInProgress : ErrorCode.None;
            if (error == ErrorCode.None)
            {
                stored.Enqueue(request.Topics[0].Partitions[0].CommittedOffset);
            }

            return new OffsetCommitResponse { Topics = [new OffsetCommitTopicResponse { Name = "orders", Partitions = [new OffsetCommitPartitionResponse { ErrorCode = error }] }] };
        });
        var time = new ManualTime();
        await using KafkaClient client = _cluster.CreateClient(time);
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing" });
        Task first = consumer.CommitAsync([new TopicPartitionOffset(Partition, new Offset(100))], Until.Timeout());
        await Until.TrueAsync(() => _cluster.Asked(ApiKey.OffsetCommit).Any(), "the first attempt");
        if (isOneCancelledBetween)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(
                () => consumer.CommitAsync([new TopicPartitionOffset(Partition, new Offset(150))], new CancellationToken(canceled: true)));
        }

        List<TopicPartitionOffset> offsets = [new(Partition, new Offset(200))];
        Task last = consumer.CommitAsync(offsets, Until.Timeout());

        // What the caller does with its list from here on is its own business.
        offsets[0] = new TopicPartitionOffset(Partition, new Offset(300));
        await EndAsync(time, Task.WhenAll(first, last));
        Assert.Equal([100, 200], stored);
    }

    [Fact]
    public async Task A_commit_that_waits_for_its_turn_waits_no_longer_than_one_that_does_not()
    {
        FindCoordinator(1);
        _cluster.On<OffsetCommitRequest, OffsetCommitResponse>((_, _, _) => new OffsetCommitResponse
        {
            Topics = [new OffsetCommitTopicResponse { Name = "orders", Partitions = [new OffsetCommitPartitionResponse { ErrorCode = ErrorCode.CoordinatorLoadInProgress }] }],
        });
        var time = new ManualTime();
        await using KafkaClient client = _cluster.CreateClient(time);
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing" });
        Task[] commits = [.. Enumerable.Range(0, 5).Select(offset => consumer.CommitAsync([new TopicPartitionOffset(Partition, new Offset(offset))], Until.Timeout()))];
        await EndAsync(time, Task.WhenAll(commits));
        Assert.All(commits, static commit => Assert.IsType<KafkaTimeoutException>(commit.Exception?.InnerException));

        // One after the other they would take five minutes. The clock runs on while a thread is slow.
        Assert.InRange(time.GetElapsedTime(0), TimeSpan.FromSeconds(55), TimeSpan.FromMinutes(3));
    }

    [Fact]
    public async Task A_commit_that_waits_for_its_turn_and_for_what_is_committed_before_it_takes_no_longer_than_one_that_waits_for_neither()
    {
        var late = new TopicPartition("orders", 1);
        _cluster.Leaders["orders"] = [1, 1];
        FindCoordinator(1);
        AnswerAllFetches();
        _cluster.On<OffsetFetchRequest, OffsetFetchResponse>((_, _, request) => new OffsetFetchResponse
        {
            Groups = [new OffsetFetchGroupResponse { GroupId = request.Groups[0].GroupId, ErrorCode = ErrorCode.CoordinatorLoadInProgress }],
        });
        _cluster.On<OffsetCommitRequest, OffsetCommitResponse>((_, _, _) => new OffsetCommitResponse
        {
            Topics = [new OffsetCommitTopicResponse { Name = "orders", Partitions = [new OffsetCommitPartitionResponse { ErrorCode = ErrorCode.CoordinatorLoadInProgress }] }],
        });
        var time = new ManualTime();
        await using KafkaClient client = _cluster.CreateClient(time);
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing" });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        await ReadAsync(time, consumer);
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero), new TopicPartitionOffset(late, new Offset(-1))]);

        Task first = consumer.CommitAsync([new TopicPartitionOffset(Partition, new Offset(1))], Until.Timeout());
        time.Advance(TimeSpan.FromSeconds(30));
        long start = time.GetTimestamp();
        Task second = consumer.CommitAsync([new TopicPartitionOffset(Partition, new Offset(2)), new TopicPartitionOffset(late, new Offset(2))], Until.Timeout());
        await EndAsync(time, Task.WhenAll(first, second));
        Assert.IsType<KafkaTimeoutException>(first.Exception?.InnerException);
        Assert.IsType<KafkaTimeoutException>(second.Exception?.InnerException);
        Assert.InRange(time.GetElapsedTime(start), TimeSpan.FromSeconds(55), TimeSpan.FromSeconds(70));
    }

    [Fact]
    public async Task A_commit_is_not_stored_for_a_partition_that_the_answer_leaves_out()
    {
        FindCoordinator(1);
        _cluster.On<OffsetCommitRequest, OffsetCommitResponse>((_, _, request) => new OffsetCommitResponse
        {
            Topics = [new OffsetCommitTopicResponse { Name = "orders", Partitions = [new OffsetCommitPartitionResponse { Index = 1 }] }],
        });
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing" });
        TopicPartitionOffset[] offsets = [.. Enumerable.Range(0, 2).Select(index => new TopicPartitionOffset(new TopicPartition("orders", index), new Offset(1)))];
        KafkaProtocolException failure = await Assert.ThrowsAsync<KafkaProtocolException>(() => consumer.CommitAsync(offsets, Until.Timeout()));
        Assert.Contains("orders-0", failure.Message, StringComparison.Ordinal);
        await consumer.CommitAsync([offsets[1]], Until.Timeout());
    }

    [Fact]
    public async Task A_partition_that_the_coordinator_leaves_out_of_what_is_committed_is_not_reset()
    {
        bool leavesOut = true;
        _cluster.Leaders["orders"] = [1, 1];
        FindCoordinator(1);
        AnswerListOffsets(static () => ErrorCode.None);
        _cluster.On<OffsetFetchRequest, OffsetFetchResponse>((_, _, request) => new OffsetFetchResponse
        {
            Groups = [new OffsetFetchGroupResponse
            {
                GroupId = request.Groups[0].GroupId,
                Topics = [.. request.Groups[0].Topics!.Select(topic => new OffsetFetchTopicResponse
                {
                    Name = topic.Name,
                    Partitions = [.. topic.Partitions.Where(index => index != 0 || !Volatile.Read(ref leavesOut)).Select(index => new OffsetFetchPartitionResponse { Index = index, CommittedOffset = 3 })],
                })],
            }],
        });
        AnswerAllFetches();
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing", PrefetchByteCount = 1_000, AutoOffsetReset = AutoOffsetReset.Earliest });
        consumer.Assign([.. Enumerable.Range(0, 2).Select(index => new TopicPartitionOffset(new TopicPartition("orders", index), new Offset(-1)))]);
        consumer.Pause([new TopicPartition("orders", 1)]);
        Assert.Contains("left orders-0 ", (await Assert.ThrowsAsync<KafkaProtocolException>(() => PollAsync(consumer))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<KafkaProtocolException>(() => consumer.CommittedAsync([Partition], Until.Timeout()));
        Volatile.Write(ref leavesOut, false);
        Assert.Equal(3, (await ReadThroughFailuresAsync(consumer)).Offset.Value);
    }

    [Fact]
    public async Task A_fetch_that_is_planned_while_the_lags_of_the_one_before_are_told_is_no_failure()
    {
        KafkaConsumer? consumer = null;
        using var hasFetched = new ManualResetEventSlim();
        AnswerFetches((_, offset) =>
        {
            if (offset == 500)
            {
                hasFetched.Set();
            }

            return Fetched(Batch(offset, 1, epoch: 1));
        });
        using MeterListener listener = Recorded.Each<long>("kafka.consumer.records_lag", "lags", () =>
        {
            // Fetched anew while it is told how far behind the position is, by somebody else.
            if (!hasFetched.IsSet)
            {
                consumer!.SeekAsync(Partition, new Offset(500)).AsTask().Wait();
                Assert.True(hasFetched.Wait(Until.Limit));
            }
        });
        await using KafkaClient client = _cluster.CreateClient(configure: options => options.ClientId = "lags");
        consumer = client.CreateConsumer(new ConsumerOptions { PrefetchByteCount = 1_000 });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        while ((await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value < 510)
        {
            // Those of before, and ten behind the seek.
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_listener_of_a_meter_that_fails_costs_no_record(bool isLent)
    {
        AnswerAllFetches();
        using MeterListener lags = Recorded.Each<long>("kafka.consumer.records_lag", "failing", static () => throw new InvalidOperationException("The listener failed."));
        using MeterListener counts = Recorded.Each<long>("messaging.client.consumed.messages", "failing", static () => throw new InvalidOperationException("The listener failed."));
        await using KafkaClient client = _cluster.CreateClient(configure: options => options.ClientId = "failing");
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { PrefetchByteCount = 1_000 });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        for (int offset = 0; offset < 10; offset++)
        {
            if (isLent)
            {
                using ConsumerBatch batch = await consumer.PollBatchAsync(Until.Timeout());
                Assert.Equal(new Offset(offset + 1), batch.NextOffset);
            }
            else
            {
                Assert.Equal(offset, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_record_that_comes_after_none_was_found_by_time_is_not_passed(bool isSought)
    {
        // A record comes at offset 8 after the first question for the time.
        bool hasCome = false;
        _cluster.On<ListOffsetsRequest, ListOffsetsResponse>((_, _, request) =>
        {
            bool isByTime = request.Topics[0].Partitions[0].Timestamp >= 0;
            long offset = (isByTime, hasCome) switch { (true, false) => -1, (true, true) => 8, (false, false) => 8, (false, true) => 9 };
            hasCome |= isByTime;
            return new ListOffsetsResponse
            {
                Topics = [new ListOffsetsTopicResponse { Name = "orders", Partitions = [new ListOffsetsPartitionResponse { Offset = offset, Timestamp = offset < 0 ? -1 : 1, LeaderEpoch = 1 }] }],
            };
        });
        AnswerFetches((_, offset) => Fetched(Batch(offset, 1, epoch: 1)));
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.ByDuration, AutoOffsetResetDuration = TimeSpan.FromHours(1) });
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(isSought ? 0 : -1))]);
        if (isSought)
        {
            await consumer.SeekToTimeAsync([Partition], TimeProvider.System.GetUtcNow(), Until.Timeout());
        }

        Assert.Equal(8, (await consumer.PollAsync(1, Until.Timeout()))[0].Offset.Value);
    }

    [Fact]
    public async Task A_seek_by_time_moves_the_partitions_of_the_call_each_once()
    {
        AnswerListOffsets(static () => ErrorCode.None);
        AnswerAllFetches();
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { PrefetchByteCount = 1_000 });
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(5))]);
        List<TopicPartition> partitions = [Partition, Partition];
        Task seeking = consumer.SeekToTimeAsync(partitions, TimeProvider.System.GetUtcNow(), Until.Timeout());

        // What the caller does with its list from here on is its own business.
        partitions.Clear();
        await seeking;
        Assert.Equal(0, consumer.Position(Partition)?.Value);
    }

    private static KafkaAuthenticationException Refusal(int node) =>
        new("The password is wrong.", new BrokerAddress($"node-{node}", 9000 + node), "PLAIN", ErrorCode.SaslAuthenticationFailed);

    private static async Task PollAsync(KafkaConsumer consumer) => await consumer.PollAsync(100, Until.Timeout());

    /// <summary>Polls until a record comes, whatever is told before.</summary>
    private static async Task<ConsumerRecord> ReadThroughFailuresAsync(KafkaConsumer consumer)
    {
        while (true)
        {
            try
            {
                return (await consumer.PollAsync(1, Until.Timeout()))[0];
            }
            catch (KafkaException)
            {
                // From before.
            }
        }
    }

    private static async Task EndAsync(ManualTime time, Task task) => await Until.TrueAsync(
        () =>
        {
            time.Advance(TimeSpan.FromMilliseconds(100));
            return task.IsCompleted;
        },
        "the end of a poll");

    private static async Task ReadAsync(ManualTime time, KafkaConsumer consumer)
    {
        Task<ConsumerRecord> record = ReadThroughFailuresAsync(consumer);
        await EndAsync(time, record);
        await record;
    }

    private void FindCoordinator(int node) => _cluster.On<FindCoordinatorRequest, FindCoordinatorResponse>((_, _, request) => new FindCoordinatorResponse
    {
        Coordinators = [.. request.CoordinatorKeys.Select(key => new Coordinator { Key = key, NodeId = node, Host = AdminCluster.AddressOf(node).Host, Port = AdminCluster.AddressOf(node).Port })],
    });

    private void AnswerListOffsets(Func<ErrorCode> error) => _cluster.On<ListOffsetsRequest, ListOffsetsResponse>((_, _, request) => new ListOffsetsResponse
    {
        Topics = [.. request.Topics.Select(topic => new ListOffsetsTopicResponse
        {
            Name = topic.Name,
            Partitions = [.. topic.Partitions.Select(partition => new ListOffsetsPartitionResponse { Index = partition.Index, Offset = 0, ErrorCode = error() })],
        })],
    });

    /// <summary>Every fetch is answered at once, without a session, with a record of each partition.</summary>
    private void AnswerAllFetches() => _cluster.On<FetchRequest, FetchResponse>((_, _, request) => new FetchResponse
    {
        Topics = [.. request.Topics.Select(topic => new FetchTopicResponse
        {
            Name = topic.Name,
            Partitions = [.. topic.Partitions.Select(partition =>
            {
                FetchPartitionResponse answer = Fetched(Batch(partition.FetchOffset, 1, epoch: 1));
                answer.Index = partition.Index;
                return answer;
            })],
        })],
    });

    /// <summary>Every fetch is answered at once, in a session, with what the function gives for the offset that the partition has in it.</summary>
    private void AnswerFetches(Func<int, long, FetchPartitionResponse> answer, Func<ErrorCode>? sessionError = null)
    {
        var offsets = new ConcurrentDictionary<int, long>();
        _cluster.On<FetchRequest, FetchResponse>((node, _, request) =>
        {
            _fetches.Enqueue((node, request));
            if (sessionError?.Invoke() is { } error and not ErrorCode.None)
            {
                return new FetchResponse { ErrorCode = error };
            }

            foreach (FetchPartition partition in request.Topics.SelectMany(topic => topic.Partitions))
            {
                offsets[node] = partition.FetchOffset;
            }

            return new FetchResponse
            {
                SessionId = 5,
                Topics = [new FetchTopicResponse { Name = "orders", Partitions = [answer(node, offsets[node])] }],
            };
        });
    }
}
