using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>What the requests of group members have in common.</summary>
internal static class GroupRequests
{
    /// <summary>
    /// Why a member's request is not even brought to its group, or null. Static members are not built: taking <c>group.instance.id</c> and
    /// treating its owner as any member would lose what the client relies on, so it is refused, as Kafka did before it had them.
    /// </summary>
    public static ErrorCode? Refusal(string groupId, string? groupInstanceId) =>
        groupInstanceId is not null ? ErrorCode.UnsupportedVersion
        : groupId.Length == 0 ? ErrorCode.InvalidGroupId
        : null;
}
