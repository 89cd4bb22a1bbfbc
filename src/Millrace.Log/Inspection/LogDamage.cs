using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The first place where a log is not whole.</summary>
/// <param name="Segment">Its first offset.</param>
/// <param name="Offset">The offset where the log is whole up to.</param>
internal sealed record LogDamage(RecoveryCondition Condition, Offset Segment, long Position, Offset Offset, string Description);
