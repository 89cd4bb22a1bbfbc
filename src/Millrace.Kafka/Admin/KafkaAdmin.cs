using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Describes and changes a cluster: topics, groups, transactions, settings, replicas and access. Each request goes to the broker that
/// answers for it (controller, leader, coordinator, or each broker), in the newest version that both sides have, and is tried again
/// with a fresh picture of the cluster while <see cref="KafkaClientOptions.ApiTimeout"/> lasts.
/// </summary>
/// <remarks>
/// A call for several topics, partitions or groups has an <see cref="AdminResult"/> for each of them, and throws only where it is
/// cancelled, the client is closed, or an argument makes no sense; <see cref="AdminResultExtensions.ThrowIfAnyFailed"/> makes an exception
/// of the first failure. A call that has one answer throws a <see cref="KafkaException"/>. Nothing here creates a topic by asking for it.
/// </remarks>
public sealed partial class KafkaAdmin
{
    private readonly MetadataCache _metadata;
    private readonly AdminCalls _calls;

    internal KafkaAdmin(ClientContext context, ConnectionPool pool, MetadataCache metadata)
    {
        _metadata = metadata;
        _calls = new AdminCalls(context, pool, metadata);
    }

    /// <summary>Describes the cluster by one broker's metadata. Never creates a topic.</summary>
    /// <param name="topics">The topics to describe; null: all; empty: none.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">No broker answers in time.</exception>
    public async Task<ClusterMetadata> DescribeAsync(IReadOnlyCollection<string>? topics = null, CancellationToken cancellationToken = default)
    {
        MetadataResponse response = await _calls.OneAsync(
            ApiKey.Metadata, token => _metadata.QueryAsync(topics, createTopics: false, token), cancellationToken);
        return new ClusterMetadata(
            response.ClusterId,
            response.ControllerId,
            [.. response.Brokers.Select(ClusterView.Describe).OrderBy(broker => broker.Id)],
            [.. response.Topics.Select(ClusterView.Describe).OrderBy(topic => topic.Name, StringComparer.Ordinal)]);
    }

    /// <summary>Describes the cluster with its brokers, those that are fenced included if that is asked for (KIP-1073).</summary>
    /// <param name="includeFencedBrokers">Whether brokers that are registered and not up are listed too. Needs Kafka 4.0.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The cluster's id, its controller, and its brokers by their ids.</returns>
    /// <exception cref="KafkaException">No broker answers in time, or none can list fenced brokers.</exception>
    public Task<ClusterDescription> DescribeClusterAsync(bool includeFencedBrokers = false, CancellationToken cancellationToken = default)
    {
        const short firstVersionWithFencedBrokers = 2;
        return _calls.OneAsync(
            ApiKey.DescribeCluster,
            async token =>
            {
                BrokerConnection broker = await _calls.AnyAsync(token);
                if (!includeFencedBrokers && !broker.Offers(ApiKey.DescribeCluster))
                {
                    // Before Kafka 2.8: the same is in the metadata.
                    MetadataResponse metadata = await _metadata.QueryAsync([], createTopics: false, token);
                    return new ClusterDescription(
                        metadata.ClusterId, metadata.ControllerId, [.. metadata.Brokers.Select(ClusterView.Describe).OrderBy(node => node.Id)], []);
                }

                DescribeClusterResponse response = await _calls.SendAsync<DescribeClusterRequest, DescribeClusterResponse>(
                    broker,
                    new DescribeClusterRequest { IncludeFencedBrokers = includeFencedBrokers },
                    token,
                    includeFencedBrokers ? firstVersionWithFencedBrokers : (short)0);
                ThrowOn(response.ErrorCode, response.ErrorMessage, broker, ApiKey.DescribeCluster);
                return new ClusterDescription(
                    response.ClusterId,
                    response.ControllerId,
                    [
                        .. response.Brokers.Where(node => !node.IsFenced).OrderBy(node => node.BrokerId).Select(DescribeBroker),
                    ],
                    [
                        .. response.Brokers.Where(node => node.IsFenced).OrderBy(node => node.BrokerId).Select(DescribeBroker),
                    ]);
            },
            cancellationToken);
    }

    private static BrokerDescription DescribeBroker(DescribeClusterBroker broker) =>
        new(broker.BrokerId, new BrokerAddress(broker.Host, broker.Port), broker.Rack);

    private static void ThrowOn(ErrorCode error, string? message, BrokerConnection broker, ApiKey api)
    {
        if (error != ErrorCode.None)
        {
            throw AdminErrors.Of(error, $"{broker.Address} answered {api}", message);
        }
    }

    /// <summary>The items by topic, as most requests list them.</summary>
    private static List<TTopic> ByTopic<TTopic, TItem>(
        IEnumerable<TItem> items, Func<TItem, TopicPartition> partitionOf, Func<string, IEnumerable<TItem>, TTopic> create) =>
        [.. items.GroupBy(item => partitionOf(item).Topic).Select(topic => create(topic.Key, topic))];
}
