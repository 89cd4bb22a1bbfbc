using Millrace.Kafka.Records;
using Millrace.Log;

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

    /// <summary>The log as it was when the commit came, by the broker's own knowledge; null where a record does not say it.</summary>
    public CommitOrigin? Origin { get; init; }

    /// <summary>
    /// What is left of it in the log as it is now; null if it was committed of another topic, which had the same name. Each epoch after the commit began where the log ended
    /// then: what was committed beyond that was of records that are lost.
    /// </summary>
    public CommittedOffset? In(PartitionLog log)
    {
        if (Origin is not { } origin)
        {
            return this;
        }

        // A partition that could not be read since the start does not know whose it is: what was committed stands until it is back, and what is committed meanwhile, too.
        if (origin.TopicId != log.TopicId && log.TopicId != Guid.Empty && origin.TopicId != Guid.Empty)
        {
            return null;
        }

        // The first of the later ones began at the lowest offset: an epoch that begins below another takes its place.
        foreach (LeaderEpochStart epoch in log.LeaderEpochs)
        {
            if (epoch.Epoch > origin.LeaderEpoch)
            {
                return epoch.StartOffset < Offset ? this with { Offset = epoch.StartOffset, LeaderEpoch = UnknownLeaderEpoch } : this;
            }
        }

        return this;
    }
}
