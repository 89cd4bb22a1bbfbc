using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>The state topic was offline for a while, and does not know of everything that happened meanwhile.</summary>
public sealed class LostTraceTests
{
    [Fact]
    public async Task A_transaction_without_a_trace_is_not_answered_with_the_end_of_the_one_before()
    {
        await using TestBroker broker = await TestBroker.StartAsync(static options => options.TransactionStateTopicPartitionCount = 1);
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        await producer.WriteAsync("orders", "a");
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));

        broker.Storage.FailsSyncs = true;
        Assert.NotEqual(ErrorCode.None, await new TransactionClient(client, "another").InitAsync());
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "b"));
        broker.Storage.FailsSyncs = false;
        PartitionLog states = broker.Partition("__transaction_state");
        await Conditions.BecomesTrueAsync(
            () =>
            {
                broker.Time.Advance(TimeSpan.FromSeconds(1));
                return states.IsOnline;
            },
            "the state topic comes back");
        await broker.RestartAsync();

        await using TestClient afterwards = broker.Connect();
        Assert.NotEqual(ErrorCode.None, await producer.On(afterwards).EndAsync(isCommit: true));
        Assert.Equal(["a"], await afterwards.ReadCommittedAsync("orders"));
    }
}
