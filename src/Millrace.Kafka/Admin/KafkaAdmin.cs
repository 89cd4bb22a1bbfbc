using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Creates and describes topics, and looks up offsets. Retries transient errors up to <see cref="KafkaClientOptions.ApiTimeout"/>.</summary>
public sealed class KafkaAdmin
{
    internal KafkaAdmin()
    {
    }

    /// <summary>Creates topics. A topic that exists already is no failure: its result says so.</summary>
    /// <param name="topics">The topics.</param>
    /// <param name="cancellationToken">Ends the wait; topics may still be created.</param>
    /// <returns>One result a topic, in the order given.</returns>
    /// <exception cref="KafkaException">No answer from the controller in time.</exception>
    public Task<IReadOnlyList<CreateTopicResult>> CreateTopicsAsync(
        IReadOnlyCollection<NewTopic> topics,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>Describes the cluster. Never creates a topic.</summary>
    /// <param name="topics">The topics to describe; null: all; empty: none.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">No broker answers in time.</exception>
    public Task<ClusterMetadata> DescribeAsync(IReadOnlyCollection<string>? topics = null, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    /// <summary>Looks up one offset of each partition.</summary>
    /// <param name="partitions">The partitions.</param>
    /// <param name="spec">Which offset: earliest, latest or by time.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The offsets; a partition is absent if no record is as late as the time asked for.</returns>
    /// <exception cref="KafkaException">A partition's leader does not answer in time, or refuses.</exception>
    public Task<IReadOnlyDictionary<TopicPartition, Offset>> ListOffsetsAsync(
        IReadOnlyCollection<TopicPartition> partitions,
        OffsetSpec spec,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();
}
