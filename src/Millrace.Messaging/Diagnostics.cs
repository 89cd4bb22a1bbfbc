using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Text;
using Millrace.Kafka;

namespace Millrace;

/// <summary>
/// Traces and metrics by OpenTelemetry's semantic conventions for messaging. A message's handling is a child of its
/// sending, so that a chain of messages is one trace. What is sent and read is counted by the client, under its own name. Where a listener throws, no message is handled or sent otherwise for that.
/// </summary>
internal static class Diagnostics
{
    /// <summary>The name of the activity source and of the meter: what a program adds to its OpenTelemetry set-up.</summary>
    public const string Name = "Millrace.Messaging";

    public static readonly ActivitySource ActivitySource = new(Name);

    private static readonly Meter s_meter = new(Name);
    private static readonly QuietInstrument<double> s_processDuration = new(s_meter.CreateHistogram<double>(
        "messaging.process.duration", "s", "One attempt of a handler."));
    private static readonly QuietInstrument<long> s_retries = new(s_meter.CreateCounter<long>(
        "millrace.endpoint.retries", "{attempt}", "Attempts that failed and will be repeated."));
    private static readonly QuietInstrument<long> s_deadLetters = new(s_meter.CreateCounter<long>(
        "millrace.endpoint.dead_letters", "{message}", "Messages that were given up and kept as dead letters."));
    private static readonly QuietInstrument<long> s_skipped = new(s_meter.CreateCounter<long>(
        "millrace.endpoint.skipped", "{message}", "Messages on an endpoint's topics that it does not handle."));

    public static Activity? StartSend(OutgoingMessage message)
    {
        // The parent is the current activity, which inside a handler is the handling. Without one the chain goes on from the
        // message that is being handled, so that a hop that nobody listens to does not break the trace.
        ActivityContext parent = Activity.Current is null ? ParentOf(message.Envelope) : default;
        string topic = message.Topic;
        Activity? activity = QuietActivities.Begin((Topic: topic, Parent: parent), static send => ActivitySource.StartActivity($"send {send.Topic}", ActivityKind.Producer, send.Parent));
        if (activity is null || !activity.IsAllDataRequested) return activity;
        activity.SetTag("messaging.operation.name", "send");
        activity.SetTag("messaging.operation.type", "send");
        SetMessageTags(activity, topic, message.Envelope, message.Key);
        return activity;
    }

    /// <summary>The envelope as it is sent: with the trace context of the sending, or of whatever is current.</summary>
    public static Envelope WithTraceContext(Envelope envelope, Activity? activity)
    {
        Activity? current = activity ?? Activity.Current;
        return current is { IdFormat: ActivityIdFormat.W3C, Id: { } id }
            ? envelope with { TraceParent = id, TraceState = current.TraceStateString }
            : envelope;
    }

    public static Activity? StartProcess(string endpoint, ConsumerRecord record, Envelope envelope)
    {
        string topic = record.TopicPartition.Topic;
        Activity? activity = QuietActivities.Begin(
            (Topic: topic, Parent: ParentOf(envelope)), static process => ActivitySource.StartActivity($"process {process.Topic}", ActivityKind.Consumer, process.Parent));
        if (activity is null || !activity.IsAllDataRequested) return activity;
        activity.SetTag("messaging.operation.name", "process");
        activity.SetTag("messaging.operation.type", "process");
        activity.SetTag("messaging.consumer.group.name", endpoint);
        activity.SetTag("messaging.destination.partition.id", record.TopicPartition.Partition.ToString());
        activity.SetTag("messaging.kafka.offset", record.Offset.Value);
        SetMessageTags(activity, topic, envelope, record.Key is { } key ? Encoding.UTF8.GetString(key.Span) : null);
        return activity;
    }

    public static void SetWritten(Activity? activity, RecordMetadata written)
    {
        if (activity is null || !activity.IsAllDataRequested) return;
        activity.SetTag("messaging.destination.partition.id", written.TopicPartition.Partition.ToString());
        activity.SetTag("messaging.kafka.offset", written.Offset.Value);
    }

    public static void SetFailed(Activity? activity, Exception failure)
    {
        if (activity is null) return;
        activity.SetStatus(ActivityStatusCode.Error, failure.Message);
        activity.SetTag("error.type", failure.GetType().FullName);
        activity.TellException(failure);
    }

    public static void RecordProcessed(string endpoint, string topic, TimeSpan duration, string? errorType) =>
        s_processDuration.Tell(duration.TotalSeconds, Tags("process", topic, endpoint, errorType));

    public static void RecordRetry(string endpoint, string topic, string? errorType) =>
        s_retries.Tell(1, Tags("process", topic, endpoint, errorType));

    public static void RecordDeadLetter(string endpoint, string topic) =>
        s_deadLetters.Tell(1, Tags("process", topic, endpoint, errorType: null));

    public static void RecordSkipped(string endpoint, string topic, string reason)
    {
        TagList tags = Tags("process", topic, endpoint, errorType: null);
        tags.Add("millrace.reason", reason);
        s_skipped.Tell(1, tags);
    }

    private static ActivityContext ParentOf(Envelope? envelope) =>
        ActivityContext.TryParse(envelope?.TraceParent, envelope?.TraceState, isRemote: true, out ActivityContext context) ? context : default;

    private static void SetMessageTags(Activity activity, string topic, Envelope envelope, string? key)
    {
        activity.SetTag("messaging.system", "kafka");
        activity.SetTag("messaging.destination.name", topic);
        activity.SetTag("messaging.message.id", envelope.MessageId);
        activity.SetTag("messaging.message.conversation_id", envelope.CorrelationId);
        activity.SetTag("millrace.message.type", envelope.Type);
        if (key is not null) activity.SetTag("messaging.kafka.message.key", key);
    }

    private static TagList Tags(string operation, string topic, string? endpoint, string? errorType)
    {
        TagList tags = new()
        {
            { "messaging.system", "kafka" },
            { "messaging.operation.name", operation },
            { "messaging.destination.name", topic },
        };
        if (endpoint is not null) tags.Add("messaging.consumer.group.name", endpoint);
        if (errorType is not null) tags.Add("error.type", errorType);
        return tags;
    }
}
