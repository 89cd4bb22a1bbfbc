namespace Millrace.Kafka;

/// <summary>What <see cref="ConsumerOptions"/> said when the consumer was created, checked.</summary>
internal sealed record ConsumerSettings(
    string? GroupId,
    string? GroupInstanceId,
    GroupProtocol GroupProtocol,
    string? GroupRemoteAssignor,
    TimeSpan SessionTimeout,
    TimeSpan HeartbeatInterval,
    TimeSpan RebalanceTimeout,
    TimeSpan MaxPollInterval,
    PollTimeoutAction PollTimeoutAction,
    AutoOffsetReset AutoOffsetReset,
    IReadOnlyList<PartitionAssignor> Assignors,
    int FetchMinByteCount,
    TimeSpan FetchMaxWait,
    int FetchMaxByteCount,
    int PartitionFetchMaxByteCount,
    long PrefetchByteCount,
    int MaxDecompressedBatchByteCount,
    TimeSpan CloseTimeout,
    IsolationLevel IsolationLevel,
    string ClientRack,
    TimeSpan? AutoOffsetResetDuration)
{
    private const int HeartbeatsPerSession = 3;

    /// <summary>As the broker bounds it.</summary>
    private const int MaxInstanceIdLength = 249;

    public static ConsumerSettings From(ConsumerOptions options)
    {
        OptionChecks.AtLeast(options.HeartbeatInterval, TimeSpan.FromMilliseconds(1), nameof(options.HeartbeatInterval));
        OptionChecks.AtLeast(options.SessionTimeout, TimeSpan.FromMilliseconds(1), nameof(options.SessionTimeout));
        OptionChecks.AtLeast(options.RebalanceTimeout, TimeSpan.FromMilliseconds(1), nameof(options.RebalanceTimeout));
        OptionChecks.AtLeast(options.MaxPollInterval, TimeSpan.FromMilliseconds(1), nameof(options.MaxPollInterval));
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
            throw new ArgumentException(
                $"{nameof(options.Assignors)} must hold at least one of {string.Join(", ", Enum.GetNames<PartitionAssignor>())}, and nothing else.", nameof(options));
        }

        CheckGroup(options);
        if ((options.AutoOffsetReset == AutoOffsetReset.ByDuration) != options.AutoOffsetResetDuration.HasValue || options.AutoOffsetResetDuration < TimeSpan.Zero)
        {
            throw new ArgumentException(
                $"{nameof(options.AutoOffsetReset)} is {options.AutoOffsetReset} and {nameof(options.AutoOffsetResetDuration)} is {options.AutoOffsetResetDuration?.ToString() ?? "not set"}; " +
                $"{nameof(AutoOffsetReset.ByDuration)} needs a duration of zero or more, and the others have none.",
                nameof(options));
        }

        return new ConsumerSettings(
            options.GroupId,
            options.GroupInstanceId,
            options.GroupProtocol,
            options.GroupRemoteAssignor,
            options.SessionTimeout,
            options.HeartbeatInterval,
            options.RebalanceTimeout,
            options.MaxPollInterval,
            options.PollTimeoutAction,
            options.AutoOffsetReset,
            [.. options.Assignors.Distinct()],
            options.FetchMinByteCount,
            options.FetchMaxWait,
            options.FetchMaxByteCount,
            options.PartitionFetchMaxByteCount,
            options.PrefetchByteCount,
            options.MaxDecompressedBatchByteCount,
            options.CloseTimeout,
            options.IsolationLevel,
            options.ClientRack ?? "",
            options.AutoOffsetResetDuration);
    }

    private static void CheckGroup(ConsumerOptions options)
    {
        if (options.GroupInstanceId is { } name && (name.Length is 0 or > MaxInstanceIdLength || options.GroupId is null))
        {
            throw new ArgumentException(
                $"{nameof(options.GroupInstanceId)} is '{name}'; it must have 1 to {MaxInstanceIdLength} characters, and needs {nameof(options.GroupId)}.", nameof(options));
        }

        if (!Enum.IsDefined(options.GroupProtocol) || !Enum.IsDefined(options.PollTimeoutAction))
        {
            throw new ArgumentException($"{nameof(options.GroupProtocol)} or {nameof(options.PollTimeoutAction)} is none of its values.", nameof(options));
        }

        if (options.GroupRemoteAssignor is not null && options.GroupProtocol != GroupProtocol.Consumer)
        {
            throw new ArgumentException(
                $"{nameof(options.GroupRemoteAssignor)} is '{options.GroupRemoteAssignor}', which only {nameof(GroupProtocol)}.{nameof(GroupProtocol.Consumer)} asks for. " +
                $"Set {nameof(options.GroupProtocol)} too, or choose by {nameof(options.Assignors)}.",
                nameof(options));
        }
    }
}
