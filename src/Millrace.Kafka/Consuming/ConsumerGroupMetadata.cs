namespace Millrace.Kafka;

/// <summary>Which membership a consumer holds.</summary>
/// <param name="GroupId">The group; empty without one.</param>
/// <param name="GenerationId">The generation of the latest join; -1 outside of one.</param>
/// <param name="MemberId">The member id; empty outside of a membership.</param>
public sealed record ConsumerGroupMetadata(string GroupId, int GenerationId, string MemberId);
