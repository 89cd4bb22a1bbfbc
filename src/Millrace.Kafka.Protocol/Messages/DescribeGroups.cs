namespace Millrace.Kafka.Protocol;

/// <summary>Asks who is in groups of the classic protocol, and what they were assigned.</summary>
public sealed class DescribeGroupsRequest : IRequest<DescribeGroupsResponse>
{
    public List<string> Groups = [];
    public bool IncludeAuthorizedOperations;

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeGroups, 0, 6, FirstFlexibleVersion: 5);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.StringArray(ref Groups);
        if (version >= 3) codec.Boolean(ref IncludeAuthorizedOperations);
        codec.Tags();
    }
}

public sealed class DescribeGroupsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DescribedGroup> Groups = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Groups, version);
        codec.Tags();
    }
}

public sealed class DescribedGroup : IMessage
{
    public ErrorCode ErrorCode;
    public string? ErrorMessage;
    public string GroupId = "";
    public string GroupState = "";
    public string ProtocolType = "";

    /// <summary>The name of the protocol, of a stable group.</summary>
    public string ProtocolData = "";

    public List<DescribedGroupMember> Members = [];

    /// <summary>Bits of operations, or <see cref="int.MinValue"/> when they were not asked for.</summary>
    public int AuthorizedOperations = int.MinValue;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        if (version >= 6) codec.NullableString(ref ErrorMessage);
        codec.String(ref GroupId);
        codec.String(ref GroupState);
        codec.String(ref ProtocolType);
        codec.String(ref ProtocolData);
        codec.Array(ref Members, version);
        if (version >= 3) codec.Int32(ref AuthorizedOperations);
        codec.Tags();
    }
}

public sealed class DescribedGroupMember : IMessage
{
    public string MemberId = "";
    public string? GroupInstanceId;
    public string ClientId = "";
    public string ClientHost = "";
    public byte[] MemberMetadata = [];
    public byte[] MemberAssignment = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref MemberId);
        if (version >= 4) codec.NullableString(ref GroupInstanceId);
        codec.String(ref ClientId);
        codec.String(ref ClientHost);
        codec.Bytes(ref MemberMetadata);
        codec.Bytes(ref MemberAssignment);
        codec.Tags();
    }
}
