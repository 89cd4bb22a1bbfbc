using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>The state topic does not know of everything that happened, or could not be written to.</summary>
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

        // That the next one is open is noted, and not on the disk.
        PartitionLog states = broker.Partition("__transaction_state");
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "b"));
        await broker.CrashAndRestartAsync(() => broker.CutLog(states));

        await using TestClient afterwards = broker.Connect();
        Assert.NotEqual(ErrorCode.None, await producer.On(afterwards).EndAsync(isCommit: true));
        Assert.Equal(["a"], await afterwards.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task An_epoch_that_could_not_be_written_is_not_given_out()
    {
        await using TestBroker broker = await TestBroker.StartAsync(static options => options.TransactionStateTopicPartitionCount = 1);
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id", TransactionProtocol.Implicit);
        await producer.InitAsync();
        await producer.WriteAsync("orders", "a");
        TransactionClient late = producer.On(client);
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));

        broker.Storage.FailsSyncs = true;
        Assert.NotEqual(ErrorCode.None, await new TransactionClient(client, "another").InitAsync());
        broker.Storage.FailsSyncs = false;
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await late.EndAsync(isCommit: true));

        // It comes back, which shuts the producer out, and the disk fails before that is written.
        PartitionLog states = broker.Partition("__transaction_state");
        int firstReturn = states.LeaderEpoch + 1;
        states.Progressed += log =>
        {
            if (log.IsOnline && log.LeaderEpoch == firstReturn)
            {
                broker.Storage.CloseGate();
            }
        };
        await broker.BecomesTrueWithTimeAsync(() => states.LeaderEpoch == firstReturn && broker.Storage.WaitingSyncCount > 0, "the state topic is back, and something is to be written");
        broker.Storage.FailsSyncs = true;
        broker.Storage.OpenGate();
        await broker.BecomesTrueWithTimeAsync(() => !states.IsOnline, "the state topic is offline again");
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await late.EndAsync(isCommit: true));

        // A producer that is told of an epoch by now is the only one with it.
        broker.Storage.FailsSyncs = false;
        await broker.ReturnsAsync(states.TopicPartition);
        await broker.BecomesTrueWithTimeAsync(async () => await producer.InitAsync() == ErrorCode.None, "the id is served");
        Assert.Equal(ErrorCode.ProducerFenced, await late.EndAsync(isCommit: true));
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "b"));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        Assert.Equal(["a", "b"], await client.ReadCommittedAsync("orders"));
    }
}
