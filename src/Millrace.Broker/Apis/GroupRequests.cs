using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>What the requests of group members have in common.</summary>
internal static class GroupRequests
{
    /// <summary>Kafka's clients take no longer name for a static member; its member id begins with it and has to fit into a record.</summary>
    private const int MaxInstanceIdLength = 249;

    /// <summary>Why a member's request is not even brought to its group, or null.</summary>
    public static ErrorCode? Refusal(string groupId, string? groupInstanceId) =>
        groupId.Length == 0 || !FitsRecord(groupId) ? ErrorCode.InvalidGroupId
        : groupInstanceId is { Length: 0 or > MaxInstanceIdLength } ? ErrorCode.InvalidRequest
        : null;

    /// <summary>
    /// Whether a string can be written to the offsets topic, whose records count strings in 16 bits. Flexible versions of requests carry longer ones,
    /// and bytes that are not UTF-8 grow when they are read.
    /// </summary>
    public static bool FitsRecord(string text) => text.Length <= short.MaxValue && Encoding.UTF8.GetByteCount(text) <= short.MaxValue;
}
