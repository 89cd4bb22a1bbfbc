using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>A group as an operator sees it.</summary>
/// <param name="State">Where it stands.</param>
/// <param name="ProtocolType">Empty for a group that nobody has ever joined: its offsets were committed by consumers that assign partitions themselves.</param>
/// <param name="ProtocolName">Empty unless the group is stable.</param>
/// <param name="Members">With metadata and assignment if the group is stable.</param>
internal sealed record GroupDescription(GroupState State, string ProtocolType, string ProtocolName, IReadOnlyList<DescribedMember> Members)
{
    public static readonly GroupDescription OffsetsOnly = new(GroupState.Empty, ProtocolType: "", ProtocolName: "", Members: []);
}

/// <summary>A member in a <see cref="GroupDescription"/>.</summary>
internal sealed record DescribedMember(string MemberId, string? InstanceId, string ClientId, string ClientHost, byte[] Metadata, byte[] Assignment);

/// <summary>What <see cref="GroupCoordinator.DeleteOffsetsAsync"/> did: an error of the whole group, or one for each partition that was asked for.</summary>
internal sealed record OffsetDeletion(ErrorCode GroupError, IReadOnlyList<ErrorCode> Partitions);
