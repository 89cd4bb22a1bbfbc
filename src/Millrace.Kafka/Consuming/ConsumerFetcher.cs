using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>The thin shell around <see cref="ConsumerState"/>: fetches in the background. <see cref="PositionLookup"/> finds positions for it.</summary>
internal sealed class ConsumerFetcher : IDisposable
{
    /// <summary>The first version that answers with record batch version 2.</summary>
    private const short FirstFetchVersion = 4;

    /// <summary>
    /// How long the second fetch at a broker waits for records. So long at most does a third one wait, that of a partition that is sought while both are under way.
    /// </summary>
    private static readonly TimeSpan AsideMaxWait = TimeSpan.FromMilliseconds(50);

    private readonly ClientContext _context;
    private readonly ConsumerSettings _settings;
    private readonly MetadataCache _metadata;
    private readonly ConnectionPool _pool;
    private readonly PositionLookup _positions;
    private readonly ConsumerState _state;
    private readonly Lock _gate;
    private readonly Action _arrived;
    private readonly ILogger _logger;
    private readonly WakeSignal _wake;
    private readonly long _start;
    private Exception? _defect;

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
        _state = state;
        _gate = gate;
        _arrived = arrived;
        _logger = context.Loggers.CreateLogger<KafkaConsumer>();
        _wake = new WakeSignal(context.Time);
        _start = context.Time.GetTimestamp();
        _positions = new PositionLookup(context, settings, metadata, pool, offsets, state, gate, () => Now, OnAnswered);
        metadata.Changed += OnMetadataChanged;
    }

    private TimeSpan Now => _context.Time.GetElapsedTime(_start);

    public void Wake() => _wake.Set();

    /// <summary>Wakes the loop for what comes with time and from outside. What follows from an answer is done at once by who has the answer.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (_defect is { } defect)
            {
                throw new InvalidOperationException($"Fetching failed in a way that should not be possible: {defect.Message}", defect);
            }

            TimeSpan now = Now;
            TimeSpan? wakeAt = Step(now, cancellationToken);
            await _wake.WaitAsync(wakeAt - now, cancellationToken);
        }
    }

    public void Dispose()
    {
        _metadata.Changed -= OnMetadataChanged;
        _wake.Dispose();
    }

    /// <summary>Starts what can be started. Returns when to look again.</summary>
    private TimeSpan? Step(TimeSpan now, CancellationToken cancellationToken)
    {
        var effects = new ConsumerEffects();
        lock (_gate)
        {
            _state.PlanFetches(_metadata.View, now, effects);
        }

        Act(effects, []);
        foreach (FetchPlan plan in effects.Fetches)
        {
            _ = FetchAsync(plan, cancellationToken);
        }

        if (effects.NeedsPositions)
        {
            _ = LookUpAsync(cancellationToken);
        }

        if (effects.NeedsValidation)
        {
            _ = ValidateAsync(cancellationToken);
        }

        return effects.WakeAt;
    }

    private async Task FetchAsync(FetchPlan plan, CancellationToken cancellationToken)
    {
        FetchResponse? response = null;
        Exception? failure = null;
        var verdict = FetchSessionVerdict.Failed;
        try
        {
            BrokerConnection connection = await _pool.GetAsync(
                plan.Address, plan.IsAside ? ConnectionPurpose.FetchAside : ConnectionPurpose.Fetch, cancellationToken);
            FetchRequest request = NewRequest(plan);
            plan.Session.Write(request, plan.Targets, connection.VersionOf(FetchRequest.Api, FirstFetchVersion));
            response = await connection.SendAsync<FetchRequest, FetchResponse>(
                request, _context.Settings.RequestTimeout + _settings.FetchMaxWait, cancellationToken, plan.Session.Version, keepsFrame: true);
            verdict = plan.Session.Accept(response);
            if (verdict != FetchSessionVerdict.Good)
            {
                LogMessages.FetchSessionLost(_logger, plan.Address, response.ErrorCode);
                failure = new KafkaBrokerException($"{plan.Address} answered Fetch: {KafkaErrors.Describe(response.ErrorCode)}", response.ErrorCode);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return;
        }
        catch (Exception caught)
        {
            plan.Session.Reset();
            failure = caught;
        }

        try
        {
            TakeOver(plan, response, verdict, failure);
            _arrived();

            // The next fetch leaves from here, without the detour through the loop, which is only told when to look again.
            if (Step(Now, cancellationToken) is not null)
            {
                Wake();
            }
        }
        catch (Exception defect)
        {
            _defect = defect;
            Wake();
        }
    }

    private FetchRequest NewRequest(FetchPlan plan) => new()
    {
        MaxWaitMilliseconds = (int)(plan.IsAside && AsideMaxWait < _settings.FetchMaxWait ? AsideMaxWait : _settings.FetchMaxWait).TotalMilliseconds,
        MinBytes = _settings.FetchMinByteCount,
        MaxBytes = plan.MaxByteCount,
        IsolationLevel = (sbyte)_settings.IsolationLevel,
        RackId = _settings.ClientRack,
    };

    private void TakeOver(FetchPlan plan, FetchResponse? response, FetchSessionVerdict verdict, Exception? failure)
    {
        var effects = new ConsumerEffects();
        TimeSpan pause;
        List<(Records.TopicPartition Partition, long? RecordCount)>? lags;
        lock (_gate)
        {
            pause = _state.EndFetch(plan, response, verdict, Now, effects);

            // Noted here: from its end on the fetch belongs to who plans the next one.
            lags = Diagnostics.RecordsLag.Enabled ? [.. plan.Targets.Select(target => (target.Partition, _state.Lag(target.Partition)))] : null;
        }

        // From here on the frame is held by what was taken over of it, if anything.
        response?.Frame?.Release();
        if (lags is not null)
        {
            TellLags(lags);
        }

        Act(effects, response?.NodeEndpoints ?? []);
        if (pause > TimeSpan.Zero && failure is not (null or KafkaClosedException))
        {
            if (failure is KafkaException { IsTransient: false, ErrorCode: not ErrorCode.UnknownServerError })
            {
                lock (_gate)
                {
                    _state.Refuse(failure);
                }
            }

            LogMessages.FetchFailed(_logger, plan.Address, pause, failure.Message);
            _metadata.RequestRefresh();
        }
    }

    private void TellLags(List<(Records.TopicPartition Partition, long? RecordCount)> lags)
    {
        foreach ((Records.TopicPartition partition, long? recordCount) in lags)
        {
            if (recordCount is { } lag)
            {
                System.Diagnostics.TagList tags = Diagnostics.ConsumerTags("poll", partition.Topic, _context.Settings.ClientId, _settings.GroupId);
                tags.Add("messaging.destination.partition.id", Diagnostics.Text(partition.Partition));
                Diagnostics.RecordsLag.Tell(lag, tags);
            }
        }
    }

    private void Act(ConsumerEffects effects, IReadOnlyList<NodeEndpoint> endpoints)
    {
        foreach (ConsumerNotice notice in effects.Notices)
        {
            Log(notice);
        }

        foreach ((Records.TopicPartition partition, LeaderIdAndEpoch leader) in effects.Leaders)
        {
            _metadata.TryUpdateLeader(partition, leader, endpoints);
        }

        if (effects.NeedsMetadata)
        {
            _metadata.RequestRefresh();
        }
    }

    private void Log(ConsumerNotice notice)
    {
        switch (notice)
        {
            case ConsumerNotice.Refused refused:
                LogMessages.FetchRetried(_logger, refused.Partition, refused.Error);
                break;
            case ConsumerNotice.Truncated truncated:
                LogMessages.LogTruncated(_logger, truncated.Partition, truncated.Position, truncated.Divergence);
                break;
            case ConsumerNotice.Recreated recreated:
                LogMessages.TopicRecreated(_logger, recreated.Partition, recreated.Before, recreated.Now);
                break;
            case ConsumerNotice.Redirected redirected:
                LogMessages.FetchRedirected(_logger, redirected.Partition, redirected.NodeId);
                break;
            default:
                throw new InvalidOperationException($"No log message for {notice}.");
        }
    }

    private async Task LookUpAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _positions.FindMissingAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Closed.
        }
        catch (Exception defect) when (defect is not KafkaClosedException)
        {
            _defect = defect;
            Wake();
        }
    }

    private async Task ValidateAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _positions.ValidateAsync(effects => Act(effects, []), cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Closed.
        }
        catch (Exception defect) when (defect is not KafkaClosedException)
        {
            _defect = defect;
            Wake();
        }
    }

    /// <summary>A position was found, compared or put off.</summary>
    private void OnAnswered()
    {
        _arrived();
        Wake();
    }

    /// <summary>There is another picture of the cluster; or there is none, because the client is refused: each attempt is told where one is waited for.</summary>
    private void OnMetadataChanged()
    {
        if (_metadata.Refusal is { } refusal)
        {
            bool isMissed;
            lock (_gate)
            {
                isMissed = _state.MissesLeader;
                if (isMissed)
                {
                    _state.Refuse(refusal);
                }
            }

            if (isMissed)
            {
                _arrived();
            }
        }

        Wake();
    }
}
