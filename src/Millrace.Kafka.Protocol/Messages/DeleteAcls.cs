namespace Millrace.Kafka.Protocol;

/// <summary>Removes from the access control list what matches filters.</summary>
public sealed class DeleteAclsRequest : IRequest<DeleteAclsResponse>
{
    public List<DeleteAclsFilter> Filters = [];

    public static ApiDefinition Api { get; } = new(ApiKey.DeleteAcls, 0, 3, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Filters, version);
        codec.Tags();
    }
}

/// <summary>What an entry must be to be removed; null matches every name.</summary>
public sealed class DeleteAclsFilter : IMessage
{
    public sbyte ResourceTypeFilter;
    public string? ResourceNameFilter = "";

    /// <summary>Version 1 and later.</summary>
    public sbyte PatternTypeFilter = DescribeAclsRequest.LiteralPattern;

    public string? PrincipalFilter = "";
    public string? HostFilter = "";
    public sbyte Operation;
    public sbyte PermissionType;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int8(ref ResourceTypeFilter);
        codec.NullableString(ref ResourceNameFilter);
        if (version >= 1)
        {
            codec.Int8(ref PatternTypeFilter);
        }

        codec.NullableString(ref PrincipalFilter);
        codec.NullableString(ref HostFilter);
        codec.Int8(ref Operation);
        codec.Int8(ref PermissionType);
        codec.Tags();
    }
}

public sealed class DeleteAclsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DeleteAclsFilterResult> FilterResults = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref FilterResults, version);
        codec.Tags();
    }
}

public sealed class DeleteAclsFilterResult : IMessage
{
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public List<DeletedAcl> MatchingAcls = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Array(ref MatchingAcls, version);
        codec.Tags();
    }
}

public sealed class DeletedAcl : IMessage
{
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public sbyte ResourceType;
    public string ResourceName = "";

    /// <summary>Version 1 and later.</summary>
    public sbyte PatternType = DescribeAclsRequest.LiteralPattern;

    public string Principal = "";
    public string Host = "";
    public sbyte Operation;
    public sbyte PermissionType;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Int8(ref ResourceType);
        codec.String(ref ResourceName);
        if (version >= 1)
        {
            codec.Int8(ref PatternType);
        }

        codec.String(ref Principal);
        codec.String(ref Host);
        codec.Int8(ref Operation);
        codec.Int8(ref PermissionType);
        codec.Tags();
    }
}
