using System.Diagnostics.Metrics;
using System.Text.RegularExpressions;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Groups whose members keep what they have, static members, patterns, and applications that do not come back; against our own broker.</summary>
public sealed class CooperativeGroupTests
{
    [Fact]
    public async Task What_stays_is_read_on_while_another_member_takes_a_long_time_to_let_go()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        var letsGo = new TaskCompletionSource();
        var asked = new TaskCompletionSource();
        var slow = new RecordingListener
        {
            OnRevoked = async (_, _) =>
            {
                asked.TrySetResult();
                await letsGo.Task;
            },
        };
        KafkaConsumer one = client.CreateConsumer(Options());
        await one.SubscribeAsync(["orders"], slow, Until.Timeout());
        KafkaConsumer two = client.CreateConsumer(Options());
        Task joining = two.SubscribeAsync(["orders"], null, Until.Timeout());
        await asked.Task.WaitAsync(Until.Limit);

        // Two go, two stay; those are read, and committed in the new generation, while the callback hangs.
        Assert.Equal(4, one.Assignment.Count);
        await ProduceAsync(client, 40);
        var read = new List<ConsumerRecord>();
        while (read.Count < 20)
        {
            read.AddRange(await one.PollAsync(100, Until.Timeout()));
        }

        Assert.Equal(2, read.Select(record => record.TopicPartition).Distinct().Count());
        await one.CommitAsync([.. read.GroupBy(record => record.TopicPartition).Select(group => new TopicPartitionOffset(group.Key, group.Last().Offset.Next))], Until.Timeout());
        letsGo.SetResult();
        await joining;
        await Until.TrueAsync(() => one.Assignment.Count == 2 && two.Assignment.Count == 2, "two partitions each");
        Assert.Empty(one.Assignment.Intersect(two.Assignment));

