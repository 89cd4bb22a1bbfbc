using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>Producers and transactions (KIP-664).</content>
public sealed partial class KafkaAdmin
{
    /// <summary>Describes what partitions remember of the producers that write to them. From Kafka 2.8 on.</summary>
    /// <param name="partitions">The partitions.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<IReadOnlyDictionary<TopicPartition, AdminResult<IReadOnlyList<ActiveProducer>>>> DescribeProducersAsync(
        IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        return _calls.EachAsync<TopicPartition, IReadOnlyList<ActiveProducer>>(
            ApiKey.DescribeProducers,
            partitions,
            (round, token) => _calls.AskLeadersAsync(round, DescribeAsync, token),
            cancellationToken);

        async Task DescribeAsync(
            AdminRound<TopicPartition, IReadOnlyList<ActiveProducer>> round,
            BrokerConnection leader,
            IReadOnlyList<(TopicPartition Partition, int LeaderEpoch)> targets,
            CancellationToken token)
        {
            var request = new DescribeProducersRequest
            {
                Topics = ByTopic(targets, static target => target.Partition, (topic, items) => new DescribeProducersTopic
                {
                    Name = topic, Partitions = [.. items.Select(item => item.Partition.Partition)],
                }),
            };
            DescribeProducersResponse response = await _calls.SendAsync<DescribeProducersRequest, DescribeProducersResponse>(leader, request, token);
            foreach (DescribeProducersTopicResponse topic in response.Topics)
            {
                foreach (DescribeProducersPartitionResponse partition in topic.Partitions)
                {
                    var name = new TopicPartition(topic.Name, partition.Index);
                    if (!round.FailOn(partition.ErrorCode, name, partition.ErrorMessage, leader, ApiKey.DescribeProducers))
                    {
                        round.Succeed(name, [.. partition.ActiveProducers.Select(Describe)]);
                    }
                }
            }
        }
    }

    /// <summary>Describes transactional ids. From Kafka 3.0 on.</summary>
    /// <param name="transactionalIds">The ids.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Each id; one that nobody uses fails with <see cref="ErrorCode.TransactionalIdNotFound"/>.</returns>
    public Task<IReadOnlyDictionary<string, AdminResult<TransactionDescription>>> DescribeTransactionsAsync(
        IReadOnlyCollection<string> transactionalIds, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(transactionalIds);
        return _calls.EachAsync<string, TransactionDescription>(
            ApiKey.DescribeTransactions,
            transactionalIds,
            (round, token) => _calls.AskCoordinatorsAsync(round, AdminCalls.CoordinatorType.Transaction, DescribeAsync, token),
            cancellationToken);

        async Task DescribeAsync(
            AdminRound<string, TransactionDescription> round, BrokerConnection coordinator, IReadOnlyList<string> targets, CancellationToken token)
        {
            DescribeTransactionsResponse response = await _calls.SendAsync<DescribeTransactionsRequest, DescribeTransactionsResponse>(
                coordinator, new DescribeTransactionsRequest { TransactionalIds = [.. targets] }, token);
            foreach (DescribedTransaction transaction in response.TransactionStates)
            {
                if (!round.FailOn(transaction.ErrorCode, transaction.TransactionalId, message: null, coordinator, ApiKey.DescribeTransactions))
                {
                    round.Succeed(transaction.TransactionalId, Describe(transaction, coordinator.Address));
                }
            }
        }
    }

    /// <summary>Lists the transactional ids of all coordinators. From Kafka 3.0 on.</summary>
    /// <param name="filter">Which ones; null: all.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">No broker tells which brokers there are.</exception>
    public Task<ClusterListing<TransactionListing>> ListTransactionsAsync(TransactionFilter? filter = null, CancellationToken cancellationToken = default)
    {
        const short firstVersionWithDuration = 1;
        const short firstVersionWithPattern = 2;
        filter ??= new TransactionFilter();
        short lowest = filter.TransactionalIdPattern is not null ? firstVersionWithPattern
            : filter.OpenForAtLeast is not null ? firstVersionWithDuration
            : (short)0;
        return _calls.EveryBrokerAsync<TransactionListing>(
            ApiKey.ListTransactions,
            async (broker, token) =>
            {
                var request = new ListTransactionsRequest
                {
                    StateFilters = [.. filter.States.Select(state => state.ToString())],
                    ProducerIdFilters = [.. filter.ProducerIds],
                    DurationFilter = filter.OpenForAtLeast is { } duration ? (long)duration.TotalMilliseconds : -1,
                    TransactionalIdPattern = filter.TransactionalIdPattern,
                };
                ListTransactionsResponse response = await _calls.SendAsync<ListTransactionsRequest, ListTransactionsResponse>(broker, request, token, lowest);
                ThrowOn(response.ErrorCode, message: null, broker, ApiKey.ListTransactions);
                return response.TransactionStates.Select(transaction =>
                    new TransactionListing(transaction.TransactionalId, transaction.ProducerId, ToTransactionState(transaction.State)));
            },
            cancellationToken);
    }

    /// <summary>
    /// Ends a transaction that hangs in a partition by writing the marker of an abort there. What a coordinator still knows is not to be
    /// ended this way: fence its producer instead. From Kafka 2.4 on, where the client may alter the cluster.
    /// </summary>
    /// <param name="transaction">The transaction.</param>
    /// <param name="cancellationToken">Ends the wait; the marker may still be written.</param>
    /// <exception cref="KafkaException">The partition's leader does not answer in time, or refuses.</exception>
    public async Task AbortTransactionAsync(HangingTransaction transaction, CancellationToken cancellationToken = default)
    {
        IReadOnlyDictionary<TopicPartition, AdminResult> results = await _calls.EachDoneAsync<TopicPartition>(
            ApiKey.WriteTxnMarkers,
            [transaction.TopicPartition],
            (round, token) => _calls.AskLeadersAsync(round, AbortAsync, token),
            cancellationToken);
        results.ThrowIfAnyFailed();

        async Task AbortAsync(
            AdminRound<TopicPartition, bool> round,
            BrokerConnection leader,
            IReadOnlyList<(TopicPartition Partition, int LeaderEpoch)> targets,
            CancellationToken token)
        {
            var request = new WriteTxnMarkersRequest
            {
                Markers =
                [
                    new WritableTxnMarker
                    {
                        ProducerId = transaction.ProducerId,
                        ProducerEpoch = transaction.ProducerEpoch,
                        CoordinatorEpoch = transaction.CoordinatorEpoch,
                        Committed = false,
                        Topics = ByTopic(targets, static target => target.Partition, (topic, items) => new WritableTxnMarkerTopic
                        {
                            Name = topic, Partitions = [.. items.Select(item => item.Partition.Partition)],
                        }),
                    },
                ],
            };
            WriteTxnMarkersResponse response = await _calls.SendAsync<WriteTxnMarkersRequest, WriteTxnMarkersResponse>(leader, request, token);
            foreach (WritableTxnMarkerTopicResult topic in response.Markers.SelectMany(marker => marker.Topics))
            {
                foreach (WritableTxnMarkerPartitionResult partition in topic.Partitions)
                {
                    Conclude(round, new TopicPartition(topic.Name, partition.Index), partition.ErrorCode, message: null, leader, ApiKey.WriteTxnMarkers);
                }
            }
        }
    }

    /// <summary>
    /// Fences the producers of transactional ids: what they have open is aborted, and they can write no more. A producer that is opened
    /// later with the same id works.
    /// </summary>
    /// <param name="transactionalIds">The ids.</param>
    /// <param name="cancellationToken">Ends the wait; producers may still be fenced.</param>
    public Task<IReadOnlyDictionary<string, AdminResult<FencedProducer>>> FenceProducersAsync(
        IReadOnlyCollection<string> transactionalIds, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(transactionalIds);
        return _calls.EachAsync<string, FencedProducer>(
            ApiKey.InitProducerId,
            transactionalIds,
            (round, token) => _calls.AskCoordinatorsAsync(round, AdminCalls.CoordinatorType.Transaction, FenceAsync, token),
            cancellationToken);

        async Task FenceAsync(AdminRound<string, FencedProducer> round, BrokerConnection coordinator, IReadOnlyList<string> targets, CancellationToken token)
        {
            foreach (string transactionalId in targets)
            {
                // The time-out is that of a transaction, which is never begun; the coordinator writes its new epoch within it.
                var request = new InitProducerIdRequest
                {
                    TransactionalId = transactionalId, TransactionTimeoutMilliseconds = _calls.RequestTimeoutMilliseconds,
                };
                InitProducerIdResponse response = await _calls.SendAsync<InitProducerIdRequest, InitProducerIdResponse>(coordinator, request, token);
                if (!round.FailOn(response.ErrorCode, transactionalId, message: null, coordinator, ApiKey.InitProducerId))
                {
                    round.Succeed(transactionalId, new FencedProducer(response.ProducerId, response.ProducerEpoch));
                }
            }
        }
    }

    private static ActiveProducer Describe(DescribedProducer producer) => new(
        producer.ProducerId,
        producer.ProducerEpoch,
        producer.LastSequence,
        producer.LastTimestamp >= 0 ? ConsumerRecord.ToTime(producer.LastTimestamp) : null,
        producer.CoordinatorEpoch >= 0 ? producer.CoordinatorEpoch : null,
        producer.CurrentTxnStartOffset >= 0 ? new Offset(producer.CurrentTxnStartOffset) : null);

    private static TransactionDescription Describe(DescribedTransaction transaction, BrokerAddress coordinator) => new(
        transaction.TransactionalId,
        ToTransactionState(transaction.State),
        transaction.ProducerId,
        transaction.ProducerEpoch,
        TimeSpan.FromMilliseconds(transaction.TransactionTimeoutMilliseconds),
        transaction.TransactionStartTimeMilliseconds >= 0 ? ConsumerRecord.ToTime(transaction.TransactionStartTimeMilliseconds) : null,
        coordinator,
        [.. transaction.Topics.SelectMany(topic => topic.Partitions.Select(partition => new TopicPartition(topic.Topic, partition)))]);

    private static TransactionStatus ToTransactionState(string name) =>
        Enum.TryParse(name, ignoreCase: true, out TransactionStatus state) ? state : TransactionStatus.Unknown;
}
