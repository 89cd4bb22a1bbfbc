using System.Diagnostics;
using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>The W3C trace context in the headers of a record: <c>traceparent</c> and <c>tracestate</c>.</summary>
internal static class TraceContext
{
    private const string ParentKey = "traceparent";
    private const string StateKey = "tracestate";

    /// <summary>Adds the context of a record's creation, which belongs to what is current. A context that is there already is the application's own, and stays.</summary>
    public static IReadOnlyList<RecordHeader>? AddTo(IReadOnlyList<RecordHeader>? headers, string topic, string clientId)
    {
        if (Find(headers, ParentKey) is not null)
        {
            return headers;
        }

        Activity? create = Diagnostics.StartCreate(topic, clientId);
        using Ending ending = create.Ending();
        if ((create ?? Activity.Current) is not { IdFormat: ActivityIdFormat.W3C, Id: { } id } activity)
        {
            return headers;
        }

        List<RecordHeader> all = [.. headers ?? [], new RecordHeader(ParentKey, Encoding.ASCII.GetBytes(id))];
        if (activity.TraceStateString is { Length: > 0 } state)
        {
            all.Add(new RecordHeader(StateKey, Encoding.ASCII.GetBytes(state)));
        }

        return all;
    }

    /// <summary>The context that a record brings; the default where it brings none that can be read.</summary>
    public static ActivityContext Of(IReadOnlyList<RecordHeader> headers) =>
        Find(headers, ParentKey) is { } parent && TryParse(parent.Span, Find(headers, StateKey).GetValueOrDefault().Span, out ActivityContext context)
            ? context
            : default;

    /// <summary>As <see cref="Of(IReadOnlyList{RecordHeader})"/>, of a record where it lies.</summary>
    public static ActivityContext Of(HeaderViews headers) =>
        headers.TryGetLast("traceparent"u8, out HeaderView parent)
        && TryParse(parent.Value, headers.TryGetLast("tracestate"u8, out HeaderView state) ? state.Value : default, out ActivityContext context)
            ? context
            : default;

    private static bool TryParse(ReadOnlySpan<byte> parent, ReadOnlySpan<byte> state, out ActivityContext context) => ActivityContext.TryParse(
        Encoding.Latin1.GetString(parent), state.IsEmpty ? null : Encoding.Latin1.GetString(state), isRemote: true, out context);

    /// <summary>The last one of the name, as Kafka's clients look one up.</summary>
    private static ReadOnlyMemory<byte>? Find(IReadOnlyList<RecordHeader>? headers, string key)
    {
        for (int i = (headers?.Count ?? 0) - 1; i >= 0; i--)
        {
            if (headers![i].Key == key)
            {
                return headers[i].Value;
            }
        }

        return null;
    }
}
