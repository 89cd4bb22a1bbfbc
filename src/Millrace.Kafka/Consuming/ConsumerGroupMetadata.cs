namespace Millrace.Kafka;

/// <summary>Which membership a consumer holds: what fences its commits, those in a transaction included (KIP-447).</summary>
/// <param name="GroupId">The group; empty without one.</param>
/// <param name="GenerationId">The generation of the latest join, or the member epoch in the protocol of KIP-848; -1 outside of a membership.</param>
/// <param name="MemberId">The member id; empty outside of a membership.</param>
/// <param name="GroupInstanceId">The name of a static member (KIP-345); null for others.</param>
public sealed record ConsumerGroupMetadata(string GroupId, int GenerationId, string MemberId, string? GroupInstanceId = null)
{
    internal static ConsumerGroupMetadata None(ConsumerSettings settings) => new(settings.GroupId ?? "", -1, "", settings.GroupInstanceId);
}
