namespace Millrace.Kafka;

/// <summary>
/// The connection seam: how the client reaches a broker. <see cref="TcpKafkaConnector"/> is the default; an embedded broker is
/// reached through frames in memory, and a test through a network that it controls.
/// </summary>
public interface IKafkaConnector
{
    /// <summary>Opens one connection. The client opens several to one broker and never shares one between threads.</summary>
    /// <param name="address">A bootstrap address, or the address that the broker advertises in its metadata.</param>
    /// <param name="cancellationToken">Ends the attempt, at the latest after <see cref="KafkaClientOptions.ConnectTimeout"/>.</param>
    /// <returns>An open transport, owned by the caller.</returns>
    /// <exception cref="KafkaConnectionException">The broker cannot be reached. The client tries again after a back-off.</exception>
    ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken);
}
