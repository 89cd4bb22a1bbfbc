using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>A JoinGroup as the group sees it: free of versions, with its own copies of every byte.</summary>
internal sealed record JoinInput
{
    /// <summary>Names the request in the effects; unique within the group, whose coordinator sets it.</summary>
    public long RequestId { get; init; }

    /// <summary>Empty for a member that has no id yet.</summary>
    public required string MemberId { get; init; }

    /// <summary>The name of a static member (KIP-345), or null.</summary>
    public string? InstanceId { get; init; }

    public required string ClientId { get; init; }
    public string ClientHost { get; init; } = "";
    public required TimeSpan SessionTimeout { get; init; }
    public required TimeSpan RebalanceTimeout { get; init; }
    public required string ProtocolType { get; init; }
    public required IReadOnlyList<GroupProtocol> Protocols { get; init; }

    /// <summary>The client can come back with the id that it is given (JoinGroup 4 and up, KIP-394).</summary>
    public bool RequiresKnownMemberId { get; init; }

    /// <summary>A leader that comes back can be told to leave the assignment as it is (JoinGroup 9 and up, KIP-814).</summary>
    public bool CanSkipAssignment { get; init; }
}

/// <summary>A SyncGroup as the group sees it.</summary>
internal sealed record SyncInput
{
    /// <inheritdoc cref="JoinInput.RequestId"/>
    public long RequestId { get; init; }

    public required string MemberId { get; init; }

    /// <inheritdoc cref="JoinInput.InstanceId"/>
    public string? InstanceId { get; init; }

    public required int Generation { get; init; }

    /// <summary>Null where the request's version does not carry it; then it is not checked.</summary>
    public string? ProtocolType { get; init; }

    /// <inheritdoc cref="ProtocolType"/>
    public string? ProtocolName { get; init; }

    /// <summary>By member id; empty unless the sender is the leader.</summary>
    public IReadOnlyList<KeyValuePair<string, byte[]>> Assignments { get; init; } = [];
}

/// <summary>A member as its leader sees it.</summary>
internal readonly record struct JoinedMember(string MemberId, string? InstanceId, byte[] Metadata);

/// <summary>How a request names a member: by its id, by its instance id where its id is empty, or by both, which then must belong together.</summary>
internal readonly record struct MemberName(string MemberId, string? InstanceId = null);

/// <summary>The answer to a JoinGroup. <see cref="Members"/> is empty for everyone but the leader.</summary>
internal sealed record JoinAnswer(
    ErrorCode Error,
    string MemberId,
    int Generation,
    string? ProtocolType,
    string? ProtocolName,
    string Leader,
    IReadOnlyList<JoinedMember> Members)
{
    public const int NoGeneration = -1;

    /// <summary>The member leads, and the assignment stands: it is not to make another one (KIP-814).</summary>
    public bool SkipAssignment { get; init; }

    public static JoinAnswer Refused(ErrorCode error, string memberId) =>
        new(error, memberId, NoGeneration, ProtocolType: null, ProtocolName: null, Leader: "", Members: []);
}

/// <summary>The answer to a SyncGroup.</summary>
internal sealed record SyncAnswer(ErrorCode Error, string? ProtocolType, string? ProtocolName, byte[] Assignment)
{
    public static SyncAnswer Refused(ErrorCode error) => new(error, ProtocolType: null, ProtocolName: null, Assignment: []);
}

/// <summary>What a group asks of its surroundings.</summary>
internal abstract record GroupEffect;

/// <summary>Answer the JoinGroup with this id. Each request is answered exactly once.</summary>
internal sealed record JoinAnswered(long RequestId, JoinAnswer Answer) : GroupEffect;

/// <summary>Answer the SyncGroup with this id. Each request is answered exactly once.</summary>
internal sealed record SyncAnswered(long RequestId, SyncAnswer Answer) : GroupEffect;

/// <summary>
/// Write the snapshot to the offsets topic, and call <see cref="ClassicGroup.Persisted"/> with its number once it is on disk or has failed.
/// </summary>
internal sealed record SnapshotTaken(long Number, GroupSnapshot Snapshot) : GroupEffect;

/// <summary>A change that an operator wants to read of.</summary>
internal sealed record GroupNoted(GroupNote Note, int Generation, int MemberCount, string Subject) : GroupEffect;

internal enum GroupNote
{
    RebalanceStarted,
    GenerationFormed,
    GenerationStable,
    BecameEmpty,
    MemberExpired,
    MemberDidNotRejoin,
    MemberDidNotSync,
    StaticMemberReplaced,
}

/// <summary>What survives a restart of a group: the value of its record in the offsets topic.</summary>
internal sealed record GroupSnapshot(
    string ProtocolType, int Generation, string? ProtocolName, string? Leader, IReadOnlyList<MemberSnapshot> Members)
{
    public const long UnknownTimestamp = -1;

    /// <summary>When it was written, in milliseconds since 1970; known of a snapshot that was read.</summary>
    public long StateTimestamp { get; init; } = UnknownTimestamp;
}

/// <summary>A member in a <see cref="GroupSnapshot"/>.</summary>
internal sealed record MemberSnapshot(
    string MemberId,
    string ClientId,
    string ClientHost,
    TimeSpan RebalanceTimeout,
    TimeSpan SessionTimeout,
    byte[] Subscription,
    byte[] Assignment,
    string? InstanceId = null);
