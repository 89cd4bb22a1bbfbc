using System.Net;

namespace Millrace.Broker;

/// <summary>One connection, as logs and group descriptions name it.</summary>
/// <param name="Id">Counts connections since the start of the broker.</param>
/// <param name="Remote">For logs: an address and port, or <c>in-memory-3</c>.</param>
/// <param name="ClientHost">As Kafka's group descriptions have it: <c>/127.0.0.1</c>.</param>
/// <param name="LocalEndPoint">The address of ours that the client reached; null in memory.</param>
/// <param name="Listener">The listener that it came by; null in memory.</param>
internal sealed record ConnectionIdentity(long Id, string Remote, string ClientHost, IPEndPoint? LocalEndPoint, BoundListener? Listener = null)
{
    /// <summary>The host of clients inside the broker's own process.</summary>
    public const string InMemoryHost = "/in-memory";

    public bool IsInMemory => LocalEndPoint is null;

    /// <summary>Whether responses may leave parts of themselves in files until they are sent.</summary>
    public bool SendsFiles => Listener is { Configuration.HasTls: false };
}
