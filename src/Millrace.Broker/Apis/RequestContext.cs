using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>What an API knows about the request besides its content: who asks, in which version, over which connection.</summary>
internal sealed class RequestContext
{
    private List<IDisposable>? _kept;

    public required RequestHeader Header { get; init; }
    public required ConnectionIdentity Connection { get; init; }

    /// <summary>Who has logged in on the connection, and how far that is.</summary>
    public required ConnectionSession Session { get; init; }

    /// <summary>Cancelled when nobody is left to read the response: the client is gone, or the broker crashes on purpose. A stopping broker does not cancel it; it wakes the waits.</summary>
    public required CancellationToken Aborted { get; init; }

    /// <summary>Completes when every request that this connection sent before has been answered. For an API that reads what an earlier one may still be writing.</summary>
    public Task EarlierAreAnswered { get; init; } = Task.CompletedTask;

    /// <summary>Whether the request may block the thread on which it began for the time that a disk takes: nothing else of its connection waits for that.</summary>
    public Func<bool> MayBlock { get; init; } = static () => false;

    public short Version => Header.Version;
    public string? ClientId => Header.ClientId;

    /// <summary>Why the connection must be closed after this request, or null.</summary>
    public string? CloseReason { get; private set; }

    /// <summary>Closes the connection once the responses before this one are sent; the reason is logged with the client's address.</summary>
    public void CloseConnection(string reason) => CloseReason ??= reason;

    /// <summary>Keeps what the response needs; it is disposed once the response is sent, or is never to be.</summary>
    public void KeepUntilSent(IDisposable resource) => (_kept ??= []).Add(resource);

    /// <summary>The response is sent, or never will be.</summary>
    public void Release()
    {
        foreach (IDisposable resource in _kept ?? [])
        {
            resource.Dispose();
        }

        _kept = null;
    }
}
