using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Reads records, as a member of a group (<see cref="SubscribeAsync"/>) or from partitions of the caller's choice (<see cref="Assign"/>).
/// Heartbeats, rebalances and fetching run in the background, whatever the application does. Members may be called from any thread;
/// poll from one place at a time. Nothing is committed by itself.
/// </summary>
public sealed class KafkaConsumer : IAsyncDisposable
{
    internal KafkaConsumer()
    {
    }

    /// <summary>The partitions that are this consumer's now.</summary>
    public IReadOnlyCollection<TopicPartition> Assignment => throw new NotSupportedException();

    /// <summary>
    /// The group metadata of the member's latest join, empty without one: group, generation (-1) and member id. Identifies the owner in logs.
    /// </summary>
    public ConsumerGroupMetadata GroupMetadata => throw new NotSupportedException();

    /// <summary>
    /// Joins the group of <see cref="ConsumerOptions.GroupId"/>, and completes when the first assignment is in place and its
    /// <see cref="IRebalanceListener.OnAssignedAsync"/> is over. Later rebalances run in the background.
    /// </summary>
    /// <param name="topics">The topics. Calling again changes them.</param>
    /// <param name="listener">Hears of partitions that come and go; null if nobody does.</param>
    /// <param name="cancellationToken">Ends the wait only; the consumer goes on joining.</param>
    /// <exception cref="InvalidOperationException">No group id, or partitions were assigned by hand.</exception>
    /// <exception cref="KafkaException">The coordinator refuses the member for good.</exception>
    public Task SubscribeAsync(
        IReadOnlyCollection<string> topics,
        IRebalanceListener? listener = null,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>Reads exactly these partitions from these offsets, without membership. Replaces what was assigned before.</summary>
    /// <param name="partitions">
    /// Where to start. A negative offset takes the group's committed offset, if there is a group and a commit, and else
    /// <see cref="ConsumerOptions.AutoOffsetReset"/>.
    /// </param>
    /// <exception cref="InvalidOperationException">The consumer is subscribed.</exception>
    public void Assign(IReadOnlyCollection<TopicPartitionOffset> partitions) => throw new NotSupportedException();

    /// <summary>
    /// Hands out records that are ready, in offset order per partition, and otherwise waits for the first. Their positions move past them
    /// with the call.
    /// </summary>
    /// <param name="maxRecords">At most so many records, at least one. Default 500, as Kafka's <c>max.poll.records</c>.</param>
    /// <param name="cancellationToken">Ends the wait; no record is lost by it.</param>
    /// <returns>At least one record.</returns>
    /// <exception cref="OperationCanceledException">Cancelled before a record came.</exception>
    /// <exception cref="KafkaOffsetOutOfRangeException">A partition has no usable position and may not be reset. Other partitions go on with the next call.</exception>
    /// <exception cref="KafkaCorruptBatchException">A batch cannot be read. Other partitions go on with the next call.</exception>
    /// <exception cref="KafkaException">The consumer cannot go on: not authorised, or refused by the coordinator for good.</exception>
    public ValueTask<IReadOnlyList<ConsumerRecord>> PollAsync(int maxRecords = 500, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    /// <summary>The records of <see cref="PollAsync"/> one by one, without end.</summary>
    /// <param name="cancellationToken">Ends the enumeration with <see cref="OperationCanceledException"/>.</param>
    public IAsyncEnumerable<ConsumerRecord> ConsumeAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>Stops handing out and fetching records of these partitions; their positions stay. Lasts until resumed or revoked.</summary>
    /// <param name="partitions">Assigned partitions; others are ignored.</param>
    public void Pause(IReadOnlyCollection<TopicPartition> partitions) => throw new NotSupportedException();

    /// <summary>Undoes <see cref="Pause"/>.</summary>
    /// <param name="partitions">Assigned partitions; others are ignored.</param>
    public void Resume(IReadOnlyCollection<TopicPartition> partitions) => throw new NotSupportedException();

    /// <summary>
    /// Goes on reading at another offset. The next poll hands out nothing that was fetched before the seek, however the responses race.
    /// </summary>
    /// <param name="partition">An assigned partition.</param>
    /// <param name="offset">The next offset to read.</param>
    /// <exception cref="InvalidOperationException">The partition is not assigned.</exception>
    public ValueTask SeekAsync(TopicPartition partition, Offset offset) => throw new NotSupportedException();

    /// <summary>The next offset that a poll hands out, or null while it is not known yet, or when the partition is not assigned.</summary>
    /// <param name="partition">A partition.</param>
    public Offset? Position(TopicPartition partition) => throw new NotSupportedException();

    /// <summary>
    /// Stores offsets with the group. Completes when the coordinator has them. Retries while that is safe. Within a membership the commit
    /// is fenced by the generation.
    /// </summary>
    /// <param name="offsets">The next offset to read of each partition.</param>
    /// <param name="cancellationToken">Ends the wait; the offsets may still be stored.</param>
    /// <exception cref="KafkaGroupFencedException">The partitions may belong to another member by now.</exception>
    /// <exception cref="KafkaTimeoutException">No answer within <see cref="KafkaClientOptions.ApiTimeout"/>, retries included.</exception>
    /// <exception cref="KafkaBrokerException">Refused, for instance <see cref="Protocol.ErrorCode.OffsetMetadataTooLarge"/>.</exception>
    /// <exception cref="InvalidOperationException">The consumer has no group.</exception>
    public Task CommitAsync(IReadOnlyCollection<TopicPartitionOffset> offsets, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    /// <summary>Looks up what the group has committed.</summary>
    /// <param name="partitions">Any partitions.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The commits; partitions without one are absent.</returns>
    /// <exception cref="KafkaException">The coordinator cannot be reached in time or refuses.</exception>
    /// <exception cref="InvalidOperationException">The consumer has no group.</exception>
    public Task<IReadOnlyDictionary<TopicPartition, TopicPartitionOffset>> CommittedAsync(
        IReadOnlyCollection<TopicPartition> partitions,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>
    /// Calls <see cref="IRebalanceListener.OnRevokedAsync"/>, leaves the group so that others get the partitions at once, and closes. All
    /// that takes at most <see cref="ConsumerOptions.CloseTimeout"/>.
    /// </summary>
    public ValueTask DisposeAsync() => throw new NotSupportedException();
}

/// <summary>Which membership a consumer holds.</summary>
/// <param name="GroupId">The group; empty without one.</param>
/// <param name="GenerationId">The generation of the latest join; -1 outside of one.</param>
/// <param name="MemberId">The member id; empty outside of a membership.</param>
public sealed record ConsumerGroupMetadata(string GroupId, int GenerationId, string MemberId);
