namespace Millrace.Kafka.Protocol;

/// <summary>Adds entries to the access control list.</summary>
public sealed class CreateAclsRequest : IRequest<CreateAclsResponse>
{
    public List<AclCreation> Creations = [];

    public static ApiDefinition Api { get; } = new(ApiKey.CreateAcls, 0, 3, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Creations, version);
        codec.Tags();
    }
}

public sealed class AclCreation : IMessage
{
    public sbyte ResourceType;
    public string ResourceName = "";

    /// <summary>Version 1 and later.</summary>
    public sbyte ResourcePatternType = DescribeAclsRequest.LiteralPattern;

    public string Principal = "";
    public string Host = "";
    public sbyte Operation;
    public sbyte PermissionType;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int8(ref ResourceType);
        codec.String(ref ResourceName);
        if (version >= 1)
        {
            codec.Int8(ref ResourcePatternType);
        }

        codec.String(ref Principal);
        codec.String(ref Host);
        codec.Int8(ref Operation);
        codec.Int8(ref PermissionType);
        codec.Tags();
    }
}

public sealed class CreateAclsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<AclCreationResult> Results = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Results, version);
        codec.Tags();
    }
}

public sealed class AclCreationResult : IMessage
{
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Tags();
    }
}
