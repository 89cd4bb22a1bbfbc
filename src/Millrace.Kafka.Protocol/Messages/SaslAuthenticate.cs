namespace Millrace.Kafka.Protocol;

/// <summary>Carries one message of a SASL mechanism to the broker (KIP-152), and its answer back. Version 1 adds how long the session lasts (KIP-368).</summary>
public sealed class SaslAuthenticateRequest : IRequest<SaslAuthenticateResponse>
{
    public byte[] AuthBytes = [];

    public static ApiDefinition Api { get; } = new(ApiKey.SaslAuthenticate, 0, 2, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Bytes(ref AuthBytes);
        codec.Tags();
    }
}

public sealed class SaslAuthenticateResponse : IMessage
{
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public byte[] AuthBytes = [];

    /// <summary>Milliseconds until the broker wants the client authenticated anew on this connection; 0 for no limit.</summary>
    public long SessionLifetimeMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Bytes(ref AuthBytes);
        if (version >= 1) codec.Int64(ref SessionLifetimeMilliseconds);
        codec.Tags();
    }
}
