using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// One Kafka API: decodes a request, does it, gives the response. <see cref="HandleAsync"/> is called in the order in which the requests of a connection
/// arrive, and everything that it does before its first await is done before the next request of that connection begins. So an API whose order matters
/// (an append, a commit) does its work at once and awaits only the outcome.
/// </summary>
internal abstract class Api
{
    public abstract ApiDefinition Definition { get; }

    /// <summary>
    /// Whether the connection may begin its next request while this one waits. False where a response can be large (so that one connection holds at most one such
    /// response in memory) or where a client would see the effects of its requests in another order than it sent them.
    /// </summary>
    public virtual bool IsPipelined => true;

    /// <summary>
    /// Handles one request. Null: no response is sent (acks=0, or the connection is to be closed: <see cref="RequestContext.CloseConnection"/>).
    /// <paramref name="body"/> and what was decoded from it is valid until the task completes.
    /// </summary>
    public abstract ValueTask<IMessage?> HandleAsync(ReadOnlyMemory<byte> body, RequestContext context);
}

/// <inheritdoc/>
internal abstract class Api<TRequest, TResponse> : Api
    where TRequest : class, IRequest<TResponse>, new()
    where TResponse : class, IMessage, new()
{
    public sealed override ApiDefinition Definition => TRequest.Api;

    public sealed override ValueTask<IMessage?> HandleAsync(ReadOnlyMemory<byte> body, RequestContext context)
    {
        if (!MessageCodec.TryReadRequest(body, context.Version, out TRequest? request, out string? error))
        {
            context.CloseConnection($"it cannot be read, {error}");
            return default;
        }

        ValueTask<TResponse?> response = HandleAsync(request, context);
        return response.IsCompletedSuccessfully ? new ValueTask<IMessage?>(response.Result) : AwaitAsync(response);

        static async ValueTask<IMessage?> AwaitAsync(ValueTask<TResponse?> response) => await response;
    }

    protected abstract ValueTask<TResponse?> HandleAsync(TRequest request, RequestContext context);
}
