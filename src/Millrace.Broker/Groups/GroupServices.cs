using Microsoft.Extensions.Logging;

namespace Millrace.Broker;

/// <summary>The coordinators of groups and transactions, the offsets and the producer ids of one broker, and the APIs in front of them.</summary>
internal sealed class GroupServices : IAsyncDisposable
{
    private readonly CancellationTokenRegistration _stop;
    private readonly PartitionReturns _returns;

    private GroupServices(
        BrokerServices services, GroupCoordinator coordinator, TransactionCoordinator transactions, ProducerIds producerIds, PartitionReturns returns)
    {
        _returns = returns;
        GroupSettings settings = services.Configuration.Groups;
        Coordinator = coordinator;
        Transactions = transactions;
        Apis =
        [
            new FindCoordinatorApi(services, coordinator, transactions),
            new JoinGroupApi(coordinator),
            new SyncGroupApi(coordinator),
            new HeartbeatApi(coordinator),
            new LeaveGroupApi(coordinator),
            new OffsetCommitApi(services, coordinator, settings),
            new OffsetFetchApi(services.Topics, coordinator),
            new ListGroupsApi(coordinator),
            new DescribeGroupsApi(coordinator),
            new DeleteGroupsApi(coordinator),
            new OffsetDeleteApi(services.Topics, coordinator),
            new DeleteTopicsApi(services, coordinator),
            new InitProducerIdApi(producerIds, transactions, services.Configuration.Transactions),
            new AddPartitionsToTxnApi(services, transactions),
            new AddOffsetsToTxnApi(coordinator, transactions),
            new EndTxnApi(transactions),
            new WriteTxnMarkersApi(services, transactions),
            new TxnOffsetCommitApi(services, coordinator, transactions, settings),
            new DescribeProducersApi(services),
            new DescribeTransactionsApi(transactions),
            new ListTransactionsApi(services, transactions),
        ];

        // Members that wait for others would hold the stop up.
        _stop = services.Stopping.Register(Stop);
    }

    public IReadOnlyList<Api> Apis { get; }

    internal GroupCoordinator Coordinator { get; }

    internal TransactionCoordinator Transactions { get; }

    /// <summary>Replays what the log holds. The log and the topics are open; no client is connected yet.</summary>
    /// <exception cref="BrokerStartException">The state cannot be read.</exception>
    public static async Task<GroupServices> StartAsync(BrokerServices services)
    {
        ArgumentNullException.ThrowIfNull(services);
        ILogger logger = services.Loggers.CreateLogger<GroupCoordinator>();
        PartitionReturns returns = new(services.Log, services.Runtime, services.Time, logger);
        ProducerIds producerIds = ProducerIds.Open(services.Storage, services.Configuration.DataDirectory, logger);
        GroupCoordinator coordinator = GroupCoordinator.Open(services, logger);
        TransactionCoordinator transactions = await TransactionCoordinator.OpenAsync(services, coordinator, producerIds, logger);

        // After the transactions: what was committed in one of them counts from its marker on.
        if (!services.Log.Recovery.WasCleanStop)
        {
            coordinator.ReportLost();
        }

        returns.Begin(services.Topics, coordinator, transactions);
        foreach (string topic in services.Topics.UnfinishedDeletions)
        {
            if (await coordinator.ForgetTopicAsync(topic))
            {
                services.Topics.FinishDeletion(topic);
            }
        }

        return new GroupServices(services, coordinator, transactions, producerIds, returns);
    }

    /// <summary>Called once no request is left; the log is still open.</summary>
    public ValueTask DisposeAsync()
    {
        _stop.Dispose();
        _returns.Dispose();
        Transactions.Dispose();
        Coordinator.Dispose();
        return ValueTask.CompletedTask;
    }

    private void Stop()
    {
        Transactions.Stop();
        Coordinator.Stop();
    }
}
