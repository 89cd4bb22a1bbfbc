namespace Millrace.Kafka.Protocol;

/// <summary>Asks which quotas hold for users, client ids and addresses (KIP-546).</summary>
public sealed class DescribeClientQuotasRequest : IRequest<DescribeClientQuotasResponse>
{
    public List<ClientQuotaFilterComponent> Components = [];

    /// <summary>Whether an entity with a part that no component names is left out.</summary>
    public bool Strict;

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeClientQuotas, 0, 1, FirstFlexibleVersion: 1);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Components, version);
        codec.Boolean(ref Strict);
        codec.Tags();
    }
}

public sealed class ClientQuotaFilterComponent : IMessage
{
    /// <summary>user, client-id or ip.</summary>
    public string EntityType = "";

    /// <summary>0 the name, 1 the default entity, 2 any that is named.</summary>
    public sbyte MatchType;

    public string? Match = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref EntityType);
        codec.Int8(ref MatchType);
        codec.NullableString(ref Match);
        codec.Tags();
    }
}

public sealed class DescribeClientQuotasResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public List<ClientQuotaEntry>? Entries = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.NullableArray(ref Entries, version);
        codec.Tags();
    }
}

public sealed class ClientQuotaEntry : IMessage
{
    public List<ClientQuotaEntityPart> Entity = [];
    public List<ClientQuotaValue> Values = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Entity, version);
        codec.Array(ref Values, version);
        codec.Tags();
    }
}

public sealed class ClientQuotaEntityPart : IMessage
{
    /// <summary>user, client-id or ip.</summary>
    public string EntityType = "";

    /// <summary>Null for the default of the type.</summary>
    public string? EntityName = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref EntityType);
        codec.NullableString(ref EntityName);
        codec.Tags();
    }
}

public sealed class ClientQuotaValue : IMessage
{
    public string Key = "";
    public double Value;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Key);
        codec.Float64(ref Value);
        codec.Tags();
    }
}
