using System.Text.Json;
using Microsoft.Extensions.Logging;
using Millrace.Kafka;

namespace Millrace;

/// <summary>What a processor works with: the connections of the running host.</summary>
public sealed class ProcessorServices
{
    internal ProcessorServices()
    {
    }

    /// <summary>The client of the log. It belongs to the host; consumers made from it belong to who made them.</summary>
    public required KafkaClient Client { get; init; }

    /// <summary>The host's producer: acks=all, idempotent. It belongs to the host.</summary>
    public required KafkaProducer Producer { get; init; }

    /// <summary>What the application puts before the names of topics, those of the processor's options included.</summary>
    public required string TopicPrefix { get; init; }

    /// <summary>Writes messages.</summary>
    public required MessageWriter Writer { get; init; }

    /// <summary>The application's clock.</summary>
    public required TimeProvider Time { get; init; }

    /// <summary>The application's loggers.</summary>
    public required ILoggerFactory Loggers { get; init; }

    /// <summary>How bodies are written and read.</summary>
    public required JsonSerializerOptions Json { get; init; }

    /// <summary>The host's services.</summary>
    public required IServiceProvider Services { get; init; }
}
