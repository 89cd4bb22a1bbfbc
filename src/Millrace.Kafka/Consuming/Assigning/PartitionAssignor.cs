namespace Millrace.Kafka;

/// <summary>How the leader of a group shares out partitions. Each works in one group with members of Java's client, of librdkafka, and of others that know its name.</summary>
public enum PartitionAssignor
{
    /// <summary>Kafka's <c>range</c>: per topic, contiguous ranges; topics with equal partition counts are co-partitioned.</summary>
    Range,

    /// <summary>Kafka's <c>roundrobin</c>: all partitions of all topics dealt out in turn.</summary>
    RoundRobin,

    /// <summary>
    /// Kafka's <c>sticky</c> (KIP-54): balanced, and each member keeps what it had as far as balance allows. All members still give up
    /// everything for each rebalance.
    /// </summary>
    Sticky,

    /// <summary>
    /// Kafka's <c>cooperative-sticky</c> (KIP-429): shared out as by <see cref="Sticky"/>, and members give up only what goes to another one; the
    /// rest is read on during the rebalance. It does so where it is the only one of <see cref="ConsumerOptions.Assignors"/>; in a list with
    /// others the member gives up everything each time, so that a group can be moved to it one member after the other.
    /// </summary>
    CooperativeSticky,

    /// <summary>
    /// kafkajs's <c>RoundRobinAssigner</c>: as <see cref="RoundRobin"/>, under the name that members of that client have by default. For groups
    /// in which they take part.
    /// </summary>
    KafkaJsRoundRobin,
}
