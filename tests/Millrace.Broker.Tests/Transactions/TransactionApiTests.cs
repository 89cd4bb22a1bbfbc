using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>Transactions over the wire, by the requests of old clients and of new ones.</summary>
public sealed class TransactionApiTests
{
    private static readonly TopicPartition Orders = new("orders", 0);

    [Theory]
    [InlineData(TransactionProtocol.Classic)]
    [InlineData(TransactionProtocol.Implicit)]
    internal async Task What_is_committed_is_read_and_what_is_aborted_is_not(TransactionProtocol protocol)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id", protocol);
        Assert.Equal(ErrorCode.None, await producer.InitAsync());

        await WriteAndEndAsync(producer, isCommit: true, "a");
        await WriteAndEndAsync(producer, isCommit: false, "b");
        await WriteAndEndAsync(producer, isCommit: true, "c");
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "open"));

        Assert.Equal(["a", "c"], await client.ReadCommittedAsync("orders"));
        Assert.Equal(["a", "c"], await client.ReadCommittedAsync("payments"));
        Assert.Equal(6, await EndAsync(client, isolation: 1));
        Assert.Equal(7, await EndAsync(client, isolation: 0));
    }

    [Theory]
    [InlineData(TransactionProtocol.Classic)]
    [InlineData(TransactionProtocol.Implicit)]
    internal async Task A_new_producer_shuts_the_old_one_out_and_aborts_its_transaction(TransactionProtocol protocol)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient old = new(client, "id", protocol);
        await old.InitAsync();
        await old.WriteAsync("orders", "a");

        TransactionClient successor = new(client, "id", protocol);
        await successor.InitUntilDoneAsync();

        bool isClassic = protocol == TransactionProtocol.Classic;
        Assert.Equal(isClassic ? ErrorCode.ProducerFenced : ErrorCode.InvalidProducerEpoch, await old.WriteAsync("orders", "b"));
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await old.ProduceAsync("orders", 0, "b"));
        Assert.Equal(ErrorCode.ProducerFenced, await old.EndAsync(isCommit: true));
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await old.SendOffsetAsync("group", "orders", 1));
        Assert.Equal(ErrorCode.ProducerFenced, await old.InitAsync(known: old.Producer));
        await WriteAndEndAsync(successor, isCommit: true, "c");
        Assert.Equal(["c"], await client.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task Old_versions_are_told_of_fencing_as_they_know_it()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient old = new(client, "id");
        await old.InitAsync();
        await new TransactionClient(client, "id").InitAsync();

        Assert.Equal(ErrorCode.InvalidProducerEpoch, await old.AddPartitionsAsync("orders", version: 1));
        Assert.Equal(ErrorCode.ProducerFenced, await old.AddPartitionsAsync("orders", version: 2));
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await old.AddOffsetsAsync("group", version: 1));
        Assert.Equal(ErrorCode.ProducerFenced, await old.AddOffsetsAsync("group", version: 2));
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await old.EndAsync(isCommit: true, version: 1));
        Assert.Equal(ErrorCode.ProducerFenced, await old.EndAsync(isCommit: true, version: 2));
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await old.InitAsync(known: old.Producer, version: 3));
        Assert.Equal(ErrorCode.ProducerFenced, await old.InitAsync(known: old.Producer, version: 4));
    }

    [Fact]
    public async Task A_batch_of_an_older_client_is_taken_only_where_it_has_added_the_partition()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        Memory<byte> batch = Batches.InTransaction(producer.Producer, 0, "a");

        Assert.Equal(ErrorCode.InvalidTxnState, (await producer.ProduceAsync(Orders, batch, 10)).ErrorCode);
        Assert.Equal(ErrorCode.TransactionAbortable, (await producer.ProduceAsync(Orders, batch, 11)).ErrorCode);
        Assert.Equal(0, broker.Partition("orders").LogEndOffset.Value);

        await producer.AddPartitionsAsync("orders");
        Assert.Equal(ErrorCode.None, (await producer.ProduceAsync(Orders, batch, 10)).ErrorCode);
        await producer.EndAsync(isCommit: true);
        Memory<byte> late = Batches.InTransaction(producer.Producer, 1, "late");
        Assert.Equal(ErrorCode.InvalidTxnState, (await producer.ProduceAsync(Orders, late, 10)).ErrorCode);
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task A_request_about_an_id_that_nobody_knows_is_refused()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "nobody", TransactionProtocol.Implicit) { Producer = new ProducerIdentity(5, 0) };
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, await producer.ProduceAsync("orders", 0, "a"));
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, await producer.EndAsync(isCommit: true));
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, await producer.AddPartitionsAsync("orders"));
    }

    [Theory]
    [InlineData(TransactionProtocol.Classic)]
    [InlineData(TransactionProtocol.Implicit)]
    internal async Task A_request_of_nobody_neither_ends_a_transaction_nor_adds_to_one(TransactionProtocol protocol)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id", protocol);
        await producer.InitAsync();
        TransactionClient nobody = new(client, "id", protocol);
        await producer.WriteAsync("orders", "a");

        Assert.Equal(ErrorCode.InvalidProducerIdMapping, await nobody.EndAsync(isCommit: false));
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, await nobody.AddPartitionsAsync("payments"));
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, await nobody.SendOffsetAsync("group", "orders", 1));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, await nobody.EndAsync(isCommit: true));
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
        Assert.Empty(broker.Partition("orders").OpenTransactions);
    }

    [Fact]
    public async Task Partitions_are_added_all_or_none()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();

        AddPartitionsToTxnResponse response = await client.SendAsync<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(
            new AddPartitionsToTxnRequest
            {
                TransactionalId = "id",
                ProducerId = producer.Producer.Id,
                ProducerEpoch = producer.Producer.Epoch,
                Topics = [Topic("orders"), Topic("nowhere"), Topic("__transaction_state")],
            },
            3);

        Assert.Equal(
            [ErrorCode.OperationNotAttempted, ErrorCode.UnknownTopicOrPartition, ErrorCode.TopicAuthorizationFailed],
            response.ResultsByTopic.Select(static topic => topic.ResultsByPartition[0].ErrorCode));
        Assert.Equal("Empty", (await DescribeAsync(client, "id")).State);
    }

    [Fact]
    public async Task Brokers_may_look_whether_a_partition_is_part_of_a_transaction()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        await producer.AddPartitionsAsync("orders");

        foreach ((short version, ErrorCode missing) in new[] { ((short)4, ErrorCode.InvalidTxnState), ((short)5, ErrorCode.TransactionAbortable) })
        {
            AddPartitionsToTxnResponse response = await client.SendAsync<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(
                new AddPartitionsToTxnRequest
                {
                    Transactions =
                    [
                        new AddPartitionsToTxnTransaction
                        {
                            TransactionalId = "id",
                            ProducerId = producer.Producer.Id,
                            ProducerEpoch = producer.Producer.Epoch,
                            VerifyOnly = true,
                            Topics = [Topic("orders"), Topic("payments")],
                        },
                    ],
                },
                version);
            Assert.Equal([ErrorCode.None, missing], response.ResultsByTransaction[0].TopicResults.Select(static topic => topic.ResultsByPartition[0].ErrorCode));
        }
    }

    [Fact]
    public async Task A_transaction_that_takes_too_long_is_aborted_at_its_deadline()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync(timeoutMilliseconds: 10_000);
        await producer.WriteAsync("orders", "a");

        broker.Time.Advance(TimeSpan.FromMilliseconds(9_999));
        Assert.Equal("Ongoing", (await DescribeAsync(client, "id")).State);
        broker.Time.Advance(TimeSpan.FromMilliseconds(1));
        await Conditions.BecomesTrueAsync(() => broker.Partition("orders").LastStableOffset.Value == 2, "the transaction is aborted");

        Assert.Equal(ErrorCode.ProducerFenced, await producer.EndAsync(isCommit: true));
        Assert.Empty(await client.ReadCommittedAsync("orders"));
    }

    [Theory]
    [InlineData(0, ErrorCode.InvalidTransactionTimeout)]
    [InlineData(-1, ErrorCode.InvalidTransactionTimeout)]
    [InlineData(900_000, ErrorCode.None)]
    [InlineData(900_001, ErrorCode.InvalidTransactionTimeout)]
    public async Task A_timeout_has_its_bounds(int milliseconds, ErrorCode error)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(error, await new TransactionClient(client, "id").InitAsync(milliseconds));
        Assert.Equal(ErrorCode.InvalidRequest, await new TransactionClient(client, "").InitAsync());
    }

    [Theory]
    [InlineData(TransactionProtocol.Classic)]
    [InlineData(TransactionProtocol.Implicit)]
    internal async Task An_end_that_is_asked_for_again_is_answered_as_before(TransactionProtocol protocol)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id", protocol);
        await producer.InitAsync();
        ProducerIdentity own = producer.Producer;
        await WriteAndEndAsync(producer, isCommit: true, "a");
        ProducerIdentity next = producer.Producer;

        producer.Producer = own;
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        Assert.Equal(next, producer.Producer);
        Assert.Equal(protocol == TransactionProtocol.Implicit ? 1 : 0, next.Epoch - own.Epoch);
        producer.Producer = own;
        Assert.Equal(ErrorCode.InvalidTxnState, await producer.EndAsync(isCommit: false));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_open_transaction_goes_on_after_a_stop_and_after_the_end_of_the_process(bool isKilled)
    {
        await using TestBroker broker = await StartAsync();
        ProducerIdentity producer;
        await using (TestClient client = broker.Connect())
        {
            TransactionClient before = new(client, "id");
            await before.InitAsync();
            await before.WriteAsync("orders", "a");
            producer = before.Producer;
        }

        await (isKilled ? broker.CrashAndRestartAsync() : broker.RestartAsync());
        await using TestClient again = broker.Connect();
        TransactionClient after = new(again, "id") { Producer = producer };
        Assert.Equal(ErrorCode.None, await after.EndAsync(isCommit: true));
        Assert.Equal(["a"], await again.ReadCommittedAsync("orders"));
    }

    [Theory]
    [InlineData(TransactionProtocol.Classic)]
    [InlineData(TransactionProtocol.Implicit)]
    internal async Task After_a_loss_of_power_an_open_transaction_is_aborted_and_its_producer_shut_out(TransactionProtocol protocol)
    {
        await using TestBroker broker = await StartAsync();
        ProducerIdentity producer;
        await using (TestClient client = broker.Connect())
        {
            TransactionClient before = new(client, "id", protocol);
            await before.InitAsync();
            await WriteAndEndAsync(before, isCommit: true, "a");
            producer = before.Producer;
            await before.WriteAsync("orders", "b");
        }

        await broker.LosePowerAndRestartAsync();
        await using TestClient again = broker.Connect();
        TransactionClient after = new(again, "id", protocol) { Producer = producer };
        Assert.Equal(ErrorCode.ProducerFenced, await after.EndAsync(isCommit: true));
        Assert.Equal(["a"], await again.ReadCommittedAsync("orders"));
        Assert.Equal(broker.Partition("orders").LogEndOffset, broker.Partition("orders").LastStableOffset);
    }

    [Fact]
    public async Task A_commit_whose_answer_a_crash_swallowed_is_answered_when_it_is_asked_for_again()
    {
        await using TestBroker broker = await StartAsync();
        ProducerIdentity ended;
        await using (TestClient client = broker.Connect())
        {
            TransactionClient before = new(client, "id", TransactionProtocol.Implicit);
            await before.InitAsync();
            ended = before.Producer;
            await WriteAndEndAsync(before, isCommit: true, "a");
        }

        // Only once: where the machine has lost its power again, nobody knows any more whose transaction it was.
        foreach (ErrorCode expected in new[] { ErrorCode.None, ErrorCode.ProducerFenced })
        {
            await broker.LosePowerAndRestartAsync();
            await using TestClient again = broker.Connect();
            TransactionClient after = new(again, "id", TransactionProtocol.Implicit) { Producer = ended };
            Assert.Equal(expected, await after.EndAsync(isCommit: true));
        }
    }

    [Fact]
    public async Task Transactions_and_producers_are_described_and_listed()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "first-id");
        await producer.InitAsync();
        await producer.WriteAsync("orders", "a");
        await new TransactionClient(client, "second-id").InitAsync();
        broker.Time.Advance(TimeSpan.FromSeconds(5));

        DescribedTransaction described = await DescribeAsync(client, "first-id");
        Assert.Equal((ErrorCode.None, "Ongoing", 60_000, producer.Producer.Id), (described.ErrorCode, described.State, described.TransactionTimeoutMilliseconds, described.ProducerId));
        Assert.Equal("orders", Assert.Single(described.Topics).Topic);
        Assert.Equal(ErrorCode.TransactionalIdNotFound, (await DescribeAsync(client, "nobody")).ErrorCode);

        DescribeProducersResponse producers = await client.SendAsync<DescribeProducersRequest, DescribeProducersResponse>(
            new DescribeProducersRequest { Topics = [new DescribeProducersTopic { Name = "orders", Partitions = [0, 9] }] }, 0);
        DescribedProducer writing = Assert.Single(producers.Topics[0].Partitions[0].ActiveProducers);
        Assert.Equal((producer.Producer.Id, 0, 0L), (writing.ProducerId, writing.LastSequence, writing.CurrentTxnStartOffset));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, producers.Topics[0].Partitions[1].ErrorCode);

        Assert.Equal(["first-id", "second-id"], await ListAsync(client, new ListTransactionsRequest()));
        Assert.Equal(["first-id"], await ListAsync(client, new ListTransactionsRequest { StateFilters = ["Ongoing", "1"] }, unknown: "1"));
        Assert.Equal(["first-id"], await ListAsync(client, new ListTransactionsRequest { ProducerIdFilters = [producer.Producer.Id] }));
        Assert.Equal(["first-id"], await ListAsync(client, new ListTransactionsRequest { DurationFilter = 4_999 }));
        Assert.Empty(await ListAsync(client, new ListTransactionsRequest { DurationFilter = 5_000 }));
        Assert.Equal(["second-id"], await ListAsync(client, new ListTransactionsRequest { TransactionalIdPattern = "second.*" }));
        Assert.Empty(await ListAsync(client, new ListTransactionsRequest { TransactionalIdPattern = "second" }));
        Assert.Equal(ErrorCode.InvalidRegularExpression, (await client.SendAsync<ListTransactionsRequest, ListTransactionsResponse>(
            new ListTransactionsRequest { TransactionalIdPattern = "(" }, 2)).ErrorCode);
    }

    [Fact]
    public async Task What_is_asked_for_again_and_again_is_described_once()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        await producer.WriteAsync("orders", "a");

        DescribeProducersResponse producers = await client.SendAsync<DescribeProducersRequest, DescribeProducersResponse>(
            new DescribeProducersRequest
            {
                Topics =
                [
                    new DescribeProducersTopic { Name = "orders", Partitions = [0, 9, 0] },
                    new DescribeProducersTopic { Name = "orders", Partitions = [0] },
                ],
            },
            0);
        Assert.Equal([0, 9], producers.Topics.SelectMany(static topic => topic.Partitions).Select(static partition => partition.Index));
        DescribeTransactionsResponse transactions = await client.SendAsync<DescribeTransactionsRequest, DescribeTransactionsResponse>(
            new DescribeTransactionsRequest { TransactionalIds = ["id", "nobody", "id"] }, 0);
        Assert.Equal(["id", "nobody"], transactions.TransactionStates.Select(static state => state.TransactionalId));
    }

    [Fact]
    public async Task A_commit_waits_for_the_disk_and_what_it_wrote_is_not_read_before()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id", TransactionProtocol.Implicit);
        await producer.InitAsync();
        broker.Storage.CloseGate();
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "a"));

        Task<ErrorCode> ending = producer.EndAsync(isCommit: true);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount > 0, "the commit waits for the disk");
        Assert.Equal(0, broker.Partition("orders").LastStableOffset.Value);
        broker.Storage.OpenGate();

        Assert.Equal(ErrorCode.None, await ending);
        Assert.Equal(2, broker.Partition("orders").LastStableOffset.Value);
    }

    [Fact]
    public async Task A_topic_that_is_deleted_while_a_commit_waits_for_the_disk_does_not_undo_it()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await using TestClient other = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        broker.Storage.CloseGate();
        await producer.WriteAsync("orders", "a");
        await producer.WriteAsync("payments", "a");

        Task<ErrorCode> ending = producer.EndAsync(isCommit: true);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount > 0, "the commit waits for the disk");
        await DeleteAsync(other, "payments");
        broker.Storage.OpenGate();

        Assert.Equal(ErrorCode.None, await ending);
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "b"));
    }

    [Fact]
    public async Task A_topic_that_is_made_anew_within_a_transaction_does_not_shut_its_producer_out()
    {
        await using TestBroker broker = await StartAsync();

        // A new topic begins with the first leader epoch, and those that are there are beyond it.
        await broker.CrashAndRestartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id", TransactionProtocol.Implicit);
        await producer.InitAsync();
        await producer.WriteAsync("orders", "a");
        await producer.WriteAsync("payments", "gone");
        int epoch = broker.Partition("payments").LeaderEpoch;
        await DeleteAsync(client, "payments");
        await broker.CreateTopicAsync("payments");
        Assert.NotEqual(epoch, broker.Partition("payments").LeaderEpoch);

        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        await WriteAndEndAsync(producer, isCommit: true, "b");
        Assert.Equal(["a", "b"], await client.ReadCommittedAsync("orders"));
        Assert.Equal(["b"], await client.ReadCommittedAsync("payments"));
    }

    [Fact]
    public async Task A_transaction_whose_data_the_disk_refuses_is_not_committed()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        await producer.WriteAsync("orders", "a");
        broker.Storage.FailsSyncs = true;
        broker.Storage.OpenGate();

        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await producer.EndAsync(isCommit: true));
        Assert.NotEqual(ErrorCode.None, await producer.EndAsync(isCommit: true));

        // The disk is well again, and the partition comes back: the transaction is aborted there, and somebody else may go on.
        broker.Storage.FailsSyncs = false;
        PartitionLog orders = broker.Partition("orders");
        await broker.BecomesTrueWithTimeAsync(() => orders.IsOnline && orders.OpenTransactions.Count == 0, "the transaction is aborted in the partition");

        // What could not be written is tried again after a while.
        TransactionClient successor = new(client, "id");
        await broker.BecomesTrueWithTimeAsync(async () => await successor.InitAsync() == ErrorCode.None, "somebody else may go on");
        await WriteAndEndAsync(successor, isCommit: true, "b");
        Assert.Equal(["b"], await client.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task A_marker_that_a_partition_lost_while_it_was_offline_is_written_again()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        await WriteAndEndAsync(producer, isCommit: true, "a");
        PartitionLog orders = broker.Partition("orders");
        Offset marker = orders.LogEndOffset + -1;
        Assert.True(orders.SyncedOffset <= marker, "the marker is on the disk already");

        // A sync fails, and what was not on the disk goes.
        broker.Storage.FailsSyncs = true;
        Assert.Equal(ErrorCode.KafkaStorageError, (await client.ProduceAsync("orders", Batches.Of("lost"))).ErrorCode);
        broker.CutLog(orders);
        broker.Storage.FailsSyncs = false;

        await Conditions.BecomesTrueAsync(
            () =>
            {
                broker.Time.Advance(TimeSpan.FromSeconds(1));
                return orders.IsOnline && orders.OpenTransactions.Count == 0;
            },
            "the marker is written again");
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
    }

    private static AddPartitionsToTxnTopic Topic(string name) => new() { Name = name, Partitions = [0] };

    private static async Task WriteAndEndAsync(TransactionClient producer, bool isCommit, string value)
    {
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", value));
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("payments", value));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit));
    }

    private static async Task DeleteAsync(TestClient client, string topic)
    {
        DeleteTopicsRequest request = new() { TopicNames = [topic], TimeoutMilliseconds = 30_000 };
        DeleteTopicsResponse response = await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(request, 5);
        Assert.Equal(ErrorCode.None, response.Responses[0].ErrorCode);
    }

    private static async Task<DescribedTransaction> DescribeAsync(TestClient client, string transactionalId) =>
        (await client.SendAsync<DescribeTransactionsRequest, DescribeTransactionsResponse>(
            new DescribeTransactionsRequest { TransactionalIds = [transactionalId] }, 0)).TransactionStates[0];

    private static async Task<string[]> ListAsync(TestClient client, ListTransactionsRequest request, params string[] unknown)
    {
        ListTransactionsResponse response = await client.SendAsync<ListTransactionsRequest, ListTransactionsResponse>(request, 2);
        Assert.Equal(ErrorCode.None, response.ErrorCode);
        Assert.Equal(unknown, response.UnknownStateFilters);
        return [.. response.TransactionStates.Select(static state => state.TransactionalId)];
    }

    private static async Task<long> EndAsync(TestClient client, sbyte isolation)
    {
        ListOffsetsResponse response = await client.SendAsync<ListOffsetsRequest, ListOffsetsResponse>(
            new ListOffsetsRequest
            {
                IsolationLevel = isolation,
                Topics = [new ListOffsetsTopic { Name = "orders", Partitions = [new ListOffsetsPartition { Timestamp = -1 }] }],
            },
            11);
        return response.Topics[0].Partitions[0].Offset;
    }

    internal static async Task<TestBroker> StartAsync()
    {
        TestBroker broker = await TestBroker.StartAsync(options => options.TransactionStateTopicPartitionCount = 2);
        await broker.CreateTopicAsync("orders");
        await broker.CreateTopicAsync("payments");
        return broker;
    }
}
