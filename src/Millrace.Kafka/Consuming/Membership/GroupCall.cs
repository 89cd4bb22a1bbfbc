using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>One question to a group's coordinator, as the membership asks it; the shell sends it. Compared by identity.</summary>
internal abstract class GroupCall(string step, ConnectionPurpose purpose, TimeSpan timeout)
{
    /// <summary>What it is, for people.</summary>
    public string Step { get; } = step;

    public ConnectionPurpose Purpose { get; } = purpose;

    public TimeSpan Timeout { get; } = timeout;

    public abstract IRequest Request { get; }

    public abstract ErrorCode ErrorOf(IMessage response);

    public abstract Task<IMessage> SendAsync(BrokerConnection connection, CancellationToken cancellationToken);
}

/// <inheritdoc/>
internal sealed class GroupCall<TRequest, TResponse>(
    TRequest request, string step, ConnectionPurpose purpose, TimeSpan timeout, Func<TResponse, ErrorCode> errorOf)
    : GroupCall(step, purpose, timeout)
    where TRequest : class, IRequest<TResponse>
    where TResponse : class, IMessage, new()
{
    public override IRequest Request => request;

    public override ErrorCode ErrorOf(IMessage response) => errorOf((TResponse)response);

    public override async Task<IMessage> SendAsync(BrokerConnection connection, CancellationToken cancellationToken) =>
        await connection.SendAsync<TRequest, TResponse>(request, Timeout, cancellationToken);
}
