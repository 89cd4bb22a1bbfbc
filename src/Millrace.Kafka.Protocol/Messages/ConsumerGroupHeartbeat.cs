namespace Millrace.Kafka.Protocol;

/// <summary>
/// A member's whole life in a group of the protocol of KIP-848: it joins, tells what it owns, learns what it is assigned, and leaves. A field that is
/// null (-1 for the time-out) has not changed since the last request.
/// </summary>
public sealed class ConsumerGroupHeartbeatRequest : IRequest<ConsumerGroupHeartbeatResponse>
{
    public string GroupId = "";

    /// <summary>Empty in version 0 on joining, where the coordinator gives it; from version 1 on the member's own.</summary>
    public string MemberId = "";

    /// <summary>0 to join, -1 to leave, -2 for a static member that leaves and comes back.</summary>
    public int MemberEpoch;

    public string? InstanceId;
    public string? RackId;
    public int RebalanceTimeoutMilliseconds = -1;
    public List<string>? SubscribedTopicNames;

    /// <summary>Version 1: a regular expression of RE2.</summary>
    public string? SubscribedTopicRegex;

    public string? ServerAssignor;

    /// <summary>What the member owns.</summary>
    public List<ConsumerGroupTopicPartitions>? TopicPartitions;

    public static ApiDefinition Api { get; } = new(ApiKey.ConsumerGroupHeartbeat, 0, 1, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        codec.String(ref MemberId);
        codec.Int32(ref MemberEpoch);
        codec.NullableString(ref InstanceId);
        codec.NullableString(ref RackId);
        codec.Int32(ref RebalanceTimeoutMilliseconds);
        codec.NullableStringArray(ref SubscribedTopicNames);
        if (version >= 1) codec.NullableString(ref SubscribedTopicRegex);
        codec.NullableString(ref ServerAssignor);
        codec.NullableArray(ref TopicPartitions, version);
        codec.Tags();
    }
}

public sealed class ConsumerGroupTopicPartitions : IMessage
{
    public Guid TopicId;
    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Uuid(ref TopicId);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}

/// <summary>All that a member may work on now; what it owns beyond that it gives up.</summary>
public sealed class ConsumerGroupAssignment : IMessage
{
    private const sbyte Absent = -1;
    private const sbyte Present = 1;

    public List<ConsumerGroupTopicPartitions> TopicPartitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref TopicPartitions, version);
        codec.Tags();
    }

    /// <summary>A structure that may be null has a byte before it that says whether it is there.</summary>
    internal static void Describe<TCodec>(ref TCodec codec, ref ConsumerGroupAssignment? assignment, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        sbyte presence = assignment is null ? Absent : Present;
        codec.Int8(ref presence);
        if (presence < 0)
        {
            assignment = null;
            return;
        }

        assignment ??= new ConsumerGroupAssignment();
        assignment.Describe(ref codec, version);
    }
}

public sealed class ConsumerGroupHeartbeatResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public string? ErrorMessage;

    /// <summary>Told to who joins.</summary>
    public string? MemberId;

    public int MemberEpoch;
    public int HeartbeatIntervalMilliseconds;

    /// <summary>Null where it has not changed.</summary>
    public ConsumerGroupAssignment? Assignment;

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.NullableString(ref MemberId);
        codec.Int32(ref MemberEpoch);
        codec.Int32(ref HeartbeatIntervalMilliseconds);
        ConsumerGroupAssignment.Describe(ref codec, ref Assignment, version);
        codec.Tags();
    }
}
