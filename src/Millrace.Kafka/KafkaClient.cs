using Microsoft.Extensions.Logging;

namespace Millrace.Kafka;

/// <summary>
/// A connection to one Kafka cluster: the room that its producers, consumers and admin share, with one picture of the cluster. All
/// members may be called from any thread. Nothing connects before it is needed.
/// </summary>
public sealed class KafkaClient : IAsyncDisposable
{
    /// <summary>Creates a client. Does not connect.</summary>
    /// <param name="options">Copied; later changes have no effect.</param>
    /// <param name="time">The clock for every time-out, back-off and timestamp.</param>
    /// <param name="loggers">Where the client logs.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message says which, and what is allowed.</exception>
    public KafkaClient(KafkaClientOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        throw new NotSupportedException();
    }

    /// <summary>Creates, describes and looks up topics and offsets.</summary>
    public KafkaAdmin Admin => throw new NotSupportedException();

    /// <summary>Creates a producer with connections of its own. Dispose it before the client.</summary>
    /// <param name="options">Copied; null takes the defaults.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or two contradict each other.</exception>
    public KafkaProducer CreateProducer(ProducerOptions? options = null) => throw new NotSupportedException();

    /// <summary>Creates a consumer with connections of its own. Dispose it before the client.</summary>
    /// <param name="options">Copied; null takes the defaults, which have no group.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or two contradict each other.</exception>
    public KafkaConsumer CreateConsumer(ConsumerOptions? options = null) => throw new NotSupportedException();

    /// <summary>Closes what is still open, producers (which flush first) and consumers (which leave their groups first) included.</summary>
    public ValueTask DisposeAsync() => throw new NotSupportedException();
}
