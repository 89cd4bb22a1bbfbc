using System.Globalization;
using System.Text;
using System.Text.Json.Serialization;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>What travels beside a message's body, in record headers: CloudEvents 1.0 in Kafka's binary mode.</summary>
/// <remarks>For packages that build on messaging. Programs meet it as <see cref="MessageContext"/> and <see cref="MessageOptions"/>.</remarks>
public sealed record Envelope
{
    /// <summary>The message's id: the same at every delivery. Of a record without one: its coordinates, <c>topic-partition@offset</c>.</summary>
    public required string MessageId { get; init; }

    /// <summary>The message's type with its version; null on a record that is not a CloudEvent.</summary>
    public required string? Type { get; init; }

    /// <summary>The application that wrote the message, as a URI reference; null where it does not say.</summary>
    public string? Source { get; init; }

    /// <summary>When the message was written, by its writer's clock.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>The media type of the body; null where the writer did not say.</summary>
    public string? ContentType { get; init; }

    /// <summary>The id that every message of one chain shares: the id of its first message, unless given.</summary>
    public required string CorrelationId { get; init; }

    /// <summary>The id of the message whose handling wrote this one.</summary>
    public string? CausationId { get; init; }

    /// <summary>The W3C <c>traceparent</c> of what wrote the message; null when it was not traced.</summary>
    public string? TraceParent { get; init; }

    /// <summary>The W3C <c>tracestate</c> beside it.</summary>
    public string? TraceState { get; init; }

    /// <summary>Whether the body is JSON. A writer that does not say is taken at the word of its body.</summary>
    [JsonIgnore]
    public bool IsJson
    {
        get
        {
            if (ContentType is null) return true;
            ReadOnlySpan<char> mediaType = ContentType.AsSpan();
            int parameters = mediaType.IndexOf(';');
            if (parameters >= 0) mediaType = mediaType[..parameters];
            mediaType = mediaType.Trim();
            return mediaType.Equals(EnvelopeHeaders.Json, StringComparison.OrdinalIgnoreCase)
                || mediaType.EndsWith("+json", StringComparison.OrdinalIgnoreCase);
        }
    }

    /// <summary>
    /// Reads the envelope of any record, also of one that another program wrote: what is absent is taken from the
    /// record itself. Its coordinates serve as the id, since they are the same at every delivery.
    /// </summary>
    /// <param name="record">The record.</param>
    public static Envelope Read(ConsumerRecord record)
    {
        string? id = null, type = null, source = null, time = null, contentType = null, correlation = null, causation = null;
        string? traceParent = null, traceState = null, extensionTraceParent = null, extensionTraceState = null;
        foreach (RecordHeader header in record.Headers)
        {
            // Of a header that is repeated the last counts, as in Kafka's own lastHeader.
            switch (header.Key)
            {
                case EnvelopeHeaders.Id: id = Text(header); break;
                case EnvelopeHeaders.Type: type = Text(header); break;
                case EnvelopeHeaders.Source: source = Text(header); break;
                case EnvelopeHeaders.Time: time = Text(header); break;
                case EnvelopeHeaders.ContentType: contentType = Text(header); break;
                case EnvelopeHeaders.CorrelationId: correlation = Text(header); break;
                case EnvelopeHeaders.CausationId: causation = Text(header); break;
                case EnvelopeHeaders.TraceParent: traceParent = Text(header); break;
                case EnvelopeHeaders.TraceState: traceState = Text(header); break;
                case EnvelopeHeaders.ExtensionTraceParent: extensionTraceParent = Text(header); break;
                case EnvelopeHeaders.ExtensionTraceState: extensionTraceState = Text(header); break;
            }
        }

        id ??= $"{record.TopicPartition}@{record.Offset}";
        return new Envelope
        {
            MessageId = id,
            Type = type,
            Source = source,
            Time = DateTimeOffset.TryParse(time, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset parsed)
                ? parsed
                : record.Timestamp,
            ContentType = contentType,
            CorrelationId = correlation ?? id,
            CausationId = causation,
            TraceParent = traceParent ?? extensionTraceParent,
            TraceState = traceParent is null ? extensionTraceState : traceState,
        };
    }

    /// <summary>Writes the envelope as headers, in one fixed order, followed by the program's own.</summary>
    internal List<RecordHeader> Write(IEnumerable<KeyValuePair<string, string>> ownHeaders)
    {
        List<RecordHeader> headers =
        [
            Header(EnvelopeHeaders.SpecVersion, EnvelopeHeaders.SupportedSpecVersion),
            Header(EnvelopeHeaders.Id, MessageId),
            Header(EnvelopeHeaders.Source, Source!),
            Header(EnvelopeHeaders.Type, Type!),
            Header(EnvelopeHeaders.Time, Time.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture)),
            Header(EnvelopeHeaders.ContentType, ContentType!),
            Header(EnvelopeHeaders.CorrelationId, CorrelationId),
        ];
        if (CausationId is not null) headers.Add(Header(EnvelopeHeaders.CausationId, CausationId));
        if (TraceParent is not null) headers.Add(Header(EnvelopeHeaders.TraceParent, TraceParent));
        if (TraceState is { Length: > 0 }) headers.Add(Header(EnvelopeHeaders.TraceState, TraceState));
        foreach ((string key, string value) in ownHeaders) headers.Add(Header(key, value));
        return headers;
    }

    /// <summary>The text of the last header with this name; null when there is none.</summary>
    internal static string? FindHeader(IReadOnlyList<RecordHeader> headers, string name)
    {
        for (int i = headers.Count - 1; i >= 0; i--)
        {
            if (headers[i].Key == name) return headers[i].Value is { } value ? Encoding.UTF8.GetString(value.Span) : null;
        }

        return null;
    }

    private static RecordHeader Header(string key, string value) => new(key, Encoding.UTF8.GetBytes(value));

    // An empty header says nothing: it counts as absent.
    private static string? Text(RecordHeader header) =>
        header.Value is { Length: > 0 } value ? Encoding.UTF8.GetString(value.Span) : null;
}
