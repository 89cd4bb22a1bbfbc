using Millrace.Kafka.Protocol;

namespace Millrace.Interop.Tests.Mock;

/// <summary>What goes wrong with the cluster while a test works on it: one step after the other, each of which leaves it able to work again.</summary>
internal sealed class MockFaults(MockCluster cluster, string topic, int partitionCount, int seed)
{
    private static readonly int[] s_produceErrors =
    [
        (int)ErrorCode.NotLeaderOrFollower, (int)ErrorCode.RequestTimedOut, (int)ErrorCode.NotEnoughReplicas, (int)ErrorCode.NotEnoughReplicasAfterAppend,
        (int)ErrorCode.LeaderNotAvailable, (int)ErrorCode.KafkaStorageError, (int)ErrorCode.UnknownTopicOrPartition, MockCluster.CloseConnection,
    ];

    private static readonly int[] s_fetchErrors =
    [
        (int)ErrorCode.NotLeaderOrFollower, (int)ErrorCode.KafkaStorageError, (int)ErrorCode.UnknownTopicOrPartition, (int)ErrorCode.OffsetNotAvailable,
        MockCluster.CloseConnection,
    ];

    private static readonly int[] s_coordinatorErrors =
    [
        (int)ErrorCode.CoordinatorLoadInProgress, (int)ErrorCode.CoordinatorNotAvailable, (int)ErrorCode.NotCoordinator, MockCluster.CloseConnection,
    ];

    private readonly Random _random = new(seed);

    /// <summary>Every partition gets another leader.</summary>
    public async Task MoveLeadersAsync()
    {
        for (int partition = 0; partition < partitionCount; partition++)
        {
            await cluster.MoveAsync(topic, partition, AnyBroker());
        }
    }

    /// <summary>A broker dies with requests that it has carried out and not answered; others take its partitions; it comes back.</summary>
    public async Task KillBrokerAsync()
    {
        int broker = AnyBroker();
        await cluster.DoAsync($"rtt {broker} 200");
        await MoveAllAsync(broker);
        await WaitAsync(100);
        await cluster.DoAsync($"down {broker}");
        await MoveAllAsync((broker % MockCluster.BrokerCount) + 1);
        await WaitAsync(100);
        await cluster.DoAsync($"rtt {broker} 0");
        await cluster.DoAsync($"up {broker}");
    }

    /// <summary>A broker answers slowly.</summary>
    public async Task SlowBrokerAsync()
    {
        int broker = AnyBroker();
        await cluster.DoAsync($"rtt {broker} 150");
        await WaitAsync(300);
        await cluster.DoAsync($"rtt {broker} 0");
    }

    /// <summary>No partition has a leader for a moment.</summary>
    public async Task TakeLeadersAwayAsync()
    {
        for (int partition = 0; partition < partitionCount; partition++)
        {
            await cluster.MoveAsync(topic, partition, -1);
        }

        await WaitAsync(50);
        await MoveLeadersAsync();
    }

    /// <summary>Requests that carry records are answered with errors, or not at all.</summary>
    public Task RefuseRecordsAsync() => cluster.PushErrorsAsync(ApiKey.Produce, Pick(s_produceErrors, 4));

    public Task RefuseFetchesAsync() => cluster.PushErrorsAsync(ApiKey.Fetch, Pick(s_fetchErrors, 3));

    public async Task RefuseLookUpsAsync()
    {
        await cluster.PushErrorsAsync(ApiKey.Metadata, MockCluster.CloseConnection, MockCluster.CloseConnection);
        await cluster.PushErrorsAsync(ApiKey.ListOffsets, Pick(s_fetchErrors, 2));
    }

    /// <summary>The coordinator of a group moves, and says for a while that it is not ready.</summary>
    public async Task MoveCoordinatorAsync(string group)
    {
        await cluster.DoAsync($"coordinator group {group} {AnyBroker()}");
        foreach (ApiKey api in (ApiKey[])[ApiKey.OffsetCommit, ApiKey.OffsetFetch, ApiKey.Heartbeat])
        {
            await cluster.PushErrorsAsync(api, Pick(s_coordinatorErrors, 2));
        }
    }

    private async Task MoveAllAsync(int broker)
    {
        for (int partition = 0; partition < partitionCount; partition++)
        {
            await cluster.MoveAsync(topic, partition, broker);
        }
    }

    private int AnyBroker() => 1 + _random.Next(MockCluster.BrokerCount);

    private int[] Pick(int[] errors, int count) => [.. Enumerable.Range(0, count).Select(_ => errors[_random.Next(errors.Length)])];

    // Real time: a fault lasts, while the program under test works on another process.
    private static Task WaitAsync(int milliseconds) => Task.Delay(TimeSpan.FromMilliseconds(milliseconds), TimeProvider.System);
}