        // A coordinator that is lost meanwhile has it join once more, to what it has.
        IEnumerable<string> calls = slow.Calls.Where(static call => call != "assigned ");
        Assert.Equal(["assigned 0,1,2,3", "revoked"], calls.Take(2).Select(call => call.StartsWith("revoked", StringComparison.Ordinal) ? "revoked" : call));
        Assert.All(read, record => Assert.Contains(record.TopicPartition, one.Assignment));
    }

    [Fact]
    public async Task What_waits_of_a_partition_that_goes_makes_room_for_those_that_stay_as_soon_as_its_callback_runs()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await client.Admin.CreateTopicsAsync([new NewTopic("hot", 1), new NewTopic("quiet", 1)]);
        await using KafkaProducer producer = client.CreateProducer();
        await producer.ProduceAsync(new ProducerRecord { Topic = "hot", Value = new byte[20_000] }, Until.Timeout());
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var letsGo = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var slow = new RecordingListener
        {
            OnRevoked = async (_, _) =>
            {
                asked.TrySetResult();
                await letsGo.Task;
            },
        };

        // One record is more than there is room for: while it waits, nothing is fetched.
        ConsumerOptions options = Options();
        (options.PrefetchByteCount, options.FetchMaxWait) = (10_000, TimeSpan.FromMilliseconds(1));
        await using KafkaConsumer consumer = client.CreateConsumer(options);
        await consumer.SubscribeAsync(["hot", "quiet"], slow, Until.Timeout());
        await Until.TrueAsync(() => consumer.Watermarks(new TopicPartition("hot", 0)) is not null, "the large record");
        Task subscribing = consumer.SubscribeAsync(["quiet"], slow, Until.Timeout());
        await asked.Task.WaitAsync(Until.Limit);
        ValueTask<IReadOnlyList<ConsumerRecord>> poll = consumer.PollAsync(10, Until.Timeout());
        await producer.ProduceAsync(new ProducerRecord { Topic = "quiet", Value = new byte[1] }, Until.Timeout());
        Assert.Equal("quiet", Assert.Single(await poll).TopicPartition.Topic);
        letsGo.SetResult();
        await subscribing;
    }

    [Fact]
    public async Task A_listener_of_a_meter_that_fails_keeps_no_assignment_from_its_place()
    {
        using MeterListener failing = Recorded.Each<long>("kafka.consumer.rebalances", "failing", static () => throw new InvalidOperationException("The listener failed."));
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient(options => options.ClientId = "failing");
        KafkaConsumer consumer = client.CreateConsumer(Options());
        await consumer.SubscribeAsync(["orders"], null, Until.Timeout());
        await ProduceAsync(client, 4);
        Assert.NotEmpty(await consumer.PollAsync(10, Until.Timeout()));
    }

    [Fact]
    public async Task Members_that_come_and_go_move_only_what_balance_asks_for()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        var listener = new RecordingListener();
        KafkaConsumer one = client.CreateConsumer(Options());
        await one.SubscribeAsync(["orders"], listener, Until.Timeout());
        KafkaConsumer two = client.CreateConsumer(Options());
        await two.SubscribeAsync(["orders"], null, Until.Timeout());
        await Until.TrueAsync(() => one.Assignment.Count == 2 && two.Assignment.Count == 2, "two partitions each");
        TopicPartition[] kept = [.. one.Assignment];
        await two.DisposeAsync();
        await Until.TrueAsync(() => one.Assignment.Count == 4, "the partitions of the member that left");

        // One revoke in all, of two; what was kept was never mentioned again.
        Assert.Single(listener.Calls, call => call.StartsWith("revoked", StringComparison.Ordinal));
        string[] keptNumbers = [.. kept.Select(partition => $"{partition.Partition}")];
        Assert.All(listener.Calls.Skip(1), call => Assert.Empty(call.Split(' ', ',').Skip(1).Intersect(keptNumbers)));
    }

    [Fact]
    public async Task Commits_of_what_stays_get_through_a_storm_of_rebalances()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        KafkaConsumer steady = client.CreateConsumer(Options());
        await steady.SubscribeAsync(["orders"], null, Until.Timeout());
        using var done = new CancellationTokenSource();
        long committed = 0;
        var stolen = new HashSet<TopicPartition>();
        Task committing = Task.Run(async () =>
        {
            for (long offset = 1; !done.IsCancellationRequested; offset++)
            {
                foreach (TopicPartition partition in steady.Assignment)
                {
                    try
                    {
                        await steady.CommitAsync([new TopicPartitionOffset(partition, new Offset(offset))], Until.Timeout());
                        Interlocked.Increment(ref committed);
                    }
                    catch (KafkaGroupFencedException)
                    {
                        // Only what goes to the others may be refused.
                        lock (stolen)
                        {
                            stolen.Add(partition);
                        }
                    }
                }
            }
        });
        var left = new HashSet<TopicPartition>(steady.Assignment);
        for (int round = 0; round < 5; round++)
        {
            await using KafkaConsumer guest = client.CreateConsumer(Options());
            await guest.SubscribeAsync(["orders"], null, Until.Timeout());
            await Until.TrueAsync(() => guest.Assignment.Count == 2 && steady.Assignment.Count == 2, "the guest's share");
            left.IntersectWith(steady.Assignment);
            long seen = Interlocked.Read(ref committed);
            await Until.TrueAsync(() => Interlocked.Read(ref committed) > seen + 2, "commits in the new generation");
        }

        await done.CancelAsync();
        await committing.WaitAsync(Until.Limit);
        Assert.NotEmpty(left);
        Assert.Empty(left.Intersect(stolen));
    }

    [Fact]
    public async Task What_is_lost_is_not_handed_out_any_more_though_a_call_still_runs()
    {
        const int recordCount = 3000;
        await using TestBroker broker = await StartAsync();
        await using KafkaClient quiet = broker.CreateClient();
        await ProduceAsync(quiet, recordCount);
        var network = new CuttableConnector(broker);
        await using KafkaClient client = broker.CreateClient(options => options.Connector = network);
        var called = new TaskCompletionSource();
        var over = new TaskCompletionSource();
        var listener = new RecordingListener
        {
            OnAssigned = async (partitions, _) =>
            {
                if (partitions.Any(static partition => partition.Topic == "payments"))
                {
                    called.TrySetResult();
                    await over.Task;
                }
            },
        };
        await using KafkaConsumer consumer = client.CreateConsumer(Options());
        await consumer.SubscribeAsync(["orders"], listener, Until.Timeout());
        await consumer.PollAsync(1, Until.Timeout());
        Task subscribing = consumer.SubscribeAsync(["orders", "payments"], listener, Until.Timeout());
        await called.Task.WaitAsync(Until.Limit);
        network.Cut();
        await Until.TrueAsync(() => IsOut(consumer), "the end of the session");

        // Its records lie here, and it has not heard yet that they are another member's by now.
        int readCount = 1;
        await Until.TrueAsync(() => !TryRead(), "the end of its reading");
        Assert.True(readCount < recordCount, "Everything was read.");
        over.SetResult();
        await subscribing;
        await Until.TrueAsync(() => listener.Calls.Last().StartsWith("lost", StringComparison.Ordinal), "the loss");
        network.Mend();

        bool TryRead()
        {
            using var stop = new CancellationTokenSource();
            ValueTask<IReadOnlyList<ConsumerRecord>> poll = consumer.PollAsync(1, stop.Token);
            bool isRead = poll.IsCompleted;
            readCount += isRead ? 1 : 0;
            stop.Cancel();
            _ = poll.AsTask().ContinueWith(static task => task.Exception, TaskScheduler.Default);
            return isRead;
        }

        static bool IsOut(KafkaConsumer consumer)
        {
            try
            {
                _ = consumer.CommitAsync([]);
                return false;
            }
            catch (KafkaGroupFencedException)
            {
                return true;
            }
        }
    }

    [Fact]
    public async Task A_static_member_comes_back_to_its_partitions_and_nobody_else_notices()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        var other = new RecordingListener();
        await using KafkaConsumer stays = client.CreateConsumer(Options());
        await stays.SubscribeAsync(["orders"], other, Until.Timeout());
        KafkaConsumer first = client.CreateConsumer(Options(options => options.GroupInstanceId = "a"));
        await first.SubscribeAsync(["orders"], null, Until.Timeout());
        await Until.TrueAsync(() => first.Assignment.Count == 2 && stays.Assignment.Count == 2, "two partitions each");
        await Until.TrueAsync(() => stays.GroupMetadata.GenerationId == first.GroupMetadata.GenerationId, "one generation");
        (int generation, int callCount) = (stays.GroupMetadata.GenerationId, MovesOf(other));
        TopicPartition[] had = [.. first.Assignment];
        await first.DisposeAsync();
        KafkaConsumer second = client.CreateConsumer(Options(options => options.GroupInstanceId = "a"));
        await second.SubscribeAsync(["orders"], null, Until.Timeout());
        Assert.Equal(had.Order(ByNumber), second.Assignment.Order(ByNumber));
        Assert.Equal((generation, callCount), (second.GroupMetadata.GenerationId, MovesOf(other)));
        Assert.Equal("a", second.GroupMetadata.GroupInstanceId);

        // Two of a name: the earlier is out for good, and says so at each call.
        await using KafkaConsumer third = client.CreateConsumer(Options(options => options.GroupInstanceId = "a"));
        await third.SubscribeAsync(["orders"], null, Until.Timeout());
        await Assert.ThrowsAsync<KafkaInstanceFencedException>(async () => await second.PollAsync(1, Until.Timeout()));
        await Assert.ThrowsAsync<KafkaInstanceFencedException>(() => second.CommitAsync([], Until.Timeout()));
        Assert.Empty(second.Assignment);
        await second.DisposeAsync();
        Assert.Equal(2, third.Assignment.Count);

        // The last call of a generation may come late, and names no partition.
        static int MovesOf(RecordingListener listener) => listener.Calls.Count(static call => !call.EndsWith(' '));
    }

    [Fact]
    public async Task A_pattern_takes_in_topics_that_match_as_they_come_and_lets_go_of_those_that_are_deleted()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient(options => options.MetadataMaxAge = TimeSpan.FromMilliseconds(100));
        await client.Admin.CreateTopicsAsync([new NewTopic("shop.orders", 2), new NewTopic("other.orders", 2)], Until.Timeout());
        await using KafkaConsumer consumer = client.CreateConsumer(Options());
        await consumer.SubscribeAsync(new Regex("^shop\\.", RegexOptions.None, Until.Limit), null, Until.Timeout());
        await Until.TrueAsync(() => Topics(consumer) == "shop.orders", "the one that matches");
        await client.Admin.CreateTopicsAsync([new NewTopic("shop.payments", 1), new NewTopic("more.shop.", 1)], Until.Timeout());
        await Until.TrueAsync(() => Topics(consumer) == "shop.orders,shop.payments", "the new one that matches");
        await client.Admin.DeleteTopicsAsync(["shop.orders"], Until.Timeout());
        await Until.TrueAsync(() => Topics(consumer) == "shop.payments", "what is left");
    }

    [Theory]
    [InlineData(PollTimeoutAction.Report)]
    [InlineData(PollTimeoutAction.LeaveGroup)]
    public async Task An_application_that_does_not_come_back_for_more_is_noticed(PollTimeoutAction action)
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient quiet = broker.CreateClient();
        await ProduceAsync(quiet, 8);
        await using KafkaClient client = broker.CreateClient();
        string group = $"stuck-{action}";
        int reportCount = 0;
        using var meters = new MeterListener
        {
            InstrumentPublished = static (instrument, listening) =>
            {
                if (instrument.Name == "millrace.kafka.consumer.poll_timeouts")
                {
                    listening.EnableMeasurementEvents(instrument);
                }
            },
        };
        meters.SetMeasurementEventCallback<long>((_, _, tags, _) =>
        {
            if (tags.ToArray().Contains(new KeyValuePair<string, object?>("messaging.consumer.group.name", group)))
            {
                Interlocked.Increment(ref reportCount);
            }
        });
        meters.Start();
        var listener = new RecordingListener();
        KafkaConsumer stuck = client.CreateConsumer(Options(options =>
        {
            options.GroupId = group;
            options.MaxPollInterval = TimeSpan.FromMilliseconds(300);
            options.PollTimeoutAction = action;
        }));
        await stuck.SubscribeAsync(["orders"], listener, Until.Timeout());

        // Records in hand; nothing more.
        Assert.NotEmpty(await stuck.PollAsync(1, Until.Timeout()));
        if (action == PollTimeoutAction.LeaveGroup)
        {
            await Until.TrueAsync(() => listener.Calls.Last() == "lost 0,1,2,3", "the loss");
            Assert.Empty(stuck.Assignment);
            await using KafkaConsumer next = quiet.CreateConsumer(Options(options => options.GroupId = group));
            await next.SubscribeAsync(["orders"], null, Until.Timeout());
            await Until.TrueAsync(() => next.Assignment.Count == 4, "the partitions of the one that is stuck");
            Task back = Task.Run(async () => await stuck.PollAsync(1, Until.Timeout()));
            await Until.TrueAsync(() => stuck.Assignment.Count == 2, "its return");
            await next.DisposeAsync();
            await back;
        }
        else
        {
            await Until.TrueAsync(() => Volatile.Read(ref reportCount) > 0, "the report");
            Assert.Equal(["assigned 0,1,2,3"], listener.Calls);
            await stuck.CommitAsync([new TopicPartitionOffset(stuck.Assignment.First(), new Offset(1))], Until.Timeout());
        }
    }

    [Fact]
    public async Task Partitions_assigned_by_hand_commit_beside_the_group_while_it_has_no_members()
    {
        await using TestBroker broker = await StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await ProduceAsync(client, 4);
        var partition = new TopicPartition("orders", 1);
        await using KafkaConsumer simple = client.CreateConsumer(Options());
        simple.Assign([new TopicPartitionOffset(partition, new Offset(-1))]);
        Assert.Equal(partition, (await simple.PollAsync(1, Until.Timeout()))[0].TopicPartition);
        await simple.CommitAsync([new TopicPartitionOffset(partition, new Offset(1), 0, "by hand")], Until.Timeout());
        TopicPartitionOffset stored = (await simple.CommittedAsync([partition], Until.Timeout()))[partition];
        Assert.Equal((1, 0, "by hand"), (stored.Offset.Value, stored.LeaderEpoch, stored.Metadata));

        await using KafkaConsumer member = client.CreateConsumer(Options());
        await member.SubscribeAsync(["orders"], null, Until.Timeout());
        await Assert.ThrowsAsync<KafkaGroupFencedException>(() => simple.CommitAsync([new TopicPartitionOffset(partition, new Offset(2))], Until.Timeout()));
    }

    private static readonly Comparer<TopicPartition> ByNumber = Comparer<TopicPartition>.Create(static (left, right) => left.Partition - right.Partition);

    private static string Topics(KafkaConsumer consumer) =>
        string.Join(',', consumer.Assignment.Select(partition => partition.Topic).Distinct().Order(StringComparer.Ordinal));

    private static ConsumerOptions Options(Action<ConsumerOptions>? configure = null)
    {
        var options = new ConsumerOptions
        {
            GroupId = "billing",
            Assignors = [PartitionAssignor.CooperativeSticky],
            AutoOffsetReset = AutoOffsetReset.Earliest,
            SessionTimeout = TestBroker.SessionTimeout,
            HeartbeatInterval = TimeSpan.FromMilliseconds(100),
            FetchMaxWait = TimeSpan.FromMilliseconds(50),
            CloseTimeout = TimeSpan.FromSeconds(5),
        };
        configure?.Invoke(options);
        return options;
    }

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
}
