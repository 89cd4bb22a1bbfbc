using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What is known of one batch after one attempt.</summary>
/// <param name="Verdict">What it means.</param>
/// <param name="BaseOffset">Where it was written; null if that is not known.</param>
/// <param name="Timestamp">The broker's time, where the topic takes it.</param>
/// <param name="Failure">What the records' callers get, if they get a failure.</param>
internal readonly record struct ProduceAnswer(
    ProduceVerdict Verdict,
    Offset? BaseOffset = null,
    DateTimeOffset? Timestamp = null,
    Exception? Failure = null);
