namespace Millrace.Kafka.Protocol;

/// <summary>Asks for the settings of topics or of the broker.</summary>
public sealed class DescribeConfigsRequest : IRequest<DescribeConfigsResponse>
{
    public List<DescribeConfigsResource> Resources = [];
    public bool IncludeSynonyms;
    public bool IncludeDocumentation;

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeConfigs, 0, 4, FirstFlexibleVersion: 4);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Resources, version);
        if (version >= 1) codec.Boolean(ref IncludeSynonyms);
        if (version >= 3) codec.Boolean(ref IncludeDocumentation);
        codec.Tags();
    }
}

public sealed class DescribeConfigsResource : IMessage
{
    /// <summary>2 a topic, 4 a broker.</summary>
    public sbyte ResourceType;

    public string ResourceName = "";

    /// <summary>Null for all.</summary>
    public List<string>? ConfigurationKeys = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int8(ref ResourceType);
        codec.String(ref ResourceName);
        codec.NullableStringArray(ref ConfigurationKeys);
        codec.Tags();
    }
}

public sealed class DescribeConfigsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DescribeConfigsResult> Results = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Results, version);
        codec.Tags();
    }
}

public sealed class DescribeConfigsResult : IMessage
{
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public sbyte ResourceType;
    public string ResourceName = "";
    public List<DescribeConfigsResourceResult> Configs = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Int8(ref ResourceType);
        codec.String(ref ResourceName);
        codec.Array(ref Configs, version);
        codec.Tags();
    }
}

public sealed class DescribeConfigsResourceResult : IMessage
{
    public string Name = "";
    public string? Value = "";
    public bool ReadOnly;
    public bool IsDefault;
    public sbyte ConfigSource = -1;
    public bool IsSensitive;
    public List<DescribeConfigsSynonym> Synonyms = [];
    public sbyte ConfigType;
    public string? Documentation = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.NullableString(ref Value);
        codec.Boolean(ref ReadOnly);
        if (version == 0) codec.Boolean(ref IsDefault);
        if (version >= 1) codec.Int8(ref ConfigSource);
        codec.Boolean(ref IsSensitive);
        if (version >= 1) codec.Array(ref Synonyms, version);
        if (version >= 3) codec.Int8(ref ConfigType);
        if (version >= 3) codec.NullableString(ref Documentation);
        codec.Tags();
    }
}

public sealed class DescribeConfigsSynonym : IMessage
{
    public string Name = "";
    public string? Value = "";
    public sbyte Source;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.NullableString(ref Value);
        codec.Int8(ref Source);
        codec.Tags();
    }
}
