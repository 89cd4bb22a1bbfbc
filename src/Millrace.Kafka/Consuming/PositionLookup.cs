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
    Func<TimeSpan> now)
{
    /// <summary>The first version that a client who may read, and not alter, the cluster can send (KIP-320).</summary>
    private const short FirstEpochVersion = 3;

    /// <summary>ReplicaId of a consumer.</summary>
    private const int NoReplica = -1;

    private readonly OffsetLookup _lookup = new(context, pool, metadata, settings.IsolationLevel);
    private readonly ILogger _logger = context.Loggers.CreateLogger<KafkaConsumer>();

    /// <summary>Looks up what is missing now: commits first, since who has none is reset.</summary>
    public async Task FindMissingAsync(CancellationToken cancellationToken)
    {
        await FindCommittedAsync(cancellationToken);
        await FindAsync(PositionSource.Reset, cancellationToken);
        await FindAsync(PositionSource.Beginning, cancellationToken);
        await FindAsync(PositionSource.End, cancellationToken);
    }

    /// <summary>Asks leaders where the epochs of positions end in their logs (KIP-320).</summary>
    public async Task ValidateAsync(ConsumerEffects effects, CancellationToken cancellationToken)
    {
        List<ValidationTarget> targets;
        lock (gate)
        {
            targets = state.BeginValidation(metadata.View, now());
        }

        foreach (IGrouping<BrokerAddress, ValidationTarget> leader in targets.GroupBy(target => target.Leader))
        {
            ValidationTarget[] asked = [.. leader];
            try
            {
                await ValidateAsync(leader.Key, asked, effects, cancellationToken);
            }
            catch (KafkaVersionException)
            {
                // Before Kafka 2.3: nobody can say.
                lock (gate)
                {
                    Array.ForEach(asked, target => state.EndValidation(target, end: null, effects));
                }
            }
            catch (KafkaException failure) when (failure is not KafkaClosedException)
            {
                lock (gate)
                {
                    Array.ForEach(asked, target => state.DelayPosition(target.Partition, target.Version, now()));
                }

                LogMessages.ValidationFailed(_logger, context.RetryBackoff.After(1), failure.Message);
                metadata.RequestRefresh();
            }
        }
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
                throw new KafkaProtocolException($"{address} left {target.Partition} out of its answer to OffsetForLeaderEpoch.");
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
        if (OffsetLookup.IsRetriable(failure))
        {
            throw failure;
        }

        lock (gate)
        {
            state.Stick(target.Partition, target.Version, failure);
        }
    }

    private async Task FindCommittedAsync(CancellationToken cancellationToken)
    {
        List<(TopicPartition Partition, PositionSource Source, long Version)> missing = Missing(PositionSource.Committed);
        if (missing.Count == 0)
        {
            return;
        }

        try
        {
            Dictionary<TopicPartition, TopicPartitionOffset> committed = await offsets!.FetchAsync(
                [.. missing.Select(item => item.Partition)], cancellationToken);
            lock (gate)
            {
                foreach ((TopicPartition partition, _, long version) in missing)
                {
                    if (committed.TryGetValue(partition, out TopicPartitionOffset? offset))
                    {
                        state.SetPosition(partition, version, offset.Offset, offset.LeaderEpoch);
                    }
                    else
                    {
                        state.SetNotCommitted(partition, version);
                    }
                }
            }
        }
        catch (KafkaException failure)
        {
            Postpone(missing, failure, failure.IsTransient);
        }
    }

    private async Task FindAsync(PositionSource source, CancellationToken cancellationToken)
    {
        List<(TopicPartition Partition, PositionSource Source, long Version)> missing = Missing(source);
        if (missing.Count == 0)
        {
            return;
        }

        Dictionary<TopicPartition, OffsetLookup.Found> found = await _lookup.AskAsync(
            [.. missing.Select(item => item.Partition)], TimestampOf(source), cancellationToken);
        if (source == PositionSource.Reset && settings.AutoOffsetReset == AutoOffsetReset.ByDuration)
        {
            await FindEndOfTheEmptyAsync(found, cancellationToken);
        }

        foreach ((TopicPartition Partition, PositionSource Source, long Version) item in missing)
        {
            OffsetLookup.Found answer = found[item.Partition];
            if (answer.Offset is { } offset)
            {
                LogMessages.PositionReset(_logger, item.Partition, offset, source);
                lock (gate)
                {
                    state.SetPosition(item.Partition, item.Version, offset);
                }
            }
            else
            {
                KafkaException failure = answer.Failure ?? new KafkaProtocolException($"The broker has no offset of {item.Partition} for {source}.");
                Postpone([item], failure, OffsetLookup.IsRetriable(failure));
            }
        }
    }

    /// <summary>Where no record is young enough, the end is the place for what will be.</summary>
    private async Task FindEndOfTheEmptyAsync(Dictionary<TopicPartition, OffsetLookup.Found> found, CancellationToken cancellationToken)
    {
        TopicPartition[] without = [.. found.Where(item => item.Value is { Offset: null, Failure: null }).Select(item => item.Key)];
        if (without.Length == 0)
        {
            return;
        }

        foreach ((TopicPartition partition, OffsetLookup.Found end) in await _lookup.AskAsync(without, OffsetSpec.Latest.Timestamp, cancellationToken))
        {
            found[partition] = end;
        }
    }

    private long TimestampOf(PositionSource source) => (source, settings.AutoOffsetReset) switch
    {
        (PositionSource.Beginning, _) or (PositionSource.Reset, AutoOffsetReset.Earliest) => OffsetSpec.Earliest.Timestamp,
        (PositionSource.Reset, AutoOffsetReset.ByDuration) =>
            Math.Max(0, (context.Time.GetUtcNow() - settings.AutoOffsetResetDuration!.Value).ToUnixTimeMilliseconds()),
        _ => OffsetSpec.Latest.Timestamp,
    };

    private List<(TopicPartition Partition, PositionSource Source, long Version)> Missing(PositionSource source)
    {
        lock (gate)
        {
            return [.. state.MissingPositions(now()).Where(item => item.Source == source)];
        }
    }

    private void Postpone(List<(TopicPartition Partition, PositionSource Source, long Version)> items, KafkaException failure, bool isRetriable)
    {
        lock (gate)
        {
            foreach ((TopicPartition partition, _, long version) in items)
            {
                if (isRetriable)
                {
                    state.DelayPosition(partition, version, now());
                }
                else
                {
                    state.Stick(partition, version, failure);
                }
            }
        }

        LogMessages.PositionLookupFailed(_logger, context.RetryBackoff.After(1), failure.Message);
        metadata.RequestRefresh();
    }
}
