namespace Millrace;

/// <summary>
/// The record headers of the envelope: CloudEvents 1.0 in the binary mode of its Kafka protocol binding, which prefixes
/// attributes with <c>ce_</c>.
/// </summary>
/// <remarks>
/// The trace context travels as W3C <c>traceparent</c> and <c>tracestate</c> without a prefix, since those are the
/// headers that OpenTelemetry's Kafka instrumentations write and read. The CloudEvents distributed tracing extension
/// (<c>ce_traceparent</c>, <c>ce_tracestate</c>) is read where the plain headers are absent.
/// </remarks>
internal static class EnvelopeHeaders
{
    public const string Prefix = "ce_";
    public const string SpecVersion = "ce_specversion";
    public const string Id = "ce_id";
    public const string Source = "ce_source";
    public const string Type = "ce_type";
    public const string Time = "ce_time";
    public const string ContentType = "content-type";
    public const string CorrelationId = "ce_correlationid";
    public const string CausationId = "ce_causationid";
    public const string TraceParent = "traceparent";
    public const string TraceState = "tracestate";
    public const string ExtensionTraceParent = "ce_traceparent";
    public const string ExtensionTraceState = "ce_tracestate";

    public const string SupportedSpecVersion = "1.0";
    public const string Json = "application/json";

    /// <summary>Whether the envelope owns the header, so that a program may not set it by hand.</summary>
    public static bool IsReserved(string header) =>
        header.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase)
        || header.Equals(ContentType, StringComparison.OrdinalIgnoreCase)
        || header.Equals(TraceParent, StringComparison.OrdinalIgnoreCase)
        || header.Equals(TraceState, StringComparison.OrdinalIgnoreCase);
}
