using Millrace.Kafka.Protocol;
using Millrace.Log;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

/// <summary>A partition comes back without records that a group has read and committed: it goes on where the log ends now.</summary>
public sealed class OffsetsAfterReturnTests
{
    [Fact]
    public async Task A_commit_beyond_the_end_is_set_back()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("kept"));
        await client.ProduceAsync("orders", Batches.Of("read", "and", "lost"), acks: 1);
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("group", "orders", 4)));

        await LoseWhatIsNotSyncedAsync(broker, client);

        await OffsetBecomesAsync(client, 1);
        await broker.RestartAsync();
        await using TestClient afterwards = broker.Connect();
        Assert.Equal(1, (await afterwards.FetchOffsetAsync("group", "orders")).CommittedOffset);
    }

    [Fact]
    public async Task A_commit_beyond_the_end_in_an_open_transaction_is_set_back()
    {
        await using TestBroker broker = await TestBroker.StartAsync(static options => options.TransactionStateTopicPartitionCount = 1);
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("kept"));
        await client.ProduceAsync("orders", Batches.Of("read", "and", "lost"), acks: 1);
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        Assert.Equal(ErrorCode.None, await producer.CommitOffsetAsync("group", "orders", 4));

        await LoseWhatIsNotSyncedAsync(broker, client);

        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        Assert.Equal(1, (await client.FetchOffsetAsync("group", "orders")).CommittedOffset);
    }

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

    private static async Task OffsetBecomesAsync(TestClient client, long offset)
    {
        for (int attempt = 0; (await client.FetchOffsetAsync("group", "orders")).CommittedOffset != offset; attempt++)
        {
            Assert.True(attempt < 100_000, "The offset is set back.");
        }
    }
}
