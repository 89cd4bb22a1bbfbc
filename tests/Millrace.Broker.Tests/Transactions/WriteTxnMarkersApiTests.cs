using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

/// <summary>Transactions that are ended by hand, in the partition.</summary>
public sealed class WriteTxnMarkersApiTests
{
    private static readonly ProducerIdentity Nobody = new(4711, 3);

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, true)]
    [InlineData(2, false)]
    public async Task A_transaction_that_no_coordinator_knows_is_ended_for_good(short version, bool isCommit)
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using (TestClient client = broker.Connect())
        {
            Leave(broker, Nobody, "hanging");
            await client.ProduceAsync("orders", Batches.Of("behind it"));
            Assert.Empty(await client.ReadCommittedAsync("orders"));

            Assert.Equal(ErrorCode.None, await WriteAsync(client, Nobody, version, isCommit: isCommit));
            AssertEnded(broker);
        }

        await broker.LosePowerAndRestartAsync();
        AssertEnded(broker);
        await using TestClient again = broker.Connect();
        string[] committed = isCommit ? ["hanging", "behind it"] : ["behind it"];
        Assert.Equal(committed, await again.ReadCommittedAsync("orders"));
    }

    [Theory]
    [InlineData(false, ErrorCode.None)]
    [InlineData(true, ErrorCode.KafkaStorageError)]
    public async Task A_marker_is_answered_when_it_is_on_the_disk_or_never_will_be(bool failsSync, ErrorCode expected)
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        Leave(broker, Nobody, "hanging");
        PartitionLog orders = broker.Partition("orders");
        await Conditions.BecomesTrueAsync(() => orders.SyncedOffset == orders.LogEndOffset, "only the marker is to be synced");
        broker.Storage.CloseGate();
        Task<ErrorCode> answer = WriteAsync(client, Nobody);
        await Conditions.BecomesTrueAsync(
            () => broker.Storage.WaitingSyncCount > 0 && broker.Partition("orders").OpenTransactions.Count == 0, "the marker is written, and a sync has begun");
        AssertEnded(broker);
        Assert.False(client.HasResponse);

        broker.Storage.FailsSyncs = failsSync;
        broker.Storage.OpenGate();

        Assert.Equal(expected, await answer);
    }

    [Theory]
    [InlineData(AppendRejection.TransactionsUnsettled, ErrorCode.NotLeaderOrFollower)]
    [InlineData(AppendRejection.TooManyProducers, ErrorCode.ThrottlingQuotaExceeded)]
    [InlineData(AppendRejection.Offline, ErrorCode.KafkaStorageError)]
    internal void A_tool_comes_again_where_the_marker_may_be_taken_later(AppendRejection rejection, ErrorCode error) =>
        Assert.Equal(error, WriteTxnMarkersApi.ErrorFor(rejection));

    [Fact]
    public async Task Older_epochs_of_the_producer_and_of_the_coordinator_are_refused()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await WriteAsync(client, Nobody, coordinatorEpoch: 5));
        Leave(broker, Nobody, "a");

        Assert.Equal(ErrorCode.TransactionCoordinatorFenced, await WriteAsync(client, Nobody, coordinatorEpoch: 4));
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await WriteAsync(client, Nobody with { Epoch = 2 }, coordinatorEpoch: 6));
        Assert.Equal(ErrorCode.TransactionCoordinatorFenced, await WriteAsync(client, Nobody, coordinatorEpoch: -1));
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await WriteAsync(client, Nobody with { Epoch = -1 }, coordinatorEpoch: 6));
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await WriteAsync(client, ProducerIdentity.None));
        Assert.Single(broker.Partition("orders").OpenTransactions);
        Assert.Equal(ErrorCode.None, await WriteAsync(client, Nobody, coordinatorEpoch: 5));
        AssertEnded(broker);
    }

    [Fact]
    public async Task Where_epochs_rise_with_each_transaction_a_late_marker_does_not_end_the_next_one()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        ProducerIdentity next = Nobody with { Epoch = 4 };
        Leave(broker, Nobody, "a");
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await WriteAsync(client, Nobody, transactionVersion: 2));
        Assert.Equal(ErrorCode.None, await WriteAsync(client, next, transactionVersion: 2));
        Assert.Equal(ErrorCode.None, await WriteAsync(client, next, transactionVersion: 2));

        Leave(broker, next, "b");
        Assert.Equal(ErrorCode.InvalidProducerEpoch, await WriteAsync(client, next, transactionVersion: 2));
        Assert.Single(broker.Partition("orders").OpenTransactions);
        Assert.Equal(ErrorCode.None, await WriteAsync(client, next, transactionVersion: 1));
        AssertEnded(broker);
    }

    [Fact]
    public async Task Each_partition_has_its_own_answer()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        Leave(broker, Nobody, "a");
        WriteTxnMarkersResponse response = await client.SendAsync<WriteTxnMarkersRequest, WriteTxnMarkersResponse>(
            new WriteTxnMarkersRequest { Markers = [Marker(Nobody, "orders", [0, 1]), Marker(Nobody with { Id = 5 }, "nowhere", [0])] }, 2);

        Assert.Equal([4711, 5], response.Markers.Select(static marker => marker.ProducerId));
        Assert.Equal(
            [(0, ErrorCode.None), (1, ErrorCode.UnknownTopicOrPartition)],
            response.Markers[0].Topics[0].Partitions.Select(static partition => (partition.Index, partition.ErrorCode)));
        Assert.Equal(("nowhere", ErrorCode.UnknownTopicOrPartition), (response.Markers[1].Topics[0].Name, response.Markers[1].Topics[0].Partitions[0].ErrorCode));
        AssertEnded(broker);
    }

    [Fact]
    public async Task A_marker_in_the_offsets_topic_decides_about_the_offsets_of_its_producer()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        await client.CommitAsync(Commit("group", "orders", 3));
        await producer.CommitOffsetAsync("group", "orders", 5);
        int partition = Enumerable.Range(0, 50).Single(number => broker.Partition(TopicName.ConsumerOffsets, number) is { OpenTransactions.Count: > 0 });

        Assert.Equal(ErrorCode.None, await WriteAsync(client, producer.Producer, topic: TopicName.ConsumerOffsets, partition: partition));
        Assert.Equal((ErrorCode.None, 3), await TransactionalOffsetsTests.FetchAsync(client, requireStable: true));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        Assert.Equal((ErrorCode.None, 3), await TransactionalOffsetsTests.FetchAsync(client, requireStable: true));
    }

    private static void Leave(TestBroker broker, ProducerIdentity producer, string value) =>
        Assert.IsType<AppendResult.Appended>(broker.Partition("orders").Append(Batches.InTransaction(producer, 0, value).Span, AppendDurability.Disk));

    private static void AssertEnded(TestBroker broker) => Assert.Empty(broker.Partition("orders").OpenTransactions);

    private static WritableTxnMarker Marker(ProducerIdentity producer, string topic, List<int> partitions) => new()
    {
        ProducerId = producer.Id, ProducerEpoch = producer.Epoch, Topics = [new WritableTxnMarkerTopic { Name = topic, Partitions = partitions }],
    };

    private static async Task<ErrorCode> WriteAsync(
        TestClient client,
        ProducerIdentity producer,
        short version = 2,
        bool isCommit = false,
        int coordinatorEpoch = 0,
        sbyte transactionVersion = 0,
        string topic = "orders",
        int partition = 0)
    {
        WritableTxnMarker marker = Marker(producer, topic, [partition]);
        (marker.Committed, marker.CoordinatorEpoch, marker.TransactionVersion) = (isCommit, coordinatorEpoch, transactionVersion);
        WriteTxnMarkersResponse response = await client.SendAsync<WriteTxnMarkersRequest, WriteTxnMarkersResponse>(
            new WriteTxnMarkersRequest { Markers = [marker] }, version);
        return response.Markers[0].Topics[0].Partitions[0].ErrorCode;
    }
}
