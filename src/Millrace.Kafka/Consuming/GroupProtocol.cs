namespace Millrace.Kafka;

/// <summary>Kafka's <c>group.protocol</c>: how members of a group and its coordinator agree on who reads what.</summary>
public enum GroupProtocol
{
    /// <summary>The members' leader shares out partitions by <see cref="ConsumerOptions.Assignors"/>. Every broker has it.</summary>
    Classic,

    /// <summary>
    /// The coordinator shares out partitions (KIP-848, Apache Kafka 4.0 and later), one member after the other, without a stop for all. Where the
    /// coordinator does not offer it, or refuses it for this group, the member falls back to <see cref="Classic"/> and says so in the log.
    /// </summary>
    Consumer,
}
