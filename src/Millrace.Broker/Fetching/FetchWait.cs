using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>Waits until a fetch could read more than it has.</summary>
internal sealed class FetchWait(FetchOperation fetch) : PartitionWait
{
    public override IReadOnlyList<TopicPartition> Partitions => fetch.Partitions;

    public override bool EndsAtStop => true;

    public override bool IsSatisfied() => fetch.HasProgressed;
}
