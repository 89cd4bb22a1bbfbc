namespace Millrace.Kafka.Protocol;

/// <summary>Joins a consumer group, or rejoins it for a new generation.</summary>
public sealed class JoinGroupRequest : IRequest<JoinGroupResponse>
{
    public string GroupId = "";
    public int SessionTimeoutMilliseconds;

    /// <summary>-1 in version 0, where the session time-out stands for it.</summary>
    public int RebalanceTimeoutMilliseconds = -1;

    /// <summary>Empty on the first join.</summary>
    public string MemberId = "";

    /// <summary>The name of a static member (KIP-345).</summary>
    public string? GroupInstanceId;

    public string ProtocolType = "";
    public List<JoinGroupProtocol> Protocols = [];
    public string? Reason;

    public static ApiDefinition Api { get; } = new(ApiKey.JoinGroup, 0, 9, FirstFlexibleVersion: 6);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        codec.Int32(ref SessionTimeoutMilliseconds);
        if (version >= 1) codec.Int32(ref RebalanceTimeoutMilliseconds);
        codec.String(ref MemberId);
        if (version >= 5) codec.NullableString(ref GroupInstanceId);
        codec.String(ref ProtocolType);
        codec.Array(ref Protocols, version);
        if (version >= 8) codec.NullableString(ref Reason);
        codec.Tags();
    }
}

public sealed class JoinGroupProtocol : IMessage
{
    public string Name = "";

    /// <summary>Opaque to the broker.</summary>
    public byte[] Metadata = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Bytes(ref Metadata);
        codec.Tags();
    }
}

public sealed class JoinGroupResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public int GenerationId = -1;
    public string? ProtocolType;

    /// <summary>Null from version 7 on where nothing was chosen; earlier versions say it with the empty string.</summary>
    public string? ProtocolName = "";

    public string Leader = "";
    public bool SkipAssignment;
    public string MemberId = "";

    /// <summary>Filled for the leader only.</summary>
    public List<JoinGroupMember> Members = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 2) codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.Int32(ref GenerationId);
        if (version >= 7)
        {
            codec.NullableString(ref ProtocolType);
            codec.NullableString(ref ProtocolName);
        }
        else
        {
            codec.String(ref ProtocolName!);
        }

        codec.String(ref Leader);
        if (version >= 9) codec.Boolean(ref SkipAssignment);
        codec.String(ref MemberId);
        codec.Array(ref Members, version);
        codec.Tags();
    }
}

public sealed class JoinGroupMember : IMessage
{
    public string MemberId = "";
    public string? GroupInstanceId;
    public byte[] Metadata = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref MemberId);
        if (version >= 5) codec.NullableString(ref GroupInstanceId);
        codec.Bytes(ref Metadata);
        codec.Tags();
    }
}
