using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>How far a group has read a partition: the offset of the next record that it wants.</summary>
/// <param name="Offset">Any number that the client chose: Kafka does not check it against the log.</param>
/// <param name="LeaderEpoch">The epoch of the last record that was read, or <see cref="UnknownLeaderEpoch"/>.</param>
/// <param name="Metadata">The client's own note.</param>
/// <param name="CommitTimestamp">Milliseconds since 1970.</param>
internal sealed record CommittedOffset(Offset Offset, int LeaderEpoch, string Metadata, long CommitTimestamp)
{
    public const int UnknownLeaderEpoch = -1;
    public const long NoExpiry = -1;

    /// <summary>When it expires if the client has said so (OffsetCommit 2 to 4), in milliseconds since 1970, or <see cref="NoExpiry"/>.</summary>
    public long ExpireTimestamp { get; init; } = NoExpiry;
}
