using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>The thin shell around <see cref="ConsumerState"/>: fetches and looks up positions in the background.</summary>
internal sealed class ConsumerFetcher : IDisposable
{
    /// <summary>The first version that answers with record batch version 2.</summary>
    private const short FirstFetchVersion = 4;

    private readonly ClientContext _context;
    private readonly ConsumerSettings _settings;
    private readonly MetadataCache _metadata;
    private readonly ConnectionPool _pool;
    private readonly OffsetStore? _offsets;
    private readonly OffsetLookup _lookup;
    private readonly ConsumerState _state;
    private readonly Lock _gate;
    private readonly Action _arrived;
    private readonly ILogger _logger;
    private readonly WakeSignal _wake;
    private readonly long _start;
    private bool _isLookingUp;

    public ConsumerFetcher(
        ClientContext context,
        ConsumerSettings settings,
        MetadataCache metadata,
        ConnectionPool pool,
        OffsetStore? offsets,
        ConsumerState state,
        Lock gate,
        Action arrived)
    {
        _context = context;
        _settings = settings;
        _metadata = metadata;
        _pool = pool;
        _offsets = offsets;
        _lookup = new OffsetLookup(context, pool, metadata);
        _state = state;
        _gate = gate;
        _arrived = arrived;
        _logger = context.Loggers.CreateLogger<KafkaConsumer>();
        _wake = new WakeSignal(context.Time);
        _start = context.Time.GetTimestamp();
        metadata.Changed += Wake;
    }

    private TimeSpan Now => _context.Time.GetElapsedTime(_start);

    public void Wake() => _wake.Set();

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var effects = new ConsumerEffects();
            TimeSpan now = Now;
            lock (_gate)
            {
                _state.PlanFetches(_metadata.View, now, effects);
                effects.NeedsPositions &= !_isLookingUp;
                _isLookingUp |= effects.NeedsPositions;
            }

            if (effects.NeedsMetadata)
            {
                _metadata.RequestRefresh();
            }

            foreach (FetchPlan plan in effects.Fetches)
            {
                _ = FetchAsync(plan, cancellationToken);
            }

            if (effects.NeedsPositions)
            {
                _ = LookUpPositionsAsync(cancellationToken);
            }

