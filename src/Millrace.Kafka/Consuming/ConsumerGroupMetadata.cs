namespace Millrace.Kafka;

/// <summary>
/// Which membership a consumer holds: what fences its commits, those in a transaction included (KIP-447). That of <see cref="KafkaConsumer.GroupMetadata"/> also knows up to when the
/// consumer had handed out records: in a transaction it stands for the partitions that have been the consumer's without a gap since, whatever generation the group is in.
/// </summary>
/// <param name="GroupId">The group; empty without one.</param>
/// <param name="GenerationId">The generation of the latest join, or the member epoch in the protocol of KIP-848; -1 before the first.</param>
/// <param name="MemberId">The member id of the latest join; empty before the first.</param>
/// <param name="GroupInstanceId">The name of a static member (KIP-345); null for others.</param>
public sealed record ConsumerGroupMetadata(string GroupId, int GenerationId, string MemberId, string? GroupInstanceId = null)
{
    private KafkaConsumer? _consumer;
    private ConsumerGroupMetadata? _original;
    private long _handedOutAs;

    /// <summary>Whether the group, the generation and the member are the same.</summary>
    public bool Equals(ConsumerGroupMetadata? other) =>
        other is not null && GroupId == other.GroupId && GenerationId == other.GenerationId && MemberId == other.MemberId && GroupInstanceId == other.GroupInstanceId;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(GroupId, GenerationId, MemberId, GroupInstanceId);

    internal static ConsumerGroupMetadata None(ConsumerSettings settings) => new(settings.GroupId ?? "", -1, "", settings.GroupInstanceId);

    /// <summary>The same, which stands for the records that a consumer had handed out up to an assignment.</summary>
    internal ConsumerGroupMetadata Of(KafkaConsumer consumer, long handedOutAs) =>
        this with { _consumer = consumer, _original = this, _handedOutAs = handedOutAs };

    /// <summary>
    /// What the coordinator is told of who commits. A consumer's own is the membership of now: partitions that stay through a rebalance can be committed under the newer generation only,
    /// and those that did not stay are refused here, since under that one the coordinator would accept them. What the caller has made up or changed goes out as it is.
    /// </summary>
    /// <exception cref="KafkaGroupFencedException">The partitions have not been the consumer's without a gap since the records were handed out.</exception>
    internal ConsumerGroupMetadata Renew(IReadOnlyCollection<TopicPartitionOffset> offsets) =>
        _consumer is not null && Equals(_original) ? _consumer.RenewMembership(offsets, _handedOutAs) : this;
}
