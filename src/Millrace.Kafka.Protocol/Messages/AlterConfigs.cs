namespace Millrace.Kafka.Protocol;

/// <summary>Replaces all settings of topics. Kafka's tools prefer IncrementalAlterConfigs.</summary>
public sealed class AlterConfigsRequest : IRequest<AlterConfigsResponse>
{
    public List<AlterConfigsResource> Resources = [];
    public bool ValidateOnly;

    public static ApiDefinition Api { get; } = new(ApiKey.AlterConfigs, 0, 2, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Resources, version);
        codec.Boolean(ref ValidateOnly);
        codec.Tags();
    }
}

public sealed class AlterConfigsResource : IMessage
{
    public sbyte ResourceType;
    public string ResourceName = "";
    public List<AlterableConfig> Configs = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int8(ref ResourceType);
        codec.String(ref ResourceName);
        codec.Array(ref Configs, version);
        codec.Tags();
    }
}

public sealed class AlterableConfig : IMessage
{
    public string Name = "";
    public string? Value = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.NullableString(ref Value);
        codec.Tags();
    }
}

public sealed class AlterConfigsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<AlterConfigsResourceResponse> Responses = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Responses, version);
        codec.Tags();
    }
}

public sealed class AlterConfigsResourceResponse : IMessage
{
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public sbyte ResourceType;
    public string ResourceName = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Int8(ref ResourceType);
        codec.String(ref ResourceName);
        codec.Tags();
    }
}
