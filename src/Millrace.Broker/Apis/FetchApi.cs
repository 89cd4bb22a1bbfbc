using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Fetch (key 1, versions 0-17): reads record batches, and waits for them where there are too few. Versions 0-3 carry older formats and are answered with an error per partition.</summary>
/// <remarks>A connection works on one fetch at a time, so it holds at most one response of this size, however slowly the client reads.</remarks>
internal sealed class FetchApi : Api<FetchRequest, FetchResponse>
{
    /// <summary>The first version whose batches are of format 2.</summary>
    private const short FirstVersionOfBatches = 4;

    /// <summary>The first version that names topics by id (KIP-516).</summary>
    private const short FirstVersionOfTopicIds = 13;

    private const sbyte ReadCommitted = 1;

    /// <summary>
    /// Records of at least so many bytes go from their file to the socket without a copy in between. A copy of fewer costs less than the system calls.
    /// </summary>
    private const int MinSendFileByteCount = 64 * 1024;

    private readonly BrokerServices _services;
    private readonly FetchSessions _sessions;
    private readonly ILogger _logger;

    public FetchApi(BrokerServices services)
    {
        _services = services;
        _sessions = new FetchSessions(services.Time, services.Runtime.NewRandom());
        _logger = services.Loggers.CreateLogger<FetchApi>();
    }

    public override bool IsPipelined => false;

    protected override ValueTask<FetchResponse?> HandleAsync(FetchRequest request, RequestContext context)
    {
        if (context.Version < FirstVersionOfBatches)
        {
            return Answer(Refuse(request, ErrorCode.UnsupportedVersion));
        }

        if (request.ReplicaId >= 0 || request.ReplicaState?.ReplicaId >= 0)
        {
            // This node replicates to nobody. Consumers say -1, and debugging tools -2.
            return Answer(Refuse(request, ErrorCode.NotLeaderOrFollower));
        }

        return _sessions.Begin(request, namesTopicsById: context.Version >= FirstVersionOfTopicIds) switch
        {
            FetchContext.Accepted accepted => FetchAsync(request, accepted, context),
            FetchContext.Refused refused => Answer(new FetchResponse { ErrorCode = refused.Error }),
            FetchContext other => throw new InvalidOperationException($"A fetch is no {other}."),
        };
    }

    private ValueTask<FetchResponse?> FetchAsync(FetchRequest request, FetchContext.Accepted accepted, RequestContext context)
    {
        var limits = new FetchLimits(
            request.MinBytes,
            Math.Min(request.MaxBytes, _services.Configuration.MaxFetchByteCount),
            IsReadCommitted: request.IsolationLevel == ReadCommitted,
            context.Connection.SendsFiles ? MinSendFileByteCount : int.MaxValue);
        var fetch = new FetchOperation(accepted.Targets, limits, _services.Topics, context, _logger);
        return fetch.FindCold() is { } cold ? LoadAsync(fetch, cold, request, accepted, context) : ReadAsync(fetch, request, accepted, context);
    }

    private async ValueTask<FetchResponse?> LoadAsync(
        FetchOperation fetch, List<ColdRange> cold, FetchRequest request, FetchContext.Accepted accepted, RequestContext context)
    {
        await _services.ColdReaders.LoadAsync(cold);
        return await ReadAsync(fetch, request, accepted, context);
    }

    private ValueTask<FetchResponse?> ReadAsync(FetchOperation fetch, FetchRequest request, FetchContext.Accepted accepted, RequestContext context)
    {
        fetch.ReadAvailable();
        return fetch.IsEnough || request.MaxWaitMilliseconds <= 0
            ? Answer(ToResponse(fetch, accepted))
            : WaitAsync(fetch, TimeSpan.FromMilliseconds(request.MaxWaitMilliseconds), accepted, context);
    }

    private async ValueTask<FetchResponse?> WaitAsync(FetchOperation fetch, TimeSpan maxWait, FetchContext.Accepted accepted, RequestContext context)
    {
        long begun = _services.Time.GetTimestamp();
        WaitOutcome outcome = WaitOutcome.Satisfied;
        while (outcome == WaitOutcome.Satisfied && !fetch.IsEnough)
        {
            TimeSpan left = maxWait - _services.Time.GetElapsedTime(begun);
            if (left <= TimeSpan.Zero)
            {
                break;
            }

            outcome = await _services.Waits.WaitAsync(new FetchWait(fetch), left, context.Aborted);
            if (outcome == WaitOutcome.Aborted)
            {
                return null;
            }

            fetch.ReadAvailable();
        }

        return ToResponse(fetch, accepted);
    }

    private static FetchResponse ToResponse(FetchOperation fetch, FetchContext.Accepted accepted)
    {
        Diagnostics.Fetched(fetch.ByteCount);
        var response = new FetchResponse { SessionId = accepted.Session?.Id ?? 0 };
        FetchKey? last = null;
        foreach (FetchTarget target in accepted.Targets)
        {
            FetchPartitionResponse answer = fetch.ToResponse(target);
            bool hasNews = accepted.Session?.TakeNote(target, answer) ?? true;
            if (accepted.IsIncremental && !hasNews)
            {
                continue;
            }

            if (last?.IsOfSameTopic(target.Key) != true)
            {
                response.Topics.Add(new FetchTopicResponse { Name = target.Key.Topic, TopicId = target.Key.TopicId });
            }

            last = target.Key;
            response.Topics[^1].Partitions.Add(answer);
        }

        return response;
    }

    private static FetchResponse Refuse(FetchRequest request, ErrorCode error) => new()
    {
        Topics =
        [
            .. request.Topics.Select(topic => new FetchTopicResponse
            {
                Name = topic.Name,
                TopicId = topic.TopicId,
                Partitions =
                [
                    .. topic.Partitions.Select(partition => new FetchPartitionResponse
                    {
                        Index = partition.Index, ErrorCode = error, HighWatermark = -1, Records = ReadOnlyMemory<byte>.Empty,
                    }),
                ],
            }),
        ],
    };

    private static ValueTask<FetchResponse?> Answer(FetchResponse response) => new(response);
}
