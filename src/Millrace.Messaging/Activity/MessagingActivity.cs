using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// Says whether the application is quiet, for tests that wait for all that follows from what they did. A service of the
/// host.
/// </summary>
/// <remarks>
/// <para>Quiet is exact while nobody outside of handlers publishes. A handler's messages are durable before its message is
/// done, so that at any moment each piece of work is running, or in the log. The endpoints are seen idle first, then the
/// broker is asked for the ends of all partitions, then the endpoints are asked whether anything has happened in between:
/// nothing can have passed from the one to the other unseen.</para>
/// <para>It takes the application to have all partitions: with another instance in its groups it is never quiet.</para>
/// </remarks>
public sealed class MessagingActivity
{
    private TaskCompletionSource? _changed;
    private IReadOnlyList<EndpointRunner>? _runners;
    private IReadOnlyList<EndpointRunner> _started = [];
    private KafkaAdmin? _admin;
    private TopicCreator? _topics;

    internal MessagingActivity()
    {
    }

    /// <summary>Looks at all endpoints, and at the log if nothing runs.</summary>
    /// <param name="cancellationToken">Ends the look.</param>
    /// <exception cref="MillraceNotRunningException">The host has not started, or has stopped.</exception>
    /// <exception cref="KafkaException">The log does not answer in time.</exception>
    public async Task<MessagingState> ReadAsync(CancellationToken cancellationToken = default)
    {
        IReadOnlyList<EndpointRunner> runners = _runners
            ?? throw new MillraceNotRunningException("The host does not run, so that there is nothing to wait for. Start it first (await host.StartAsync()).");
        List<EndpointSnapshot> snapshots = [.. runners.Select(runner => runner.Look())];
        MessagingState state = new(
            snapshots.Sum(snapshot => snapshot.RunningCount), snapshots.Sum(snapshot => snapshot.DelayedCount),
            snapshots.Min(snapshot => snapshot.NextRetry), UnassignedPartitionCount: 0, UnreadCount: null);
        if (state.RunningCount > 0) return state;

        state = state with { UnassignedPartitionCount = await CountUnassignedAsync(runners, snapshots, cancellationToken) };
        if (state.UnassignedPartitionCount > 0) return state;

        long unreadCount = await CountUnreadAsync(runners, snapshots, cancellationToken);
        // What has happened since is running, done, or waiting by now: only another look tells.
        bool isStable = runners.Zip(snapshots).All(pair => pair.First.Look().Version == pair.Second.Version);
        return state with { UnreadCount = isStable ? unreadCount : null };
    }

    /// <summary>Waits until the application is quiet. What waits for its next attempt is not waited for: the state says when it is due.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="MillraceNotRunningException">The host has not started, or has stopped.</exception>
    /// <exception cref="KafkaException">The log does not answer in time.</exception>
    public async Task<MessagingState> WaitUntilQuietAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            // Taken before the look: a change during the look must not be slept through.
            Task changed = NextChange();
            MessagingState state = await ReadAsync(cancellationToken);
            if (state.IsQuiet) return state;
            await changed.WaitAsync(cancellationToken);
        }
    }

    /// <summary>
    /// Waits until no handler runs. Unlike quiet it does not ask the log, and it works while the host stops and after: what
    /// did not end in time may still run then.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task WaitUntilIdleAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            Task changed = NextChange();
            if (_started.All(runner => runner.Look().RunningCount == 0)) return;
            await changed.WaitAsync(cancellationToken);
        }
    }

    internal void Start(IReadOnlyList<EndpointRunner> runners, KafkaAdmin admin, TopicCreator topics)
    {
        _admin = admin;
        _topics = topics;
        _started = [.. runners];
        _runners = runners;
    }

    internal void Stop()
    {
        _runners = null;
        OnChanged();
    }

    /// <summary>An endpoint did something.</summary>
    internal void OnChanged()
    {
        if (Volatile.Read(ref _changed) is null) return;
        Interlocked.Exchange(ref _changed, null)?.TrySetResult();
    }

    private Task NextChange()
    {
        TaskCompletionSource mine = new(TaskCreationOptions.RunContinuationsAsynchronously);
        return (Interlocked.CompareExchange(ref _changed, mine, null) ?? mine).Task;
    }

    private async Task<int> CountUnassignedAsync(
        IReadOnlyList<EndpointRunner> runners, List<EndpointSnapshot> snapshots, CancellationToken cancellationToken)
    {
        IReadOnlyDictionary<string, int> counts = await _topics!.CountPartitionsAsync(
            [.. runners.SelectMany(runner => runner.Topics).Distinct(StringComparer.Ordinal)], cancellationToken);
        return runners.Zip(snapshots).Sum(pair => pair.First.Topics.Sum(topic => counts[topic]) - pair.Second.Positions.Count);
    }

    private async Task<long> CountUnreadAsync(
        IReadOnlyList<EndpointRunner> runners, List<EndpointSnapshot> snapshots, CancellationToken cancellationToken)
    {
        IReadOnlyDictionary<TopicPartition, Offset> ends = await _admin!.ListOffsetsAsync(
            [.. snapshots.SelectMany(snapshot => snapshot.Positions.Keys).Distinct()], OffsetSpec.Latest, cancellationToken);
        long count = 0;
        foreach ((EndpointRunner runner, EndpointSnapshot snapshot) in runners.Zip(snapshots))
        {
            List<TopicPartition> untouched =
                [.. snapshot.Positions.Where(position => position.Value is null && ends[position.Key] > Offset.Zero).Select(position => position.Key)];
            IReadOnlyDictionary<TopicPartition, Offset> starts = await FindStartsAsync(runner, untouched, cancellationToken);
            foreach ((TopicPartition partition, Offset? position) in snapshot.Positions)
            {
                Offset reached = position ?? starts.GetValueOrDefault(partition, Offset.Zero);
                count += Math.Max(0, ends[partition].Value - reached.Value);
            }
        }

        return count;
    }

    /// <summary>Where an endpoint starts to read partitions of which it has taken nothing in.</summary>
    private async Task<IReadOnlyDictionary<TopicPartition, Offset>> FindStartsAsync(
        EndpointRunner runner, List<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        if (partitions.Count == 0) return new Dictionary<TopicPartition, Offset>();
        Dictionary<TopicPartition, Offset> starts =
            new(await _admin!.ListOffsetsAsync(partitions, OffsetSpec.Earliest, cancellationToken));
        foreach ((TopicPartition partition, TopicPartitionOffset committed) in await runner.CommittedAsync(partitions, cancellationToken))
            starts[partition] = Offset.Max(committed.Offset, starts[partition]);
        return starts;
    }
}

/// <summary>One endpoint at one moment.</summary>
/// <param name="Version">Another number whenever anything has happened.</param>
/// <param name="RunningCount">What runs, is about to, or is being prepared.</param>
/// <param name="DelayedCount">What waits for its next attempt.</param>
/// <param name="NextRetry">When the first of those is due.</param>
/// <param name="Positions">The partitions that are here, with the offset after the last record taken in; null where none was.</param>
internal sealed record EndpointSnapshot(
    long Version, int RunningCount, int DelayedCount, DateTimeOffset? NextRetry, IReadOnlyDictionary<TopicPartition, Offset?> Positions);
