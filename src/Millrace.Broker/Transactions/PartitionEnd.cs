using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>Where a partition ended when the end of a transaction was decided.</summary>
/// <param name="LeaderEpoch">In which it ended there. A partition that has lost records since has others at their offsets, of a later epoch. Or -1.</param>
internal readonly record struct PartitionEnd(Offset Offset, int LeaderEpoch)
{
    private const int NoLeaderEpoch = -1;

    /// <summary>Nothing is decided, or the partition was deleted by then.</summary>
    public static readonly PartitionEnd None = new(new Offset(-1), NoLeaderEpoch);

    /// <summary>A decision of an older version of this program told no epochs.</summary>
    public PartitionEnd(Offset offset)
        : this(offset, NoLeaderEpoch)
    {
    }

    /// <summary>Whether a transaction that began there, in that leader epoch, was there when this was decided. What began later is another one.</summary>
    public bool IsBehind(Offset firstOffset, int leaderEpoch) =>
        firstOffset < Offset && (LeaderEpoch == NoLeaderEpoch || leaderEpoch <= LeaderEpoch);
}
