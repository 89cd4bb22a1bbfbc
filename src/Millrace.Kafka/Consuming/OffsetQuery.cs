using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Offsets that the application asks for, with retries.</summary>
internal sealed class OffsetQuery(ClientContext context, ConnectionPool pool, MetadataCache metadata, IsolationLevel isolationLevel)
{
    private readonly OffsetLookup _lookup = new(context, pool, metadata, isolationLevel);

    /// <summary>Asks for one offset of each partition, by the timestamp that stands for it.</summary>
    /// <exception cref="KafkaException">A leader does not answer in time, or refuses.</exception>
    public async Task<Dictionary<TopicPartition, OffsetLookup.Found>> AskAsync(
        IReadOnlyDictionary<TopicPartition, long> timestamps, CancellationToken cancellationToken)
    {
        metadata.Track(timestamps.Keys.Select(partition => partition.Topic));
        using var deadline = new CancellationTokenSource(context.Settings.ApiTimeout, context.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        var found = new Dictionary<TopicPartition, OffsetLookup.Found>();
        KafkaException? lastFailure = null;
        try
        {
            for (int failureCount = 1; found.Count < timestamps.Count; failureCount++)
            {
                lastFailure = await TryAskAsync(timestamps, found, linked.Token);
                if (lastFailure is not null)
                {
                    metadata.RequestRefresh();
                    await Task.Delay(context.RetryBackoff.After(failureCount), context.Time, linked.Token);
                }
            }

            return found;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new KafkaTimeoutException(
                $"ListOffsets of {string.Join(", ", timestamps.Keys.Where(partition => !found.ContainsKey(partition)))} did not succeed within {context.Settings.ApiTimeout} " +
                $"({nameof(KafkaClientOptions.ApiTimeout)}). {lastFailure?.Message ?? "No leader has answered."}",
                lastFailure?.ErrorCode ?? ErrorCode.None,
                lastFailure);
        }
    }

    /// <summary>Asks once for what is not found yet. Returns a failure that may pass.</summary>
    private async Task<KafkaException?> TryAskAsync(
        IReadOnlyDictionary<TopicPartition, long> timestamps, Dictionary<TopicPartition, OffsetLookup.Found> found, CancellationToken cancellationToken)
    {
        KafkaException? failure = null;
        TopicPartition[] open = [.. timestamps.Keys.Where(partition => !found.ContainsKey(partition))];
        if (!Array.TrueForAll(open, partition => metadata.View.TryGetLeader(partition, out _, out _)))
        {
            try
            {
                await metadata.RefreshAsync(cancellationToken);
            }
            catch (KafkaException refused) when (refused.IsTransient)
            {
                return refused;
            }
        }

        foreach (IGrouping<long, TopicPartition> asked in open.GroupBy(partition => timestamps[partition]))
        {
            foreach ((TopicPartition partition, OffsetLookup.Found answer) in await _lookup.AskAsync([.. asked], asked.Key, cancellationToken))
            {
                if (answer.Failure is null)
                {
                    found[partition] = answer;
                }
                else
                {
                    failure = OffsetLookup.IsRetriable(answer.Failure) ? answer.Failure : throw answer.Failure;
                }
            }
        }

        return failure;
    }
}
