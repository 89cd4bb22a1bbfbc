namespace Millrace.Kafka;

/// <summary>What a member does whose application has records in hand and does not poll for <see cref="ConsumerOptions.MaxPollInterval"/>.</summary>
public enum PollTimeoutAction
{
    /// <summary>
    /// Says so, in the log and in the metric <c>millrace.kafka.consumer.poll_timeouts</c>, and stays in the group: a slow handler loses nothing, and a hanging one
    /// holds its partitions up until somebody acts.
    /// </summary>
    Report,

    /// <summary>
    /// Says so, and leaves the group as Java's client does: other members get the partitions, <see cref="IRebalanceListener.OnLostAsync"/> is
    /// called, and what the application still does with its records may be done twice. The next poll joins again.
    /// </summary>
    LeaveGroup,
}
