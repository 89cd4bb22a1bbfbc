using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Millrace.Kafka;

/// <summary>Traces and metrics by OpenTelemetry's conventions for messaging; the names of both sources are <c>Millrace.Kafka</c>.</summary>
internal static class Diagnostics
{
    private const string SourceName = "Millrace.Kafka";

    private static readonly ActivitySource Activities = new(SourceName);

    private static readonly Meter Meter = new(SourceName);

    /// <summary>Records that were acknowledged, or that failed (<c>error.type</c>).</summary>
    public static readonly Counter<long> SentMessages = Meter.CreateCounter<long>(
        "messaging.client.sent.messages", "{message}", "Records that the producer tried to send.");

    /// <summary>Records that were handed out.</summary>
    public static readonly Counter<long> ConsumedMessages = Meter.CreateCounter<long>(
        "messaging.client.consumed.messages", "{message}", "Records that the consumer handed to the application.");

    /// <summary>Applications that took records and did not poll for <see cref="ConsumerOptions.MaxPollInterval"/>.</summary>
    public static readonly Counter<long> PollTimeouts = Meter.CreateCounter<long>(
        "millrace.kafka.consumer.poll_timeouts", "{timeout}", "Times that an application with records in hand did not poll within the interval that its options allow.");

    /// <summary>Records between the position and the end of the log, as of the latest answer to a fetch.</summary>
    public static readonly Gauge<long> RecordsLag = Meter.CreateGauge<long>(
        "kafka.consumer.records_lag", "{record}", "Records that a partition holds behind the consumer's position.");

    /// <summary>The time of one request to a broker.</summary>
    public static readonly Histogram<double> OperationDuration = Meter.CreateHistogram<double>(
        "messaging.client.operation.duration", "s", "Time from a produce or commit request to its answer.");

    /// <summary>The span of one produce request; null when nobody listens.</summary>
    public static Activity? StartSend(BrokerAddress address, int recordCount)
    {
        Activity? activity = Activities.StartActivity("send", ActivityKind.Client);
        activity?.SetTag("messaging.system", "kafka");
        activity?.SetTag("messaging.operation.name", "send");
        activity?.SetTag("messaging.batch.message_count", recordCount);
        activity?.SetTag("server.address", address.Host);
        activity?.SetTag("server.port", address.Port);
        return activity;
    }

    public static TagList Tags(string topic, string? error = null)
    {
        var tags = new TagList { { "messaging.system", "kafka" }, { "messaging.destination.name", topic } };
        if (error is not null)
        {
            tags.Add("error.type", error);
        }

        return tags;
    }
}
