namespace Millrace.Kafka.Protocol;

/// <summary>Asks which entries of the access control list match a filter.</summary>
public sealed class DescribeAclsRequest : IRequest<DescribeAclsResponse>
{
    /// <summary>The pattern is the very name of the resource.</summary>
    public const sbyte LiteralPattern = 3;

    public sbyte ResourceTypeFilter;

    /// <summary>Null matches every name, as do the other filters.</summary>
    public string? ResourceNameFilter = "";

    /// <summary>Version 1 and later.</summary>
    public sbyte PatternTypeFilter = LiteralPattern;

    public string? PrincipalFilter = "";
    public string? HostFilter = "";
    public sbyte Operation;
    public sbyte PermissionType;

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeAcls, 0, 3, FirstFlexibleVersion: 2);

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

public sealed class DescribeAclsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public List<DescribedAclResource> Resources = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Array(ref Resources, version);
        codec.Tags();
    }
}

public sealed class DescribedAclResource : IMessage
{
    public sbyte ResourceType;
    public string ResourceName = "";

    /// <summary>Version 1 and later.</summary>
    public sbyte PatternType = DescribeAclsRequest.LiteralPattern;

    public List<DescribedAcl> Acls = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int8(ref ResourceType);
        codec.String(ref ResourceName);
        if (version >= 1)
        {
            codec.Int8(ref PatternType);
        }

        codec.Array(ref Acls, version);
        codec.Tags();
    }
}

public sealed class DescribedAcl : IMessage
{
    public string Principal = "";
    public string Host = "";
    public sbyte Operation;
    public sbyte PermissionType;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Principal);
        codec.String(ref Host);
        codec.Int8(ref Operation);
        codec.Int8(ref PermissionType);
        codec.Tags();
    }
}
