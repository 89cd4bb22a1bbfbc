namespace Millrace.Kafka.Protocol;

/// <summary>Says that a member of a group is alive.</summary>
public sealed class HeartbeatRequest : IRequest<HeartbeatResponse>
{
    public string GroupId = "";
    public int GenerationId;
    public string MemberId = "";
    public string? GroupInstanceId;

    public static ApiDefinition Api { get; } = new(ApiKey.Heartbeat, 0, 4, FirstFlexibleVersion: 4);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        codec.Int32(ref GenerationId);
        codec.String(ref MemberId);
        if (version >= 3) codec.NullableString(ref GroupInstanceId);
        codec.Tags();
    }
}

public sealed class HeartbeatResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.Tags();
    }
}
