using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>Fetch (key 1, versions 0-12): reads record batches, and waits for them where there are too few. Versions 0-3 carry older formats and are answered with an error per partition.</summary>
/// <remarks>
/// There are no fetch sessions (KIP-227): session id 0 in every response tells the client that each fetch is a full one.
/// A connection works on one fetch at a time, so it holds at most one response of this size in memory, however slowly the client reads.
/// </remarks>
internal sealed class FetchApi(BrokerServices services) : Api<FetchRequest, FetchResponse>
{
    /// <summary>The first version whose batches are of format 2.</summary>
    private const short FirstVersionOfBatches = 4;

    private const int InitialEpoch = 0;
    private const int FinalEpoch = -1;

    private readonly ILogger _logger = services.Loggers.CreateLogger<FetchApi>();

    public override bool IsPipelined => false;

    protected override ValueTask<FetchResponse?> HandleAsync(FetchRequest request, RequestContext context)
    {
        // An epoch of 0 asks for a new session and -1 for none: both are full fetches. Any other continues a session, and there is none.
        if (request.SessionEpoch is not (InitialEpoch or FinalEpoch))
        {
            return new ValueTask<FetchResponse?>(new FetchResponse { ErrorCode = ErrorCode.FetchSessionIdNotFound });
        }

        if (context.Version < FirstVersionOfBatches)
        {
            return new ValueTask<FetchResponse?>(Unsupported(request));
        }

        var fetch = new FetchOperation(request, services.Topics, services.Configuration.MaxFetchByteCount, _logger);
        fetch.ReadAvailable();
        return fetch.IsEnough || request.MaxWaitMilliseconds <= 0
            ? new ValueTask<FetchResponse?>(fetch.ToResponse())
            : WaitAsync(fetch, TimeSpan.FromMilliseconds(request.MaxWaitMilliseconds), context);
    }

    private async ValueTask<FetchResponse?> WaitAsync(FetchOperation fetch, TimeSpan maxWait, RequestContext context)
    {
        long begun = services.Time.GetTimestamp();
        WaitOutcome outcome = WaitOutcome.Satisfied;
        while (outcome == WaitOutcome.Satisfied && !fetch.IsEnough)
        {
            TimeSpan left = maxWait - services.Time.GetElapsedTime(begun);
            if (left <= TimeSpan.Zero)
            {
                break;
            }

            outcome = await services.Waits.WaitAsync(new FetchWait(fetch), left, context.Aborted);
            if (outcome == WaitOutcome.Aborted)
            {
                return null;
            }

            fetch.ReadAvailable();
        }

        return fetch.ToResponse();
    }

    private static FetchResponse Unsupported(FetchRequest request) => new()
    {
        Topics =
        [
            .. request.Topics.Select(topic => new FetchTopicResponse
            {
                Name = topic.Name,
                Partitions =
                [
                    .. topic.Partitions.Select(partition => new FetchPartitionResponse
                    {
                        Index = partition.Index, ErrorCode = ErrorCode.UnsupportedVersion, HighWatermark = -1, Records = ReadOnlyMemory<byte>.Empty,
                    }),
                ],
            }),
        ],
    };
}
