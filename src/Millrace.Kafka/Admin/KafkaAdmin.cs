using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Creates and describes topics, and looks up offsets. Retries transient errors up to <see cref="KafkaClientOptions.ApiTimeout"/>.</summary>
public sealed class KafkaAdmin
{
    private readonly ClientContext _context;
    private readonly ConnectionPool _pool;
    private readonly MetadataCache _metadata;
    private readonly OffsetLookup _lookup;

    internal KafkaAdmin(ClientContext context, ConnectionPool pool, MetadataCache metadata)
    {
        _context = context;
        _pool = pool;
        _metadata = metadata;
        _lookup = new OffsetLookup(context, pool, metadata);
    }

    /// <summary>Creates topics. A topic that exists already is no failure: its result says so.</summary>
    /// <param name="topics">The topics.</param>
    /// <param name="cancellationToken">Ends the wait; topics may still be created.</param>
    /// <returns>One result a topic, in the order given.</returns>
    /// <exception cref="KafkaException">No answer from the controller in time.</exception>
    public async Task<IReadOnlyList<CreateTopicResult>> CreateTopicsAsync(
        IReadOnlyCollection<NewTopic> topics,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(topics);
        var results = new Dictionary<string, CreateTopicResult>();
        await RetryAsync("CreateTopics", async token =>
        {
            NewTopic[] open = [.. topics.Where(topic => !results.ContainsKey(topic.Name))];
            KafkaException? failure = null;
            foreach (CreatableTopicResult result in await CreateAsync(open, token))
            {
                if (KafkaErrors.IsRetriable(result.ErrorCode))
                {
                    failure = new KafkaBrokerException(
                        $"CreateTopics of '{result.Name}': {KafkaErrors.Describe(result.ErrorCode)} {result.ErrorMessage}", result.ErrorCode);
                }
                else
                {
                    results[result.Name] = new CreateTopicResult(result.Name, result.ErrorCode, result.ErrorMessage);
                }
            }

            return failure;
        }, cancellationToken);
        return [.. topics.Select(topic => results.TryGetValue(topic.Name, out CreateTopicResult? result)
            ? result
            : throw new KafkaProtocolException($"The controller left topic '{topic.Name}' out of its answer to CreateTopics."))];
    }

    /// <summary>Describes the cluster. Never creates a topic.</summary>
    /// <param name="topics">The topics to describe; null: all; empty: none.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">No broker answers in time.</exception>
    public async Task<ClusterMetadata> DescribeAsync(IReadOnlyCollection<string>? topics = null, CancellationToken cancellationToken = default)
    {
        MetadataResponse? response = null;
        await RetryAsync("Metadata", async token =>
        {
            response = await _metadata.QueryAsync(topics, createTopics: false, token);
            return null;
        }, cancellationToken);
        return new ClusterMetadata(
            response!.ClusterId,
            response.ControllerId,
            [.. response.Brokers.Select(ClusterView.Describe).OrderBy(broker => broker.Id)],
            [.. response.Topics.Select(ClusterView.Describe).OrderBy(topic => topic.Name, StringComparer.Ordinal)]);
    }

    /// <summary>Looks up one offset of each partition.</summary>
    /// <param name="partitions">The partitions.</param>
    /// <param name="spec">Which offset: earliest, latest or by time.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The offsets; a partition is absent if no record is as late as the time asked for.</returns>
    /// <exception cref="KafkaException">A partition's leader does not answer in time, or refuses.</exception>
    public async Task<IReadOnlyDictionary<TopicPartition, Offset>> ListOffsetsAsync(
        IReadOnlyCollection<TopicPartition> partitions,
        OffsetSpec spec,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        _metadata.Track(partitions.Select(partition => partition.Topic));
        var offsets = new Dictionary<TopicPartition, Offset>();
        var open = new HashSet<TopicPartition>(partitions);
        await RetryAsync("ListOffsets", async token =>
        {
            if (open.Any(partition => !_metadata.View.TryGetLeader(partition, out _, out _)))
            {
                await _metadata.RefreshAsync(token);
            }

            KafkaException? failure = null;
            foreach ((TopicPartition partition, OffsetLookup.Found found) in await _lookup.AskAsync(open, spec.Timestamp, token))
            {
                if (found.Failure is { } failed)
                {
                    failure = OffsetLookup.IsRetriable(failed) ? failed : throw failed;
                    continue;
                }

                open.Remove(partition);
                if (found.Offset is { } offset)
                {
                    offsets[partition] = offset;
                }
            }

            if (failure is not null)
            {
                _metadata.RequestRefresh();
            }

            return failure;
        }, cancellationToken);
        return offsets;
    }

    private async Task<List<CreatableTopicResult>> CreateAsync(NewTopic[] topics, CancellationToken cancellationToken)
    {
        // The controller is in every picture of the cluster; an old one says so itself (NOT_CONTROLLER).
        await _metadata.RefreshAsync(cancellationToken);
        ClusterView view = _metadata.View;
        if (!view.Brokers.TryGetValue(view.ControllerId, out BrokerDescription? controller))
        {
            throw new KafkaBrokerException("The cluster has no controller at the moment.", ErrorCode.NotController);
        }

        BrokerConnection connection = await _pool.GetAsync(controller.Address, ConnectionPurpose.General, cancellationToken);
        var request = new CreateTopicsRequest
        {
            TimeoutMilliseconds = (int)_context.Settings.RequestTimeout.TotalMilliseconds,
            Topics = [.. topics.Select(topic => new CreatableTopic
            {
                Name = topic.Name,
                PartitionCount = topic.PartitionCount,
                ReplicationFactor = topic.ReplicationFactor,
                Configs = [.. topic.Configuration.Select(pair => new CreatableTopicConfig { Name = pair.Key, Value = pair.Value })],
            })],
        };
        CreateTopicsResponse response = await connection.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            request, _context.Settings.RequestTimeout, cancellationToken);
        return response.Topics;
    }

    /// <summary>Tries until an attempt returns no failure.</summary>
    private async Task RetryAsync(string api, Func<CancellationToken, Task<KafkaException?>> attempt, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(_context.Settings.ApiTimeout, _context.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        KafkaException? lastFailure = null;
        try
        {
            for (int failureCount = 1; ; failureCount++)
            {
                try
                {
                    lastFailure = await attempt(linked.Token);
                    if (lastFailure is null)
                    {
                        return;
                    }
                }
                catch (KafkaException failure) when (failure.IsTransient)
                {
                    lastFailure = failure;
                }

                await Task.Delay(_context.RetryBackoff.After(failureCount), _context.Time, linked.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new KafkaTimeoutException(
                $"{api} did not succeed within {_context.Settings.ApiTimeout} ({nameof(KafkaClientOptions.ApiTimeout)}). {lastFailure?.Message}",
                lastFailure?.ErrorCode ?? ErrorCode.None,
                lastFailure);
        }
    }
}
