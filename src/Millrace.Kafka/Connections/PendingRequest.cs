using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>A request on its way: what its answer is matched against and given to.</summary>
internal abstract class PendingRequest(ApiDefinition api, short version, int correlationId)
{
    public ApiDefinition Api { get; } = api;

    public short Version { get; } = version;

    public int CorrelationId { get; } = correlationId;

    /// <summary>Takes the answer, and with it the frame.</summary>
    /// <returns>What is wrong with the answer, or null.</returns>
    public abstract string? Complete(FrameBuffer frame);

    public abstract void Fail(KafkaException failure);
}

internal sealed class PendingRequest<TResponse>(ApiDefinition api, short version, int correlationId, bool keepsFrame)
    : PendingRequest(api, version, correlationId)
    where TResponse : class, IMessage, new()
{
    private readonly TaskCompletionSource<TResponse> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<TResponse> Response => _completion.Task;

    public override string? Complete(FrameBuffer frame)
    {
        bool isRead = MessageCodec.TryReadResponse(frame.Payload, Api, Version, out _, out TResponse? response, out string? error);

        // Fetched records are slices of the frame and belong to the application: that frame is left to the garbage collector.
        if (!isRead || !keepsFrame)
        {
            frame.Release();
        }

        if (isRead)
        {
            _completion.TrySetResult(response!);
        }

        return error;
    }

    public override void Fail(KafkaException failure)
    {
        if (_completion.TrySetException(failure))
        {
            // Observed here: a caller that stopped waiting does not come back for it.
            _ = _completion.Task.Exception;
        }
    }
}
