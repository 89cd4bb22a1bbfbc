using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

/// <summary>What the coordinators make of partitions that were offline, at the start or for a while, and come back by themselves.</summary>
public sealed class PartitionReturnTests
{
    private static readonly TopicPartition Orders = new("orders", 0);
    private static readonly TopicPartition Offsets = new("__consumer_offsets", 0);

    [Fact]
    public async Task A_transaction_that_was_decided_is_ended_in_a_partition_that_was_not_there_at_the_start()
    {
        await using TestBroker broker = await StartAsync();
        await CommitAsync(broker, "a");
        await broker.LosePowerAndRestartAsync(() => LoseMarker(broker));
        Assert.False(broker.Partition("orders").IsOnline);
        await using TestClient client = broker.Connect();
        Assert.Equal(["a"], await client.ReadCommittedAsync("payments"));

        await broker.BringBackAsync(Orders);
        await IsSettledAsync(broker);
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task A_transaction_that_nobody_goes_on_with_is_aborted_in_a_partition_that_was_not_there_at_the_start()
    {
        await using TestBroker broker = await StartAsync();
        await using (TestClient client = broker.Connect())
        {
            TransactionClient producer = new(client, "id");
            await producer.InitAsync();
            await producer.WriteAsync("orders", "a");
        }

        await broker.LosePowerAndRestartAsync(() => broker.Hide("orders-0"));
        await broker.BringBackAsync(Orders);
        await IsSettledAsync(broker);
        await using TestClient reader = broker.Connect();
        Assert.Empty(await reader.ReadCommittedAsync("orders"));
        PartitionLog orders = broker.Partition("orders");
        Assert.Equal(orders.LogEndOffset, orders.LastStableOffset);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(3)]
    public async Task A_transaction_that_no_coordinator_knows_is_aborted_in_a_partition_that_comes_back(int? earlierCoordinatorEpoch)
    {
        await using TestBroker broker = await StartAsync();
        PartitionLog orders = broker.Partition("orders");
        var producer = new ProducerIdentity(4711, 0);
        if (earlierCoordinatorEpoch is { } epoch)
        {
            // One that is gone has ended a transaction before.
            Assert.IsType<AppendResult.Appended>(orders.AppendMarker(producer, isCommit: true, epoch));
        }

        orders.Append(Batches.InTransaction(producer, 0, "a").Span, AppendDurability.PageCache);
        broker.Storage.FailsSyncs = true;
        orders.WantSync();
        await Conditions.BecomesTrueAsync(() => !orders.IsOnline, "the partition is offline");
        broker.Storage.FailsSyncs = false;

        await broker.ReturnsAsync(Orders);
        await IsSettledAsync(broker);
        await using TestClient client = broker.Connect();
        Assert.Empty(await client.ReadCommittedAsync("orders"));
        Assert.Equal(orders.LogEndOffset, orders.LastStableOffset);
    }

    [Fact]
    public async Task A_transaction_that_its_producer_goes_on_with_stays_open_in_a_partition_that_was_not_there_at_the_start()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient before = broker.Connect();
        TransactionClient producer = new(before, "id");
        await producer.InitAsync();
        await producer.WriteAsync("orders", "a");
        await broker.CrashAndRestartAsync(() => broker.Hide("orders-0"));
        await broker.BringBackAsync(Orders);
        await Conditions.BecomesTrueAsync(() => !broker.Partition("orders").AwaitsSettlement, "its transactions are settled");
        Assert.Single(broker.Partition("orders").OpenTransactions);

        // Its partition came back in a new epoch, and may have lost records: so it cannot be committed.
        await using TestClient client = broker.Connect();
        producer = producer.On(client);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await producer.EndAsync(isCommit: true));
        await IsSettledAsync(broker);
        Assert.Empty(await client.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task While_a_partition_of_a_transaction_is_offline_the_others_get_one_marker_each_and_it_is_put_on_the_disk()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = await AbortWithoutOrdersAsync(broker);
        PartitionLog payments = broker.Partition("payments");
        Offset end = payments.LogEndOffset;
        await broker.BecomesTrueWithTimeAsync(() => payments.SyncedOffset == end, "the marker is on the disk");

        await broker.BringBackAsync(Orders);
        TransactionClient next = new(client, "id");
        await broker.BecomesTrueWithTimeAsync(async () => await next.InitAsync() == ErrorCode.None, "the id goes on");
        Assert.Empty(broker.Partition("orders").OpenTransactions);
        Assert.Equal(end, payments.LogEndOffset);
    }

