namespace Millrace.Broker;

/// <summary>What the transaction coordinator reads of the broker's options.</summary>
internal sealed record TransactionSettings
{
    /// <summary>Markers that no other sync has taken along are put on the disk after this, in the background.</summary>
    public static readonly TimeSpan MarkerSyncDelay = TimeSpan.FromSeconds(5);

    /// <summary>When a marker cannot be written because its partition is offline, the next attempt comes after this.</summary>
    public static readonly TimeSpan MarkerRetryDelay = TimeSpan.FromSeconds(1);

    /// <summary>transaction.max.timeout.ms</summary>
    public TimeSpan MaxTimeout { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>transactional.id.expiration.ms</summary>
    public TimeSpan IdExpiration { get; init; } = TimeSpan.FromDays(7);

    /// <summary>transaction.state.log.num.partitions, for when the topic is created.</summary>
    public int StateTopicPartitionCount { get; init; } = 50;
}
