using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>Topics that are deleted and made anew under their name between two transactions of a producer, or in one.</summary>
public sealed class RecreatedTopicTests
{
    private static readonly TopicPartition Orders = new("orders", 0);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_transaction_that_is_open_in_a_topic_that_was_made_anew_is_not_ended_as_the_one_before_was_in_the_old_one(bool comesBack)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient before = broker.Connect();
        TransactionClient producer = new(before, "id");
        await producer.InitAsync();
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "a"));
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "b"));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        await RecreateAsync(broker);

        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "c"));
        if (comesBack)
        {
            PartitionLog orders = broker.Partition("orders");
            await TakeOfflineAsync(broker, orders);
            await broker.ReturnsAsync(Orders);
            await Conditions.BecomesTrueAsync(() => !orders.AwaitsSettlement, "its transactions are settled");
        }
        else
        {
            await broker.RestartAsync();
        }

        await using TestClient client = broker.Connect();
        Assert.Empty(await client.ReadCommittedAsync("orders"));
        Assert.Equal(ErrorCode.None, await producer.On(client).EndAsync(isCommit: false));
        Assert.Empty(await client.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task A_transaction_that_has_lost_a_record_of_a_topic_that_was_made_anew_within_it_cannot_be_committed()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        Assert.Equal(ErrorCode.None, await producer.AddPartitionsAsync("orders"));
        await RecreateAsync(broker);
        Assert.Equal(ErrorCode.None, await producer.ProduceAsync("orders", 0, "lost"));

        PartitionLog orders = broker.Partition("orders");
        await TakeOfflineAsync(broker, orders);
        broker.CutLog(orders);
        await broker.ReturnsAsync(Orders);

        Assert.Equal(0, orders.LogEndOffset.Value);
        Assert.NotEqual(ErrorCode.None, await producer.EndAsync(isCommit: true));
    }

    private static async Task TakeOfflineAsync(TestBroker broker, PartitionLog partition)
    {
        broker.Storage.FailsSyncs = true;
        partition.WantSync();
        await Conditions.BecomesTrueAsync(() => !partition.IsOnline, "the partition is offline");
        broker.Storage.FailsSyncs = false;
    }

    private static async Task RecreateAsync(TestBroker broker)
    {
        await using TestClient client = broker.Connect();
        DeleteTopicsResponse deleted = await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(
            new DeleteTopicsRequest { TopicNames = ["orders"], TimeoutMilliseconds = 60_000 }, 5);
        Assert.Equal(ErrorCode.None, deleted.Responses[0].ErrorCode);
        await broker.CreateTopicAsync("orders");
    }
}
