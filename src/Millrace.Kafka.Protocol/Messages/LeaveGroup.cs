namespace Millrace.Kafka.Protocol;

/// <summary>Takes members out of a group: one up to version 2, several from version 3.</summary>
public sealed class LeaveGroupRequest : IRequest<LeaveGroupResponse>
{
    public string GroupId = "";

    /// <summary>Up to version 2.</summary>
    public string MemberId = "";

    /// <summary>Version 3 and later.</summary>
    public List<LeavingMember> Members = [];

    public static ApiDefinition Api { get; } = new(ApiKey.LeaveGroup, 0, 5, FirstFlexibleVersion: 4);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        if (version <= 2) codec.String(ref MemberId);
        else codec.Array(ref Members, version);
        codec.Tags();
    }
}

public sealed class LeavingMember : IMessage
{
    public string MemberId = "";
    public string? GroupInstanceId;
    public string? Reason;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref MemberId);
        codec.NullableString(ref GroupInstanceId);
        if (version >= 5) codec.NullableString(ref Reason);
        codec.Tags();
    }
}

public sealed class LeaveGroupResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public List<LeavingMemberResponse> Members = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        if (version >= 3) codec.Array(ref Members, version);
        codec.Tags();
    }
}

public sealed class LeavingMemberResponse : IMessage
{
    public string MemberId = "";
    public string? GroupInstanceId = "";
    public ErrorCode ErrorCode;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref MemberId);
        codec.NullableString(ref GroupInstanceId);
        codec.Error(ref ErrorCode);
        codec.Tags();
    }
}
