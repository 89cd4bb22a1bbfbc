using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Finds the positions that <see cref="ConsumerState"/> misses, and compares positions with the logs of new leaders.</summary>
internal sealed class PositionLookup(
    ClientContext context,
    ConsumerSettings settings,
    MetadataCache metadata,
    ConnectionPool pool,
    OffsetStore? offsets,
    ConsumerState state,
    Lock gate,
    Func<TimeSpan> now,
    Action answered)
{
    /// <summary>The first version that a client who may read, and not alter, the cluster can send (KIP-320).</summary>
    private const short FirstEpochVersion = 3;

    /// <summary>ReplicaId of a consumer.</summary>
    private const int NoReplica = -1;

    private readonly OffsetLookup _lookup = new(context, pool, metadata, settings.IsolationLevel);
    private readonly ILogger _logger = context.Loggers.CreateLogger<KafkaConsumer>();

    /// <summary>Looks up what is missing now. Nobody waits for anybody: each answer is taken over as it comes. Who has no commit is reset by the next call.</summary>
    public Task FindMissingAsync(CancellationToken cancellationToken)
    {
        List<(TopicPartition Partition, PositionSource Source, long Version)> missing;
        lock (gate)
        {
            missing = state.BeginLookUps(now());
        }

        return Task.WhenAll(missing.GroupBy(item => item.Source).Select(source => source.Key == PositionSource.Committed
            ? FindCommittedAsync([.. source], cancellationToken)
            : FindAsync(source.Key, [.. source], cancellationToken)));
    }

    /// <summary>Asks leaders, side by side, where the epochs of positions end in their logs (KIP-320).</summary>
    /// <param name="act">Carries out what follows from an answer.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task ValidateAsync(Action<ConsumerEffects> act, CancellationToken cancellationToken)
    {
        List<ValidationTarget> targets;
        lock (gate)
        {
            targets = state.BeginValidation(metadata.View, now());
        }

        return Task.WhenAll(targets.GroupBy(target => target.Leader).Select(leader => ValidateAsync(leader.Key, [.. leader], act, cancellationToken)));
    }

    private async Task ValidateAsync(BrokerAddress leader, ValidationTarget[] targets, Action<ConsumerEffects> act, CancellationToken cancellationToken)
    {
        var effects = new ConsumerEffects();
        try
        {
            await ValidateAsync(leader, targets, effects, cancellationToken);
        }
        catch (KafkaVersionException)
        {
            // Before Kafka 2.3: nobody can say.
            lock (gate)
            {
                Array.ForEach(targets, target => state.EndValidation(target, end: null, effects));
            }
        }
        catch (KafkaException failure) when (failure is not KafkaClosedException)
        {
            Array.ForEach(targets, target => PostponeValidation(target, failure));
        }

        act(effects);
        answered();
    }

    private async Task ValidateAsync(BrokerAddress address, ValidationTarget[] targets, ConsumerEffects effects, CancellationToken cancellationToken)
    {
        BrokerConnection connection = await pool.GetAsync(address, ConnectionPurpose.General, cancellationToken);
        var request = new OffsetForLeaderEpochRequest
        {
            ReplicaId = NoReplica,
            Topics = [.. targets.GroupBy(target => target.Partition.Topic).Select(topic => new OffsetForLeaderTopic
            {
                Name = topic.Key,
                Partitions = [.. topic.Select(target => new OffsetForLeaderPartition
                {
                    Index = target.Partition.Partition,
                    CurrentLeaderEpoch = target.LeaderEpoch,
                    LeaderEpoch = target.FetchEpoch,
                })],
            })],
        };
        OffsetForLeaderEpochResponse response = await connection.SendAsync<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>(
            request, context.Settings.RequestTimeout, cancellationToken, connection.VersionOf(OffsetForLeaderEpochRequest.Api, FirstEpochVersion));
        var ends = response.Topics
            .SelectMany(topic => topic.Partitions.Select(partition => (Partition: new TopicPartition(topic.Name, partition.Index), End: partition)))
            .ToDictionary(item => item.Partition, item => item.End);
        foreach (ValidationTarget target in targets)
        {
            if (!ends.TryGetValue(target.Partition, out LeaderEpochEnd? end))
            {
                PostponeValidation(target, new KafkaProtocolException($"{address} left {target.Partition} out of its answer to OffsetForLeaderEpoch."));
                continue;
            }

            Judge(address, target, end, effects);
        }
    }

    private void Judge(BrokerAddress address, in ValidationTarget target, LeaderEpochEnd end, ConsumerEffects effects)
    {
        if (end.ErrorCode == ErrorCode.None)
        {
            lock (gate)
            {
                state.EndValidation(target, new EpochEnd(end.LeaderEpoch, new Offset(end.EndOffset)), effects);
            }

            return;
        }

        var failure = new KafkaBrokerException(
            $"{address} answered OffsetForLeaderEpoch for {target.Partition}: {KafkaErrors.Describe(end.ErrorCode)}", end.ErrorCode);
        PostponeValidation(target, failure);
    }

    private async Task FindCommittedAsync(List<(TopicPartition Partition, PositionSource Source, long Version)> missing, CancellationToken cancellationToken)
    {
        try
        {
            Dictionary<TopicPartition, OffsetStore.Committed> committed = await offsets!.FetchEachAsync(
                [.. missing.Select(item => item.Partition)], cancellationToken);
            foreach ((TopicPartition Partition, PositionSource Source, long Version) item in missing)
            {
                OffsetStore.Committed answer = committed[item.Partition];
                if (answer.Failure is { } failure)
                {
                    Postpone([item], failure);
                    continue;
                }

                lock (gate)
                {
                    if (answer.Offset is { } offset)
                    {
                        state.SetPosition(item.Partition, item.Version, offset.Offset, offset.LeaderEpoch);
                    }
                    else
                    {
                        state.SetNotCommitted(item.Partition, item.Version);
                    }
                }
            }
        }
        catch (KafkaException failure) when (failure is not KafkaClosedException)
        {
            Postpone(missing, failure);
        }

        answered();
    }

    private Task FindAsync(PositionSource source, List<(TopicPartition Partition, PositionSource Source, long Version)> missing, CancellationToken cancellationToken)
    {
        var byPartition = missing.ToDictionary(item => item.Partition);
        long timestamp = TimestampOf(source);
        return Task.WhenAll(_lookup.AskEach([.. byPartition.Keys], timestamp, cancellationToken).Select(TakeOverAsync));

        async Task TakeOverAsync(Task<Dictionary<TopicPartition, OffsetLookup.Found>> asked)
        {
            Dictionary<TopicPartition, OffsetLookup.Found> found = await asked;
            if (source == PositionSource.Reset && settings.AutoOffsetReset == AutoOffsetReset.ByDuration)
            {
                await FindEndOfTheEmptyAsync(found, timestamp, cancellationToken);
            }

            foreach ((TopicPartition partition, OffsetLookup.Found answer) in found)
            {
                TakeOver(byPartition[partition], answer);
            }

            answered();
        }
    }

    private void TakeOver((TopicPartition Partition, PositionSource Source, long Version) item, in OffsetLookup.Found answer)
    {
        if (answer.Offset is { } offset)
        {
            LogMessages.PositionReset(_logger, item.Partition, offset, item.Source);
            lock (gate)
            {
                // In the log of the leader that was asked, by what it has just said.
                state.SetPosition(item.Partition, item.Version, offset, answer.LeaderEpoch, validatedEpoch: answer.AskedEpoch);
            }
        }
        else
        {
            Postpone([item], answer.Failure ?? new KafkaProtocolException($"The broker has no offset of {item.Partition} for {item.Source}."));
        }
    }

    /// <summary>
    /// Where no record is young enough, the end is the place for what will be. The time is asked for once more behind it: a record that came between the two questions lies before that end,
    /// and would be passed.
    /// </summary>
    private async Task FindEndOfTheEmptyAsync(Dictionary<TopicPartition, OffsetLookup.Found> found, long timestamp, CancellationToken cancellationToken)
    {
        TopicPartition[] without = [.. found.Where(item => item.Value is { Offset: null, Failure: null }).Select(item => item.Key)];
        if (without.Length == 0)
        {
            return;
        }

        Dictionary<TopicPartition, OffsetLookup.Found> ends = await _lookup.AskAsync(without, OffsetSpec.Latest.Timestamp, cancellationToken);
        foreach ((TopicPartition partition, OffsetLookup.Found young) in await _lookup.AskAsync(without, timestamp, cancellationToken))
        {
            found[partition] = young is { Offset: null, Failure: null } ? ends[partition] : young;
        }
    }

    private long TimestampOf(PositionSource source) => (source, settings.AutoOffsetReset) switch
    {
        (PositionSource.Beginning, _) or (PositionSource.Reset, AutoOffsetReset.Earliest) => OffsetSpec.Earliest.Timestamp,
        (PositionSource.Reset, AutoOffsetReset.ByDuration) =>
            Math.Max(0, context.Time.GetUtcNow().ToUnixTimeMilliseconds() - (long)settings.AutoOffsetResetDuration!.Value.TotalMilliseconds),
        _ => OffsetSpec.Latest.Timestamp,
    };

    private void PostponeValidation(in ValidationTarget target, KafkaException failure)
    {
        TimeSpan pause;
        lock (gate)
        {
            pause = state.DelayPosition(target.Partition, target.Version, now(), RefusalIn(failure));
        }

        LogMessages.ValidationFailed(_logger, pause, failure.Message);
        metadata.RequestRefresh();
    }

    private void Postpone(List<(TopicPartition Partition, PositionSource Source, long Version)> items, KafkaException failure)
    {
        TimeSpan pause = TimeSpan.Zero;
        lock (gate)
        {
            foreach ((TopicPartition partition, _, long version) in items)
            {
                pause = state.DelayPosition(partition, version, now(), RefusalIn(failure));
            }
        }

        if (failure.ErrorCode != ErrorCode.UnstableOffsetCommit)
        {
            LogMessages.PositionLookupFailed(_logger, pause, failure.Message);
            metadata.RequestRefresh();
        }
    }

    /// <summary>What is told of a failure: nothing where it passes by itself.</summary>
    private static KafkaException? RefusalIn(KafkaException failure) => OffsetLookup.IsRetriable(failure) || failure is KafkaClosedException ? null : failure;
}
