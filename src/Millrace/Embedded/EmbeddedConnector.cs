using Millrace.Broker;
using Millrace.Kafka;

namespace Millrace;

/// <summary>Connects the client to the broker in the same process: the same frames as over a socket, passed in memory.</summary>
internal sealed class EmbeddedConnector(KafkaBroker broker) : IKafkaConnector
{
    // Every address is this one broker: it is the only one in its metadata.
    public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        try
        {
            InMemoryConnection connection = broker.Connect();
            return ValueTask.FromResult<IKafkaTransport>(new ChannelKafkaTransport(connection.Requests, connection.Responses, connection));
        }
        catch (ObjectDisposedException stopped)
        {
            throw new KafkaConnectionException("The embedded broker has stopped.", stopped);
        }
    }
}
