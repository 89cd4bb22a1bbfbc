using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Where a partition ended when the end of a transaction was decided.</summary>
/// <param name="LeaderEpoch">In which it ended there. A partition that has lost records since has others at their offsets, of a later epoch. Or -1.</param>
/// <param name="TopicId">Whose partition it was: one that is made later under the same name has records of its own. Empty where that is not known.</param>
internal readonly record struct PartitionEnd(Offset Offset, int LeaderEpoch, Guid TopicId = default)
{
    private const int NoLeaderEpoch = -1;

    /// <summary>Nothing is decided, or the partition was deleted by then.</summary>
    public static readonly PartitionEnd None = new(new Offset(-1), NoLeaderEpoch);

    /// <summary>A decision of an older version of this program told no epochs.</summary>
    public PartitionEnd(Offset offset)
        : this(offset, NoLeaderEpoch)
    {
    }

    /// <summary>Whether a transaction of the partition was there when this was decided. What began later is another one.</summary>
    public bool IsBehind(OpenTransaction open) =>
        open.FirstOffset < Offset
        && (LeaderEpoch == NoLeaderEpoch || open.LeaderEpoch <= LeaderEpoch)
        && (TopicId == Guid.Empty || open.TopicId == Guid.Empty || open.TopicId == TopicId);
}
