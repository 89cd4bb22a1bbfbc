using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class TransactionTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_is_committed_is_seen_and_what_is_aborted_is_not(bool isVersion2)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = Client(broker, isVersion2);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await producer.InitTransactionsAsync(Until.Timeout());
        for (int number = 0; number < 6; number++)
        {
            producer.BeginTransaction();
            Task<RecordMetadata> record = ProduceAsync(producer, number);
            if (number % 3 == 1)
            {
                await producer.AbortTransactionAsync(Until.Timeout());

                // Sent before the abort, or not any more.
                await ((Task)record).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            }
            else
            {
                await producer.CommitTransactionAsync(Until.Timeout());
                await record;
            }
        }

        Assert.Equal([0, 2, 3, 5], await ReadCommittedAsync(client, 4));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_empty_transaction_costs_nothing_and_ends_either_way(bool isVersion2)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = Client(broker, isVersion2);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await producer.InitTransactionsAsync(Until.Timeout());
        producer.BeginTransaction();
        await producer.CommitTransactionAsync(Until.Timeout());
        producer.BeginTransaction();
        await producer.AbortTransactionAsync(Until.Timeout());
        await TransactAsync(producer, 7);
        Assert.Equal([7], await ReadCommittedAsync(client, 1));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Offsets_are_committed_with_the_transaction_or_not_at_all(bool isVersion2)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        broker.Require(TxnOffsetCommitRequest.Api, lowest: 3);
        await using KafkaClient client = Client(broker, isVersion2);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await producer.InitTransactionsAsync(Until.Timeout());
        await TransactAsync(producer, 0);
        var partition = new TopicPartition("orders", 0);
        await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "movers", AutoOffsetReset = AutoOffsetReset.Earliest });
        await consumer.SubscribeAsync(["orders"], null, Until.Timeout());
        await consumer.PollAsync(1, Until.Timeout());
        ConsumerGroupMetadata member = consumer.GroupMetadata;

        producer.BeginTransaction();
        await producer.SendOffsetsToTransactionAsync([new TopicPartitionOffset(partition, new Offset(1), Metadata: "kept")], member, Until.Timeout());
        await producer.CommitTransactionAsync(Until.Timeout());
        producer.BeginTransaction();
        await producer.SendOffsetsToTransactionAsync([new TopicPartitionOffset(partition, new Offset(2))], member, Until.Timeout());
        await producer.AbortTransactionAsync(Until.Timeout());
        TopicPartitionOffset committed = (await consumer.CommittedAsync([partition], Until.Timeout()))[partition];
        Assert.Equal((new Offset(1), "kept"), (committed.Offset, committed.Metadata));

        // A member that the group does not know any more.
        producer.BeginTransaction();
        KafkaTransactionAbortableException stale = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => producer.SendOffsetsToTransactionAsync(
            [new TopicPartitionOffset(partition, new Offset(3))], member with { GenerationId = member.GenerationId - 1 }, Until.Timeout()));
        Assert.Equal(ErrorCode.IllegalGeneration, stale.ErrorCode);
        await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => producer.CommitTransactionAsync(Until.Timeout()));
        await producer.AbortTransactionAsync(Until.Timeout());
        await TransactAsync(producer, 1);
        Assert.Equal([0, 1], await ReadCommittedAsync(client, 2));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Work_that_ends_after_its_partition_has_moved_is_not_committed(bool isBetweenMemberships)
    {
        await using TestBroker broker = await StartGroupsAsync();
        broker.Require(TxnOffsetCommitRequest.Api, lowest: 3);
        await using KafkaClient client = broker.CreateClient();
        await ProduceToBothAsync(client);
        KafkaProducer first = await InitAsync(client, "first");
        KafkaProducer second = await InitAsync(client, "second");
        await using KafkaConsumer one = client.CreateConsumer(MemberOptions());
        await one.SubscribeAsync(["orders"], null, Until.Timeout());
        await ReadOfBothAsync(one);

        // The first works on that for a while. A second one comes, takes a partition, and is done with it.
        var asked = new TaskCompletionSource();
        var letsGo = new TaskCompletionSource();
        var slow = new RecordingListener
        {
            OnRevoked = async (_, _) =>
            {
                asked.TrySetResult();
                await letsGo.Task;
            },
        };
        await using KafkaConsumer two = client.CreateConsumer(MemberOptions());
        await two.SubscribeAsync(["orders"], slow, Until.Timeout());
        await Until.TrueAsync(() => one.Assignment.Count == 1 && two.Assignment.Count == 1, "a partition each");
        TopicPartition moved = two.Assignment.Single();
        await ReadAsync(two, moved, new Offset(3));
        second.BeginTransaction();
        await second.SendOffsetsToTransactionAsync([new TopicPartitionOffset(moved, new Offset(3))], two.GroupMetadata, Until.Timeout());
        await second.CommitTransactionAsync(Until.Timeout());
        KafkaConsumer? three = null;
        if (isBetweenMemberships)
        {
            // A third one comes, and the second takes its time to let go, so that the first waits in its join.
            three = client.CreateConsumer(MemberOptions());
            _ = three.SubscribeAsync(["orders"], null, CancellationToken.None);
            await asked.Task.WaitAsync(Until.Limit);
            await Until.TrueAsync(() => one.Assignment.Count == 0, "the join of the first");
        }

        first.BeginTransaction();
        KafkaTransactionAbortableException refused = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(
            () => first.SendOffsetsToTransactionAsync([new TopicPartitionOffset(moved, new Offset(1))], one.GroupMetadata, Until.Timeout()));
        Assert.Equal(ErrorCode.IllegalGeneration, refused.ErrorCode);
        Assert.Contains($"{moved} is not assigned", refused.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => first.CommitTransactionAsync(Until.Timeout()));
        await first.AbortTransactionAsync(Until.Timeout());
        Assert.True(one.GroupMetadata is { GenerationId: > 0, MemberId.Length: > 0 });
        Assert.Equal(new Offset(3), (await two.CommittedAsync([moved], Until.Timeout()))[moved].Offset);
        letsGo.SetResult();
        await (three?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    [Fact]
    public async Task Work_on_a_partition_that_has_moved_and_come_back_is_not_committed_as_if_it_had_stayed()
    {
        await using TestBroker broker = await StartGroupsAsync();
        broker.Require(TxnOffsetCommitRequest.Api, lowest: 3);
        await using KafkaClient client = broker.CreateClient();
        await ProduceToBothAsync(client);
        KafkaProducer producer = await InitAsync(client, "first");
        await using KafkaConsumer one = client.CreateConsumer(MemberOptions());
        await one.SubscribeAsync(["orders"], null, Until.Timeout());
        await ReadOfBothAsync(one);
        ConsumerGroupMetadata early = one.GroupMetadata;
        KafkaConsumer two = client.CreateConsumer(MemberOptions());
        await two.SubscribeAsync(["orders"], null, Until.Timeout());
        await Until.TrueAsync(() => one.Assignment.Count == 1 && two.Assignment.Count == 1, "a partition each");
        TopicPartition moved = two.Assignment.Single();
        await two.CommitAsync([new TopicPartitionOffset(moved, new Offset(3))], Until.Timeout());
        await two.DisposeAsync();
        await Until.TrueAsync(() => one.Assignment.Count == 2, "both partitions again");
        await RefusedAsync(producer, new TopicPartitionOffset(moved, new Offset(1)), one.GroupMetadata);

        // Without a transaction as well: whether or not the position has been looked up yet.
        await Assert.ThrowsAsync<KafkaGroupFencedException>(() => one.CommitAsync([new TopicPartitionOffset(moved, new Offset(1))], Until.Timeout()));
        await Until.TrueAsync(() => one.Position(moved) == new Offset(3), "the position");
        await Assert.ThrowsAsync<KafkaGroupFencedException>(() => one.CommitAsync([new TopicPartitionOffset(moved, new Offset(1))], Until.Timeout()));
        Assert.Equal(new Offset(3), (await one.CommittedAsync([moved], Until.Timeout()))[moved].Offset);

        // What is read now is this member's to commit.
        await client.CreateProducer().ProduceAsync(new SpanRecord("orders") { Partition = moved.Partition, Value = new byte[1] }, Until.Timeout());
        await ReadAsync(one, moved, new Offset(4));
        await RefusedAsync(producer, new TopicPartitionOffset(moved, new Offset(4)), early);
        producer.BeginTransaction();
        await producer.SendOffsetsToTransactionAsync([new TopicPartitionOffset(moved, new Offset(4))], one.GroupMetadata, Until.Timeout());
        await producer.CommitTransactionAsync(Until.Timeout());
        Assert.Equal(new Offset(4), (await one.CommittedAsync([moved], Until.Timeout()))[moved].Offset);

        // Back behind what is committed goes who says so.
        await one.SeekAsync(moved, new Offset(2));
        await one.CommitAsync([new TopicPartitionOffset(moved, new Offset(2))], Until.Timeout());
    }

    [Fact]
    public async Task Work_on_a_partition_that_stays_is_committed_though_the_group_has_rebalanced_meanwhile()
    {
        await using TestBroker broker = await StartGroupsAsync();
        broker.Require(TxnOffsetCommitRequest.Api, lowest: 3);
        await using KafkaClient client = broker.CreateClient();
        await ProduceToBothAsync(client);
        KafkaProducer producer = await InitAsync(client, "first");
        await using KafkaConsumer one = client.CreateConsumer(MemberOptions(PartitionAssignor.CooperativeSticky));
        await one.SubscribeAsync(["orders"], null, Until.Timeout());
        await ReadOfBothAsync(one);
        ConsumerGroupMetadata early = one.GroupMetadata;
        await using KafkaConsumer two = client.CreateConsumer(MemberOptions(PartitionAssignor.CooperativeSticky));
        await two.SubscribeAsync(["orders"], null, Until.Timeout());
        await Until.TrueAsync(
            () => one.Assignment.Count == 1 && two.Assignment.Count == 1 && one.GroupMetadata.GenerationId == two.GroupMetadata.GenerationId, "a partition each");
        Assert.NotEqual(early.GenerationId, one.GroupMetadata.GenerationId);
        TopicPartition kept = one.Assignment.Single();
        producer.BeginTransaction();
        await producer.SendOffsetsToTransactionAsync([new TopicPartitionOffset(kept, new Offset(1))], early, Until.Timeout());
        await producer.CommitTransactionAsync(Until.Timeout());
        Assert.Equal(new Offset(1), (await two.CommittedAsync([kept], Until.Timeout()))[kept].Offset);
        await RefusedAsync(producer, new TopicPartitionOffset(two.Assignment.Single(), new Offset(1)), early);
    }

    [Fact]
    public async Task A_broker_of_before_KIP_447_takes_offsets_of_a_group_and_refuses_to_fence_by_its_member()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        Assert.SkipWhen(broker.IsExternal && broker.Offers(TxnOffsetCommitRequest.Api, lowest: 3), "The brokers are newer.");
        await using KafkaClient client = broker.CreateClient(options => options.Connector = broker.IsExternal ? options.Connector : KafkaRelease.V24.Limit(broker));
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await producer.InitTransactionsAsync(Until.Timeout());
        await TransactAsync(producer, 0);
        var partition = new TopicPartition("orders", 0);
        producer.BeginTransaction();
        await producer.SendOffsetsToTransactionAsync([new TopicPartitionOffset(partition, new Offset(1))], new ConsumerGroupMetadata("movers", -1, ""), Until.Timeout());
        await producer.CommitTransactionAsync(Until.Timeout());
        await using KafkaConsumer reader = client.CreateConsumer(new ConsumerOptions { GroupId = "movers" });
        await Until.TrueAsync(
            async () => (await reader.CommittedAsync([partition], Until.Timeout())).GetValueOrDefault(partition)?.Offset == new Offset(1), "the offset is committed");

        producer.BeginTransaction();
        KafkaTransactionAbortableException refused = await Assert.ThrowsAsync<KafkaTransactionAbortableException>(
            () => producer.SendOffsetsToTransactionAsync([new TopicPartitionOffset(partition, new Offset(1))], new ConsumerGroupMetadata("movers", 1, "me"), Until.Timeout()));
        Assert.Contains("older than Kafka 2.5", refused.Message, StringComparison.Ordinal);
        await producer.AbortTransactionAsync(Until.Timeout());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_next_producer_of_an_id_fences_the_one_before_and_aborts_what_it_left_open(bool isVersion2)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = Client(broker, isVersion2);
        KafkaProducer first = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await first.InitTransactionsAsync(Until.Timeout());
        first.BeginTransaction();
        await ProduceAsync(first, 0);

        KafkaProducer second = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await second.InitTransactionsAsync(Until.Timeout());
        await TransactAsync(second, 1);
        await Assert.ThrowsAsync<KafkaProducerFencedException>(() => first.CommitTransactionAsync(Until.Timeout()));
        await Assert.ThrowsAsync<KafkaProducerFencedException>(() => ProduceAsync(first, 2));
        await Assert.ThrowsAsync<KafkaProducerFencedException>(() => first.AbortTransactionAsync(Until.Timeout()));
        Assert.Equal([1], await ReadCommittedAsync(client, 1));
    }

    [Fact]
    public async Task A_record_of_a_fenced_producer_that_was_sent_once_is_told_to_be_not_written()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = Client(broker, isVersion2: true);
        KafkaProducer first = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await first.InitTransactionsAsync(Until.Timeout());
        first.BeginTransaction();
        await ProduceAsync(first, 0);
        KafkaProducer second = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await second.InitTransactionsAsync(Until.Timeout());

        KafkaException refused = await Assert.ThrowsAnyAsync<KafkaException>(() => ProduceAsync(first, 2));
        Assert.Contains("They are not written.", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("an earlier attempt", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_record_that_is_refused_makes_the_transaction_abort_and_the_next_one_is_whole(bool isVersion2)
    {
        await using TestBroker broker = await TestBroker.StartOwnAsync("it limits the size of records", configure: options => options.MaxMessageByteCount = 10_000);
        await using KafkaClient client = Client(broker, isVersion2);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await producer.InitTransactionsAsync(Until.Timeout());
        for (int round = 0; round < 3; round++)
        {
            producer.BeginTransaction();
            await ProduceAsync(producer, round);
            await Assert.ThrowsAsync<KafkaRecordTooLargeException>(
                async () => await producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = new byte[20_000] }, Until.Timeout()));
            await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => ProduceAsync(producer, round));
            await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => producer.CommitTransactionAsync(Until.Timeout()));
            await producer.AbortTransactionAsync(Until.Timeout());
            await TransactAsync(producer, 100 + round);
        }

        Assert.Equal([100, 101, 102], await ReadCommittedAsync(client, 3));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Batches_that_are_too_large_for_the_topic_are_written_in_parts(bool isVersion2)
    {
        await using TestBroker broker = await TestBroker.StartOwnAsync("it limits the size of records", configure: options => options.MaxMessageByteCount = 3000);
        await using KafkaClient client = Client(broker, isVersion2);
        KafkaProducer plain = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.FromMilliseconds(50) });
        await Task.WhenAll(Enumerable.Range(0, 40).Select(number => LargeAsync(plain, number)));
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover", Linger = TimeSpan.FromMilliseconds(50), Compression = CompressionCodec.Gzip });
        await producer.InitTransactionsAsync(Until.Timeout());
        producer.BeginTransaction();
        await Task.WhenAll(Enumerable.Range(40, 40).Select(number => LargeAsync(producer, number)));
        await producer.CommitTransactionAsync(Until.Timeout());
        Assert.Equal(Enumerable.Range(0, 80), await ReadCommittedAsync(client, 80));

        static async Task LargeAsync(KafkaProducer producer, int number)
        {
            // Nothing that a codec could make smaller.
            byte[] value = new byte[1000];
            new Random(number).NextBytes(value);
            BitConverter.TryWriteBytes(value, number);
            await producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = value }, Until.Timeout());
        }
    }

    [Theory]
    [InlineData("too large")]
    [InlineData("no such partition")]
    [InlineData("no such topic")]
    public async Task A_record_that_never_comes_into_a_batch_keeps_its_transaction_from_being_committed(string reason)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient maker = broker.CreateClient();
        await maker.CreateProducer().ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = BitConverter.GetBytes(0) }, Until.Timeout());
        await using KafkaClient client = broker.CreateClient(options => options.AllowAutoCreateTopics = false);
        KafkaProducer producer = client.CreateProducer(
            new ProducerOptions { TransactionalId = "mover", MaxRequestByteCount = 10_000, MaxBlock = TimeSpan.FromSeconds(reason == "no such topic" ? 5 : 30) });
        await producer.InitTransactionsAsync(Until.Timeout());
        producer.BeginTransaction();
        await ProduceAsync(producer, 1);
        await Assert.ThrowsAnyAsync<Exception>(async () => await producer.ProduceAsync(
            reason switch
            {
                "too large" => new SpanRecord("orders") { Partition = 0, Value = new byte[20_000] },
                "no such partition" => new SpanRecord("orders") { Partition = 1_000_000, Value = [1] },
                _ => new SpanRecord("missing") { Value = [1] },
            },
            Until.Timeout()));
        await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => producer.CommitTransactionAsync(Until.Timeout()));
        await producer.AbortTransactionAsync(Until.Timeout());
        await Assert.ThrowsAsync<InvalidOperationException>(() => producer.CommitTransactionAsync(Until.Timeout()));
        await TransactAsync(producer, 2);
        Assert.Equal([0, 2], await ReadCommittedAsync(client, 2));
    }

    [Fact]
    public async Task Calls_out_of_their_order_say_what_to_call()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        InvalidOperationException plain = Assert.Throws<InvalidOperationException>(client.CreateProducer().BeginTransaction);
        Assert.Contains(nameof(ProducerOptions.TransactionalId), plain.Message, StringComparison.Ordinal);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        Assert.Contains("InitTransactionsAsync", Assert.Throws<InvalidOperationException>(producer.BeginTransaction).Message, StringComparison.Ordinal);
        await producer.InitTransactionsAsync(Until.Timeout());
        InvalidOperationException early = await Assert.ThrowsAsync<InvalidOperationException>(() => ProduceAsync(producer, 0));
        Assert.Contains("BeginTransaction", early.Message, StringComparison.Ordinal);
        producer.BeginTransaction();
        Assert.Contains("commit or abort", Assert.Throws<InvalidOperationException>(producer.BeginTransaction).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => client.CreateProducer(new ProducerOptions { TransactionalId = "mover", Acks = Acks.Leader }));
    }

    [Fact]
    public async Task A_producer_that_is_closed_in_a_transaction_aborts_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await producer.InitTransactionsAsync(Until.Timeout());
        producer.BeginTransaction();
        await ProduceAsync(producer, 0);
        await producer.DisposeAsync();
        await client.CreateProducer().ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = BitConverter.GetBytes(1) }, Until.Timeout());

        // Were the transaction open, the record behind it would not be seen before its time-out.
        Assert.Equal([1], await ReadCommittedAsync(client, 1));
    }

    [Theory]
    [InlineData(true, 1)]
    [InlineData(false, 2)]
    public async Task Transactions_over_connections_that_break_are_written_once_or_not_at_all(bool isVersion2, int seed)
    {
        const int transactionCount = 60;
        await using TestBroker broker = await TestBroker.StartAsync();
        var network = new CuttableConnector(broker);
        await using KafkaClient client = broker.CreateClient(options =>
        {
            options.Connector = isVersion2 ? network : new OlderBroker(network);
            options.RetryBackoff = TimeSpan.FromMilliseconds(1);
            options.ReconnectBackoff = TimeSpan.FromMilliseconds(1);
        });
        var random = new Random(seed);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover", Linger = TimeSpan.Zero });
        await producer.InitTransactionsAsync(Until.Timeout());
        List<int> committed = [];
        for (int number = 0; number < transactionCount; number++)
        {
            producer.BeginTransaction();
            List<Task> records = [ProduceAsync(producer, 2 * number)];
            if (random.Next(2) == 0)
            {
                network.Break();
            }

            records.Add(ProduceAsync(producer, (2 * number) + 1));
            if (random.Next(3) == 0)
            {
                await records[0].ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
                network.Break();
            }

            Task end = random.Next(4) == 0 ? producer.AbortTransactionAsync(Until.Timeout()) : CommitAsync(number);
            if (random.Next(3) == 0)
            {
                network.Break();
            }

            await end;
            await Task.WhenAll(records).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        }

        await using KafkaClient reader = broker.CreateClient();
        Assert.Equal(committed, await ReadCommittedAsync(reader, committed.Count));

        async Task CommitAsync(int number)
        {
            try
            {
                await producer.CommitTransactionAsync(Until.Timeout());
                committed.AddRange([2 * number, (2 * number) + 1]);
            }
            catch (KafkaTransactionAbortableException)
            {
                await producer.AbortTransactionAsync(Until.Timeout());
            }
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Who_reads_little_ahead_goes_on_behind_records_that_are_not_for_it(bool takesBatches)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = Client(broker, isVersion2: true);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = "mover" });
        await producer.InitTransactionsAsync(Until.Timeout());
        for (int number = 0; number < 3; number++)
        {
            producer.BeginTransaction();
            await ProduceAsync(producer, number);
            await producer.AbortTransactionAsync(Until.Timeout());
        }

        await TransactAsync(producer, 3);
        await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions
        {
            IsolationLevel = IsolationLevel.ReadCommitted, PrefetchByteCount = 1, PartitionFetchMaxByteCount = 1,
        });
        consumer.Assign([new TopicPartitionOffset(new TopicPartition("orders", 0), Offset.Zero)]);
        if (takesBatches)
        {
            using ConsumerBatch batch = await consumer.PollBatchAsync(Until.Timeout());
            Assert.Equal(1, batch.Count);
        }
        else
        {
            ConsumerRecord record = Assert.Single(await consumer.PollAsync(10, Until.Timeout()));
            Assert.Equal(3, BitConverter.ToInt32(record.Value!.Value.Span));
        }
    }

    private static ConsumerOptions MemberOptions(params PartitionAssignor[] assignors) => new()
    {
        GroupId = "movers",
        AutoOffsetReset = AutoOffsetReset.Earliest,
        IsolationLevel = IsolationLevel.ReadCommitted,
        SessionTimeout = TestBroker.SessionTimeout,
        HeartbeatInterval = TimeSpan.FromMilliseconds(100),
        FetchMaxWait = TimeSpan.FromMilliseconds(50),
        CloseTimeout = TimeSpan.FromSeconds(5),
        Assignors = assignors.Length == 0 ? [PartitionAssignor.Range] : assignors,
    };

    private static Task<TestBroker> StartGroupsAsync() => TestBroker.StartAsync(configure: static options =>
    {
        options.DefaultPartitionCount = 2;
        options.GroupMinSessionTimeout = TimeSpan.FromMilliseconds(100);
    });

    private static async Task<KafkaProducer> InitAsync(KafkaClient client, string transactionalId)
    {
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { TransactionalId = transactionalId });
        await producer.InitTransactionsAsync(Until.Timeout());
        return producer;
    }

    private static async Task ProduceToBothAsync(KafkaClient client)
    {
        KafkaProducer producer = client.CreateProducer();
        for (int i = 0; i < 6; i++)
        {
            await producer.ProduceAsync(new SpanRecord("orders") { Partition = i % 2, Value = new byte[1] }, Until.Timeout());
        }
    }

    private static async Task ReadOfBothAsync(KafkaConsumer consumer)
    {
        var read = new HashSet<TopicPartition>();
        while (read.Count < 2)
        {
            read.UnionWith((await consumer.PollAsync(1, Until.Timeout())).Select(static record => record.TopicPartition));
        }
    }

    private static async Task ReadAsync(KafkaConsumer consumer, TopicPartition partition, Offset end)
    {
        while (consumer.Position(partition) is not { } position || position < end)
        {
            await consumer.PollAsync(10, Until.Timeout());
        }
    }

    private static async Task RefusedAsync(KafkaProducer producer, TopicPartitionOffset offset, ConsumerGroupMetadata member)
    {
        producer.BeginTransaction();
        await Assert.ThrowsAsync<KafkaTransactionAbortableException>(() => producer.SendOffsetsToTransactionAsync([offset], member, Until.Timeout()));
        await producer.AbortTransactionAsync(Until.Timeout());
    }

    private static KafkaClient Client(TestBroker broker, bool isVersion2) =>
        broker.CreateClient(options => options.Connector = isVersion2 ? options.Connector : new OlderBroker(broker));

    private static Task<RecordMetadata> ProduceAsync(KafkaProducer producer, int value) =>
        producer.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = BitConverter.GetBytes(value) }, Until.Timeout()).AsTask();

    private static async Task TransactAsync(KafkaProducer producer, int value)
    {
        producer.BeginTransaction();
        await ProduceAsync(producer, value);
        await producer.CommitTransactionAsync(Until.Timeout());
    }

    /// <summary>Reads so many records, and then makes sure that no other is there.</summary>
    private static async Task<List<int>> ReadCommittedAsync(KafkaClient client, int count)
    {
        await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { IsolationLevel = IsolationLevel.ReadCommitted, FetchMaxWait = TimeSpan.FromMilliseconds(50) });
        var partition = new TopicPartition("orders", 0);
        consumer.Assign([new TopicPartitionOffset(partition, Offset.Zero)]);
        KafkaProducer marker = client.CreateProducer();
        RecordMetadata last = await marker.ProduceAsync(new SpanRecord("orders") { Partition = 0, Value = BitConverter.GetBytes(-1) }, Until.Timeout());
        List<int> values = [];
        while (consumer.Position(partition) is not { } position || position <= last.Offset)
        {
            values.AddRange((await consumer.PollAsync(1000, Until.Timeout())).Select(record => BitConverter.ToInt32(record.Value!.Value.Span)));
        }

        Assert.Equal(-1, values[^1]);
        values.RemoveAt(values.Count - 1);
        Assert.Equal(count, values.Count);
        return values;
    }
}
