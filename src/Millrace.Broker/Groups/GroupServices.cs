namespace Millrace.Broker;

/// <summary>The group coordinator, the offsets and the producer ids of one broker, and the APIs in front of them.</summary>
internal sealed class GroupServices : IAsyncDisposable
{
    private GroupServices()
    {
    }

    public IReadOnlyList<Api> Apis { get; } = [];

    /// <summary>Replays what the log holds. The log and the topics are open; no client is connected yet.</summary>
    /// <exception cref="BrokerStartException">The state cannot be read.</exception>
    public static GroupServices Start(BrokerServices services)
    {
        ArgumentNullException.ThrowIfNull(services);
        return new GroupServices();
    }

    /// <summary>Called once no request is left; the log is still open.</summary>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
