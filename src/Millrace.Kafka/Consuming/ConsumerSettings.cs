namespace Millrace.Kafka;

/// <summary>What <see cref="ConsumerOptions"/> said when the consumer was created, checked.</summary>
internal sealed record ConsumerSettings(
    string? GroupId,
    TimeSpan SessionTimeout,
    TimeSpan HeartbeatInterval,
    TimeSpan RebalanceTimeout,
    AutoOffsetReset AutoOffsetReset,
    IReadOnlyList<PartitionAssignor> Assignors,
    int FetchMinByteCount,
    TimeSpan FetchMaxWait,
    int FetchMaxByteCount,
    int PartitionFetchMaxByteCount,
    long PrefetchByteCount,
    int MaxDecompressedBatchByteCount,
    TimeSpan CloseTimeout)
{
    private const int HeartbeatsPerSession = 3;

    public static ConsumerSettings From(ConsumerOptions options)
    {
        OptionChecks.AtLeast(options.HeartbeatInterval, TimeSpan.FromMilliseconds(1), nameof(options.HeartbeatInterval));
        OptionChecks.AtLeast(options.RebalanceTimeout, TimeSpan.FromMilliseconds(1), nameof(options.RebalanceTimeout));
        OptionChecks.AtLeast(options.FetchMinByteCount, 0, nameof(options.FetchMinByteCount));
        OptionChecks.AtLeast(options.FetchMaxWait, TimeSpan.Zero, nameof(options.FetchMaxWait));
        OptionChecks.AtLeast(options.FetchMaxByteCount, 1, nameof(options.FetchMaxByteCount));
        OptionChecks.AtLeast(options.PartitionFetchMaxByteCount, 1, nameof(options.PartitionFetchMaxByteCount));
        OptionChecks.AtLeast(options.PrefetchByteCount, 1, nameof(options.PrefetchByteCount));
        OptionChecks.AtLeast(options.MaxDecompressedBatchByteCount, 1, nameof(options.MaxDecompressedBatchByteCount));
        OptionChecks.AtLeast(options.CloseTimeout, TimeSpan.Zero, nameof(options.CloseTimeout));
        if (options.GroupId is { Length: 0 })
        {
            throw new ArgumentException($"{nameof(options.GroupId)} is empty. Name the group, or leave it null for a consumer without one.", nameof(options));
        }

        if (options.HeartbeatInterval * HeartbeatsPerSession > options.SessionTimeout)
        {
            throw new ArgumentException(
                $"{nameof(options.HeartbeatInterval)} is {options.HeartbeatInterval}; it must be at most a third of {nameof(options.SessionTimeout)} " +
                $"({options.SessionTimeout}), so that one lost heartbeat does not end the membership.",
                nameof(options));
        }

        if (options.Assignors is not { Count: > 0 } || options.Assignors.Any(assignor => !Enum.IsDefined(assignor)))
        {
            throw new ArgumentException($"{nameof(options.Assignors)} must hold at least one of Range and RoundRobin, and nothing else.", nameof(options));
        }

        return new ConsumerSettings(
            options.GroupId,
            options.SessionTimeout,
            options.HeartbeatInterval,
            options.RebalanceTimeout,
            options.AutoOffsetReset,
            [.. options.Assignors.Distinct()],
            options.FetchMinByteCount,
            options.FetchMaxWait,
            options.FetchMaxByteCount,
            options.PartitionFetchMaxByteCount,
            options.PrefetchByteCount,
            options.MaxDecompressedBatchByteCount,
            options.CloseTimeout);
    }
}
