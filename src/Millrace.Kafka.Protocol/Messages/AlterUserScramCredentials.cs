namespace Millrace.Kafka.Protocol;

/// <summary>Sets and removes SCRAM credentials of users (KIP-554). Passwords stay with the client; salted ones travel.</summary>
public sealed class AlterUserScramCredentialsRequest : IRequest<AlterUserScramCredentialsResponse>
{
    public List<ScramCredentialDeletion> Deletions = [];
    public List<ScramCredentialUpsertion> Upsertions = [];

    public static ApiDefinition Api { get; } = new(ApiKey.AlterUserScramCredentials, 0, 0, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Deletions, version);
        codec.Array(ref Upsertions, version);
        codec.Tags();
    }
}

public sealed class ScramCredentialDeletion : IMessage
{
    public string Name = "";

    /// <inheritdoc cref="ScramCredentialDescription.Mechanism"/>
    public sbyte Mechanism;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int8(ref Mechanism);
        codec.Tags();
    }
}

public sealed class ScramCredentialUpsertion : IMessage
{
    public string Name = "";

    /// <inheritdoc cref="ScramCredentialDescription.Mechanism"/>
    public sbyte Mechanism;

    public int Iterations;
    public byte[] Salt = [];
    public byte[] SaltedPassword = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int8(ref Mechanism);
        codec.Int32(ref Iterations);
        codec.Bytes(ref Salt);
        codec.Bytes(ref SaltedPassword);
        codec.Tags();
    }
}

public sealed class AlterUserScramCredentialsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<AlterUserScramCredentialsResult> Results = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Results, version);
        codec.Tags();
    }
}

public sealed class AlterUserScramCredentialsResult : IMessage
{
    public string User = "";
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref User);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Tags();
    }
}
