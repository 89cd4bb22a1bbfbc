using Millrace.Kafka.Protocol;
using Millrace.Log;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

/// <summary>A partition comes back without records that a group has read and committed: it goes on where the log ends now.</summary>
public sealed class OffsetsAfterReturnTests
{
    [Fact]
    public async Task A_commit_of_lost_records_ends_where_the_log_ended_whatever_takes_their_place()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("group", "orders", 4)));

        await LoseWhatIsNotSyncedAsync(broker, client);

        Assert.Equal(1, (await client.FetchOffsetAsync("group", "orders")).CommittedOffset);
        await broker.BecomesTrueWithTimeAsync(
            () => broker.Logs.Lines.Any(line => line.EventId == 2314 && line.Text.Contains("offset 4", StringComparison.Ordinal)), "somebody is told of it");
        await FillAsync(client);
        Assert.Equal(1, (await client.FetchOffsetAsync("group", "orders")).CommittedOffset);
        await broker.CrashAndRestartAsync();
        await using TestClient afterwards = broker.Connect();
        Assert.Equal(1, (await afterwards.FetchOffsetAsync("group", "orders")).CommittedOffset);
        Assert.Equal(ErrorCode.None, await afterwards.CommitAsync(Commit("group", "orders", 4)));
        Assert.Equal(4, (await afterwards.FetchOffsetAsync("group", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task So_does_one_in_a_transaction_that_was_open_meanwhile()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        Assert.Equal(ErrorCode.None, await producer.CommitOffsetAsync("group", "orders", 4));

        await LoseWhatIsNotSyncedAsync(broker, client);
        await FillAsync(client);

        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        Assert.Equal(1, (await client.FetchOffsetAsync("group", "orders")).CommittedOffset);
        await broker.CrashAndRestartAsync();
        await using TestClient afterwards = broker.Connect();
        Assert.Equal(1, (await afterwards.FetchOffsetAsync("group", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task So_does_one_that_was_taken_for_failed_and_is_there_when_its_own_partition_is_back()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("group", "orders", 0)));
        PartitionLog offsets = broker.Partition("__consumer_offsets");
        broker.Storage.FailsSyncs = true;
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await client.CommitAsync(Commit("group", "orders", 4)));

        await LoseWhatIsNotSyncedAsync(broker, client);
        await broker.ReturnsAsync(offsets.TopicPartition);
        await FillAsync(client);

        await broker.BecomesTrueWithTimeAsync(() => Task.FromResult(!broker.Broker.Groups.IsUnavailable("group")), "the offsets are read again");
        Assert.Equal(1, (await client.FetchOffsetAsync("group", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task Of_a_topic_that_is_new_nothing_is_committed_whatever_comes_back_of_the_one_before()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("another", "orders", 0)));
        await broker.CreateTopicAsync("passing");
        PartitionLog offsets = broker.Partition("__consumer_offsets");
        broker.Storage.FailsSyncs = true;
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await client.CommitAsync(Commit("group", "passing", 4)));
        broker.Storage.FailsSyncs = false;

        DeleteTopicsResponse deleted = await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(new DeleteTopicsRequest { TopicNames = ["passing"] }, 5);
        Assert.Equal(ErrorCode.None, deleted.Responses[0].ErrorCode);
        await broker.CreateTopicAsync("passing");
        await broker.ReturnsAsync(offsets.TopicPartition);
        await broker.BecomesTrueWithTimeAsync(() => Task.FromResult(!broker.Broker.Groups.IsUnavailable("group")), "the offsets are read again");

        Assert.Equal(-1, (await client.FetchOffsetAsync("group", "passing")).CommittedOffset);
        OffsetFetchResponse all = await client.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(new OffsetFetchRequest { GroupId = "group", Topics = null }, 7);
        Assert.Empty(all.Topics);
    }

    [Fact]
    public async Task What_is_committed_of_a_partition_that_cannot_be_read_at_the_start_stands_meanwhile_and_when_it_is_back()
    {
        await using TestBroker broker = await StartAsync();
        await using (TestClient before = broker.Connect())
        {
            Assert.Equal(ErrorCode.None, await before.CommitAsync(Commit("group", "orders", 1)));
        }

        PartitionLog orders = broker.Partition("orders");
        Guid id = orders.TopicId;
        await broker.CrashAndRestartAsync(() => broker.Hide("orders-0"));
        Assert.False(broker.Partition("orders").IsOnline);
        await using TestClient client = broker.Connect();
        Assert.Equal(1, (await client.FetchOffsetAsync("group", "orders")).CommittedOffset);

        await broker.BringBackAsync(orders.TopicPartition);
        Assert.Equal(1, (await client.FetchOffsetAsync("group", "orders")).CommittedOffset);
        await broker.BecomesTrueWithTimeAsync(
            async () => (await client.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest { Topics = null }, 12)).Topics.Any(topic => topic.Name == "orders" && topic.TopicId == id),
            "the topic has its id again");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task What_is_committed_of_a_partition_that_cannot_be_read_at_the_start_stands_when_it_is_back(int partitionCount)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", partitionCount);
        await using (TestClient before = broker.Connect())
        {
            await before.ProduceAsync("orders", Batches.Of("a", "b"));
        }

        PartitionLog orders = broker.Partition("orders");
        await broker.CrashAndRestartAsync(() => broker.Hide("orders-0"));
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("group", "orders", 2)));

        await broker.BringBackAsync(orders.TopicPartition);
        Assert.Equal(2, (await client.FetchOffsetAsync("group", "orders")).CommittedOffset);
        await broker.RestartAsync();
        await using TestClient afterwards = broker.Connect();
        Assert.Equal(2, (await afterwards.FetchOffsetAsync("group", "orders")).CommittedOffset);
    }

    [Theory]
    [InlineData(false, 1, false)]
    [InlineData(true, -1, false)]
    [InlineData(true, -1, true)]
    public async Task So_does_what_is_of_a_later_epoch_than_the_first_where_the_epochs_cannot_be_read_either(bool wasCommitted, int epoch, bool isTransactional)
    {
        await using TestBroker broker = await StartAsync();
        await broker.CrashAndRestartAsync();
        long end;
        await using (TestClient before = broker.Connect())
        {
            await before.ProduceAsync("orders", Batches.Of("of", "epoch", "one"));
            Assert.Equal(1, broker.Partition("orders").LeaderEpoch);
            end = broker.Partition("orders").LogEndOffset.Value;
            Assert.Equal(ErrorCode.None, await before.CommitAsync(Commit(wasCommitted ? "group" : "another", "orders", end)));
        }

        PartitionLog orders = broker.Partition("orders");
        await broker.CrashAndRestartAsync(() => broker.Hide("orders-0"));
        await using TestClient client = broker.Connect();
        if (isTransactional)
        {
            TransactionClient producer = new(client, "id");
            await producer.InitAsync();
            Assert.Equal(ErrorCode.None, await producer.CommitOffsetAsync("group", "orders", end));
            Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        }
        else
        {
            Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("group", "orders", end, epoch: epoch)));
        }

        await broker.BringBackAsync(orders.TopicPartition);
        Assert.Equal(end, (await client.FetchOffsetAsync("group", "orders")).CommittedOffset);
    }

    /// <summary>One record is on the disk, and three are not.</summary>
    private static async Task<TestBroker> StartAsync()
    {
        TestBroker broker = await TestBroker.StartAsync(static options => options.TransactionStateTopicPartitionCount = 1);
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("kept"));
        await client.ProduceAsync("orders", Batches.Of("read", "and", "lost"), acks: 1);
        return broker;
    }

    private static async Task FillAsync(TestClient client) =>
        Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of("others", "in", "their", "place"))).ErrorCode);

    private static async Task LoseWhatIsNotSyncedAsync(TestBroker broker, TestClient client)
    {
        PartitionLog orders = broker.Partition("orders");
        broker.Storage.FailsSyncs = true;
        Assert.Equal(ErrorCode.KafkaStorageError, (await client.ProduceAsync("orders", Batches.Of("never acknowledged"))).ErrorCode);
        broker.CutLog(orders);
        broker.Storage.FailsSyncs = false;
        await broker.ReturnsAsync(orders.TopicPartition);
        Assert.Equal(1, orders.LogEndOffset.Value);
    }
}
