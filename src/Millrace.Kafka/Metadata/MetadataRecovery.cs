namespace Millrace.Kafka;

/// <summary>What a client does when none of the brokers that it knows answers. Kafka: <c>metadata.recovery.strategy</c> (KIP-899).</summary>
public enum MetadataRecovery
{
    /// <summary>It begins again from its bootstrap servers: a cluster whose brokers have all moved is found again.</summary>
    Rebootstrap,

    /// <summary>It goes on asking the brokers that it knows.</summary>
    None,
}
