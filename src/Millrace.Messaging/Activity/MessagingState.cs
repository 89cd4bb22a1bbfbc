namespace Millrace;

/// <summary>What the endpoints of this process are doing, at one moment.</summary>
/// <param name="RunningCount">Messages with a handler, and partitions that are being prepared for theirs.</param>
/// <param name="DelayedCount">Messages that failed and wait for their next attempt. What waits behind them for its turn is not counted.</param>
/// <param name="NextRetry">When the first of those is due, by the application's clock; null when none waits.</param>
/// <param name="UnassignedPartitionCount">Partitions of the endpoints' topics that this process does not have: it joins its groups, or shares them.</param>
/// <param name="UnreadCount">Records in the log that the endpoints have not taken in; null when it was not asked for, since something was running.</param>
public sealed record MessagingState(int RunningCount, int DelayedCount, DateTimeOffset? NextRetry, int UnassignedPartitionCount, long? UnreadCount)
{
    /// <summary>
    /// Whether everything that was in the log has been handled, but for what waits for its next attempt: nothing runs, and
    /// nothing is unread in any partition of any endpoint's topics.
    /// </summary>
    public bool IsQuiet => RunningCount == 0 && UnassignedPartitionCount == 0 && UnreadCount == 0;
}