            await _wake.WaitAsync(effects.WakeAt - now, cancellationToken);
        }
    }

    public void Dispose()
    {
        _metadata.Changed -= Wake;
        _wake.Dispose();
    }

    private async Task FetchAsync(FetchPlan plan, CancellationToken cancellationToken)
    {
        FetchResponse? response = null;
        Exception? failure = null;
        try
        {
            BrokerConnection connection = await _pool.GetAsync(plan.Address, ConnectionPurpose.Fetch, cancellationToken);
            response = await connection.SendAsync<FetchRequest, FetchResponse>(
                BuildRequest(plan),
                _context.Settings.RequestTimeout + _settings.FetchMaxWait,
                cancellationToken,
                connection.VersionOf(FetchRequest.Api, FirstFetchVersion),
                keepsFrame: true);
            if (response.ErrorCode != ErrorCode.None)
            {
                failure = new KafkaBrokerException(
                    $"{plan.Address} answered Fetch: {KafkaErrors.Describe(response.ErrorCode)}", response.ErrorCode);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return;
        }
        catch (Exception caught)
        {
            failure = caught;
        }

        if (failure is null)
        {
            TakeOver(plan, response!);
        }

        TimeSpan pause;
        lock (_gate)
        {
            pause = _state.EndFetch(plan.NodeId, failure is not null, Now);
        }

        if (failure is not null && failure is not KafkaClosedException)
        {
            LogMessages.FetchFailed(_logger, plan.Address, pause, failure.Message);
            _metadata.RequestRefresh();
        }

        _arrived();
        Wake();
    }

    private FetchRequest BuildRequest(FetchPlan plan) => new()
    {
        MaxWaitMilliseconds = (int)_settings.FetchMaxWait.TotalMilliseconds,
        MinBytes = _settings.FetchMinByteCount,
        MaxBytes = _settings.FetchMaxByteCount,
        Topics = [.. plan.Targets.GroupBy(target => target.Partition.Topic).Select(topic => new FetchTopic
        {
            Name = topic.Key,
            Partitions = [.. topic.Select(target => new FetchPartition
            {
                Index = target.Partition.Partition,
                CurrentLeaderEpoch = target.LeaderEpoch,
                FetchOffset = target.Offset.Value,
                MaxBytes = _settings.PartitionFetchMaxByteCount,
            })],
        })],
    };

    private void TakeOver(FetchPlan plan, FetchResponse response)
    {
        var targets = plan.Targets.ToDictionary(target => target.Partition);
        bool needsMetadata = false;
        foreach (FetchTopicResponse topic in response.Topics)
        {
            foreach (FetchPartitionResponse partition in topic.Partitions)
            {
                if (!targets.TryGetValue(new TopicPartition(topic.Name, partition.Index), out FetchTarget target))
                {
                    continue;
                }

                if (partition.ErrorCode != ErrorCode.None)
                {
                    LogMessages.FetchRetried(_logger, target.Partition, partition.ErrorCode);
                    _metadata.TryUpdateLeader(target.Partition, partition.CurrentLeader, response.NodeEndpoints);
                    lock (_gate)
                    {
                        needsMetadata |= _state.FailFetched(target, partition.ErrorCode, Now);
                    }

                    continue;
                }

                List<FetchedBatch> batches = Split(target, partition.Records ?? default, out KafkaCorruptBatchException? fault);
                lock (_gate)
                {
                    _state.AddFetched(target, batches, fault);
                }
            }
        }

        if (needsMetadata)
        {
            _metadata.RequestRefresh();
        }
    }

    /// <summary>Cuts an answer into whole batches and checks each. What is left of one at the end comes again with the next fetch.</summary>
    private static List<FetchedBatch> Split(in FetchTarget target, ReadOnlyMemory<byte> bytes, out KafkaCorruptBatchException? fault)
    {
        fault = null;
        var batches = new List<FetchedBatch>();
        Offset next = target.Offset;
        while (!bytes.IsEmpty)
        {
            BatchVerdict verdict = RecordBatch.Check(bytes.Span, out RecordBatchHeader header);
            if (verdict == BatchVerdict.Valid)
            {
                batches.Add(new FetchedBatch(target.Partition, bytes[..header.TotalByteCount], header));
                next = header.NextOffset;
                bytes = bytes[header.TotalByteCount..];
                continue;
            }

            if (verdict != BatchVerdict.Incomplete || batches.Count == 0)
            {
                fault = new KafkaCorruptBatchException(
                    $"The batch of {target.Partition} at offset {next} is damaged ({verdict}), as it came from the broker. Check the broker's disk; seek behind the batch to go on.",
                    target.Partition,
                    next);
            }

            break;
        }

        return batches;
    }

    private async Task LookUpPositionsAsync(CancellationToken cancellationToken)
    {
        try
        {
            await LookUpCommittedAsync(cancellationToken);
            await LookUpResetsAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return;
        }
        finally
        {
            lock (_gate)
            {
                _isLookingUp = false;
            }
        }

        _arrived();
        Wake();
    }

    private async Task LookUpCommittedAsync(CancellationToken cancellationToken)
    {
        List<(TopicPartition Partition, PositionSource Source, long Version)> missing = Missing(PositionSource.Committed);
        if (missing.Count == 0)
        {
            return;
        }

        try
        {
            Dictionary<TopicPartition, TopicPartitionOffset> committed = await _offsets!.FetchAsync(
                [.. missing.Select(item => item.Partition)], cancellationToken);
            lock (_gate)
            {
                foreach ((TopicPartition partition, _, long version) in missing)
                {
                    if (committed.TryGetValue(partition, out TopicPartitionOffset? offset))
                    {
                        _state.SetPosition(partition, version, offset.Offset);
                    }
                    else
                    {
                        _state.SetNotCommitted(partition, version);
                    }
                }
            }
        }
        catch (KafkaException failure)
        {
            Postpone(missing, failure, failure.IsTransient);
        }
    }

    private async Task LookUpResetsAsync(CancellationToken cancellationToken)
    {
        List<(TopicPartition Partition, PositionSource Source, long Version)> missing = Missing(PositionSource.Reset);
        if (missing.Count == 0)
        {
            return;
        }

        long timestamp = _settings.AutoOffsetReset == AutoOffsetReset.Earliest ? OffsetSpec.Earliest.Timestamp : OffsetSpec.Latest.Timestamp;
        Dictionary<TopicPartition, OffsetLookup.Found> found = await _lookup.AskAsync(
            [.. missing.Select(item => item.Partition)], timestamp, cancellationToken);
        foreach ((TopicPartition Partition, PositionSource Source, long Version) item in missing)
        {
            OffsetLookup.Found answer = found[item.Partition];
            if (answer.Offset is { } offset)
            {
                LogMessages.PositionReset(_logger, item.Partition, offset, _settings.AutoOffsetReset);
                lock (_gate)
                {
                    _state.SetPosition(item.Partition, item.Version, offset);
                }
            }
            else
            {
                KafkaException failure = answer.Failure ?? new KafkaProtocolException($"The broker has no {_settings.AutoOffsetReset} offset of {item.Partition}.");
                Postpone([item], failure, OffsetLookup.IsRetriable(failure));
            }
        }
    }

    private List<(TopicPartition Partition, PositionSource Source, long Version)> Missing(PositionSource source)
    {
        lock (_gate)
        {
            return [.. _state.MissingPositions(Now).Where(item => item.Source == source)];
        }
    }

    private void Postpone(List<(TopicPartition Partition, PositionSource Source, long Version)> items, KafkaException failure, bool isRetriable)
    {
        lock (_gate)
        {
            foreach ((TopicPartition partition, _, long version) in items)
            {
                if (isRetriable)
                {
                    _state.DelayPosition(partition, version, Now);
                }
                else
                {
                    _state.Stick(partition, version, failure);
                }
            }
        }

        LogMessages.PositionLookupFailed(_logger, _context.RetryBackoff.After(1), failure.Message);
        _metadata.RequestRefresh();
    }
}
