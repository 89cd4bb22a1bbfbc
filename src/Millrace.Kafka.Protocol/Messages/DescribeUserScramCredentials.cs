namespace Millrace.Kafka.Protocol;

/// <summary>Asks which SCRAM credentials users have (KIP-554). Neither salts nor keys are told.</summary>
public sealed class DescribeUserScramCredentialsRequest : IRequest<DescribeUserScramCredentialsResponse>
{
    /// <summary>Null for all.</summary>
    public List<ScramUserName>? Users = [];

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeUserScramCredentials, 0, 0, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.NullableArray(ref Users, version);
        codec.Tags();
    }
}

public sealed class ScramUserName : IMessage
{
    public string Name = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Tags();
    }
}

public sealed class DescribeUserScramCredentialsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public List<DescribeUserScramCredentialsResult> Results = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Array(ref Results, version);
        codec.Tags();
    }
}

public sealed class DescribeUserScramCredentialsResult : IMessage
{
    public string User = "";
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public List<ScramCredentialDescription> CredentialInfos = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref User);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Array(ref CredentialInfos, version);
        codec.Tags();
    }
}

public sealed class ScramCredentialDescription : IMessage
{
    /// <summary>1 SCRAM-SHA-256, 2 SCRAM-SHA-512.</summary>
    public sbyte Mechanism;

    public int Iterations;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int8(ref Mechanism);
        codec.Int32(ref Iterations);
        codec.Tags();
    }
}
