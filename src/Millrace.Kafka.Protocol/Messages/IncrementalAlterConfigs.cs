namespace Millrace.Kafka.Protocol;

/// <summary>Changes some settings of topics and leaves the others (KIP-339).</summary>
public sealed class IncrementalAlterConfigsRequest : IRequest<IncrementalAlterConfigsResponse>
{
    public List<IncrementalAlterConfigsResource> Resources = [];
    public bool ValidateOnly;

    public static ApiDefinition Api { get; } = new(ApiKey.IncrementalAlterConfigs, 0, 1, FirstFlexibleVersion: 1);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Resources, version);
        codec.Boolean(ref ValidateOnly);
        codec.Tags();
    }
}

public sealed class IncrementalAlterConfigsResource : IMessage
{
    public sbyte ResourceType;
    public string ResourceName = "";
    public List<IncrementalAlterableConfig> Configs = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int8(ref ResourceType);
        codec.String(ref ResourceName);
        codec.Array(ref Configs, version);
        codec.Tags();
    }
}

public sealed class IncrementalAlterableConfig : IMessage
{
    public string Name = "";

    /// <summary>0 set, 1 delete, 2 append to a list, 3 subtract from a list.</summary>
    public sbyte ConfigOperation;

    public string? Value = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int8(ref ConfigOperation);
        codec.NullableString(ref Value);
        codec.Tags();
    }
}

public sealed class IncrementalAlterConfigsResponse : IThrottledResponse
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
