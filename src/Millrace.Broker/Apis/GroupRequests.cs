using System.Text;
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
        : groupId.Length == 0 || !FitsRecord(groupId) ? ErrorCode.InvalidGroupId
        : null;

    /// <summary>
    /// Whether a string can be written to the offsets topic, whose records count strings in 16 bits. Flexible versions of requests carry longer ones,
    /// and bytes that are not UTF-8 grow when they are read.
    /// </summary>
    public static bool FitsRecord(string text) => text.Length <= short.MaxValue && Encoding.UTF8.GetByteCount(text) <= short.MaxValue;
}
