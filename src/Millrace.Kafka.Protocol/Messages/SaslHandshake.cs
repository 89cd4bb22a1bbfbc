namespace Millrace.Kafka.Protocol;

/// <summary>
/// Names the mechanism of the authentication that follows. After version 0 the mechanism's bytes travel bare, each behind its length; after version 1 in
/// <see cref="SaslAuthenticateRequest"/> (KIP-152).
/// </summary>
public sealed class SaslHandshakeRequest : IRequest<SaslHandshakeResponse>
{
    public string Mechanism = "";

    public static ApiDefinition Api { get; } = new(ApiKey.SaslHandshake, 0, 1, FirstFlexibleVersion: short.MaxValue);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct =>
        codec.String(ref Mechanism);
}

public sealed class SaslHandshakeResponse : IMessage
{
    public ErrorCode ErrorCode;

    /// <summary>What the listener offers.</summary>
    public List<string> Mechanisms = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.StringArray(ref Mechanisms);
    }
}
