using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>A request on its way: what its answer is matched against and given to.</summary>
/// <param name="api">The API.</param>
/// <param name="version">The version that was sent.</param>
/// <param name="correlationId">What the answer repeats.</param>
/// <param name="holdsPermit">Whether it counts among the connection's outstanding requests; the connection's own do not.</param>
internal abstract class PendingRequest(ApiDefinition api, short version, int correlationId, bool holdsPermit)
{
    public ApiDefinition Api { get; } = api;

    public short Version { get; } = version;

    public int CorrelationId { get; } = correlationId;

    public bool HoldsPermit { get; } = holdsPermit;

    /// <summary>Reads the answer, and takes the frame. The caller of the request learns of it with <see cref="Complete"/>.</summary>
    /// <param name="frame">The answer.</param>
    /// <param name="throttleMilliseconds">How long the broker wants the connection to pause; 0 where it does not.</param>
    /// <returns>What is wrong with the answer, or null.</returns>
    public abstract string? Read(FrameBuffer frame, out int throttleMilliseconds);

    /// <summary>Hands over what was read.</summary>
    public abstract void Complete();

    public abstract void Fail(KafkaException failure);
}

/// <inheritdoc cref="PendingRequest"/>
/// <param name="api">The API.</param>
/// <param name="version">The version that was sent.</param>
/// <param name="correlationId">What the answer repeats.</param>
/// <param name="keepsFrame">Whether the frame goes to the caller with the answer.</param>
/// <param name="holdsPermit">Whether it counts among the connection's outstanding requests.</param>
/// <param name="goesOnInLoop">
/// Whether what follows the answer is the client's own and waits for nothing, so that it may go on in the loop that receives, without another thread being woken for it.
/// </param>
internal sealed class PendingRequest<TResponse>(ApiDefinition api, short version, int correlationId, bool keepsFrame, bool holdsPermit = true, bool goesOnInLoop = false)
    : PendingRequest(api, version, correlationId, holdsPermit)
    where TResponse : class, IMessage, new()
{
    private readonly TaskCompletionSource<TResponse> _completion = new(
        goesOnInLoop ? TaskCreationOptions.None : TaskCreationOptions.RunContinuationsAsynchronously);

    private TResponse? _response;

    public Task<TResponse> Response => _completion.Task;

    public override string? Read(FrameBuffer frame, out int throttleMilliseconds)
    {
        bool isRead = MessageCodec.TryReadResponse(frame.Payload, Api, Version, out _, out _response, out string? error);

        // Fetched records are slices of the frame: it goes to the caller with the answer.
        if (isRead && keepsFrame && _response is IFrameOwner owner)
        {
            owner.Frame = frame;
        }
        else
        {
            frame.Release();
        }

        throttleMilliseconds = _response is IThrottledResponse throttled ? throttled.ThrottleMilliseconds : 0;
        return error;
    }

    public override void Complete() => _completion.TrySetResult(_response!);

    public override void Fail(KafkaException failure)
    {
        if (goesOnInLoop)
        {
            // Whoever ends a connection may hold what follows up.
            ThreadPool.UnsafeQueueUserWorkItem(static state => state.Request.SetFailure(state.Failure), (Request: this, Failure: failure), preferLocal: false);
        }
        else
        {
            SetFailure(failure);
        }
    }

    private void SetFailure(KafkaException failure)
    {
        if (_completion.TrySetException(failure))
        {
            // Observed here: a caller that stopped waiting does not come back for it.
            _ = _completion.Task.Exception;
        }
    }
}
