using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class ConsumerGroupTests
{
    private static readonly ConsumerOptions Options = new()
    {
        GroupId = "billing",
        AutoOffsetReset = AutoOffsetReset.Earliest,
        SessionTimeout = TestBroker.SessionTimeout,
        HeartbeatInterval = TimeSpan.FromMilliseconds(100),
        FetchMaxWait = TimeSpan.FromMilliseconds(50),
        CloseTimeout = TimeSpan.FromSeconds(5),
    };

    [Fact]
    public async Task A_new_member_takes_half_of_the_partitions_after_the_old_one_gave_them_up()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        var first = new RecordingListener();
        var second = new RecordingListener();
        KafkaConsumer one = client.CreateConsumer(Options);
        await one.SubscribeAsync(["orders"], first, Until.Timeout());
        Assert.Equal(["assigned 0,1,2,3"], first.Calls);
        KafkaConsumer two = client.CreateConsumer(Options);
        await two.SubscribeAsync(["orders"], second, Until.Timeout());
        await Until.TrueAsync(() => first.Calls.Count == 3, "the first member's new assignment");
        Assert.Equal("revoked 0,1,2,3", first.Calls.ElementAt(1));
        Assert.Equal(2, one.Assignment.Count);
        Assert.Equal(4, one.Assignment.Concat(two.Assignment).Distinct().Count());
        Assert.Equal(one.GroupMetadata.GenerationId, two.GroupMetadata.GenerationId);

        // Leaving hands them back at once.
        await two.DisposeAsync();
        await Until.TrueAsync(() => one.Assignment.Count == 4, "the partitions of the member that left");
        Assert.StartsWith("revoked", second.Calls.Last(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_partitions_of_a_member_that_dies_move_when_its_session_ends_and_its_commits_are_refused()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        var network = new CuttableConnector(broker);
        await using KafkaClient dyingClient = broker.CreateClient(options => options.Connector = network);
        var dyingListener = new RecordingListener();
        KafkaConsumer dying = dyingClient.CreateConsumer(Options);
        KafkaConsumer living = client.CreateConsumer(Options);
        await Task.WhenAll(dying.SubscribeAsync(["orders"], dyingListener, Until.Timeout()), living.SubscribeAsync(["orders"], null, Until.Timeout()));
        await Until.TrueAsync(() => dying.Assignment.Count == 2 && living.Assignment.Count == 2, "two partitions each");
        TopicPartition[] moved = [.. dying.Assignment];
        await dying.CommitAsync([new TopicPartitionOffset(moved[0], new Offset(1))], Until.Timeout());

        network.Cut();
        await Until.TrueAsync(() => living.Assignment.Count == 4, "the dead member's partitions");
        await Until.TrueAsync(() => dyingListener.Calls.Last().StartsWith("lost", StringComparison.Ordinal), "the loss being told");
        Assert.Empty(dying.Assignment);
        await Assert.ThrowsAsync<KafkaGroupFencedException>(
            () => dying.CommitAsync([new TopicPartitionOffset(moved[0], new Offset(2))], Until.Timeout()));

        network.Mend();
        await Until.TrueAsync(() => dying.Assignment.Count == 2 && living.Assignment.Count == 2, "the member coming back");
    }

    [Fact]
    public async Task A_member_that_comes_after_goes_on_where_the_commit_says()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAsync(client, 40);
        var read = new List<ConsumerRecord>();
        KafkaConsumer one = client.CreateConsumer(Options);
        await one.SubscribeAsync(["orders"], null, Until.Timeout());
        read.AddRange(await ProduceAndConsumeTests.ReadAsync(one, 17));
        await one.CommitAsync([.. read.GroupBy(record => record.TopicPartition).Select(group =>
            new TopicPartitionOffset(group.Key, group.Last().Offset.Next, group.Last().LeaderEpoch, "note"))], Until.Timeout());
        IReadOnlyDictionary<TopicPartition, TopicPartitionOffset> committed = await one.CommittedAsync(one.Assignment, Until.Timeout());
        Assert.All(committed.Values, commit => Assert.Equal("note", commit.Metadata));
        await one.DisposeAsync();

        KafkaConsumer two = client.CreateConsumer(Options);
        await two.SubscribeAsync(["orders"], null, Until.Timeout());
        read.AddRange(await ProduceAndConsumeTests.ReadAsync(two, 23));
        Assert.Equal(40, read.Select(record => (record.TopicPartition, record.Offset)).Distinct().Count());
    }

    [Fact]
    public async Task Heartbeats_keep_the_membership_while_a_revoke_takes_longer_than_the_session()
    {
        await using TestBroker broker = await StartAsync();

        // A cluster that loses the coordinator meanwhile may have no other one before the session has passed.
        for (int attempt = 1; !await KeepsMembershipWhileRevokingAsync(broker); attempt++)
        {
            Assert.True(broker.IsExternal && attempt < 5, "the membership was lost");
        }
    }

    private static async Task<bool> KeepsMembershipWhileRevokingAsync(TestBroker broker)
    {
        await using KafkaClient client = broker.CreateClient();
        var network = new CuttableConnector(broker);
        await using KafkaClient revokingClient = broker.CreateClient(options => options.Connector = network);
        var revoking = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        var listener = new RecordingListener
        {
            OnRevoked = async (_, _) =>
            {
                revoking.TrySetResult();
                await release.Task;
            },
        };
        KafkaConsumer one = revokingClient.CreateConsumer(Options);
        await one.SubscribeAsync(["orders"], listener, Until.Timeout());
        TopicPartition partition = one.Assignment.First();
        KafkaConsumer two = client.CreateConsumer(Options);
        Task joining = two.SubscribeAsync(["orders"], null, Until.Timeout());
        await revoking.Task.WaitAsync(Until.Limit);

        // As many heartbeats as take a session and a half. The other one joins alone if this one is taken for dead.
        int heartbeatCount = network.HeartbeatCount + (int)(Options.SessionTimeout / Options.HeartbeatInterval * 1.5);
        await Until.TrueAsync(() => network.HeartbeatCount >= heartbeatCount || joining.IsCompleted, "heartbeats beyond the session");
        if (joining.IsCompleted)
        {
            release.SetResult();
            await joining;
            return false;
        }

        await one.CommitAsync([new TopicPartitionOffset(partition, new Offset(1))], Until.Timeout());
        release.SetResult();
        await joining;
        await Until.TrueAsync(() => one.Assignment.Count == 2, "both halves");
        return !listener.Calls.Any(static call => call.StartsWith("lost", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_seek_in_the_assigned_callback_decides_where_reading_starts()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAsync(client, 40);
        KafkaConsumer consumer = client.CreateConsumer(Options);
        var listener = new RecordingListener
        {
            OnAssigned = async (partitions, _) =>
            {
                foreach (TopicPartition partition in partitions)
                {
                    await consumer.SeekAsync(partition, new Offset(9));
                }
            },
        };
        await consumer.SubscribeAsync(["orders"], listener, Until.Timeout());
        Assert.All(await ProduceAndConsumeTests.ReadAsync(consumer, 4), record => Assert.Equal(9, record.Offset.Value));
    }

    [Fact]
    public async Task A_member_that_the_group_refuses_hears_of_each_attempt_and_joins_when_the_reason_is_gone()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAsync(client, 4);
        KafkaConsumer old = client.CreateConsumer(OptionsWith(PartitionAssignor.Range));
        await old.SubscribeAsync(["orders"], null, Until.Timeout());
        KafkaConsumer fresh = client.CreateConsumer(OptionsWith(PartitionAssignor.RoundRobin));
        KafkaBrokerException refusal = await Assert.ThrowsAsync<KafkaBrokerException>(() => fresh.SubscribeAsync(["orders"], null, Until.Timeout()));
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, refusal.ErrorCode);
        Assert.False(refusal.IsTransient);
        for (int i = 0; i < 3; i++)
        {
            KafkaBrokerException next = await Assert.ThrowsAsync<KafkaBrokerException>(async () => await fresh.PollAsync(1, Until.Timeout()));
            Assert.Equal(ErrorCode.InconsistentGroupProtocol, next.ErrorCode);
            Assert.True(i == 0 || next != refusal, "Each poll hears of an attempt of its own.");
            refusal = next;
        }

        await old.DisposeAsync();
        var read = new List<ConsumerRecord>();
        CancellationToken timeout = Until.Timeout();
        while (read.Count < 4)
        {
            try
            {
                read.AddRange(await fresh.PollAsync(4, timeout));
            }
            catch (KafkaBrokerException failure) when (failure.ErrorCode == ErrorCode.InconsistentGroupProtocol)
            {
                // An attempt from before the old member left.
            }
        }

        Assert.Equal(4, fresh.Assignment.Count);
    }

    [Fact]
    public async Task Heartbeats_that_fail_with_anything_at_all_end_the_membership_and_the_member_joins_again()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient quiet = broker.CreateClient();
        await ProduceAsync(quiet, 1);
        var clock = new FailingClock();
        await using var client = new KafkaClient(broker.CreateClientOptions(), clock, NullLoggerFactory.Instance);
        var listener = new RecordingListener();
        KafkaConsumer consumer = client.CreateConsumer(Options);
        await consumer.SubscribeAsync(["orders"], listener, Until.Timeout());

        // The clock fails when the heartbeat asks for the time, and what that says fails as well: an exception that no one foresaw.
        clock.FailOnce();
        await Until.TrueAsync(() => listener.Calls.Count == 3, "the loss and the next assignment");
        Assert.Equal(["assigned 0,1,2,3", "lost 0,1,2,3", "assigned 0,1,2,3"], listener.Calls);
    }

    [Fact]
    public async Task A_callback_that_fails_stops_no_rebalance_although_the_logger_of_its_failure_fails_as_well()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient quiet = broker.CreateClient();
        await ProduceAsync(quiet, 1);
        var loggers = new FailingLoggers("the rebalance callback failed");
        await using var client = new KafkaClient(
            new KafkaClientOptions { BootstrapServers = "embedded:9092", Connector = new CuttableConnector(broker) }, TimeProvider.System, loggers);
        var listener = new RecordingListener { OnAssigned = static (_, _) => throw new TimeoutException("The database does not answer.") };
        KafkaConsumer consumer = client.CreateConsumer(Options);
        await consumer.SubscribeAsync(["orders"], listener, Until.Timeout());
        await Assert.ThrowsAsync<TimeoutException>(async () => await consumer.PollAsync(10, Until.Timeout()));
        Assert.Single(await consumer.PollAsync(10, Until.Timeout()));
        Assert.Equal(1, loggers.FailureCount);
    }

    [Fact]
    public async Task Who_waits_for_an_assignment_is_told_when_the_consumer_closes_and_served_when_the_topics_change()
    {
        await using TestBroker broker = await StartAsync();
        var network = new CuttableConnector(broker);
        await using KafkaClient client = broker.CreateClient(options => options.Connector = network);
        network.Cut();
        KafkaConsumer closing = client.CreateConsumer(Options);
        Task waiting = closing.SubscribeAsync(["orders"], null, CancellationToken.None);
        await closing.DisposeAsync();
        await Assert.ThrowsAsync<KafkaClosedException>(() => waiting.WaitAsync(Until.Limit));

        KafkaConsumer changing = client.CreateConsumer(Options);
        Task first = changing.SubscribeAsync(["orders"], null, CancellationToken.None);
        Task second = changing.SubscribeAsync(["payments"], null, CancellationToken.None);
        network.Mend();
        await Task.WhenAll(first, second).WaitAsync(Until.Limit);
    }

    [Fact]
    public async Task A_callback_whose_cancellation_fails_keeps_no_member_from_leaving()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        var assigning = new TaskCompletionSource();
        var listener = new RecordingListener { OnAssigned = (_, token) => WaitForHarmAsync(assigning, token) };
        KafkaConsumer closing = client.CreateConsumer(Options);
        Task subscribed = closing.SubscribeAsync(["orders"], listener, Until.Timeout());
        await assigning.Task.WaitAsync(Until.Limit);
        await closing.DisposeAsync().AsTask().WaitAsync(Until.Limit);
        await subscribed;
        Assert.Equal(["assigned 0,1,2,3", "revoked 0,1,2,3"], listener.Calls);
        Assert.Empty((await client.Admin.DescribeGroupsAsync(["billing"], Until.Timeout()))["billing"].Value.Members);
    }

    [Fact]
    public async Task A_callback_whose_cancellation_fails_keeps_no_consumer_from_closing()
    {
        await using TestBroker broker = await StartAsync();
        var network = new CuttableConnector(broker);
        await using KafkaClient client = broker.CreateClient(options => options.Connector = network);
        var losing = new TaskCompletionSource();
        var listener = new RecordingListener { OnLost = (_, token) => WaitForHarmAsync(losing, token) };
        ConsumerOptions options = OptionsWith(PartitionAssignor.Range);
        options.CloseTimeout = TimeSpan.FromMilliseconds(100);
        KafkaConsumer closing = client.CreateConsumer(options);
        await closing.SubscribeAsync(["orders"], listener, Until.Timeout());
        network.Cut();
        await losing.Task.WaitAsync(Until.Limit);
        await closing.DisposeAsync().AsTask().WaitAsync(Until.Limit);
        Assert.Empty(closing.Assignment);
    }

    private static async ValueTask WaitForHarmAsync(TaskCompletionSource begun, CancellationToken token)
    {
        await using CancellationTokenRegistration harm = token.Register(static () => throw new InvalidOperationException("The cancellation failed."));
        begun.SetResult();
        await Task.Delay(Timeout.Infinite, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private static ConsumerOptions OptionsWith(PartitionAssignor assignor) => new()
    {
        GroupId = Options.GroupId,
        AutoOffsetReset = Options.AutoOffsetReset,
        SessionTimeout = Options.SessionTimeout,
        HeartbeatInterval = Options.HeartbeatInterval,
        FetchMaxWait = Options.FetchMaxWait,
        Assignors = [assignor],
    };

    private static Task<TestBroker> StartAsync() => TestBroker.StartAsync(configure: options =>
    {
        options.DefaultPartitionCount = 4;
        options.GroupMinSessionTimeout = TimeSpan.FromMilliseconds(100);
    });

    private static async Task ProduceAsync(KafkaClient client, int count)
    {
        await using KafkaProducer producer = client.CreateProducer();
        await Task.WhenAll(Enumerable.Range(0, count).Select(i => producer.ProduceAsync(
            new ProducerRecord { Topic = "orders", Partition = i % 4, Value = BitConverter.GetBytes(i) }, Until.Timeout()).AsTask()));
    }

    /// <summary>The system's clock, which fails once when a member asks it on behalf of its group.</summary>
    private sealed class FailingClock : TimeProvider
    {
        private bool _fails;

        public void FailOnce() => Volatile.Write(ref _fails, true);

        public override long GetTimestamp()
        {
            bool isMember = Volatile.Read(ref _fails) && new StackTrace().ToString().Contains(nameof(GroupCall), StringComparison.Ordinal);
            return isMember && Interlocked.Exchange(ref _fails, false) ? throw new Unspeakable() : base.GetTimestamp();
        }
    }

    private sealed class Unspeakable : Exception
    {
        public override string Message => throw new InvalidOperationException("There are no words for it.");
    }
}
