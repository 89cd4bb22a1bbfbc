using System.Collections.Immutable;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// What has to be known of a decision so that its markers can be written again, and the partitions in which they may be missing. It stands in every later record of the
/// transactional id for as long as that is so: a later decision takes the place of the earlier one, and compaction its record.
/// </summary>
/// <param name="Producer">In whose name the markers are.</param>
internal sealed record OwedMarkers(ProducerIdentity Producer, bool IsCommit, ImmutableSortedDictionary<TopicPartition, PartitionEnd> Partitions)
{
    /// <summary>All that a decision has to write.</summary>
    public static OwedMarkers Of(TransactionState decision) => new(decision.Producer, decision.IsCommit, decision.Partitions);

    /// <summary>What is left of decisions in the partitions in which their markers may be missing. Where no end is known, nothing could be told by it later.</summary>
    public static List<OwedMarkers> LeftOf(IEnumerable<OwedMarkers> decisions, IEnumerable<TopicPartition> doubtful)
    {
        // A transaction may go over thousands of partitions, and each record of the next one asks for those of the one before.
        HashSet<TopicPartition> partitions = [.. doubtful];
        return [.. decisions.Select(decision => decision.In(partitions)).OfType<OwedMarkers>()];
    }

    private OwedMarkers? In(HashSet<TopicPartition> partitions)
    {
        var rest = Partitions.Where(entry => entry.Value != PartitionEnd.None && partitions.Contains(entry.Key)).ToImmutableSortedDictionary(TopicPartition.Order);
        return rest.IsEmpty ? null : this with { Partitions = rest };
    }

    /// <summary>Whether another one says all that this one says.</summary>
    public bool IsPartOf(OwedMarkers other) =>
        Producer == other.Producer && IsCommit == other.IsCommit
        && Partitions.All(entry => other.Partitions.TryGetValue(entry.Key, out PartitionEnd end) && end == entry.Value);

    /// <summary>Whether a transaction that a partition has open is the one that was decided.</summary>
    public bool Covers(Millrace.Log.OpenTransaction open, TopicPartition partition) =>
        Producer.Id == open.Producer.Id && Partitions.TryGetValue(partition, out PartitionEnd end) && end.IsBehind(open);
}
