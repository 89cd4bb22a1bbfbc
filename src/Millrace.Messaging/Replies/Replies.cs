using System.Text.Json;
using Millrace.Kafka;

namespace Millrace;

/// <summary>Makes the replies to commands that ask for one.</summary>
internal static class Replies
{
    /// <summary>Whether a record asks for a reply, and where.</summary>
    public static string? TopicOf(ConsumerRecord record) => Envelope.FindHeader(record.Headers, ReplyHeaders.ReplyTo);

    /// <summary>Whether replies can go there. The name came from outside: Kafka's own topics, for one, are not for replies.</summary>
    public static bool CanGoTo(string topic) => TopicName.IsValid(topic) && !topic.StartsWith("__", StringComparison.Ordinal);

    public static OutgoingMessage Create(
        string topic, ConsumerRecord record, Envelope command, string source, DateTimeOffset now, ReplyStatus status, string? reason, byte[] body)
    {
        List<KeyValuePair<string, string>> headers = [new(ReplyHeaders.Status, ReplyHeaders.Format(status))];
        if (reason is not null) headers.Add(new(ReplyHeaders.Reason, reason));
        Envelope envelope = new()
        {
            MessageId = $"{command.MessageId}/reply",
            Type = ReplyHeaders.ReplyType,
            Source = source,
            Time = now,
            ContentType = EnvelopeHeaders.Json,
            CorrelationId = command.CorrelationId,
            CausationId = command.MessageId,
            TraceParent = command.TraceParent,
            TraceState = command.TraceState,
        };
        return new OutgoingMessage(topic, Envelope.FindHeader(record.Headers, ReplyHeaders.ReplyKey), body, envelope, headers);
    }

    /// <summary>The body of a reply: the handler's value, or JSON's <c>null</c>.</summary>
    public static byte[] Body(object? value, Type? type, JsonSerializerOptions json) =>
        value is null ? [.. "null"u8] : JsonSerializer.SerializeToUtf8Bytes(value, type ?? value.GetType(), json);
}
