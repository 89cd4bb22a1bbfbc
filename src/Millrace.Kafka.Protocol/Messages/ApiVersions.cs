namespace Millrace.Kafka.Protocol;

/// <summary>Asks which APIs and versions a broker has. A broker answers a version that it does not know with UNSUPPORTED_VERSION in the layout of version 0 (KIP-511).</summary>
public sealed class ApiVersionsRequest : IRequest<ApiVersionsResponse>
{
    public string ClientSoftwareName = "";
    public string ClientSoftwareVersion = "";

    public static ApiDefinition Api { get; } = new(ApiKey.ApiVersions, 0, 4, FirstFlexibleVersion: 3);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 3)
        {
            codec.String(ref ClientSoftwareName);
            codec.String(ref ClientSoftwareVersion);
        }

        codec.Tags();
    }
}

public sealed class ApiVersionsResponse : ITaggedMessage, IThrottledResponse
{
    public ErrorCode ErrorCode;
    public List<ApiVersionRange> ApiKeys = [];
    public int ThrottleMilliseconds;
    public List<SupportedFeature> SupportedFeatures = [];
    public long FinalizedFeaturesEpoch = -1;
    public List<FinalizedFeature> FinalizedFeatures = [];
    public bool ZooKeeperMigrationReady;

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.Array(ref ApiKeys, version);
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (codec.BeginTag(0, SupportedFeatures.Count > 0, out int mark0))
        {
            codec.Array(ref SupportedFeatures, version);
            codec.EndTag(mark0);
        }

        if (codec.BeginTag(1, FinalizedFeaturesEpoch != -1, out int mark1))
        {
            codec.Int64(ref FinalizedFeaturesEpoch);
            codec.EndTag(mark1);
        }

        if (codec.BeginTag(2, FinalizedFeatures.Count > 0, out int mark2))
        {
            codec.Array(ref FinalizedFeatures, version);
            codec.EndTag(mark2);
        }

        if (codec.BeginTag(3, ZooKeeperMigrationReady, out int mark3))
        {
            codec.Boolean(ref ZooKeeperMigrationReady);
            codec.EndTag(mark3);
        }
    }
}

public sealed class ApiVersionRange : IMessage
{
    public ApiKey Key;
    public short MinVersion;
    public short MaxVersion;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Key(ref Key);
        codec.Int16(ref MinVersion);
        codec.Int16(ref MaxVersion);
        codec.Tags();
    }
}

public sealed class SupportedFeature : IMessage
{
    public string Name = "";
    public short MinVersion;
    public short MaxVersion;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int16(ref MinVersion);
        codec.Int16(ref MaxVersion);
        codec.Tags();
    }
}

public sealed class FinalizedFeature : IMessage
{
    public string Name = "";
    public short MaxVersionLevel;
    public short MinVersionLevel;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int16(ref MaxVersionLevel);
        codec.Int16(ref MinVersionLevel);
        codec.Tags();
    }
}