    [Fact]
    public async Task A_producer_whose_abort_was_acknowledged_while_a_partition_was_offline_goes_on_there_when_it_is_back()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient before = broker.Connect();
        TransactionClient producer = new(before, "id");
        await producer.InitAsync();
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "aborted"));
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("payments", "aborted"));
        await broker.CrashAndRestartAsync(() => broker.Hide("orders-0"));
        await using TestClient client = broker.Connect();
        producer = producer.On(client);
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: false));

        await broker.BringBackAsync(Orders);
        await IsSettledAsync(broker);
        await broker.BecomesTrueWithTimeAsync(async () => await producer.AddPartitionsAsync("orders") == ErrorCode.None, "the next transaction begins");
        Assert.Equal(ErrorCode.None, await producer.ProduceAsync("orders", 0, "committed"));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        Assert.Equal(["committed"], await client.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task A_marker_that_is_lost_while_another_partition_of_the_transaction_is_offline_is_written_again()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = await AbortWithoutOrdersAsync(broker);
        PartitionLog payments = broker.Partition("payments");
        broker.Storage.FailsSyncs = true;
        payments.WantSync();
        await Conditions.BecomesTrueAsync(() => !payments.IsOnline, "the partition is offline");
        broker.Storage.FailsSyncs = false;
        broker.CutLog(payments);
        Offset cut = payments.SyncedOffset;

        await broker.ReturnsAsync(new TopicPartition("payments", 0));
        await Conditions.BecomesTrueAsync(() => payments is { AwaitsSettlement: false, OpenTransactions.Count: 0 }, "no transaction is open");
        Assert.False(broker.Partition("orders").IsOnline);
        Assert.Equal(cut + 1, payments.LogEndOffset);
        Assert.Empty(await client.ReadCommittedAsync("payments"));
    }

    [Theory]
    [InlineData("orders-0")]
    [InlineData("__consumer_offsets-0")]
    public async Task A_transaction_cannot_be_committed_while_a_partition_of_it_was_not_there_at_the_start(string missing)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient before = broker.Connect();
        await before.ProduceAsync("orders", Batches.Of("read"));
        TransactionClient producer = new(before, "id", TransactionProtocol.Implicit);
        await producer.InitAsync();
        await producer.WriteAsync("orders", "a");
        await producer.WriteAsync("payments", "a");
        Assert.Equal(ErrorCode.None, await producer.CommitOffsetAsync("g", "orders", 1));
        await broker.CrashAndRestartAsync(() => broker.Hide(missing));
        await using TestClient client = broker.Connect();
        producer = producer.On(client);

        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await producer.EndAsync(isCommit: true));

        await broker.BringBackAsync(missing is "orders-0" ? Orders : Offsets);
        await IsSettledAsync(broker);
        Assert.Equal(["read"], await client.ReadCommittedAsync("orders"));
        Assert.Empty(await client.ReadCommittedAsync("payments"));
        await Conditions.BecomesTrueAsync(async () => await FetchAsync(client) is -1, "nothing is committed");
    }

    [Fact]
    public async Task A_batch_of_a_transaction_is_not_taken_where_its_partition_comes_back_shorter_on_its_way_to_the_log()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        PartitionLog orders = broker.Partition("orders");
        orders.Append(Batches.Of("lost").Span, AppendDurability.PageCache);
        Assert.Equal(ErrorCode.None, await producer.AddPartitionsAsync("orders"));

        // The coordinator has said that the transaction is open, and the log asks what time it is.
        using ManualResetEventSlim goesOn = new();
        using ManualResetEventSlim stands = new();
        broker.Time.BeforeUtcNow = () =>
        {
            broker.Time.BeforeUtcNow = null;
            stands.Set();
            goesOn.Wait(TestClient.Patience);
        };
        Task<ErrorCode> late = Task.Run(() => producer.ProduceAsync("orders", 0, "late"));
        await Conditions.BecomesTrueAsync(() => stands.IsSet, "the batch is on its way to the log");
        broker.Storage.FailsSyncs = true;
        orders.WantSync();
        await Conditions.BecomesTrueAsync(() => !orders.IsOnline, "the partition is offline");
        broker.Storage.FailsSyncs = false;
        broker.CutLog(orders);
        await broker.ReturnsAsync(Orders);
        goesOn.Set();

        Assert.Equal(ErrorCode.KafkaStorageError, await late);
        Assert.Equal(0, orders.LogEndOffset.Value);
        Assert.NotEqual(ErrorCode.None, await producer.EndAsync(isCommit: true));
    }

    [Fact]
    public async Task Groups_whose_partition_was_not_there_at_the_start_are_served_when_it_is()
    {
        await using TestBroker broker = await StartAsync();
        await using (TestClient client = broker.Connect())
        {
            await client.ProduceAsync("orders", Batches.Of("a", "b", "c", "d", "e"));
            Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("g", "orders", 5)));
        }

        await broker.CrashAndRestartAsync(() => broker.Hide("__consumer_offsets-0"));
        await using TestClient later = broker.Connect();
        Assert.Null(await FetchAsync(later));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await later.CommitAsync(Commit("g", "orders", 6)));

        await broker.BringBackAsync(Offsets);
        await Conditions.BecomesTrueAsync(async () => await FetchAsync(later) == 5, "the offset is there");
        Assert.Equal(ErrorCode.None, await later.CommitAsync(Commit("g", "orders", 6)));
    }

    [Fact]
    public async Task A_group_is_what_its_log_says_when_its_partition_has_come_back()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("g", "orders", 5)));

        // The record is in the file, and nobody knows whether it is on the disk.
        broker.Storage.FailsSyncs = true;
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await client.CommitAsync(Commit("g", "orders", 6)));
        broker.Storage.FailsSyncs = false;
        await broker.ReturnsAsync(Offsets);
        await Conditions.BecomesTrueAsync(async () => await FetchAsync(client) is not null, "the group is served");
        long? offset = await FetchAsync(client);

        await broker.RestartAsync();
        await using TestClient later = broker.Connect();
        Assert.Equal(await FetchAsync(later), offset);
    }

    [Fact]
    public async Task What_was_read_of_a_group_while_its_partition_was_read_again_does_not_count()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("g", "orders", 5)));
        GroupCoordinator groups = broker.Broker.Groups;
        Assert.True(groups.TryRead("g", static () => { }));
        Assert.False(await Task.Run(() => groups.TryRead("g", () => ReadAgain(broker))));
        Assert.True(groups.TryRead("g", static () => { }));
    }

    [Fact]
    public async Task Transactional_ids_whose_partition_was_not_there_at_the_start_are_served_when_it_is()
    {
        await using TestBroker broker = await StartAsync();
        await CommitAsync(broker, "a");
        TopicPartition state = new("__transaction_state", CoordinatorTopic.PartitionFor("id", broker.Broker.Topics.Find("__transaction_state")!.Partitions.Count));
        await broker.CrashAndRestartAsync(() =>
        {
            CutMarker(broker);
            broker.Hide(state.ToString());
        });
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await producer.InitAsync());
        Assert.Single(broker.Partition("orders").OpenTransactions);

        await broker.BringBackAsync(state);
        await IsSettledAsync(broker);
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
        await Conditions.BecomesTrueAsync(async () => await producer.InitAsync() == ErrorCode.None, "the id is served");
        Assert.True(producer.Producer.Epoch > 0, "the producer of before is not shut out");
    }

    [Theory]
    [InlineData("a")]
    [InlineData("b")]
    public async Task Ids_are_served_when_a_partition_is_back_that_told_nothing_of_an_interrupted_creation_of_their_topic(string transactionalId)
    {
        await using TestBroker broker = await TestBroker.StartAsync(static options => options.TransactionStateTopicPartitionCount = 2);
        broker.Storage.DirectoriesBeforeFailure = 1;
        await using (TestClient before = broker.Connect())
        {
            Assert.Equal(ErrorCode.CoordinatorNotAvailable, await new TransactionClient(before, transactionalId).InitAsync());
        }

        broker.Storage.DirectoriesBeforeFailure = null;
        await broker.CrashAndRestartAsync(() => broker.Storage.UnreadablePartition = "__transaction_state-1");
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, transactionalId);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await producer.InitAsync());

        broker.Storage.UnreadablePartition = null;
        await broker.ReturnsAsync(new TopicPartition("__transaction_state", 1));
        await Conditions.BecomesTrueAsync(async () => await producer.InitAsync() == ErrorCode.None, "the id is served");
        await broker.CreateTopicAsync("orders");
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "a"));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
    }

    /// <summary>What the group has committed; null while its partition is not read.</summary>
    private static async Task<long?> FetchAsync(TestClient client)
    {
        OffsetFetchResponse response = await client.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(
            new OffsetFetchRequest
            {
                Groups = [new OffsetFetchGroup { GroupId = "g", Topics = [new OffsetFetchTopic { Name = "orders", Partitions = [0] }] }],
            },
            9);
        OffsetFetchGroupResponse group = response.Groups[0];
        Assert.True(group.ErrorCode is ErrorCode.None or ErrorCode.CoordinatorLoadInProgress, group.ErrorCode.ToString());
        return group.ErrorCode == ErrorCode.None ? group.Topics[0].Partitions[0].CommittedOffset : null;
    }

    /// <summary>Has the partition of the groups go offline and come back.</summary>
    private static void ReadAgain(TestBroker broker)
    {
        GroupCoordinator groups = broker.Broker.Groups;
        broker.Storage.FailsSyncs = true;
        CommittedOffset offset = new(new Offset(1), CommittedOffset.UnknownLeaderEpoch, "", CommitTimestamp: 0);
        Task<ErrorCode> refused = groups.CommitAsync("another one", new MemberName(""), generation: -1, [KeyValuePair.Create(Orders, offset)]);
        Conditions.BecomesTrue(() => refused.IsCompleted, "the partition is offline");
        broker.Storage.FailsSyncs = false;
        Conditions.BecomesTrue(
            () =>
            {
                broker.Time.Advance(TimeSpan.FromMilliseconds(10));
                return broker.Partition("__consumer_offsets").IsOnline && !groups.IsUnavailable("g");
            },
            "the partition is read again");
    }

    private static async Task<TestBroker> StartAsync()
    {
        TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await broker.CreateTopicAsync("payments");
        return broker;
    }

    private static async Task<TransactionClient> CommitAsync(TestBroker broker, string value)
    {
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", value));
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("payments", value));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        return producer;
    }

    /// <summary>Aborts a transaction one of whose two partitions is offline since the start.</summary>
    private static async Task<TestClient> AbortWithoutOrdersAsync(TestBroker broker)
    {
        await using TestClient before = broker.Connect();
        TransactionClient producer = new(before, "id");
        await producer.InitAsync();
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "a"));
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("payments", "a"));
        await broker.CrashAndRestartAsync(() => broker.Hide("orders-0"));
        TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await producer.On(client).EndAsync(isCommit: false));
        return client;
    }

    private static Task IsSettledAsync(TestBroker broker) => broker.BecomesTrueWithTimeAsync(
        () => broker.Partition("orders") is { IsOnline: true, OpenTransactions.Count: 0 }, "no transaction is open");

    /// <summary>Takes the marker of the only transaction out of the log, and the partition away.</summary>
    private static void LoseMarker(TestBroker broker)
    {
        CutMarker(broker);
        broker.Hide("orders-0");
    }

    private static void CutMarker(TestBroker broker)
    {
        string path = Path.Combine(broker.DataDirectory, "orders-0", "00000000000000000000.log");
        using FileStream log = new(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        byte[] header = new byte[RecordBatchHeader.ByteCount];
        log.ReadExactly(header);
        log.SetLength(RecordBatchHeader.Read(header).TotalByteCount);
    }
}
